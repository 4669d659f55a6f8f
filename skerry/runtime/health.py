"""/livez and /readyz over plain HTTP, for kubelet and nobody else: SKERRY_OPS_LISTEN.

    GET /livez    200: the event loop turns, which is what answering takes
    GET /readyz   200, or 503 with the reason as text

Whoever reaches the port may be hostile, and kubelet's probe must come through all the same. So a connection carries one
request, of a small head and nothing more, for a few seconds; and when there are too many the oldest one goes: a probe takes
a millisecond, and is never that one. No task is made, and nothing is kept of a connection behind its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from skerry.errors import MethodNotAllowed, NotFound, StatusError
from skerry.http.listening import listen, parse_address
from skerry.httpwire.head import Headers
from skerry.httpwire.headreader import parse_request
from skerry.httpwire.headwriter import encode_response
from skerry.runtime.logs import redact
from skerry.settings import SettingsError

HEAD_BYTES = 4096
"""Of a request."""
CONNECTIONS = 64
"""At once; beyond these the oldest is cut."""
DEADLINE_S = 5.0
"""From a connection's begin to its end."""
REASON = 1024
"""Characters of a reason."""
_TEXT: Headers = [
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]


class HealthEndpoint:
    """Answers for one process; `problem` says why it is not ready, None if it is."""

    def __init__(self, problem: Callable[[], str | None]) -> None:
        self._problem = problem
        self._servers: list[asyncio.Server] = []
        self._connections: dict[_Connection, None] = {}

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of every socket that is listened on."""
        return [sock.getsockname()[:2] for server in self._servers for sock in server.sockets]

    async def listen(self, where: str) -> None:
        """Listen on `where`, `host:port`, an empty host for all; nowhere if it is empty. SettingsError."""
        if not where:
            return
        loop = asyncio.get_running_loop()
        try:
            for sock in await listen(*parse_address(where)):
                self._servers.append(await loop.create_server(lambda: _Connection(self), sock=sock))
        except (OSError, ValueError) as error:
            self.close()
            raise SettingsError(f"SKERRY_OPS_LISTEN is {where!r}: {error}") from error

    def close(self) -> None:
        """Listen no more, and cut what is open."""
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.abort()

    def answer(self, head: bytes) -> bytes:
        """The whole answer to a request's head."""
        method = b""
        try:
            request = parse_request(head)
            method = request.method
            status, text = self._answer(method, request.target.partition(b"?")[0])
        except StatusError as error:
            status, text = error.code, error.message
        body = f"{redact(text)[:REASON]}\n".encode("utf-8", "replace")
        written = encode_response(status, _TEXT, length=len(body), close=True)
        return written if method == b"HEAD" else written + body

    def _answer(self, method: bytes, path: bytes) -> tuple[int, str]:
        if path not in (b"/livez", b"/readyz"):
            raise NotFound("only /livez and /readyz are here")
        if method not in (b"GET", b"HEAD"):
            raise MethodNotAllowed("use GET")
        problem = self._problem() if path == b"/readyz" else None
        return (200, "ok") if problem is None else (503, problem)

    def enter(self, connection: _Connection) -> None:
        """A connection begins; the oldest makes room for it."""
        if len(self._connections) >= CONNECTIONS:
            oldest = next(iter(self._connections))
            self.leave(oldest)
            oldest.abort()
        self._connections[connection] = None

    def leave(self, connection: _Connection) -> None:
        """A connection has ended."""
        self._connections.pop(connection, None)


class _Connection(asyncio.Protocol):
    """One request and its answer."""

    def __init__(self, endpoint: HealthEndpoint) -> None:
        self._endpoint = endpoint
        self._head = bytearray()
        self._answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It has its time."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._end = asyncio.get_running_loop().call_later(DEADLINE_S, self.abort)
        self._endpoint.enter(self)

    def data_received(self, data: bytes) -> None:
        """A part of the head; what comes behind it means nothing."""
        if self._answered:
            return
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if 0 <= end <= HEAD_BYTES:
            self._say(self._endpoint.answer(bytes(self._head[: end + 4])))
        elif len(self._head) > HEAD_BYTES:
            self._say(self._endpoint.answer(b""))

    def _say(self, answer: bytes) -> None:
        self._answered = True
        self._head = bytearray()
        self._transport.write(answer)
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left of it."""
        self._end.cancel()
        self._endpoint.leave(self)

    def abort(self) -> None:
        """Cut it."""
        self._transport.abort()
