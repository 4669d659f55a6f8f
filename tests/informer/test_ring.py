"""Watches and snapshots: what is told of the past."""

from __future__ import annotations

import asyncio

import pytest

from skerry.api.kinds import CLUSTER
from skerry.bus import Filled, Resync
from skerry.errors import Gone
from tests.informer.entries import entry, filled, names, shape


def test_a_watch_tells_old_and_new() -> None:
    cache = filled(entry("a", 1))
    watch = cache.watch(CLUSTER)
    cache.take(entry("a", 2))
    cache.take(entry("b", 3))
    cache.take(entry("a", 4, deleted=True))
    assert shape(watch.take()) == [(2, True, True), (3, False, True), (4, True, False)]
    assert watch.take() == []


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


def test_a_refill_that_lacks_an_object_ends_the_watches() -> None:
    cache = filled(entry("a", 1), entry("b", 2))
    watch = cache.watch(CLUSTER)
    cache.take(Resync("test"))
    cache.take(entry("a", 1))
    cache.take(Filled(9))
    assert names(cache) == ["a"]
    with pytest.raises(Gone):
        watch.take()


async def test_a_watch_wakes_up() -> None:
    cache = filled(entry("a", 1))
    watch = cache.watch(CLUSTER)
    assert not await watch.wait(0.001)
    waiting = asyncio.ensure_future(watch.wait(5))
    await asyncio.sleep(0)
    cache.take(entry("a", 2))
    assert await waiting


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
