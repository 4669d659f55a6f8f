"""The HTTP/1.1 client of one upstream server: a pool of connections, used last in, first out.

Idle connections are closed after less than a minute (rule 11), and never used after an answer that was not read as a
whole. A request is repeated by itself once, and only when it cannot have been executed twice: a GET, HEAD or OPTIONS
without a streamed body whose pooled connection turned out to be closed before a byte of an answer.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from skerry.http.buffer import ReadBuffer
from skerry.http.errors import Cut, NoAnswer, NoRoom, Unreachable, UpstreamProtocolError
from skerry.http.limits import ClientLimits
from skerry.http.response import Response
from skerry.http.tlslink import TlsLink
from skerry.http.upstream import UpstreamConnection
from skerry.httpwire.chunks import LAST_CHUNK, encode_chunk
from skerry.httpwire.head import MalformedHead, RequestHead
from skerry.httpwire.headwriter import encode_request
from skerry.httpwire.room import Room

_REPEATABLE = frozenset((b"GET", b"HEAD", b"OPTIONS"))
_JOIN_LIMIT = 64 * 1024

RequestBody = bytes | AsyncIterator[bytes] | None
SendRequest = Callable[[RequestHead], Awaitable[Response]]
"""Sends one request without a body on the connection that is to be admitted."""
AdmitRequest = Callable[[SendRequest], Awaitable[None]]
"""Whether a new connection may carry requests: returns, or raises what its requester shall see."""


class Client:
    """Requests to one origin. Used on one event loop; `close` it."""

    def __init__(
        self,
        host: str,
        port: int,
        ssl_context: ssl.SSLContext | None = None,
        limits: ClientLimits | None = None,
        *,
        server_hostname: str | None = None,
        room: Room | None = None,
        admit: AdmitRequest | None = None,
    ) -> None:
        """`room` is the process's for large heads; its own by default."""
        self.room = room or Room()
        self.host = host
        self.port = port
        self._admit = admit
        self.limits = limits or ClientLimits()
        self._ssl = ssl_context
        self._server_hostname = server_hostname or host
        self._authority = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode("ascii")
        self._buffer = ReadBuffer()
        self._idle: list[UpstreamConnection] = []
        self._held: set[UpstreamConnection] = set()  # being admitted: not for other requests yet
        self._open: set[UpstreamConnection] = set()
        self._connecting = 0
        self._closed = False
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def origin(self) -> bytes:
        """`scheme://host:port`, for `relocate`."""
        return (b"https://" if self._ssl else b"http://") + self._authority

    @property
    def connections(self) -> int:
        """Connections that are open or being opened."""
        return len(self._open) + self._connecting

    # -- requests --

    async def request(
        self, head: RequestHead, body: RequestBody = None, *, head_timeout_s: float | None = None
    ) -> Response:
        """Sends a request and returns when the head of its answer is there (informational ones are skipped).

        Host and framing headers are made here: `head.headers` needs none. `head.upgrade` asks for an upgrade; its
        answer is 101 with `raw`, or an ordinary one, with which the connection ends. A streamed `body` is sent with
        `head.content_length` or else chunked, while the answer is awaited.

        Raises Unreachable or NoRoom (nothing was sent), NoAnswer (no head within `head_timeout_s`, 0: no limit), Cut (the
        outcome is unknown), ProtocolError (a 502).
        """
        raw, streamed = self._encode(head, body)
        repeatable = streamed is None and head.method in _REPEATABLE
        connection, pooled = await self._take()
        try:
            return await self._exchange(connection, head, raw, streamed, head_timeout_s)
        except Cut:
            if not (pooled and repeatable) or connection.answered:
                raise
        return await self._exchange(await self._connect(), head, raw, streamed, head_timeout_s)

    def _encode(self, head: RequestHead, body: RequestBody) -> tuple[bytes, AsyncIterator[bytes] | None]:
        streamed = None if body is None or isinstance(body, bytes) else body
        length = head.content_length if streamed is not None else None
        if isinstance(body, bytes) and (body or head.method in (b"POST", b"PUT", b"PATCH")):
            length = len(body)
        elif body is None and head.method in (b"POST", b"PUT", b"PATCH"):
            length = 0
        try:
            raw = encode_request(
                head.method,
                head.target,
                head.headers,
                host=head.get(b"host") or self._authority,
                length=length,
                chunked=streamed is not None and length is None,
                upgrade=head.upgrade,
            )
        except MalformedHead as error:
            raise UpstreamProtocolError(str(error)) from error
        return (raw + body if isinstance(body, bytes) else raw), streamed

    async def _exchange(
        self,
        connection: UpstreamConnection,
        head: RequestHead,
        raw: bytes,
        streamed: AsyncIterator[bytes] | None,
        head_timeout_s: float | None,
    ) -> Response:
        waiter = connection.expect(head.method, head.upgrade)
        pump: asyncio.Task[None] | None = None
        timeout = self.limits.head_s if head_timeout_s is None else head_timeout_s
        timer = connection.loop.call_later(timeout, _expire, connection, waiter, timeout) if timeout else None
        try:
            if streamed is not None:
                connection.sending = True
                pump = asyncio.get_running_loop().create_task(_pump(connection, raw, streamed, head.content_length))
            elif not waiter.done():
                connection.transport.write(raw)
            response = await waiter
        except BaseException:
            connection.abort()
            if pump is not None:
                await _stop(pump)
            raise
        finally:
            if timer is not None:
                timer.cancel()
        response.pump = pump
        return response

    # -- the pool --

    async def _take(self) -> tuple[UpstreamConnection, bool]:
        """A connection and whether it was used before."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.closed or connection.transport.is_closing():
                continue
            if now - connection.idle_since > self.limits.idle_s:
                connection.transport.close()
                continue
            return connection, True
        return await self._connect(), False

    async def _connect(self) -> UpstreamConnection:
        """A new connection, admitted. A server that ends each connection after one answer is believed for the next one."""
        connection = await self._dialed()
        if self._admit is None:
            return connection
        await self._admitted(connection, self._admit)
        return await self._dialed() if connection.closed or connection.transport.is_closing() else connection

    async def _admitted(self, connection: UpstreamConnection, admit: AdmitRequest) -> None:
        async def ask(head: RequestHead) -> Response:
            return await self._exchange(connection, head, self._encode(head, None)[0], None, self.limits.connect_s)

        self._held.add(connection)
        try:
            await admit(ask)
        except BaseException:
            connection.abort()
            raise
        finally:
            self._held.discard(connection)

    async def _dialed(self) -> UpstreamConnection:
        if self._closed:
            raise Unreachable("the client is closed")
        if self.connections >= self.limits.connections:
            raise NoRoom(f"all {self.limits.connections} connections to {self.host}:{self.port} are in use")
        loop = asyncio.get_running_loop()
        self._connecting += 1
        try:
            async with asyncio.timeout(self.limits.connect_s):
                connection = await self._dial(loop)
        except TimeoutError as error:
            raise Unreachable(
                f"{self.host}:{self.port} did not accept a connection within {self.limits.connect_s:.0f} s"
            ) from error
        except ssl.SSLCertVerificationError as error:
            raise Unreachable(
                f"the certificate of {self.host}:{self.port} is refused: {error.verify_message}"
            ) from error
        except OSError as error:
            raise Unreachable(f"{self.host}:{self.port} cannot be reached: {error.strerror or error}") from error
        finally:
            self._connecting -= 1
        self._open.add(connection)
        return connection

    async def _dial(self, loop: asyncio.AbstractEventLoop) -> UpstreamConnection:
        """A connection, its TLS handshake done. Raises OSError (ssl.SSLError is one)."""
        connection = UpstreamConnection(self._buffer, loop, self._released, self._open.discard, self.room)
        if self._ssl is None:
            await loop.create_connection(lambda: connection, self.host, self.port)
            return connection
        ready: asyncio.Future[None] = loop.create_future()
        link = TlsLink(
            connection,
            self._ssl,
            self._buffer,
            lambda _, error: _settle(ready, error),
            server_hostname=self._server_hostname,
        )
        try:
            await loop.create_connection(lambda: link, self.host, self.port)
            await ready
        except BaseException:
            link.abort()
            if not ready.cancel() and not ready.cancelled():
                ready.exception()  # retrieved: whoever waited may have been cancelled in this very turn
            raise
        return connection

    def _released(self, connection: UpstreamConnection) -> None:
        """A whole answer was received: the connection waits for the next request."""
        if connection in self._held:
            return
        if self._closed or len(self._idle) >= self.limits.idle:
            connection.transport.close()
            return
        connection.idle_since = connection.loop.time()
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = connection.loop.call_later(self.limits.idle_s / 4, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None  # whatever happens below, the next connection that waits starts another
        loop = asyncio.get_running_loop()
        now = loop.time()
        alive: list[UpstreamConnection] = []
        for connection in self._idle:
            if connection.closed or now - connection.idle_since > self.limits.idle_s:
                connection.transport.close()
            else:
                alive.append(connection)
        self._idle = alive
        self._sweeper = loop.call_later(self.limits.idle_s / 4, self._sweep) if alive else None

    def drop_idle(self) -> None:
        """Closes what waits in the pool: the next request makes a new connection."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.transport.close()

    def cut(self) -> None:
        """Cuts every connection, with the answers that are on their way; the next request makes a new one."""
        self._idle = []
        for connection in list(self._open):
            connection.abort()

    async def close(self) -> None:
        """Closes idle connections and cuts those in use."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.transport.close()
        for connection in self._open - set(idle):
            connection.abort()
        waiting = [connection.gone() for connection in list(self._open)]
        with suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                await asyncio.gather(*waiting)
        for connection in list(self._open):
            connection.transport.abort()


def _settle(ready: asyncio.Future[None], error: Exception | None) -> None:
    if ready.done():
        return
    if error is None:
        ready.set_result(None)
    else:
        ready.set_exception(error)


def _expire(connection: UpstreamConnection, waiter: asyncio.Future[Response], timeout_s: float) -> None:
    if not waiter.done():
        waiter.set_exception(NoAnswer(f"no answer from the upstream server within {timeout_s:.0f} s"))
        connection.abort()


async def _pump(connection: UpstreamConnection, raw: bytes, body: AsyncIterator[bytes], length: int | None) -> None:
    """Sends a head and a streamed body. A failure cuts the connection: who waits for the answer sees Cut."""
    try:
        await connection.send(raw)
        left = length
        async for data in body:
            if not data:
                continue
            if left is None:
                await connection.send(b"".join(encode_chunk(data)))
            else:
                left -= len(data)
                if left < 0:
                    raise ValueError("the request body is longer than its Content-Length")
                await connection.send(data)
        if left:
            raise ValueError("the request body is shorter than its Content-Length")
        if left is None:
            await connection.send(LAST_CHUNK)
    except Cut:
        return
    except asyncio.CancelledError:
        connection.abort()
        raise
    except Exception as error:  # noqa: BLE001 (reaches the caller as the cause of its Cut)
        connection.give_up(error)
        return
    connection.sending = False


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
