"""The bucket in memory behaves as the one of a real nats-server: one suite, run on both."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from skerry.bus import Bucket, BucketConfig, Entry, Filled
from skerry.bus.watch import Watch, WatchEvent
from skerry.errors import AlreadyExists, Conflict
from tests.fixtures.jetstream import Line, Server
from tests.fixtures.nats import NatsHost

pytestmark = pytest.mark.integration

Deliver = Callable[[], None]


@pytest.fixture(params=["memory", "nats-server"])
async def side(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Bucket, Deliver]]:
    """A bucket, and what makes it deliver where nothing does so by itself."""
    if request.param == "memory":
        line = Line(Server())

        def deliver() -> None:
            while line.consumer is not None and line.consumer.deliver():
                pass

        yield Bucket(line, "resources"), deliver  # type: ignore[arg-type]
        return
    host: NatsHost = request.getfixturevalue("nats_host")
    async with host.bus("registry") as bus:
        yield await bus.bucket("resources", create=BucketConfig()), lambda: None


@pytest.fixture
def key() -> str:
    return f"skerry=2Edev.cluster._.{uuid.uuid4().hex}"


async def events(watch: Watch, deliver: Deliver, enough: Callable[[list[WatchEvent]], bool]) -> list[WatchEvent]:
    """Events until there are enough."""
    found: list[WatchEvent] = []
    async with asyncio.timeout(10):
        while not enough(found):
            reading = asyncio.ensure_future(anext(watch))
            while not reading.done():
                deliver()
                await asyncio.wait((reading,), timeout=0.001)
            found.append(reading.result())
    return found


def last_is(kind: type[WatchEvent]) -> Callable[[list[WatchEvent]], bool]:
    return lambda found: bool(found) and isinstance(found[-1], kind)


async def test_writes_are_compared_and_counted(side: tuple[Bucket, Deliver], key: str) -> None:
    bucket, _ = side
    first = await bucket.create(key, b"a")
    with pytest.raises(AlreadyExists):
        await bucket.create(key, b"b")
    second = await bucket.update(key, b"b", first)
    with pytest.raises(Conflict):
        await bucket.update(key, b"c", first)
    assert first < second == await bucket.last_revision()
    entry = await bucket.get(key)
    assert entry is not None
    assert (entry.key, entry.value, entry.revision) == (key, b"b", second)


async def test_a_write_of_what_is_not_there_is_a_conflict(side: tuple[Bucket, Deliver], key: str) -> None:
    bucket, _ = side
    with pytest.raises(Conflict):
        await bucket.update(key, b"a", 1)


@pytest.mark.parametrize("removal", ["delete", "purge"])
async def test_what_was_removed_can_be_made_again(side: tuple[Bucket, Deliver], key: str, removal: str) -> None:
    bucket, _ = side
    remove: Callable[[str, int], Awaitable[int]] = getattr(bucket, removal)
    first = await bucket.create(key, b"a")
    with pytest.raises(Conflict):
        await remove(key, first + 1)
    gone = await remove(key, first)
    assert await bucket.get(key) is None
    with pytest.raises(Conflict):
        await bucket.update(key, b"b", first)
    assert await bucket.create(key, b"b") > gone


async def test_a_watch_shows_what_is_and_then_what_happens(side: tuple[Bucket, Deliver], key: str) -> None:
    bucket, deliver = side
    first = await bucket.create(f"{key}-a", b"1")
    second = await bucket.create(f"{key}-b", b"1")
    third = await bucket.update(f"{key}-a", b"2", first)
    async with bucket.watch() as watch:
        filling = await events(watch, deliver, last_is(Filled))
        mine = [event for event in filling if isinstance(event, Entry) and event.key.startswith(key)]
        assert [(event.key[-1], event.value, event.revision) for event in mine] == [
            ("b", b"1", second),
            ("a", b"2", third),
        ]
        assert filling[-1] == Filled(third)
        gone = await bucket.purge(f"{key}-b", second)
        [event] = await events(watch, deliver, last_is(Entry))
        assert isinstance(event, Entry)
        assert (event.key, event.value, event.revision) == (f"{key}-b", None, gone)


async def test_a_watch_of_nothing_is_filled_at_once(side: tuple[Bucket, Deliver]) -> None:
    bucket, deliver = side
    async with bucket.watch() as watch:
        found = await events(watch, deliver, last_is(Filled))
    assert found[-1] == Filled(await bucket.last_revision())
