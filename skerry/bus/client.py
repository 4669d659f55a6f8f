"""nats-py's client, made to fail fast and to deliver inline. The only package that imports nats is this one.

nats-py does the handshake: INFO, TLS, CONNECT with JWT and signed nonce, the first PONG. Then this module takes the
transport over, for these reasons (numbers: the traps in the bus's design):
- no reconnect: a lost connection stays lost (3, 7, 9), and losing it is one synchronous step that cannot hang;
- one writer: all commands, PING included, go through one list that leaves in one write per loop turn. So a PING never
  overtakes a SUB or PUB (1), publish never waits and never swallows a cancellation (12), nothing is sent later (7);
- messages go to a plain function, in order, without nats-py's queue and task per subscription (5, 6);
- every error ends in `lose` or in a log line; none can leave a connection that is open and deaf (2, 4);
- any bytes from the server prove that it lives: pings are for silence only.

The overridden methods, and some attributes here and in dial.py, are private ones of nats-py 2.16, the only release that
is allowed; `tests/bus` fails if one of them is dropped or renamed, or another one is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import ParseResult

import msgspec

from skerry.bus.library import DEFAULT_BUFFER_SIZE, Client, TcpTransport
from skerry.bus.library import errors as nats_errors
from skerry.bus.parser import OnMessage, Parser
from skerry.errors import ServiceUnavailable

log = logging.getLogger(__name__)

HIGH_WATER_BYTES = 256 * 1024

_PING = b"PING\r\n"
_PONG = b"PONG\r\n"


class _Info(msgspec.Struct):
    """What is read of an INFO that comes later."""

    max_payload: int = 0


class NatsClient(Client):
    """One attempt, one connection. `lost` is set once, by `lose`."""

    def __init__(self, on_message: OnMessage, on_denied: Callable[[str], None], turn_bytes: int = 0) -> None:
        """`turn_bytes` are read in one turn of the loop, then it is others' turn; 0: all that came."""
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[str] = self._loop.create_future()
        self.lost.add_done_callback(self._ended)
        self._on_denied = on_denied
        self._parser, self._turn_bytes = Parser(on_message, self._operation), turn_bytes
        self._io: asyncio.WriteTransport | None = None
        self._unsent: list[bytes] = []
        self.queued_bytes = 0
        self._awaited: deque[asyncio.Future[bool]] = deque()
        self._heard = time.monotonic()
        self._silent_pings = 0
        self._writable = asyncio.Event()
        self._writable.set()

    # Connecting.

    async def _select_next_server(self) -> None:
        """One server, one attempt: nats-py would go round for two minutes."""
        server = self._server_pool[0]
        self._transport = _Stream()  # type: ignore[no-untyped-call]
        await self._transport.connect(server.uri, DEFAULT_BUFFER_SIZE, self.options["connect_timeout"])
        self._current_server = server

    async def _process_connect_init(self) -> None:
        """The handshake, then take over the transport, with what was read too early."""
        await super()._process_connect_init()
        if not self.is_connected:
            raise nats_errors.Error("nats: the server did not answer the first PING")
        stream = self._transport
        self._io = stream._io_writer.transport  # type: ignore[union-attr]
        self._io.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        reader = _FairReader(self, self._parser, self._turn_bytes) if self._turn_bytes else _Reader(self, self._parser)
        self._io.set_protocol(reader)
        early = bytes(stream._io_reader._buffer)  # type: ignore[union-attr]
        self._parser.feed(early)

    async def _read_loop(self) -> None:
        """No task: the transport fills the parser."""

    async def _flusher(self) -> None:
        """No task: `flush_now` runs from the loop."""

    # Losing.

    def lose(self, reason: str) -> None:
        """Cut the connection now: nothing queued is sent, no await, idempotent."""
        self._status = Client.CLOSED
        self._parser.stop()
        if not self.lost.done():
            self.lost.set_result(reason)
        self._unsent.clear()
        self.queued_bytes = 0
        self._writable.set()
        for task in (self._reading_task, self._ping_interval_task, self._flusher_task):
            if task is not None and not task.done():
                task.cancel()
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()

    def _ended(self, lost: asyncio.Future[str]) -> None:
        """A task that awaited `lost` without a shield and was cancelled has ended it: then it is the end."""
        if lost.cancelled():
            self.lose("cut")

    @property
    def reason(self) -> str:
        """Why it is lost; empty while it is not."""
        if not self.lost.done():
            return ""
        return "cut" if self.lost.cancelled() else self.lost.result()

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        self.lose("closed")

    # Reading.

    def heard(self) -> None:
        """Bytes came: the server lives."""
        self._heard = time.monotonic()
        self._silent_pings = 0

    def _operation(self, name: bytes, rest: bytes) -> None:
        if name == b"PING":
            self.write(_PONG)
        elif name == b"PONG":
            self._pong()
        elif name == b"-ERR":
            self._error(rest.decode("utf-8", "replace").strip().strip("'"))
        elif name == b"INFO":
            self._max_payload = msgspec.json.decode(rest, type=_Info).max_payload or self._max_payload
        elif name != b"+OK":
            raise ServiceUnavailable("the server sent an unknown operation: is this a nats-server?")

    def _pong(self) -> None:
        future = self._awaited.popleft() if self._awaited else None
        if future is not None and not future.done():
            future.set_result(True)

    def _error(self, text: str) -> None:
        """`-ERR` from the server. Denied subjects and one subscription too many leave the connection open (8)."""
        if "permissions violation" in text.lower() or "maximum subscriptions exceeded" in text.lower():
            self._on_denied(text)
        else:
            self.lose(text)

    async def _ping_interval(self) -> None:
        """PING in silence; lost when `max_outstanding_pings` in a row stayed without any byte from the server."""
        interval, limit = self.options["ping_interval"], self.options["max_outstanding_pings"]
        while not self.lost.done():
            await asyncio.sleep(interval)
            if time.monotonic() - self._heard < interval:
                continue
            if self._silent_pings >= limit:
                self.lose(f"the server was silent for {interval * (limit + 1):g} s")
            else:
                self._silent_pings += 1
                self.ping()

    # Writing.

    def write(self, *parts: bytes) -> None:
        """Queue bytes for this loop turn's write."""
        if not self._unsent:
            self._loop.call_soon(self.flush_now)
        self._unsent.extend(parts)
        self.queued_bytes += sum(map(len, parts))

    def flush_now(self) -> None:
        """Give what is queued to the transport, in one write."""
        if self._unsent and self._io is not None and not self.lost.done():
            data = b"".join(self._unsent)
            self._unsent.clear()
            self.queued_bytes = 0
            self._io.write(data)

    def ping(self) -> asyncio.Future[bool]:
        """A PING behind everything queued; done when the PONG came. Never done if the connection is lost."""
        future: asyncio.Future[bool] = self._loop.create_future()
        self._awaited.append(future)
        self.write(_PING)
        return future

    @property
    def unsent_bytes(self) -> int:
        """Bytes queued here and in the transport."""
        if self._io is None or self.lost.done():
            return self.queued_bytes
        return self.queued_bytes + self._io.get_write_buffer_size()

    def pause(self, paused: bool) -> None:
        """The transport is above or below its high-water mark."""
        if paused and not self.lost.done():
            self._writable.clear()
        else:
            self._writable.set()

    def end_turn(self) -> None:
        """Read nothing more in this turn of the loop."""
        if self._io is not None and not self.lost.done():
            reading = cast(asyncio.Transport, self._io)
            reading.pause_reading()
            self._loop.call_soon(reading.resume_reading)

    async def writable(self) -> None:
        """Wait until the transport is below its high-water mark, or lost."""
        self.flush_now()
        await self._writable.wait()


class _Stream(TcpTransport):
    """nats-py's streams, used for the handshake alone."""

    async def connect_tls(
        self, uri: str | ParseResult, ssl_context: ssl.SSLContext, buffer_size: int, connect_timeout: int
    ) -> None:
        """As nats-py does it; but asyncio is told that this is TLS, or it logs a warning for each refusal."""
        await super().connect_tls(uri, ssl_context, buffer_size, connect_timeout)
        protocol: Any = self._io_writer.transport.get_protocol()  # type: ignore[union-attr]
        protocol._over_ssl = True


class _Reader(asyncio.BufferedProtocol):
    """Between the transport and the parser."""

    def __init__(self, wire: NatsClient, parser: Parser) -> None:
        self._wire = wire
        self._parser = parser

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._parser.get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        self._wire.heard()
        try:
            self._parser.advance(nbytes)
        except ServiceUnavailable as e:
            self._wire.lose(e.message)
        except Exception:
            log.exception("the bus connection failed while reading")
            self._wire.lose("internal error while reading")

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        with contextlib.suppress(asyncio.InvalidStateError):
            self._wire.lose(str(exc) if exc else "the server closed the connection")

    def pause_writing(self) -> None:
        self._wire.pause(True)

    def resume_writing(self) -> None:
        self._wire.pause(False)


class _FairReader(_Reader):
    """Of a connection that others may fill: libuv reads a socket up to 32 times in one turn of the loop, which are 8 MB and tens of
    thousands of small messages, and everything else in the process waits for that.
    """

    def __init__(self, wire: NatsClient, parser: Parser, turn_bytes: int) -> None:
        super().__init__(wire, parser)
        self._turn_bytes = turn_bytes

    def get_buffer(self, sizehint: int) -> memoryview:
        return super().get_buffer(sizehint)[: self._turn_bytes]

    def buffer_updated(self, nbytes: int) -> None:
        super().buffer_updated(nbytes)
        if nbytes >= self._turn_bytes // 2:  # TLS gives records, which fill no buffer to its end
            self._wire.end_turn()
