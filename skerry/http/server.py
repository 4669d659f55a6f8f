"""The HTTP/1.1 server: listens, owns the connections' tasks and deadlines, and closes in the one right order."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from skerry.http.buffer import ReadBuffer
from skerry.http.connection import ServerConnection
from skerry.http.exchange import RequestHandler
from skerry.http.limits import ServerLimits
from skerry.http.listening import listen
from skerry.http.serverlink import ByName, ServerLink
from skerry.http.tlslink import TlsLink
from skerry.http.wire import tune
from skerry.httpwire.room import Room, Share

log = logging.getLogger(__name__)

IsOurs = Callable[[str, str, str], bool]
"""Whether a host name or address (lower case) is ours, on a connection that asked for a name in TLS (or "") at an address."""

_SWEEP_S = 1.0
"""How often deadlines are looked at; more often only where a limit is shorter."""
_BACKLOG = 1024


class Server:
    """Serves `handler` on any number of sockets. One object per listening endpoint; used on one event loop."""

    def __init__(
        self,
        handler: RequestHandler,
        ssl_context: ssl.SSLContext | None = None,
        limits: ServerLimits | None = None,
        *,
        by_name: ByName | None = None,
        room: Room | None = None,
        ours: IsOurs | None = None,
    ) -> None:
        """`by_name` may choose another TLS context for the name that a client asks for; `room` is the process's for large
        heads, its own by default; `ours` decides which absolute targets are taken, by default none.
        """
        self._ours = ours
        self.handler = handler
        self.limits = limits or ServerLimits()
        self.room = room or Room()
        self.buffer = ReadBuffer()
        self.closing = False
        self.lingering = False
        """Connections are taken still, and every answer says that its own ends: clients are to go elsewhere."""
        self._ssl = ssl_context
        self._by_name = by_name
        self._listeners: list[asyncio.Server] = []
        self._connections: dict[ServerConnection, asyncio.Task[None]] = {}
        self._coming: dict[ServerConnection, None] = {}  # large heads that are not whole, the oldest first
        self._shaking: dict[TlsLink, None] = {}  # handshakes that are not over, oldest first
        self._sweeper: asyncio.TimerHandle | None = None
        self._sweep_s = min(_SWEEP_S, self.limits.idle_s, self.limits.head_s, self.limits.body_s)
        self._empty = asyncio.Event()
        self._empty.set()

    # -- listening --

    async def start(
        self, host: str = "127.0.0.1", port: int = 0, *, sockets: Iterable[socket.socket] | None = None
    ) -> None:
        """Listens on `host` ("" for all interfaces) and `port` (0: any), or on `sockets`. Raises OSError."""
        for sock in list(sockets) if sockets is not None else await listen(host, port):
            await self.add(sock, self._ssl)
        self._sweeper = asyncio.get_running_loop().call_later(self._sweep_s, self._sweep)

    async def add(self, sock: socket.socket, ssl_context: ssl.SSLContext | None) -> None:
        """Listens on one more bound socket, with its own TLS context or none."""
        loop = asyncio.get_running_loop()
        tune(sock)
        listener = await loop.create_server(lambda: self._protocol(loop, ssl_context), sock=sock, backlog=_BACKLOG)
        self._listeners.append(listener)

    def _protocol(self, loop: asyncio.AbstractEventLoop, context: ssl.SSLContext | None) -> asyncio.BufferedProtocol:
        connection = ServerConnection(self, loop)
        if context is None:
            return connection
        if len(self._shaking) >= self.limits.connections:
            next(iter(self._shaking)).abort()
        link = ServerLink(
            connection,
            context,
            self.buffer,
            self._shaken,
            handshake_s=self.limits.handshake_s,
            by_name=self._by_name,
        )
        self._shaking[link] = None
        if self.closing:  # the loop had accepted it already
            link.abort()
        return link

    def _shaken(self, link: TlsLink, error: Exception | None) -> None:
        self._shaking.pop(link, None)
        if error is not None:
            log.debug("a TLS handshake failed", extra={"error": str(error)})

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of every socket that is listened on."""
        return [sock.getsockname()[:2] for listener in self._listeners for sock in listener.sockets]

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._connections)

    # -- for connections --

    def adopt(self, connection: ServerConnection, serve: Coroutine[Any, Any, None]) -> None:
        """Owns a new connection's task. Beyond the limit of connections the new one is cut."""
        if len(self._connections) >= self.limits.connections or self.closing:
            serve.close()
            connection.abort()
            return
        task = asyncio.get_running_loop().create_task(serve)
        connection.task = task
        self._connections[connection] = task
        self._empty.clear()
        task.add_done_callback(lambda _: self._done(connection))

    def pays(self, connection: ServerConnection, share: Share, size: int, *, coming: bool = False) -> bool:
        """True if a head may take `size` bytes; `coming`: it is not whole. If there is no room, the head that has been
        coming for longest is given up: an honest one takes milliseconds. False if that is the asker's own.
        """
        while not share.upto(size):
            slowest = next(iter(self._coming), None)
            if slowest is None or slowest is connection:
                return False
            slowest.give_way()
        if coming:
            self._coming.setdefault(connection)
        else:
            self._coming.pop(connection, None)
        return True

    def is_ours(self, authority: bytes, connection: ServerConnection) -> bool:
        """True if an absolute target with this authority is for us, on this connection."""
        name = connection.transport.get_extra_info("sockname")
        local = str(name[0]) if isinstance(name, tuple) else ""
        host = authority.decode("ascii")
        bare = host[1:].partition("]")[0] if host[:1] == "[" else host.partition(":")[0]
        return self._ours is not None and self._ours(bare, connection.server_name, local)

    def paid(self, connection: ServerConnection) -> None:
        """The connection has given its share back."""
        self._coming.pop(connection, None)

    def forget(self, connection: ServerConnection) -> None:
        """The connection's transport is gone; its task may still have to notice."""
        task = connection.task
        if task is None or task.done():
            self._connections.pop(connection, None)

    def _done(self, connection: ServerConnection) -> None:
        task = self._connections.pop(connection, None)
        if task is not None and not task.cancelled() and task.exception() is not None:
            log.error("a connection's task failed", exc_info=task.exception())
        if not connection.closed and not connection.transport.is_closing():
            connection.abort()
        if not self._connections:
            self._empty.set()

    def _sweep(self) -> None:
        """The next sweep is there before this one begins: a connection that fails in it ends no deadline of others."""
        loop = asyncio.get_running_loop()
        self._sweeper = loop.call_later(self._sweep_s, self._sweep)
        now = loop.time()
        for connection in list(self._connections):
            try:
                connection.sweep(now)
            except Exception:
                log.exception("a connection's deadlines could not be looked at: it is cut")
                connection.abort()

    # -- closing --

    def linger(self) -> None:
        """Goes on as before, but ends each connection behind its next answer. For a server that will close soon: who was
        sent here a moment ago is served, and comes no more.
        """
        self.lingering = True

    async def close(self, grace_s: float = 0.0) -> None:
        """Stops taking connections, lets requests that run finish for `grace_s`, then cuts the rest.

        While closing, idle connections end at once and every answer says `Connection: close`.
        """
        self.closing = True
        await self._deaf()
        for connection in list(self._connections):
            connection.close_idle()
        if grace_s > 0 and self._connections:
            try:
                async with asyncio.timeout(grace_s):
                    await self._empty.wait()
            except TimeoutError:
                log.info("connections were cut at the end of the grace", extra={"count": len(self._connections)})
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self._cut()

    async def _deaf(self) -> None:
        """Stops listening. What the loop has accepted gets its transport first, and is cut by that: asyncio forgets the
        socket of a connection whose listener was closed in the moment between, and its client waits.
        """
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            for sock in listener.sockets:
                loop.remove_reader(sock.fileno())
        await asyncio.sleep(0)
        for listener in self._listeners:
            listener.close()

    async def _cut(self) -> None:
        for link in list(self._shaking):
            link.abort()
        tasks = list(self._connections.items())
        for connection, task in tasks:
            connection.abort()
            task.cancel()
        if tasks:
            await asyncio.gather(*(task for _, task in tasks), return_exceptions=True)
