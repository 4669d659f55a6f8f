"""A cache on a real bus that dies and comes back."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from skerry import subjects
from skerry.api.kinds import CLUSTER, KINDS
from skerry.bus import Bucket, BucketConfig
from skerry.errors import Gone
from skerry.informer import Informer
from skerry.informer.ring import RingCursor
from skerry.storage import Store
from tests.fixtures.bucket import cluster, feeding
from tests.fixtures.nats import NatsHost, eventually

pytestmark = pytest.mark.integration


async def next_names(watch: RingCursor, count: int) -> list[str]:
    found: list[str] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            await watch.wait(1)
            found += [(change.new or change.old).name for change in watch.take() if change.new or change.old]  # type: ignore[union-attr]
    return found


async def test_what_was_written_is_read_and_watched(bucket: Bucket, store: Store) -> None:
    await store.create(cluster("before"))
    async with feeding(Informer(KINDS), bucket) as cache:
        assert cache.get(CLUSTER, "before") is not None
        watch = cache.watch(CLUSTER)
        made = await store.create(cluster("after"))
        assert await cache.current() >= made.revision
        assert cache.get(CLUSTER, "after") == msgspec.structs.replace(made, writes=())
        assert await next_names(watch, 1) == ["after"]


async def test_a_cache_filled_later_sees_the_same(bucket: Bucket, store: Store) -> None:
    for number in range(20):
        await store.create(cluster(f"many-{number}"))
    for number in range(0, 20, 2):
        await store.delete(f"many-{number}")
    async with feeding(Informer(KINDS), bucket) as cache:
        found = [item.name for item in cache.list(CLUSTER) if item.name.startswith("many-")]
    assert found == sorted(f"many-{number}" for number in range(1, 20, 2))


async def test_a_watch_lives_through_a_kill_of_the_bus(fresh_nats_host: NatsHost) -> None:
    host = fresh_nats_host
    async with host.bus("registry") as bus:
        bucket = await bus.bucket(subjects.RESOURCES, create=BucketConfig())
        store = Store(bucket, CLUSTER)
        async with feeding(Informer(KINDS), bucket) as cache:
            first = await store.create(cluster("one"))
            watch = cache.watch(CLUSTER, first.revision - 1)
            assert await next_names(watch, 1) == ["one"]
            host.kill()
            await eventually(lambda: not bus.connected)
            host.start()
            await bus.ready()
            assert (await store.get("one")).revision == first.revision
            second = await store.create(cluster("two"))
            await store.delete("one")
            assert await next_names(watch, 2) == ["two", "one"]
            await cache.current()
            assert [item.name for item in cache.list(CLUSTER)] == ["two"]
            with pytest.raises(Gone):
                cache.watch(CLUSTER, 0)
            assert cache.get(CLUSTER, "two") == msgspec.structs.replace(second, writes=())
