"""nats-py's client, made to fail fast and to deliver inline. The only module that imports nats.

nats-py does the handshake (INFO, TLS, CONNECT, nonce) and parses the protocol. What is overridden, and why (numbers:
the traps in the bus's design):
- no reconnect: a lost connection stays lost (3, 7, 9), and losing it is one synchronous step that cannot hang;
- one writer: all commands, PING included, go through one list that leaves in one write per loop turn. So a PING never
  overtakes a SUB or PUB (1), publish never waits and never swallows a cancellation (12), nothing is sent later (7);
- messages go to a plain function, in order, without nats-py's queue and task per subscription (5, 6);
- every error ends in `lose` or in a log line; none can leave a connection that is open and deaf (2, 4);
- any bytes from the server prove that it lives: pings are for silence only.

These are private methods of nats-py 2.16; `tests/bus` fails if a release drops or renames one.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable

from nats import errors as nats_errors
from nats.aio.client import Client

log = logging.getLogger(__name__)

READ_BYTES = 256 * 1024
HIGH_WATER_BYTES = 256 * 1024

OnMessage = Callable[[int, bytes, bytes, bytes, bytes | None], None]

_PING = b"PING\r\n"


class Wire(Client):
    """One attempt, one connection. `lost` is set once, by `lose`."""

    def __init__(self, on_message: OnMessage, on_denied: Callable[[str], None]) -> None:
        super().__init__()
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._on_denied = on_denied
        self._flush_due = False
        self._heard = time.monotonic()
        self.silent_pings = 0

    # Connecting.

    async def _select_next_server(self) -> None:
        """One server, one attempt: nats-py would go round for two minutes."""
        server = self._server_pool[0]
        await self._connect_to_server(server)
        self._current_server = server

    async def _process_connect_init(self) -> None:
        await super()._process_connect_init()
        if not self.is_connected:
            raise nats_errors.Error("nats: the server did not answer the first PING")
        self._io().set_write_buffer_limits(high=HIGH_WATER_BYTES)

    def _io(self) -> asyncio.WriteTransport:
        transport: asyncio.WriteTransport = self._transport._io_writer.transport  # type: ignore[union-attr]
        return transport

    # Losing.

    def lose(self, reason: str) -> None:
        """Cut the connection now: nothing pending is sent, no await, idempotent."""
        self._status = Client.CLOSED
        if not self.lost.done():
            self.lost.set_result(reason)
        self._pending.clear()
        self._pending_data_size = 0
        current = _current_task()
        for task in (self._reading_task, self._ping_interval_task, self._flusher_task):
            if task is not None and task is not current:
                task.cancel()
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        self.lose("closed")

    async def _process_op_err(self, e: Exception) -> None:
        self.lose(str(e) or type(e).__name__)

    async def _process_err(self, err_msg: str) -> None:
        """`-ERR` from the server. Denied subjects and one subscription too many leave the connection open (8)."""
        text = err_msg.strip("'")
        if "permissions violation" in text or "maximum subscriptions exceeded" in text:
            self._on_denied(text)
        else:
            self.lose(text)

    # Reading.

    async def _read_loop(self) -> None:
        reason = "the server closed the connection"
        try:
            while data := await self._transport.read(READ_BYTES):  # type: ignore[union-attr]
                self._heard = time.monotonic()
                await self._ps.parse(data)
        except asyncio.CancelledError:
            raise
        except (OSError, ssl.SSLError, nats_errors.Error) as e:
            reason = str(e) or type(e).__name__
        except Exception:
            log.exception("the bus connection failed while reading")
            reason = "internal error while reading"
        finally:
            self.lose(reason)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        self._on_message(sid, subject, reply, data, headers)

    async def _ping_interval(self) -> None:
        """PING in silence; lost when `max_outstanding_pings` in a row stayed without any byte from the server."""
        interval, limit = self.options["ping_interval"], self.options["max_outstanding_pings"]
        while True:
            await asyncio.sleep(interval)
            if time.monotonic() - self._heard < interval:
                self.silent_pings = 0
            elif self.silent_pings >= limit:
                self.lose(f"the server was silent for {interval * (limit + 1):g} s")
                return
            else:
                self.silent_pings += 1
                self.write(_PING)
                self._pongs.append(self._loop.create_future())

    # Writing.

    def write(self, *parts: bytes) -> None:
        """Queue bytes for this loop turn's write."""
        self._pending.extend(parts)
        self._pending_data_size += sum(map(len, parts))
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self._flush_due = False
        if self._pending and not self.lost.done():
            data = b"".join(self._pending)
            self._pending.clear()
            self._pending_data_size = 0
            self._io().write(data)

    async def _send_command(self, cmd: bytes, priority: bool = False) -> None:
        self.write(cmd)

    async def _flush_pending(self, force_flush: bool = False) -> None:
        """Nothing to do: `write` has scheduled it."""

    async def _flusher(self) -> None:
        """No task: `_flush_now` runs from the loop."""

    def ping(self) -> asyncio.Future[bool]:
        """A PING behind everything queued; done when the PONG came. Never done if the connection is lost."""
        future: asyncio.Future[bool] = self._loop.create_future()
        self._pongs.append(future)
        self.write(_PING)
        return future

    async def _process_pong(self) -> None:
        self.silent_pings = 0
        future = self._pongs.pop(0) if self._pongs else None
        if future is not None and not future.done():
            future.set_result(True)

    @property
    def unsent_bytes(self) -> int:
        """Bytes queued here and in the transport."""
        return self._pending_data_size + (0 if self.lost.done() else self._io().get_write_buffer_size())

    async def writable(self) -> None:
        """Wait until the transport is below its high-water mark, or lost."""
        self._flush_now()
        try:
            await self._transport.drain()  # type: ignore[union-attr]
        except OSError as e:
            self.lose(str(e))


def _current_task() -> asyncio.Task[object] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
