"""A transport on top of a transport: what of its contract is the plain one's, and how the two ends of it meet."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Protocol, cast


class LayerReader(Protocol):
    """The part of a Wire that the layer below it needs."""

    loop: asyncio.AbstractEventLoop
    server_name: str

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def received(self, data: bytes) -> None: ...
    def ended(self, clean: bool) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class Layered(asyncio.BufferedProtocol, asyncio.Transport):
    """The protocol of the plain transport and the transport of a Wire; subclasses say what becomes of the bytes."""

    def __init__(self) -> None:
        super().__init__()
        self._raw: asyncio.Transport = cast("asyncio.Transport", None)
        self._timer: asyncio.TimerHandle | None = None
        self._queued = 0  # bytes that wait above the plain transport
        self._reading = True
        self._raw_ended = False
        self._closing = False

    def is_closing(self) -> bool:
        """True if nothing more can be sent or received."""
        return self._closing or self._raw.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """The same of the plain transport."""
        return self._raw.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Stops reading: bytes wait in the kernel."""
        if self._reading:
            self._reading = False
            if not self._raw_ended and not self._raw.is_closing():
                self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Reads again."""
        if not self._reading:
            self._reading = True
            if not self._raw_ended and not self._raw.is_closing():
                self._raw.resume_reading()

    def is_reading(self) -> bool:
        """True if the wire takes bytes."""
        return self._reading

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Of the plain transport."""
        self._raw.set_write_buffer_limits(high=high, low=low)

    def get_write_buffer_size(self) -> int:
        """Bytes not handed to the kernel yet."""
        return self._queued + self._raw.get_write_buffer_size()

    def can_write_eof(self) -> bool:
        """True: the directions of a layer end one by one."""
        return True

    def _raw_eof(self) -> None:
        with suppress(OSError, RuntimeError):
            self._raw.write_eof()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
