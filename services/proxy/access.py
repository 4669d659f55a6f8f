"""The access log: one line per request at level info, never a credential or a query's values.

The logging module's way of a line (record, formatter, redaction, one write) costs 30 us of the 150 us that the proxy
has for a small request. Lines are therefore made here, in the shape that the process's formatter gives to all others,
and written together, at most 0.2 s later.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import lru_cache
from typing import IO, NamedTuple

import msgspec

from services.proxy.record import RequestRecord
from skerry.access.holdings import Basis
from skerry.runtime import HumanFormatter, JsonFormatter, redact

log = logging.getLogger("skerry.proxy.access")

FLUSH_S = 0.2
MAX_LINES = 2000
REMEMBERED = 512
"""Bytes of a target whose line may be remembered."""
GRANT = 300
"""Characters of what allowed it: names are shorter."""
REASON = 300
_encode = msgspec.json.Encoder().encode
_SECRETS = ("skerry_", "skerry-join-", "eyJ")
"""What our secrets start with: a client that puts one into a path is not helped by our log."""


class LogSink(NamedTuple):
    """Where the process logs to, and in which shape."""

    stream: IO[str]
    json: bool


class AccessLog:
    """Writes access lines. Used on one event loop; `flush` at the end."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._second = 0
        self._stamp = ""
        self._enabled = log.isEnabledFor(logging.INFO)
        self._sink = _sink()

    def add(self, record: RequestRecord, method: bytes, target: bytes, seconds: float) -> None:
        """One finished request."""
        if not self._enabled:
            return
        target = record.member + target
        fields = {
            "method": method.decode("latin-1"),
            "path": _known(target) if len(target) <= REMEMBERED else shown(target),
            "user": _word(record.user),
            "code": record.code,
            "ms": round(seconds * 1000, 1),
            "stream": record.stream,
            "grant": _grant(record.basis),
        }
        if record.via:
            fields["via"] = _word(record.via)
        if record.reason:
            fields["reason"] = _redacted(record.reason[:REASON])
        if self._sink is None:
            log.info("request", extra=fields)
            return
        if not self._lines:
            asyncio.get_running_loop().call_later(FLUSH_S, self.flush)
        self._lines.append(self._json(fields) if self._sink.json else self._human(fields))
        if len(self._lines) >= MAX_LINES:
            self.flush()

    def _json(self, fields: dict[str, object]) -> str:
        head = {"time": self._time("%Y-%m-%dT%H:%M:%S", time.gmtime) + "Z", "level": "info"}
        return _encode(head | {"logger": log.name, "message": "request"} | fields).decode()

    def _human(self, fields: dict[str, object]) -> str:
        if "reason" in fields:  # words of people, and of members
            fields["reason"] = _encode(fields["reason"]).decode()
        pairs = " ".join([f"{name}={value}" for name, value in fields.items()])
        return f"{self._time('%H:%M:%S', time.localtime)} {'info':<8} {log.name}: request {pairs}"

    def _time(self, shape: str, convert: Callable[[float], time.struct_time]) -> str:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime(shape, convert(second))
        return f"{self._stamp}.{int((now - second) * 1000):03d}"

    def flush(self) -> None:
        """Write what is waiting. Never raises: a full disk must not end a request, and its lines are lost, not later ones."""
        lines, self._lines = self._lines, []
        if not lines or self._sink is None:
            return
        try:
            self._sink.stream.write("\n".join([*lines, ""]))
            self._sink.stream.flush()
        except OSError:
            return
        except ValueError:  # the stream is closed
            self._enabled = False


def _sink() -> LogSink | None:
    """The stream of the process's own handler; None where somebody else handles logs (tests)."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and isinstance(handler.formatter, JsonFormatter | HumanFormatter):
            return LogSink(handler.stream, isinstance(handler.formatter, JsonFormatter))
    return None


def _word(text: str) -> str:
    """One word for a line: a user's name may hold what would look like another field or line."""
    return text if text.isascii() and text.isprintable() and " " not in text else ascii(text).replace(" ", "\\x20")


@lru_cache(maxsize=4096)
def _grant(basis: tuple[Basis, ...]) -> str:
    """One word: kind and name of what allows something, and of how much more there is, the number."""
    if not basis:
        return ""
    more = f"+{len(basis) - 1}" if len(basis) > 1 else ""
    return _word(f"{basis[0].kind}/{basis[0].name}"[:GRANT]) + more


@lru_cache(maxsize=1024)
def _known(target: bytes) -> str:
    return shown(target)


def shown(target: bytes) -> str:
    """A request target as it may be logged: the path, and the query's names without their values."""
    path, mark, query = target.partition(b"?")
    names = b"&".join([part.partition(b"=")[0] for part in query.split(b"&")]) if mark else b""
    return _redacted((path + mark + names)[:2048].decode("latin-1"))


def _redacted(text: str) -> str:
    return redact(text) if any(start in text for start in _SECRETS) else text
