"""A member's API server, as one process reaches it: one pool of connections and that process's own credential.

The pool belongs to a TLS context, and the context to a client certificate: when an exec plugin hands out a new
certificate a new pool is made for new requests, and the old one ends with the requests that it carries.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import msgspec

from skerry.api.decode import decoded
from skerry.errors import BadGateway
from skerry.http.client import Body, Client
from skerry.http.errors import HttpError, Unreachable
from skerry.http.limits import ClientLimits
from skerry.http.response import Response
from skerry.httpwire.head import Headers, RequestHead
from skerry.httpwire.room import Room
from skerry.member import tls
from skerry.member.credentials import Credential, Source
from skerry.member.kubeconfig import Target
from skerry.member.side import AGENT, Side

CALL_S = 10.0
DRAIN_S = 8 * 3600.0
DRAIN_POLL_S = 30.0
CALL_LIMIT = 4 << 20
"""Largest answer that a call of one's own reads."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer to a call of one's own."""

    status: int
    body: bytes

    def document(self) -> dict[str, Any]:
        """The body as JSON object; empty if it is none."""
        try:
            found = decoded(self.body)
        except msgspec.DecodeError:
            return {}
        return found if isinstance(found, dict) else {}

    def message(self) -> str:
        """What a Status says, on one line; else the HTTP status."""
        text = str(self.document().get("message") or f"HTTP status {self.status}")
        return " ".join(text.split())[:500]


class Upstream:
    """Sends requests to one API server, with one credential and nobody else's. `side` is who does so, for messages."""

    def __init__(
        self, target: Target, source: Source, *, connections: int = 512, side: Side = AGENT, room: Room | None = None
    ) -> None:
        """`room` is the process's for large heads; its own by default."""
        self.side = side
        self._room = room or Room()
        self._target, self._source, self._connections = target, source, connections
        self._shown = b""
        self._client: Client | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """For messages."""
        return self._target.url

    @property
    def origin(self) -> str:
        """Where the credential comes from, for messages."""
        return self._target.origin

    async def credential(self) -> Credential:
        """The credential now. Raises CredentialError."""
        return await self._source.get()

    async def renew(self, refused: Credential) -> bool:
        """After a 401: whether there is a newer credential than `refused`. Raises CredentialError."""
        return await self._source.renew(refused) is not None

    async def send(self, credential: Credential, head: RequestHead, body: Body, head_timeout_s: float) -> Response:
        """One request; `head` already carries `credential.authorization`. Raises the errors of Client.request."""
        return await self._pool(credential).request(head, body, head_timeout_s=head_timeout_s)

    def target(self, path: bytes) -> bytes:
        """A request target below the server's path prefix."""
        return self._target.prefix.encode() + path

    def _pool(self, credential: Credential) -> Client:
        if self._client is None or credential.certificate != self._shown:
            old, self._client = self._client, self._made(credential)
            self._shown = credential.certificate
            if old is not None:
                task = asyncio.ensure_future(_ended(old))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
        return self._client

    def _made(self, credential: Credential) -> Client:
        target = self._target
        context: ssl.SSLContext | None = tls.context(target.tls, credential) if target.scheme == "https" else None
        limits = ClientLimits(connections=self._connections)
        name = target.tls.server_name or None
        return Client(target.host, target.port, context, limits, server_hostname=name, room=self._room)

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        content_type: bytes = b"application/json",
        headers: Headers | None = None,
    ) -> Answer:
        """A call of one's own, read whole; a refused credential is renewed once.

        Raises BadGateway (unreachable, slow, cut) or CredentialError.
        """
        credential = await self.credential()
        answer = await self._called(credential, method, path, body, content_type, headers or [])
        if answer.status == 401 and await self.renew(credential):
            answer = await self._called(await self.credential(), method, path, body, content_type, headers or [])
        return answer

    async def _called(
        self, credential: Credential, method: str, path: str, body: bytes, content_type: bytes, headers: Headers
    ) -> Answer:
        sent = [(b"accept", b"application/json"), (b"user-agent", self.side.user_agent), *headers]
        if body:
            sent.append((b"content-type", content_type))
        if credential.authorization:
            sent.append((b"authorization", credential.authorization))
        head = RequestHead(method=method.encode(), target=self.target(path.encode()), headers=sent)
        try:
            async with asyncio.timeout(CALL_S):
                response = await self.send(credential, head, body or None, CALL_S)
                try:
                    return Answer(status=response.status, body=await response.body(CALL_LIMIT))
                finally:
                    await response.release()
        except Unreachable as e:
            raise BadGateway(f"the API server {self.url}: {e}: check that it runs, and the kubeconfig") from e
        except (HttpError, TimeoutError, ValueError) as e:
            why = str(e) or f"no answer within {CALL_S:.0f} s"
            raise BadGateway(
                f"the API server {self.url} does not answer as it must ({why}): check that it is well"
            ) from e

    async def close(self) -> None:
        """Close all connections."""
        for task in self._closing:
            task.cancel()
        if self._client is not None:
            await self._client.close()


async def _ended(client: Client) -> None:
    """Close a pool that takes no more requests, when the last one has ended (at most the session cap)."""
    try:
        async with asyncio.timeout(DRAIN_S):
            while client.connections:  # noqa: ASYNC110 - no event tells; idle ones close within a minute
                await asyncio.sleep(DRAIN_POLL_S)
    except TimeoutError:
        pass
    finally:
        await client.close()
