"""TLS of our own between a plain transport of the loop and a Wire.

The TLS of asyncio and uvloop was left because of three things (data plane, rule 12): uvloop drops what it holds for a
reader that pauses when the peer ends; both close a connection as a whole when one direction ends; and each connection
costs them half a megabyte of buffers. Here everything that is read is decrypted and handed over in the same turn, and
back-pressure is the plain transport's own: a reader that is behind stops the reads, and bytes wait in the kernel, where
no end that follows them can overtake them.

A link is the protocol of the plain transport and the transport of the Wire. OpenSSL works on memory BIOs that all
connections of one loop share with the read buffer: every call finds them empty and leaves them empty, since OpenSSL
keeps what belongs to an unfinished record in the connection itself.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, cast

from skerry.http.buffer import ReadBuffer
from skerry.http.layered import Layered, LayerReader
from skerry.http.limits import STALL_S, TLS_READ, TLS_WRITE, WRITE_HIGH

OnSettled = Callable[["TlsLink", Exception | None], None]

_RECORD = 16 * 1024
_SALVAGE_LIMIT = 16 * 1024 * 1024  # more than a kernel buffers


class TlsLink(Layered):
    """One TLS connection. The wire sees `connection_made` when the handshake is complete.

    `settled` is called once, when the handshake is over, with None or with the reason it failed: an ssl.SSLError (after
    the alert that tells the peer was sent), an OSError, or a TimeoutError. Ends are reported by `Wire.ended`: clean for
    a close_notify, not clean for a TCP end without one. Either direction can end before the other (RFC 8446, 6.1).
    """

    def __init__(
        self,
        wire: LayerReader,
        context: ssl.SSLContext,
        buffer: ReadBuffer,
        settled: OnSettled,
        *,
        server_hostname: str | None = None,
        handshake_s: float | None = None,
    ) -> None:
        """A server's link has no `server_hostname`. Raises ValueError for a name that cannot be one."""
        super().__init__()
        self._wire = wire
        self._view = buffer.view
        self._window = buffer.view[:TLS_READ]
        self._first = buffer.view[:_RECORD]
        self._incoming, self._outgoing = buffer.incoming, buffer.outgoing
        self._settled = settled
        self._handshake_s = handshake_s
        self._client = server_hostname is not None
        self._ssl = context.wrap_bio(
            self._incoming, self._outgoing, server_side=not self._client, server_hostname=server_hostname
        )
        self._shaking = True
        self._established = False  # the wire knows us
        self._backlog: deque[memoryview] = deque()  # not encrypted yet: the plain transport is full
        self._raw_full = False
        self._wire_full = False
        self._heard_end = False  # close_notify, or the end of TCP
        self._ends = False  # our close_notify is due behind the backlog, or sent
        self._notified = False  # our close_notify is sent
        self._fin = False
        self._failure: ssl.SSLError | None = None

    # -- the plain transport's side --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins the handshake, unless it was aborted before."""
        self._raw = cast("asyncio.Transport", transport)
        if self._closing:
            self._raw.abort()
            return
        self._raw.set_write_buffer_limits(high=WRITE_HIGH)
        if self._handshake_s is not None:
            self._timer = self._wire.loop.call_later(self._handshake_s, self._late)
        if self._client:
            self._shake()

    def get_buffer(self, sizehint: int) -> memoryview:
        """The shared buffer: filled, and decrypted into again, before the loop does anything else."""
        return self._window

    def buffer_updated(self, nbytes: int) -> None:
        """Takes what was read through OpenSSL and hands all of it over."""
        if self._heard_end or self._closing:
            return
        self._incoming.write(self._window[:nbytes])
        if self._shaking:
            self._shake()
            # With its last message a client often sends its first request: what follows the handshake is decrypted below.
            if self._shaking or self._closing or not self._incoming.pending:
                self._discard()
                return
        self._decrypt()

    def eof_received(self) -> bool:
        """The peer's TCP has ended: without a close_notify before it, data may be missing."""
        self._raw_ended = True
        if self._shaking:
            self._raw.abort()
        elif not self._heard_end and not self._closing:
            self._heard_end = True
            self._wire.ended(False)
            self.close()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Passes the loss on, behind all that the kernel still holds for us."""
        self._stop_timer()
        if self._shaking:
            self._settle(exc or ConnectionResetError("the peer ended the connection during the TLS handshake"))
        if not self._established:
            return
        if exc is not None and not self._heard_end and not self._closing:
            self._salvage()
        self._closing = True
        self._drop_backlog()
        self._wire.connection_lost(self._failure or exc)

    def pause_writing(self) -> None:
        """The plain transport is full: what is written from now on waits unencrypted."""
        self._raw_full = True

    def resume_writing(self) -> None:
        """The plain transport takes bytes again."""
        self._raw_full = False
        if self._backlog:
            self._pump()
        else:
            self._tell_wire()

    # -- the handshake --

    def _shake(self) -> None:
        """One step of the handshake."""
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError as broken:
            self._flush()  # the alert
            self._settle(broken)
            self._leave()
            return
        if (error := self.refusal()) is not None:
            self._settle(error)
            self._raw.abort()
            return
        self._flush()
        self._established = True
        self._wire.connection_made(self)
        self._settle(None)

    def refusal(self) -> Exception | None:
        """Why a connection that OpenSSL accepts must not be; None: nothing is wrong with it."""
        return None

    def _settle(self, error: Exception | None) -> None:
        """The handshake is over."""
        self._shaking = False
        self._stop_timer()
        if error is not None:
            self._closing = True
        self._settled(self, error)

    def _late(self) -> None:
        self._settle(TimeoutError(f"the TLS handshake took longer than {self._handshake_s} s"))
        self._raw.abort()

    # -- reading --

    def _decrypt(self) -> None:
        """Decrypts all that is there, then hands it over: the shared BIOs are empty again before the wire acts."""
        read: Callable[[int, memoryview], int] = cast("Any", self._ssl.read)  # with a buffer it gives a count
        incoming = self._incoming
        size, ended, error = 0, False, None
        try:
            count = read(_RECORD, self._first)
            while count:
                size += count
                if not incoming.pending:
                    break
                count = read(_RECORD, self._view[size : size + _RECORD])
            else:
                ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            ended = True
        except ssl.SSLError as broken:
            error = broken
        if ended or error is not None:
            self._discard()
        if self._outgoing.pending:  # an alert, or the answer to a key update
            self._flush()
        if size:
            self._wire.received(bytes(self._view[:size]))
        if ended:
            self._end_heard()
        elif error is not None:
            self._fail(error)

    def _discard(self) -> None:
        """What is left behind an end or an error: no other connection may see it."""
        if self._incoming.pending:
            self._incoming.read()

    def _end_heard(self) -> None:
        """A close_notify. Reading goes on in order to notice the end of TCP."""
        self._heard_end = True
        if not self._closing:
            self._wire.ended(True)
        if self._notified:
            self.close()

    def _salvage(self) -> None:
        """After an error (of a write, mostly): a reset leaves what had arrived before it readable in the kernel."""
        left = _SALVAGE_LIMIT
        with suppress(OSError, AttributeError, ValueError):
            descriptor = self._raw.get_extra_info("socket").fileno()
            while left > 0 and not self._heard_end and (count := os.readv(descriptor, [self._window])):
                left -= count
                self.buffer_updated(count)

    # -- writing --

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypts and sends now what the plain transport takes now; the rest waits as it is, not copied."""
        if self._closing or not data:
            return
        if self._ends:
            raise RuntimeError("written behind the end")
        size = len(data)
        if self._backlog or self._raw_full or size > _RECORD:
            self._backlog.append(memoryview(data))
            self._queued += size
            self._pump()
            return
        try:
            sent = self._ssl.write(data)
            if sent < size:
                self._encrypt(memoryview(data)[sent:])
        except ssl.SSLError as error:
            self._fail(error)
            return
        self._raw.write(self._outgoing.read())
        if self._raw_full:
            self._tell_wire()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Small pieces go into one record."""
        self.write(b"".join(list_of_data))

    def _pump(self) -> None:
        """Encrypts the backlog in slices while the plain transport takes them."""
        backlog = self._backlog
        try:
            while backlog and not self._raw_full:
                data = backlog.popleft()
                rest = data[TLS_WRITE:]
                if rest:
                    backlog.appendleft(rest)
                    data = data[:TLS_WRITE]
                self._queued -= len(data)
                self._encrypt(data)  # not earlier: what waits is the writer's memory, not a copy
                self._raw.write(self._outgoing.read())
        except ssl.SSLError as error:
            self._fail(error)
            return
        if not backlog:
            self._backlog_empty()
        self._tell_wire()

    def _encrypt(self, data: memoryview) -> None:
        """Into the shared BIO, one record at a time: at most 16 KiB each, less if the peer asked for that."""
        write = self._ssl.write
        sent, size = write(data), len(data)
        while sent < size:
            sent += write(data[sent:])

    def _backlog_empty(self) -> None:
        if self._closing:
            self._leave()
        elif self._ends and not self._notified:
            self._notify()

    def _tell_wire(self) -> None:
        full = bool(self._backlog) or self._raw_full
        if full != self._wire_full:
            self._wire_full = full
            if full:
                self._wire.pause_writing()
            else:
                self._wire.resume_writing()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._raw.write(self._outgoing.read())

    def _drop_backlog(self) -> None:
        self._backlog.clear()
        self._queued = 0

    # -- ends --

    def write_eof(self) -> None:
        """Ends our direction with a close_notify behind everything written; reading goes on."""
        if not self._ends and not self._closing:
            self._ends = True
            if not self._backlog:
                self._notify()

    def finish(self) -> None:
        """Like `write_eof`, and ends TCP's direction too: nothing more is wanted of the peer but its end.

        Not for half-closed connections: middle boxes drop what is on its way to who has sent a FIN.
        """
        self._fin = True
        if self._notified:
            self._raw_eof()
        else:
            self.write_eof()

    def _notify(self) -> None:
        """Sends the close_notify; with the peer's in hand, that is the end."""
        self._say_goodbye()
        if self._heard_end:
            self.close()
        elif self._fin:
            self._raw_eof()

    def _say_goodbye(self) -> None:
        if not self._notified:
            self._notified = True
            with suppress(ssl.SSLError):  # it wants to read the peer's own
                self._ssl.unwrap()
            self._flush()

    def close(self) -> None:
        """Sends what was written and a close_notify, then closes; cut if the peer takes nothing for STALL_S."""
        if self._closing:
            return
        self._closing = True
        if self._backlog:
            self._raw.pause_reading()
            self._arm_stall()
        else:
            self._leave()

    def _leave(self) -> None:
        if self._established and self._failure is None:
            self._say_goodbye()
        self._raw.close()
        if self._raw.get_write_buffer_size():
            self._arm_stall()

    def _arm_stall(self) -> None:
        self._stop_timer()
        self._timer = self._wire.loop.call_later(STALL_S, self._raw.abort)

    def _fail(self, error: ssl.SSLError) -> None:
        """The peer broke TLS: it is told, and the wire sees the reason in `lost`."""
        if self._closing:
            return
        self._closing = True
        self._failure = error
        self._drop_backlog()
        self._flush()
        self._leave()

    def abort(self) -> None:
        """Drops what was not sent and closes without a close_notify."""
        self._closing = True
        self._drop_backlog()
        if self._raw is not None:
            self._raw.abort()

    # -- the rest of a transport --

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`ssl_object`, and what the plain transport knows."""
        return self._ssl if name == "ssl_object" else super().get_extra_info(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Of the plain transport: what is beyond waits unencrypted, and the wire is paused."""
        super().set_write_buffer_limits(high=high, low=low)
        self._tell_wire()
