"""What server and client connections share: one protocol on one transport, and the flow of bytes through it.

A BufferedProtocol with one read buffer per Server or Client: asyncio and uvloop fill it and hand it over within one
callback, so it can be shared. Over TLS the transport is a `TlsLink`. The decision behind `abort`: a transport
that is closed in the ordinary way ends with a FIN even if data is missing, and a FIN is a clean end for SPDY and for
close-delimited bodies. So an abort sets SO_LINGER to zero first: the peer sees a reset (rule 4).
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, cast

from skerry.http.buffer import ReadBuffer
from skerry.http.limits import INBOX_HIGH, NOTSENT_LOWAT, STALL_S, WRITE_HIGH
from skerry.http.tlslink import TlsLink

_LINGER_ZERO = struct.pack("ii", 1, 0)
_NOTSENT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)


def tune(sock: socket.socket) -> None:
    """TCP_NODELAY and TCP_NOTSENT_LOWAT. On a listening socket, connections inherit both (Linux)."""
    with suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, _NOTSENT, NOTSENT_LOWAT)


class Wire(asyncio.BufferedProtocol):
    """One connection's bytes. Subclasses implement `received`, `ended` and `lost`."""

    def __init__(self, buffer: ReadBuffer, loop: asyncio.AbstractEventLoop) -> None:
        self._view = buffer.view
        self.loop = loop
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.tls = False
        self.server_name = ""
        """The name that a client asked for in TLS, lower case; "" for none."""
        self.closed = False
        """The connection is gone; nothing can be read or written any more."""
        self._reading = True
        self._writable = True
        self._waiters: list[asyncio.Future[None]] = []
        self._gone: asyncio.Future[None] | None = None

    # -- what the loop calls --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Adopts the transport."""
        self.transport = cast("asyncio.Transport", transport)
        self.tls = transport.get_extra_info("ssl_object") is not None
        self.transport.set_write_buffer_limits(high=WRITE_HIGH)

    def get_buffer(self, sizehint: int) -> memoryview:
        """The shared buffer: filled and handed over before the loop does anything else."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Copies what was read out of the shared buffer."""
        self.received(bytes(self._view[:nbytes]))

    def eof_received(self) -> bool:
        """The peer sends no more; the connection stays open for our half. Over TLS, the link tells (`TlsLink`)."""
        self.ended(True)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Wakes everybody who waits for this connection."""
        self.closed = True
        self.lost(exc)
        self._wake()
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    def pause_writing(self) -> None:
        """The write buffer is above its high-water mark."""
        self._writable = False

    def resume_writing(self) -> None:
        """The write buffer is below its low-water mark."""
        self._writable = True
        self._wake()

    # -- what subclasses define --

    def received(self, data: bytes) -> None:
        """Bytes came in."""
        raise NotImplementedError

    def ended(self, clean: bool) -> None:
        """The peer sends no more; not `clean`: without the close_notify that TLS asks for, so data may be missing."""
        raise NotImplementedError

    def lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        raise NotImplementedError

    # -- what subclasses use --

    @property
    def writable(self) -> bool:
        """The socket keeps up: there is no need to wait after a write."""
        return self._writable

    async def drained(self) -> None:
        """Waits until the write buffer is low, or the connection is gone."""
        while not self._writable and not self.closed:
            waiter = self.loop.create_future()
            self._waiters.append(waiter)
            await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def hold(self) -> None:
        """Stops reading: the kernel's window closes and the peer waits."""
        if self._reading and not self.closed and not self.transport.is_closing():
            self._reading = False
            self.transport.pause_reading()

    def unhold(self) -> None:
        """Reads again."""
        if not self._reading:
            self._reading = True
            if not self.closed and not self.transport.is_closing():
                self.transport.resume_reading()

    def abort(self) -> None:
        """Cuts the connection with a reset: never taken for a clean end. Does nothing on a closed one."""
        if self.closed:
            return
        with suppress(OSError, AttributeError):  # a transport that closed has no socket
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self.transport.abort()

    async def gone(self) -> None:
        """Waits until the connection is gone."""
        if not self.closed:
            if self._gone is None:
                self._gone = self.loop.create_future()
            await asyncio.shield(self._gone)

    async def linger(self, limit_s: float, stall_s: float = STALL_S) -> None:
        """Ends the connection so that the peer gets everything that was written, then closes it.

        Closing a socket that still receives sends a reset, which makes the peer's kernel drop what it has not read
        yet. So our half ends first, and what comes in meanwhile is dropped until the peer ends too. A peer that has
        taken everything gets `limit_s` to do so; one that is slow gets the time it needs as long as it makes progress,
        and is cut when it took nothing for `stall_s`.
        """
        if self.closed:
            return
        self.unhold()
        self.transport.set_write_buffer_limits(high=1, low=0)
        try:
            await self._progress(self.drained(), stall_s, stall_s)
            self._end_writing()
            await self._progress(self.gone(), limit_s, stall_s)
        except TimeoutError:
            self.transport.abort()

    def _end_writing(self) -> None:
        if self.closed or self.transport.is_closing():
            return
        if isinstance(self.transport, TlsLink):
            self.transport.finish()
            return
        with suppress(OSError, RuntimeError):
            self.transport.write_eof()

    async def _progress(self, done: Coroutine[Any, Any, None], limit_s: float, stall_s: float) -> None:
        """Waits for `done`. Raises TimeoutError if for `limit_s` nothing is left to send, or for `stall_s` nothing is
        taken of it.
        """
        waiting = asyncio.ensure_future(done)
        try:
            left, since = self._unsent(), self.loop.time()
            while not waiting.done():
                limit = stall_s if left else limit_s
                await asyncio.wait((waiting,), timeout=max(0.0, min(1.0, since + limit - self.loop.time())))
                now_left = self._unsent()
                if now_left != left:
                    left, since = now_left, self.loop.time()
                elif self.loop.time() >= since + limit and not waiting.done():
                    raise TimeoutError
        finally:
            waiting.cancel()

    def _unsent(self) -> int:
        """Bytes that the peer's kernel has not confirmed yet, as far as can be known."""
        if self.closed:
            return 0
        queued = self.transport.get_write_buffer_size()
        count = bytearray(4)
        with suppress(OSError, AttributeError, ValueError):
            fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, count)
        return queued + int.from_bytes(count, sys.byteorder)


class Inbox:
    """Bytes on their way from a wire to one reader, with back-pressure: the wire is held while much is waiting."""

    __slots__ = ("_error", "_held", "_parts", "_size", "_waiter", "_wanted", "ended", "total", "wire")

    def __init__(self, wire: Wire | None) -> None:
        self.wire = wire
        self.ended = False
        self.total = 0
        """Bytes that ever came in."""
        self._parts: deque[bytes] = deque()
        self._size = 0
        self._held = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._wanted = 1

    @property
    def waiting(self) -> bool:
        """True if somebody waits for bytes now."""
        return self._waiter is not None

    def push(self, data: bytes) -> None:
        """Adds bytes; nothing is taken after an end or a failure."""
        if not data or self.ended or self._error is not None:
            return
        self._parts.append(data)
        self._size += len(data)
        self.total += len(data)
        if self._size >= INBOX_HIGH and self.wire is not None and not self._held:
            self._held = True
            self.wire.hold()
        self._notify()

    def end(self) -> None:
        """No more bytes: the reader sees a clean end after those that wait."""
        if self._error is None:
            self.ended = True
            self._notify()

    def fail(self, error: Exception) -> None:
        """No more bytes: the reader sees `error` after those that wait. A clean end that was seen stays one."""
        if not self.ended and self._error is None:
            self._error = error
            self._notify()

    def detach(self) -> None:
        """The wire is not ours any more: lets it read again and never touches it."""
        if self.wire is not None:
            if self._held:
                self._held = False
                self.wire.unhold()
            self.wire = None

    async def read(self) -> bytes:
        """The bytes that wait, in one piece; b"" at the clean end; raises the failure."""
        while not self._parts:
            if self._error is not None:
                raise self._error
            if self.ended:
                return b""
            await self._wait()
        return self._take()

    async def gather(self, least: int, within_s: float) -> bytes:
        """Like `read`, but what waits may become `least` bytes first, for `within_s` seconds at most."""
        if self._size < least and not self.ended and self._error is None:
            self._wanted = least
            timer = asyncio.get_running_loop().call_later(within_s, self._wake)
            try:
                await self._wait()
            finally:
                timer.cancel()
                self._wanted = 1
        return await self.read()

    async def _wait(self) -> None:
        assert self._waiter is None, "two readers on one inbox"  # noqa: S101
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _take(self) -> bytes:
        parts = self._parts
        data = parts.popleft() if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._size = 0
        if self._held:
            self._held = False
            if self.wire is not None:
                self.wire.unhold()
        return data

    def _notify(self) -> None:
        if self._size >= self._wanted or self.ended or self._error is not None:
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
