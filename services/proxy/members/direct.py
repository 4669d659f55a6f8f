"""Direct members, and the cluster that the host runs in: the host itself is the client of their API servers.

How to reach one is asked of the registry, which seals its answer to this process's certified key; it is kept in memory
only, and asked anew when the Cluster says that there is a newer credential. The host's own cluster is reached with this
process's own: its ServiceAccount's token, or a kubeconfig; nobody else has it, and nothing of it is on the bus. What an agent does to a request is done
here by the same code (skerry/member): strip, impersonate, the one renewed credential, honest errors.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

import msgspec

from services.proxy.members.directory import MemberRoute
from services.proxy.members.signer import BusRequests
from skerry import subjects
from skerry.access import Allowed
from skerry.api.decode import decoder
from skerry.api.messages import Claims, ConnectAnswer, ConnectRequest
from skerry.errors import InternalError, ServiceUnavailable, SkerryError, StatusError
from skerry.http.errors import HttpError
from skerry.http.response import Response
from skerry.httpwire.room import Room
from skerry.member import hostcluster
from skerry.member.credentials import source
from skerry.member.execute import Executor, begun
from skerry.member.identity import Expected
from skerry.member.kubeconfig import DirectConnection, KubeconfigError
from skerry.member.role import HOST
from skerry.member.upstream import Upstream
from skerry.relay import Answer, Headers, OpenRequest, ResetCode, StreamReset

log = logging.getLogger("skerry.proxy")

ASK_S, ASK_AGAIN_S = 5.0, 1.0
"""How long the registry's answer is waited for, without and with an endpoint that is known."""
AGAIN_S = 1.0
"""After a failure it is not asked again before this."""
NOT_OURS = ("WrongCluster", "TakenOver")
"""Reasons of the condition Ready when another cluster answers at a member's address, or another host has it now: nothing may be
sent there."""
IN_CLUSTER = "in-cluster"
"""The connection to the cluster that the host runs in."""
_connection = decoder(DirectConnection)
_answer = decoder(ConnectAnswer)


class Keyholder(Protocol):
    """The proxy's certified key: see services/proxy/members/signer.py."""

    @property
    def record(self) -> str: ...
    def unseal(self, data: bytes) -> bytes: ...


class ApiEndpoint:
    """One API server with one credential. Retired when there is a newer one: it ends with its last request."""

    def __init__(self, cluster: str, revision: int, upstream: Upstream, ended: Callable[[ApiEndpoint], None]) -> None:
        """`cluster` is the UID of the physical cluster, `revision` that of the credential."""
        self.cluster, self.revision, self.upstream = cluster, revision, upstream
        self.executor = Executor(upstream)
        self.carried = 0
        self.retired = False
        self._ended = ended

    def serves(self, member: MemberRoute) -> bool:
        """True if it leads to where the Cluster says, with the newest credential that it speaks of."""
        return self.revision >= member.revision and self.cluster == member.cluster

    def leave(self) -> None:
        """One request is done."""
        self.carried -= 1
        self._look()

    def retire(self) -> None:
        """Carry nothing new."""
        self.retired = True
        self._look()

    def _look(self) -> None:
        if self.retired and not self.carried:
            self._ended(self)


class Direct:
    """The ways to all direct members, by the uid of their Cluster objects."""

    def __init__(
        self, bus: BusRequests, keyholder: Keyholder, *, connections: int, room: Room, own: Path | None = None
    ) -> None:
        """`own` is the kubeconfig of the host's own cluster; None: it runs in it."""
        self._room, self._own = room, own
        self._bus, self._keyholder, self._connections = bus, keyholder, connections
        self._endpoints: dict[str, ApiEndpoint] = {}
        self._asking: dict[str, asyncio.Lock] = {}
        self._failed: dict[str, tuple[float, StatusError]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def transport(self, member: MemberRoute, allowed: Allowed) -> DirectTransport:
        """The way for one request as `allowed` says. ServiceUnavailable: nothing was sent."""
        if member.reason in NOT_OURS:
            raise ServiceUnavailable(f"cluster {member.name}: {member.message}; nothing was sent")
        if member.connection == IN_CLUSTER and not member.cluster:
            raise ServiceUnavailable(f"cluster {member.name} is not ready: {member.message}; nothing was sent")
        endpoint = self._endpoints.get(member.uid)
        if endpoint is None or not endpoint.serves(member):
            endpoint = await self._current(member)
        return DirectTransport(endpoint, _claims(member.name, allowed))

    async def _current(self, member: MemberRoute) -> ApiEndpoint:
        """The newest endpoint, asked for once however many requests wait. One that is known beats none."""
        async with self._asking.setdefault(member.uid, asyncio.Lock()):
            endpoint = self._endpoints.get(member.uid)
            if endpoint is not None and endpoint.serves(member):
                return endpoint
            if member.connection == IN_CLUSTER:
                return self._replaced(member, endpoint, 0, self._to_own(member))
            try:
                connection = await self._asked(member, ASK_S if endpoint is None else ASK_AGAIN_S)
            except StatusError:
                if endpoint is None:
                    raise
                return endpoint
            target, expected = connection.target, Expected(member.cluster, member.name) if member.cluster else None
            upstream = Upstream(
                target, source(target), connections=self._connections, role=HOST, room=self._room, expected=expected
            )
            return self._replaced(member, endpoint, connection.revision, upstream)

    def _to_own(self, member: MemberRoute) -> Upstream:
        """The host's own cluster, by what this process itself was given. ServiceUnavailable."""
        try:
            expected = Expected(member.cluster, member.name)
            return hostcluster.connected(self._own, connections=self._connections, expected=expected, room=self._room)
        except KubeconfigError as error:
            raise ServiceUnavailable(f"cluster {member.name}: {error}; nothing was sent") from error

    async def _asked(self, member: MemberRoute, timeout_s: float) -> DirectConnection:
        """The registry's answer; what went wrong a moment ago is not tried again for every request that waits."""
        now = asyncio.get_running_loop().time
        failed = self._failed.get(member.uid)
        if failed is not None and now() - failed[0] < AGAIN_S:
            raise failed[1]
        try:
            connection = await self._ask(member, timeout_s)
        except StatusError as error:
            self._failed[member.uid] = (now(), error)
            log.warning("how to reach a member is not known", extra={"cluster": member.name, "error": error.message})
            raise
        self._failed.pop(member.uid, None)
        return connection

    def _replaced(self, member: MemberRoute, old: ApiEndpoint | None, revision: int, upstream: Upstream) -> ApiEndpoint:
        endpoint = ApiEndpoint(member.cluster, revision, upstream, self._close)
        self._endpoints[member.uid] = endpoint
        if old is not None:
            old.retire()
        return endpoint

    async def _ask(self, member: MemberRoute, timeout_s: float) -> DirectConnection:
        ask = ConnectRequest(record=self._keyholder.record)
        try:
            reply = await self._bus.request(
                subjects.connection(member.name), msgspec.json.encode(ask), timeout_s=timeout_s
            )
            connection = _connection(self._keyholder.unseal(_answer(reply.data).sealed))
        except (msgspec.DecodeError, SkerryError) as error:
            why = error.message if isinstance(error, StatusError) else "its answer cannot be read"
            raise ServiceUnavailable(
                f"cluster {member.name}: this host's registry does not say how to reach it ({why}); nothing was sent"
            ) from error
        if connection.cluster != member.uid:
            raise ServiceUnavailable(f"cluster {member.name} was removed or has just joined anew; nothing was sent")
        return connection

    def forget(self, uid: str) -> None:
        """Drop the way to a Cluster that is no direct member any more."""
        self._asking.pop(uid, None)
        self._failed.pop(uid, None)
        endpoint = self._endpoints.pop(uid, None)
        if endpoint is not None:
            endpoint.retire()

    def _close(self, endpoint: ApiEndpoint) -> None:
        task = asyncio.get_running_loop().create_task(endpoint.upstream.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close all connections."""
        for uid in list(self._asking):
            self.forget(uid)
        await asyncio.gather(*self._closing)


def _claims(member: str, allowed: Allowed) -> Claims:
    """What an assertion would say, without a signature: it does not leave this process."""
    return Claims(
        member=member, user=allowed.user, groups=allowed.groups, extra=dict(allowed.extra), proxy="", iat=0, exp=0
    )


class DirectTransport:
    """Opens requests of one identity to one direct member."""

    def __init__(self, endpoint: ApiEndpoint, claims: Claims) -> None:
        self._endpoint, self._claims = endpoint, claims

    async def open(self, member: str, request: OpenRequest) -> DirectCall:
        """A request to `member`; it is sent when its response is asked for."""
        return DirectCall(self._endpoint, self._claims, request)


class DirectCall:
    """One request to a direct member, with the methods of a stream of the tunnel.

    Credit is the socket's own: a body is read from the API server only after the client's socket took what came before,
    and from the client only after the API server's did.
    """

    def __init__(self, endpoint: ApiEndpoint, claims: Claims, request: OpenRequest) -> None:
        self.request = request
        self.trailers: Headers = []
        self.when_broken: Callable[[StreamReset], None] | None = None
        """Called by nobody: what is behind here breaks where it is read, and holds nothing that others could want."""
        self._endpoint, self._claims = endpoint, claims
        self._asking: asyncio.Task[tuple[Response, Answer]] | None = None
        self._response: Response | None = None
        self._parts: asyncio.Queue[bytes] = asyncio.Queue(1)
        self._error: StreamReset | None = None
        self._closed = False
        endpoint.carried += 1

    def __enter__(self) -> DirectCall:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    async def response(self) -> Answer:
        """The head. StatusError for what went wrong before it, StreamReset after `reset`."""
        self._check()
        self._asking = asyncio.get_running_loop().create_task(self._ask())
        try:
            self._response, answer = await self._asking
        except asyncio.CancelledError:
            if not _cancelled():
                self._check()
            raise
        self._check()
        return answer

    async def _ask(self) -> tuple[Response, Answer]:
        response = await self._endpoint.executor.execute(self.request, self._claims, self._body)
        try:
            return response, await begun(self.request, response)
        except BaseException:
            _cut(response)
            raise

    async def _body(self) -> AsyncIterator[bytes]:
        if self.request.body:
            yield self.request.body
        while data := await self._parts.get():
            yield data

    async def send(self, data: bytes) -> None:
        """Send body, or after 101 raw bytes; what the API server does to them is told by the other direction."""
        self._check()
        raw = self._response.raw if self._response is not None else None
        if raw is None:
            await self._parts.put(data)
            return
        with contextlib.suppress(HttpError):
            await raw.write(data)

    async def send_end(self) -> None:
        """Nothing more follows."""
        raw = self._response.raw if self._response is not None else None
        if raw is None:
            await self._parts.put(b"")
            return
        with contextlib.suppress(HttpError):
            await raw.write_eof()

    async def receive(self) -> bytes:
        """The next bytes; b"" at the true end. StreamReset."""
        self._check()
        if self._response is None:
            raise InternalError("a body was asked for before its head")
        raw = self._response.raw
        try:
            data = await (self._response.read() if raw is None else raw.read())
        except HttpError as error:
            self._check()
            raise StreamReset(ResetCode.UPSTREAM, f"the member's API server broke the answer: {error}") from error
        self._check()
        if not data and raw is None:
            self.trailers = self._response.trailers
        return data

    def consumed(self, n: int) -> None:
        """Nothing to do: see above."""

    def reset(self, code: ResetCode, message: str = "") -> None:
        """Abort both directions; no-op after the first time."""
        if self._error is None and not self._closed:
            self._error = StreamReset(code, message, local=True)
            self._abort()

    def close(self) -> None:
        """Free everything; an answer that was not read as a whole costs its connection. Idempotent."""
        if not self._closed:
            self._closed = True
            self._abort()
            self._endpoint.leave()

    def _abort(self) -> None:
        asking = self._asking
        if asking is not None and not asking.done():
            asking.cancel()
        elif asking is not None and not asking.cancelled() and asking.exception() is None:
            _cut(asking.result()[0])

    def _check(self) -> None:
        if self._error is not None:
            raise self._error


def _cancelled() -> bool:
    """True if this task itself is being cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _cut(response: Response) -> None:
    """Synchronous release: a raw stream that ended our direction lingers by itself, a whole answer is in the pool."""
    if response.raw is None:
        response.abort()
    elif not response.raw.eof_written:
        response.raw.abort()
