"""What a watch makes of entries that were written over before they were delivered; the rest of it is in test_kv.py."""

from __future__ import annotations

import asyncio

import pytest

from skerry.bus import Bucket, Entry, Filled, Resync
from skerry.bus.watch import Watch, WatchEvent
from tests.fixtures.jetstream import Line, Server, Stream


class Side:
    """A bucket, a watch of it that is filled, and what delivers to it."""

    def __init__(self) -> None:
        self.server = Server()
        self.writer = Bucket(Line(self.server), "resources")  # type: ignore[arg-type]
        self.line = Line(self.server)
        self.watch: Watch = Bucket(self.line, "resources").watch()  # type: ignore[arg-type]
        self.revisions: dict[str, int] = {}

    async def put(self, keys: str) -> None:
        """Write each key, one after the other."""
        for key in keys:
            before = self.revisions.get(key)
            put = self.writer.create(key, b"v") if before is None else self.writer.update(key, b"v", before)
            self.revisions[key] = await put

    def deliver(self, most: int = 100) -> None:
        """The next messages."""
        assert self.line.consumer is not None
        for _ in range(most):
            self.line.consumer.deliver()

    async def told(self, count: int) -> list[WatchEvent]:
        """The next events."""
        async with asyncio.timeout(5):
            return [await anext(self.watch) for _ in range(count)]

    async def nothing(self) -> bool:
        """Whether there is none."""
        reading = asyncio.ensure_future(anext(self.watch))
        for _ in range(5):
            await asyncio.sleep(0)
        quiet = not reading.done()
        reading.cancel()
        await asyncio.wait((reading,))
        return quiet

    async def mended(self) -> None:
        """The connection was lost, is there again, and the watch has a consumer on it."""
        self.line.cut()
        self.line.mend()
        async with asyncio.timeout(5):
            while self.line.consumer is None:
                await asyncio.sleep(0.005)


@pytest.fixture
async def side() -> Side:
    found = Side()
    await found.put("ab")
    aiter(found.watch)
    async with asyncio.timeout(5):
        while found.line.consumer is None:
            await asyncio.sleep(0)
    found.deliver()
    assert [type(event) for event in await found.told(3)] == [Entry, Entry, Filled]
    return found


def keys(events: list[WatchEvent]) -> list[tuple[str, int, int]]:
    return [(event.key, event.revision, event.gap) for event in events if isinstance(event, Entry)]


async def test_entries_without_a_gap_come_one_by_one(side: Side) -> None:
    await side.put("abc")
    side.deliver(1)
    assert keys(await side.told(1)) == [("a", 4, 0)]
    side.deliver(1)
    assert keys(await side.told(1)) == [("b", 5, 0)]


async def test_what_comes_behind_a_gap_waits_until_nothing_is_missing(side: Side) -> None:
    """a at 4 is written over at 6: b at 5 beside the a of before is a state that never was."""
    await side.put("aba")
    side.deliver(1)
    assert await side.nothing()
    side.deliver(1)
    assert keys(await side.told(2)) == [("b", 5, 0), ("a", 6, 4)]
    await side.watch.stop()


async def test_a_gap_that_ends_at_once_is_told_with_its_entry(side: Side) -> None:
    await side.put("aaa")
    side.deliver()
    assert keys(await side.told(1)) == [("a", 6, 4)]


async def test_of_what_waits_the_last_of_each_key_comes_in_order(side: Side) -> None:
    await side.put("abca")
    side.deliver(1)
    await side.put("b")
    side.deliver()
    assert keys(await side.told(3)) == [("c", 6, 0), ("a", 7, 0), ("b", 8, 4)]


async def test_what_waits_is_not_lost_with_the_connection(side: Side) -> None:
    await side.put("aba")
    side.deliver(1)
    await side.mended()
    side.deliver()
    events = await side.told(3)
    assert keys(events) == [("b", 5, 0), ("a", 6, 4)]
    assert events[-1] == Filled(6)
    await side.watch.stop()


async def test_a_fill_has_gaps_and_is_whole_when_it_is_filled(side: Side) -> None:
    await side.put("aba")
    side.deliver(1)
    side.server.stream = stream = Stream("another", 20)
    stream.messages, stream.last = dict(side.server.stream.messages), 19
    side.revisions = {}
    await side.put("abaca")
    await side.mended()
    side.deliver()
    resync, *entries, filled = await side.told(5)
    assert isinstance(resync, Resync)
    assert keys(entries) == [("b", 21, 0), ("c", 23, 0), ("a", 24, 0)]
    assert filled == Filled(24)
    await side.watch.stop()
