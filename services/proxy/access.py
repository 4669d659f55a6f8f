"""The access log: one line per request at level info, never a credential or a query's values.

The logging module's way of a line (record, formatter, redaction, one write) costs 30 us of the 150 us that the proxy
has for a small request. In production (JSON) lines are therefore encoded here and written together, at most 0.2 s
later; on a terminal they take the ordinary way.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import IO

import msgspec

from skerry.runtime import JsonFormatter, redact

log = logging.getLogger("skerry.proxy.access")

FLUSH_S = 0.2
MAX_LINES = 2000
_encode = msgspec.json.Encoder().encode
_SECRETS = ("skerry_", "skerry-join-", "eyJ")
"""What our secrets start with: a client that puts one into a path is not helped by our log."""


class Record:
    """What the access log says of one request."""

    __slots__ = ("class_", "code", "started", "stream", "user")

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.user = ""
        self.code = ""
        """The status that the client saw, `gone` if it left, `cut` if its answer was broken off."""
        self.class_ = "host"
        self.stream = ""
        """The Audit-ID: it joins this line with the agent's log and the member's audit log."""


class AccessLog:
    """Writes access lines. Used on one event loop; `flush` at the end."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._second = 0
        self._stamp = ""
        self._enabled = log.isEnabledFor(logging.INFO)
        self._stream = _json_stream()

    def add(self, record: Record, method: bytes, target: bytes, seconds: float) -> None:
        """One finished request."""
        if not self._enabled:
            return
        fields = {
            "method": method.decode("latin-1"),
            "path": shown(target),
            "user": record.user,
            "code": record.code,
            "ms": round(seconds * 1000, 1),
            "stream": record.stream,
        }
        if self._stream is None:
            log.info("request", extra=fields)
            return
        head = {"time": self._time(), "level": "info", "logger": log.name, "message": "request"}
        if not self._lines:
            asyncio.get_running_loop().call_later(FLUSH_S, self.flush)
        self._lines.append(_encode(head | fields))
        if len(self._lines) >= MAX_LINES:
            self.flush()

    def _time(self) -> str:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._stamp}.{int((now - second) * 1000):03d}Z"

    def flush(self) -> None:
        """Write what is waiting. Never raises: a full disk must not end a request."""
        lines, self._lines = self._lines, []
        if not lines or self._stream is None:
            return
        try:
            self._stream.write(b"\n".join([*lines, b""]).decode())
            self._stream.flush()
        except (OSError, ValueError):
            self._stream = None


def _json_stream() -> IO[str] | None:
    """Where JSON lines go: the stream of the process's JSON handler, if it has one."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and isinstance(handler.formatter, JsonFormatter):
            stream: IO[str] = handler.stream
            return stream
    return None


def shown(target: bytes) -> str:
    """A request target as it may be logged: the path, and the query's names without their values."""
    path, mark, query = target.partition(b"?")
    names = b"&".join([part.partition(b"=")[0] for part in query.split(b"&")]) if mark else b""
    text = (path + mark + names)[:2048].decode("latin-1")
    return redact(text) if any(start in text for start in _SECRETS) else text
