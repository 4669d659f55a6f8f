"""What the front door tells of the audit log: `/audit`, records that somebody asked for, and `/audit/batches`, all of it as it is
stored, for who verifies it or carries it away.

Both are read in pages, without a consumer, and in slices: whoever asks for a year holds up nobody's request.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable

import msgspec

from services.proxy.auditing.stream import AuditStream
from skerry.audit.batch import BatchHead
from skerry.audit.event import micro_time
from skerry.audit.export import MEDIA, ExportedBatch, ExportHead
from skerry.audit.query import AuditQuery, parse
from skerry.audit.verify import StoredBatch
from skerry.bus.jetstream import seconds_of
from skerry.errors import BadRequest, MethodNotAllowed, NotFound
from skerry.http import Exchange
from skerry.httpwire.head import ResponseHead
from skerry.httpwire.query import flag, parse_query

SLICE_S = 0.005
"""How long records are looked at before others have their turn."""
FOLLOWING_S = 0.5
"""Between two looks for what is new."""
SKEW_S, LATE_S = 60.0, 24 * 3600.0
"""How much earlier than a record its batch may have been stored by the bus's clock, and how much later."""
_LINES = (b"content-type", MEDIA.encode())
_NO_CACHE = (b"cache-control", b"no-cache, private")
_encode = msgspec.json.Encoder().encode


class AuditReader:
    """Answers both paths. `roots` are the public keys that certify writers."""

    def __init__(self, stream: AuditStream, host_uid: str, roots: Callable[[], tuple[str, ...]]) -> None:
        self._stream, self._host_uid, self._roots = stream, host_uid, roots

    async def answer(self, exchange: Exchange) -> str:
        """Answer one exchange; the status. StatusError."""
        if exchange.head.method not in (b"GET", b"HEAD"):
            raise MethodNotAllowed("the audit log is only read: use GET")
        path, _, raw = exchange.head.target.partition(b"?")
        values = {name: each[0] for name, each in parse_query(raw).items()}
        following = flag([values.pop("follow")]) if "follow" in values else False
        query = parse(values)
        if path == b"/audit":
            await self._answer(exchange, self._records(exchange, query, following=following))
        elif path != b"/audit/batches":
            raise NotFound("the server could not find the requested resource")
        else:
            if query != AuditQuery(since=query.since) or following:
                raise BadRequest("batches are told as they are stored: the one parameter is since")
            await self._answer(exchange, self._batches(query))
        return "200"

    async def _answer(self, exchange: Exchange, parts: AsyncIterator[bytes]) -> None:
        await self._stream.state()  # what cannot be read is told before an answer begins
        await exchange.start(ResponseHead(status=200, headers=[_LINES, _NO_CACHE]), length=None)
        async for part in parts:
            await exchange.write(part)
        await exchange.finish()

    def stored_records(self, query: AuditQuery) -> AsyncIterator[bytes]:
        """The records of a query that are stored now, as lines, some at a time."""
        return self._records(None, query, following=False)

    async def _records(self, exchange: Exchange | None, query: AuditQuery, *, following: bool) -> AsyncIterator[bytes]:
        slices, needle = Slices(), query.needle()
        async for batch in self._stored(exchange, query, following=following):
            if isinstance(batch.head, BatchHead) and query.may_have(batch.head) and needle in batch.body:
                lines = [line for line in batch.body.splitlines() if needle in line and query.fits(line)]
                if lines:
                    yield b"\n".join([*lines, b""])
            await slices.turn()

    async def _stored(
        self, exchange: Exchange | None, query: AuditQuery, *, following: bool
    ) -> AsyncIterator[StoredBatch]:
        after, since, until = 0, _earlier(query.since), _later(query.until)
        while True:
            async for batch in self._stream.batches(after, since):
                if batch.stored > until:
                    return
                after = batch.sequence
                yield batch
            if exchange is None or not following:
                return
            try:
                async with asyncio.timeout(FOLLOWING_S):
                    await exchange.gone.wait()
                return
            except TimeoutError:
                continue

    async def _batches(self, query: AuditQuery) -> AsyncIterator[bytes]:
        slices = Slices()
        first, last = await self._stream.state()
        head = ExportHead(host=self._host_uid, roots=self._roots(), first=first, last=last, at=micro_time(time.time()))
        yield _encode(head) + b"\n"
        async for batch in self._stream.batches(0, _earlier(query.since)):
            yield _encode(ExportedBatch.of(batch)) + b"\n"
            await slices.turn()


class Slices:
    """Gives others their turn."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    async def turn(self) -> None:
        """To be called often."""
        if time.perf_counter() - self._began > SLICE_S:
            await asyncio.sleep(0)
            self._began = time.perf_counter()


def _earlier(since: str) -> float | None:
    """When a batch of records that were made since a time was stored at the earliest, Unix seconds."""
    return None if not since else seconds_of(since) - SKEW_S


def _later(until: str) -> float:
    """When a batch of records that were made until a time was stored at the latest, Unix seconds."""
    return math.inf if not until else seconds_of(until) + LATE_S
