"""A URL that people give, to which much is posted: webhooks. As `outbound`, over connections that are kept.

Its name is resolved anew every LOOKED_UP_S, and each address judged as `outbound` does; a connection that is kept goes to an
address that passed. Redirects are answers like others. Errors name the origin alone: in the rest of a webhook's URL there is often a secret.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from skerry.http.client import Client
from skerry.http.errors import Cut, HttpError
from skerry.http.limits import ClientLimits
from skerry.http.outbound import (
    OutboundError,
    OutboundPolicy,
    Resolve,
    ServerIdentity,
    context_of,
    failure_of,
    judged,
    origin_of,
    resolved,
)
from skerry.http.response import Response
from skerry.httpwire.head import Headers, RequestHead, first

LOOKED_UP_S = 30.0
"""For so long an address that a name was resolved to is used."""
IDLE_S = 4.0
"""A connection waits for so long for the next request: servers that close theirs do so after 5 s or later."""


class Posted(NamedTuple):
    """The answer to a POST."""

    status: int
    headers: Headers
    body: bytes
    """Of it what the policy has room for."""


class Destination:
    """Requests to one URL. OutboundError (URL, TLS) if it, or the authorities given for it, are none. `close` it."""

    def __init__(
        self,
        url: str,
        policy: OutboundPolicy,
        server: ServerIdentity | None = None,
        *,
        connections: int = 8,
        resolve: Resolve = resolved,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._target, self._policy, self._resolve, self._clock = origin_of(url), policy, resolve, clock
        host = f"[{self._target.host}]" if ":" in self._target.host else self._target.host
        self.shown = f"{self._target.scheme}://{host}:{self._target.port}"
        """The URL without what may be secret in it."""
        self._context = context_of(self._target, self.shown, server or ServerIdentity(), shows=False)
        self._connections = connections
        self._addresses: Sequence[str] = ()
        self._until = 0.0
        self._judging: asyncio.Future[list[str]] | None = None
        self._clients: dict[str, Client] = {}
        self._used: Counter[str] = Counter()

    async def post(self, headers: Headers, body: bytes) -> Posted:
        """The answer, whatever its status. OutboundError for everything else, within the policy's deadline."""
        head = RequestHead(
            method=b"POST",
            target=self._target.target,
            headers=[
                (b"host", self._target.authority),
                (b"accept-encoding", b"identity"),
                (b"user-agent", b"skerry"),
                *headers,
            ],
        )
        try:
            async with asyncio.timeout(self._policy.deadline_s):
                return await self._posted(head, body)
        except TimeoutError as error:
            raise OutboundError(
                "Timeout", f"{self.shown} did not answer within {self._policy.deadline_s:.0f} s"
            ) from error

    async def close(self) -> None:
        """Cut what is under way."""
        if self._judging is not None:
            self._judging.cancel()
            await asyncio.gather(self._judging, return_exceptions=True)
        clients, self._clients = self._clients, {}
        await asyncio.gather(*(client.close() for client in clients.values()))

    async def _posted(self, head: RequestHead, body: bytes) -> Posted:
        """From the first address that takes a connection."""
        failure: OutboundError | None = None
        for address in await self._judged():
            self._used[address] += 1
            try:
                return await self._answer(self._client(address), head, body)
            except HttpError as error:
                failure = failure_of(self.shown, error, "asked")
                if failure.problem not in ("TLS", "Unreachable") or isinstance(error, Cut):
                    raise failure from error
                failure.__cause__ = error
            finally:
                self._used[address] -= 1
        if failure is None:
            raise AssertionError("there was no address to try")
        self._until = 0.0
        raise failure

    async def _judged(self) -> Sequence[str]:
        """The addresses that may be dialled; connections to others end when nothing is under way on them."""
        if self._clock() >= self._until:
            if self._judging is None or self._judging.done():
                self._judging = asyncio.ensure_future(judged(self._target, self.shown, self._policy, self._resolve))
            # a resolver that hangs is asked once for all requests, also after they gave up: it may have a thread of few
            self._addresses = await asyncio.shield(self._judging)
            self._until = self._clock() + LOOKED_UP_S
        for address in [each for each in self._clients if each not in self._addresses and not self._used[each]]:
            await self._clients.pop(address).close()
        return self._addresses

    def _client(self, address: str) -> Client:
        client = self._clients.get(address)
        if client is None:
            limits = ClientLimits(
                connect_s=self._policy.deadline_s / max(len(self._addresses), 1),
                head_s=self._policy.deadline_s,
                idle=self._connections,
                idle_s=IDLE_S,
            )
            client = self._clients[address] = Client(
                address, self._target.port, self._context, limits, server_hostname=self._target.host
            )
        return client

    async def _answer(self, client: Client, head: RequestHead, body: bytes) -> Posted:
        response = await client.request(head, body)
        try:
            return Posted(response.status, response.headers, await _beginning(response, self._policy.max_bytes))
        finally:
            if not response.complete:
                response.abort()


async def _beginning(response: Response, limit: int) -> bytes:
    """The body, or as much of it as there is room for; nothing of one in an encoding that nobody asked for."""
    if first(response.headers, b"content-encoding") not in (None, b"identity"):
        return b""
    parts: list[bytes] = []
    size = 0
    while size < limit and (data := await response.read()):
        parts.append(data)
        size += len(data)
    return b"".join(parts)[:limit]
