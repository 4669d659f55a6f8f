"""`/audit/sessions`: the recorded sessions, a line of JSON each, and below it each recording, as asciicast v2."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator

import msgspec

from services.proxy.recording import reading
from services.proxy.recording.ids import is_session_id
from services.proxy.recording.reading import SessionFilter
from services.proxy.recording.store import Recordings
from skerry.errors import BadRequest, MethodNotAllowed, NotFound
from skerry.http import Exchange
from skerry.httpwire.head import Headers, ResponseHead
from skerry.httpwire.query import flag, parse_query

PATH = b"/audit/sessions"
_LINES: Headers = [(b"content-type", b"application/jsonl"), (b"cache-control", b"no-cache, private")]
_CAST: Headers = [
    (b"content-type", b"application/x-asciicast"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-cache, private"),
]
_encode = msgspec.json.Encoder().encode


class RecordingReader:
    """Answers both."""

    def __init__(self, store: Recordings) -> None:
        self._store = store

    async def answer(self, exchange: Exchange) -> str:
        """Answer one exchange; the status. NotFound, Gone, BadRequest and what the store raises."""
        if exchange.head.method not in (b"GET", b"HEAD"):
            raise MethodNotAllowed(f"{exchange.head.method.decode('latin-1')} is not allowed here: use GET")
        path, _, raw = exchange.head.target.partition(b"?")
        values = {name: each[0] for name, each in parse_query(raw).items()}
        name = path[len(PATH) :].strip(b"/").decode("latin-1")
        if name:
            await self._recording(exchange, name, values)
        else:
            await self._sessions(exchange, values)
        return "200"

    async def _sessions(self, exchange: Exchange, values: dict[str, str]) -> None:
        selected = _filter(values)
        if selected.id:
            line = _encode(await reading.session(self._store, _known(selected.id))) + b"\n"
            await exchange.respond(200, _LINES, line)
            return
        await self._store.kept_s()  # what cannot be read is told before an answer begins
        lines = (_encode(each) + b"\n" async for each in reading.sessions(self._store, selected))
        await _stream(exchange, _LINES, lines)

    async def _recording(self, exchange: Exchange, name: str, values: dict[str, str]) -> None:
        follow = flag([values.pop("follow")]) if "follow" in values else False
        if values:
            raise BadRequest(f"unknown parameter {sorted(values)[0][:80]!r}: a recording takes follow alone")
        await reading.session(self._store, _known(name))
        await _stream(exchange, _CAST, reading.recording(self._store, name, exchange.gone if follow else None))


async def _stream(exchange: Exchange, headers: Headers, parts: AsyncIterator[bytes]) -> None:
    await exchange.start(ResponseHead(status=200, headers=headers), length=None)
    if exchange.head.method != b"HEAD":
        async for part in parts:
            await exchange.write(part)
    await exchange.finish()


def _known(name: str) -> str:
    if not is_session_id(name):
        raise NotFound(f"{name[:80]!r} is no id of a recorded session: skerry audit sessions lists them")
    return name


def _filter(values: dict[str, str]) -> SessionFilter:
    """BadRequest names what is wrong."""
    unknown = sorted(values.keys() - {"id", "user", "cluster", "since"})
    if unknown:
        raise BadRequest(f"unknown parameter {unknown[0][:80]!r}: use id, user, cluster and since")
    try:
        since = float(values.get("since") or 0)
    except ValueError:
        since = math.nan
    if not math.isfinite(since):
        raise BadRequest("since must be a time in seconds since 1970")
    return SessionFilter(values.get("id", ""), values.get("user", ""), values.get("cluster", ""), since)
