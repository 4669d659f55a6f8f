"""What is deleted is purged an hour later, and what a purge leaves goes too: on a real server, with short lives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from skerry import subjects
from skerry.api.kinds import CLUSTER, KINDS
from skerry.bus import Bucket, BucketConfig, Bus, kv
from skerry.controller import sweep as module
from skerry.controller.sweep import KEEP_S, sweep
from skerry.informer import Informer
from skerry.informer.kindstore import Tombstone
from skerry.storage import Store, utc_now
from tests.fixtures.bucket import cluster, feeding
from tests.fixtures.nats import NatsHost

pytestmark = pytest.mark.integration
LATER = timedelta(seconds=KEEP_S + 60)


@pytest.fixture
async def bus(fresh_nats_host: NatsHost) -> AsyncIterator[Bus]:
    """A server of the test's own: what its stream holds is counted."""
    async with fresh_nats_host.bus("registry") as bus:
        yield bus


@pytest.fixture
async def bucket(bus: Bus) -> Bucket:
    """The bucket `resources`."""
    return await bus.bucket(subjects.RESOURCES, create=BucketConfig())


@pytest.fixture
def store(bucket: Bucket) -> Store:
    """Clusters."""
    return Store(bucket, CLUSTER)


async def messages(bucket: Bucket) -> int:
    """How many the stream holds."""
    return int((await bucket.info())["state"]["messages"])


async def emptied(bucket: Bucket) -> None:
    """Wait until the stream holds nothing."""
    async with asyncio.timeout(10):
        while await messages(bucket):
            await asyncio.sleep(0.05)


async def purge_for_ever(bus: Bus, store: Store, name: str, revision: int) -> None:
    """As hosts did it before what is left was given a life."""
    headers = {
        "KV-Operation": "PURGE",
        "Nats-Rollup": "sub",
        "Nats-Expected-Last-Subject-Sequence": str(revision),
    }
    connection = await bus.connection(5)
    await connection.request(f"$KV.{subjects.RESOURCES}.{store.key(name)}", b"", timeout_s=5, headers=headers)


async def test_nothing_is_left_of_a_swept_object_and_caches_of_before_and_after_agree(
    bucket: Bucket, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kv, "MARKER_S", 1)
    kept = await store.create(cluster("kept"))
    async with feeding(Informer(KINDS), bucket) as before:
        await store.create(cluster("gone"))
        await store.delete("gone")
        await before.current()
        assert await sweep(store, before, utc_now() + LATER) == 1
        async with asyncio.timeout(10):
            while await messages(bucket) > 1:
                await asyncio.sleep(0.05)
        await before.current()
        async with feeding(Informer(KINDS), bucket) as after:
            for cache in (before, after):
                assert [item.name for item in cache.list(CLUSTER)] == ["kept"]
                assert cache.tombstones(CLUSTER) == ()
            again = await store.create(cluster("gone"))
            assert again.revision > kept.revision
            for cache in (before, after):
                await cache.current()
                assert [item.name for item in cache.list(CLUSTER)] == ["gone", "kept"]


async def test_what_older_purges_left_for_ever_goes_too(
    bus: Bus, bucket: Bucket, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await store.create(cluster(f"old-{number}"))
        await purge_for_ever(bus, store, f"old-{number}", (await store.delete(f"old-{number}")).revision)
    assert await messages(bucket) == 5
    monkeypatch.setattr(kv, "MARKER_S", 1)
    async with feeding(Informer(KINDS), bucket) as cache:
        assert await sweep(store, cache, utc_now()) == 0
        assert await sweep(store, cache, utc_now() + LATER) == 5
        await cache.current()
        assert cache.tombstones(CLUSTER) == ()
        await emptied(bucket)


async def test_what_went_by_itself_is_not_purged_again(
    bucket: Bucket, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kv, "MARKER_S", 2)
    await store.create(cluster("gone"))
    await store.purge("gone", (await store.delete("gone")).revision)
    async with feeding(Informer(KINDS), bucket) as cache:
        assert [each.name for each in cache.tombstones(CLUSTER)] == ["gone"]
        await emptied(bucket)
        assert await sweep(store, cache, utc_now() + LATER) == 1
        assert await sweep(store, cache, utc_now() + LATER) == 0


async def test_a_tombstone_is_forgotten_only_if_it_is_still_the_one_that_was_meant(
    bucket: Bucket, store: Store
) -> None:
    await store.create(cluster("gone"))
    last = await store.delete("gone")
    async with feeding(Informer(KINDS), bucket) as cache:
        cache.forget(CLUSTER, Tombstone("", "gone", last.revision - 1, ""))
        assert [each.revision for each in cache.tombstones(CLUSTER)] == [last.revision]


async def test_one_call_purges_so_many_that_nothing_waits_for_long(
    bucket: Bucket, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    for number in range(5):
        await store.create(cluster(f"gone-{number}"))
        await store.delete(f"gone-{number}")
    async with feeding(Informer(KINDS), bucket) as cache:
        done = []
        for _ in range(3):
            done.append(await sweep(store, cache, utc_now() + LATER))
            await cache.current()
    assert done == [3, 2, 0]
