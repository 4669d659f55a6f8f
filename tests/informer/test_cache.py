"""What a cache makes of the events of its bucket's watch: no bus."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from skerry.api.kinds import CLUSTER, KINDS
from skerry.bus import Entry, Filled, Resync
from skerry.errors import GatewayTimeout, Gone, ServiceUnavailable
from skerry.informer import Cache, Change
from skerry.informer import cache as cache_module
from skerry.storage.documents import seal
from tests.fixtures.bucket import cluster


def entry(name: str, revision: int, *, deleted: bool = False, uid: str = "", **changes: Any) -> Entry:
    document = cluster(name, **changes)
    document["metadata"] |= {"uid": uid or f"uid-{name}"}
    value = seal(document, writes=("w",), deleted=deleted)
    return Entry(f"skerry=2Edev.cluster._.{name}", value, revision, 0.0)


def purged(name: str, revision: int) -> Entry:
    return Entry(f"skerry=2Edev.cluster._.{name}", None, revision, 0.0)


def filled(*entries: Entry, ring: int = 1024) -> Cache:
    cache = Cache(KINDS, ring=ring)
    for one in entries:
        cache.take(one)
    cache.take(Filled(max((one.revision for one in entries), default=0)))
    return cache


def names(cache: Cache) -> list[str]:
    return [item.name for item in cache.list(CLUSTER)]


def shape(changes: list[Change]) -> list[tuple[int, bool, bool]]:
    return [(change.revision, change.old is not None, change.new is not None) for change in changes]


def test_nothing_is_shown_until_the_fill_is_complete() -> None:
    cache = Cache(KINDS)
    cache.take(entry("b", 1))
    assert names(cache) == []
    assert not cache.filled.is_set()
    cache.take(Filled(1))
    assert names(cache) == ["b"]


def test_a_document_carries_its_revision() -> None:
    item = filled(entry("a", 7)).get(CLUSTER, "a")
    assert item is not None
    assert item.document()["metadata"]["resourceVersion"] == "7"


def test_deleted_objects_are_not_listed_and_remembered_for_purging() -> None:
    cache = filled(entry("a", 1), entry("b", 2, deleted=True))
    assert names(cache) == ["a"]
    assert [t.name for t in cache.tombstones(CLUSTER)] == ["b"]
    cache.take(purged("b", 3))
    assert cache.tombstones(CLUSTER) == ()
    assert cache.revision == 3


def test_what_purges_left_is_noted_at_a_fill_and_never_beyond_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "LEFT", 3)
    cache = filled(*(purged(f"c{number}", number) for number in range(1, 6)), Entry("not.a.key", None, 9, 0.0))
    assert [(each.name, each.revision, each.deleted) for each in cache.tombstones(CLUSTER)] == [
        (f"c{number}", number, "1970-01-01T00:00:00Z") for number in (1, 2, 3)
    ]
    cache.take(purged("c1", 10))
    cache.take(purged("c7", 11))
    assert [each.name for each in cache.tombstones(CLUSTER)] == ["c2", "c3"]


def test_a_watch_tells_old_and_new() -> None:
    cache = filled(entry("a", 1))
    watch = cache.watch(CLUSTER)
    cache.take(entry("a", 2))
    cache.take(entry("b", 3))
    cache.take(entry("a", 4, deleted=True))
    assert shape(watch.take()) == [(2, True, True), (3, False, True), (4, True, False)]
    assert watch.take() == []


def test_a_deletion_has_the_body_of_before_at_its_revision() -> None:
    cache = filled(entry("a", 1, status={"uid": "last"}))
    watch = cache.watch(CLUSTER)
    cache.take(entry("a", 2, deleted=True, status={"uid": "with the deletion"}))
    [change] = watch.take()
    assert change.final is not None
    assert change.final.document()["status"] == {"uid": "last"}
    assert change.final.revision == 2


def test_a_watch_may_start_in_the_past_but_not_before_the_horizon() -> None:
    cache = filled(entry("a", 5))
    cache.take(entry("a", 6))
    cache.take(entry("a", 7))
    assert [c.revision for c in cache.watch(CLUSTER, 6).take()] == [7]
    assert [c.revision for c in cache.watch(CLUSTER, 5).take()] == [6, 7]
    with pytest.raises(Gone, match="too old resource version: 4"):
        cache.watch(CLUSTER, 4)


def test_a_watch_that_falls_behind_the_ring_gets_410() -> None:
    cache = filled(entry("a", 1), ring=4)
    slow, quick = cache.watch(CLUSTER), cache.watch(CLUSTER)
    for revision in range(2, 30):
        cache.take(entry("a", revision))
        quick.take()
    with pytest.raises(Gone):
        slow.take()
    assert quick.take() == []


def test_an_object_made_anew_is_a_deletion_and_a_creation_each_with_a_revision_of_its_own() -> None:
    cache = filled(entry("a", 1, uid="one"))
    watch = cache.watch(CLUSTER)
    cache.take(entry("a", 3, uid="two"))
    assert shape(watch.take()) == [(2, True, False), (3, False, True)]
    assert shape(cache.watch(CLUSTER, 2).take()) == [(3, False, True)]


def test_an_object_made_anew_whose_deletion_has_no_revision_left_ends_watches() -> None:
    cache = filled(entry("a", 1, uid="one"))
    watch = cache.watch(CLUSTER)
    cache.take(entry("b", 3))
    cache.take(entry("a", 4, uid="two"))
    with pytest.raises(Gone):
        watch.take()
    with pytest.raises(Gone):
        cache.watch(CLUSTER, 3)
    assert [item.uid for item in cache.list(CLUSTER)] == ["two", "uid-b"]
    cache.take(entry("c", 5))
    assert shape(cache.watch(CLUSTER, 4).take()) == [(5, False, True)]


def test_after_a_resume_running_watches_go_on_and_new_ones_start_there() -> None:
    cache = filled(entry("a", 1))
    watch = cache.watch(CLUSTER)
    cache.take(entry("a", 5))
    cache.take(Filled(6))
    assert [c.revision for c in watch.take()] == [5]
    with pytest.raises(Gone):
        cache.watch(CLUSTER, 5)
    assert cache.watch(CLUSTER, 6).take() == []


def test_a_refill_that_shows_everything_expires_nobody() -> None:
    cache = filled(entry("a", 1), entry("b", 2))
    watch = cache.watch(CLUSTER)
    cache.take(Resync("test"))
    assert names(cache) == ["a", "b"]
    cache.take(entry("a", 1))
    cache.take(entry("b", 4))
    cache.take(Filled(4))
    assert [c.revision for c in watch.take()] == [4]


def test_a_refill_that_lacks_an_object_ends_the_watches() -> None:
    cache = filled(entry("a", 1), entry("b", 2))
    watch = cache.watch(CLUSTER)
    cache.take(Resync("test"))
    cache.take(entry("a", 1))
    cache.take(Filled(9))
    assert names(cache) == ["a"]
    with pytest.raises(Gone):
        watch.take()


def test_a_bucket_made_anew_replaces_everything() -> None:
    cache = filled(entry("a", 50), entry("b", 51))
    watch = cache.watch(CLUSTER)
    cache.take(Resync("test"))
    cache.take(entry("c", 1))
    cache.take(Filled(1))
    assert names(cache) == ["c"]
    assert cache.revision == 1
    with pytest.raises(Gone):
        watch.take()


def test_listeners_hear_the_fill_and_what_follows() -> None:
    cache, heard = Cache(KINDS), list[Change]()
    stop = cache.on_change(CLUSTER, heard.append)
    cache.take(entry("a", 1))
    cache.take(Filled(1))
    cache.take(entry("a", 2))
    stop()
    cache.take(entry("a", 3))
    assert [change.revision for change in heard] == [1, 2]


def test_unreadable_entries_and_foreign_kinds_only_move_the_revision() -> None:
    cache = filled(entry("a", 1))
    cache.take(Entry("skerry=2Edev.cluster._.a", b"rubbish", 2, 0.0))
    cache.take(Entry("rubbish", b"{}", 3, 0.0))
    cache.take(Entry("skerry=2Edev.workspace._.w", b"{}", 4, 0.0))
    assert names(cache) == ["a"]
    assert cache.revision == 4


async def test_a_watch_wakes_up() -> None:
    cache = filled(entry("a", 1))
    watch = cache.watch(CLUSTER)
    assert not await watch.wait(0.001)
    waiting = asyncio.ensure_future(watch.wait(5))
    await asyncio.sleep(0)
    cache.take(entry("a", 2))
    assert await waiting


class Leader:
    """Answers with a revision, when told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers: asyncio.Queue[int] = asyncio.Queue()

    async def last_revision(self) -> int:
        self.asked += 1
        return await self.answers.get()


async def test_concurrent_consistent_reads_share_questions_asked_after_them() -> None:
    cache, leader = filled(entry("a", 1)), Leader()
    cache._leader = leader  # type: ignore[assignment]
    reads = [asyncio.ensure_future(cache.current()) for _ in range(1)]
    await asyncio.sleep(0)
    reads += [asyncio.ensure_future(cache.current()) for _ in range(50)]
    await asyncio.sleep(0)
    leader.answers.put_nowait(1)
    leader.answers.put_nowait(1)
    assert set(await asyncio.gather(*reads)) == {1}
    assert leader.asked == 2


async def test_a_consistent_read_waits_for_the_cache() -> None:
    cache, leader = filled(entry("a", 1)), Leader()
    cache._leader = leader  # type: ignore[assignment]
    leader.answers.put_nowait(2)
    read = asyncio.ensure_future(cache.current())
    await asyncio.sleep(0)
    assert not read.done()
    cache.take(entry("a", 2))
    assert await read == 2


async def test_a_consistent_read_says_when_it_cannot_be() -> None:
    cache, leader = filled(entry("a", 1)), Leader()
    with pytest.raises(ServiceUnavailable):
        await cache.current(0.05)
    cache._leader = leader  # type: ignore[assignment]
    leader.answers.put_nowait(99)
    with pytest.raises(GatewayTimeout):
        await cache.current(0.05)


def test_a_snapshot_undoes_what_came_later() -> None:
    cache = filled(entry("a", 1), entry("b", 2))
    cache.take(entry("c", 3))
    cache.take(entry("a", 4, spec={"role": "host"}))
    cache.take(entry("b", 5, deleted=True))
    cache.take(entry("b", 6, uid="another"))
    seen = {at: [(item.name, item.revision) for item in cache.snapshot(CLUSTER, at)] for at in range(2, 7)}
    assert seen == {
        2: [("a", 1), ("b", 2)],
        3: [("a", 1), ("b", 2), ("c", 3)],
        4: [("a", 4), ("b", 2), ("c", 3)],
        5: [("a", 4), ("c", 3)],
        6: [("a", 4), ("b", 6), ("c", 3)],
    }
    assert names(cache) == ["a", "b", "c"]


def test_a_name_taken_over_without_a_deletion_is_undone_too() -> None:
    cache = filled(entry("a", 1, uid="first"))
    cache.take(entry("a", 3, uid="second"))
    assert [item.uid for item in cache.snapshot(CLUSTER, 1)] == ["first"]


def test_a_snapshot_from_before_the_horizon_is_gone() -> None:
    cache = filled(entry("a", 5))
    with pytest.raises(Gone, match="too old"):
        cache.snapshot(CLUSTER, 4)


def test_a_snapshot_goes_with_the_ring() -> None:
    cache = filled(entry("a", 1), ring=2)
    for revision in range(2, 10):
        cache.take(entry("a", revision))
    with pytest.raises(Gone):
        cache.snapshot(CLUSTER, 1)
    assert [item.revision for item in cache.snapshot(CLUSTER, 8)] == [8]
