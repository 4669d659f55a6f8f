"""What an informer makes of the events of its bucket's watch: no bus."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from skerry.api.kinds import CLUSTER, KINDS
from skerry.bus import Entry, Filled, Resync
from skerry.errors import Gone
from skerry.informer import Informer
from skerry.informer import informer as informer_module
from tests.informer.entries import entry, filled, names, purged, shape


def test_nothing_is_shown_until_the_fill_is_complete() -> None:
    cache = Informer(KINDS)
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
    monkeypatch.setattr(informer_module, "LEFT", 3)
    cache = filled(*(purged(f"c{number}", number) for number in range(1, 6)), Entry("not.a.key", None, 9, 0.0))
    assert [(each.name, each.revision, each.deleted) for each in cache.tombstones(CLUSTER)] == [
        (f"c{number}", number, "1970-01-01T00:00:00Z") for number in (1, 2, 3)
    ]
    cache.take(purged("c1", 10))
    cache.take(purged("c7", 11))
    assert [each.name for each in cache.tombstones(CLUSTER)] == ["c2", "c3"]


def test_a_deletion_has_the_body_of_before_at_its_revision() -> None:
    cache = filled(entry("a", 1, status={"uid": "last"}))
    watch = cache.watch(CLUSTER)
    cache.take(entry("a", 2, deleted=True, status={"uid": "with the deletion"}))
    [change] = watch.take()
    assert change.final is not None
    assert change.final.document()["status"] == {"uid": "last"}
    assert change.final.revision == 2


def test_an_object_made_anew_is_a_deletion_and_a_creation_each_with_a_revision_of_its_own() -> None:
    cache = filled(entry("a", 1, uid="one"))
    watch = cache.watch(CLUSTER)
    cache.take(entry("a", 3, uid="two"))
    assert shape(watch.take()) == [(2, True, False), (3, False, True)]
    assert shape(cache.watch(CLUSTER, 2).take()) == [(3, False, True)]


def test_a_refill_that_shows_everything_expires_nobody() -> None:
    cache = filled(entry("a", 1), entry("b", 2))
    watch = cache.watch(CLUSTER)
    cache.take(Resync("test"))
    assert names(cache) == ["a", "b"]
    cache.take(entry("a", 1))
    cache.take(entry("b", 4))
    cache.take(Filled(4))
    assert [c.revision for c in watch.take()] == [4]


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


def test_of_a_later_fill_only_what_is_newer_is_read() -> None:
    cache = filled(entry("a", 1), entry("b", 2))
    before = cache.get(CLUSTER, "a")
    cache.take(Resync("test"))
    cache.take(Entry("skerry=2Edev.cluster._.a", b"not even looked at", 1, 0.0))
    cache.take(entry("b", 3))
    cache.take(Filled(3))
    assert cache.get(CLUSTER, "a") is before
    assert names(cache) == ["a", "b"]


def test_unreadable_entries_and_foreign_kinds_only_move_the_revision() -> None:
    cache = filled(entry("a", 1))
    cache.take(Entry("skerry=2Edev.cluster._.a", b"rubbish", 2, 0.0))
    cache.take(Entry("rubbish", b"{}", 3, 0.0))
    cache.take(Entry("skerry=2Edev.workspace._.w", b"{}", 4, 0.0))
    assert names(cache) == ["a"]
    assert cache.revision == 4


class Script:
    """A bucket whose watch tells what a test wrote down, and then nothing."""

    def __init__(self, *events: Entry | Filled) -> None:
        self._events = events

    async def last_revision(self) -> int:
        """Of the last entry."""
        return max(event.revision for event in self._events)

    @contextlib.asynccontextmanager
    async def watch(self) -> AsyncIterator[AsyncIterator[Entry | Filled]]:
        """As Bucket.watch."""
        yield self._told()

    async def _told(self) -> AsyncIterator[Entry | Filled]:
        for event in self._events:
            yield event
        await asyncio.Event().wait()


async def test_others_run_while_many_changes_are_taken_and_never_between_those_of_one_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was held behind a gap is one state: half of it is one that never was."""
    monkeypatch.setattr(informer_module, "BATCH", 4)
    single = [entry(f"a{number}", 2 + number) for number in range(10)]
    held = [msgspec.structs.replace(entry(f"b{number}", 20 + number), more=number < 9) for number in range(10)]
    cache = Informer(KINDS)
    seen: set[int] = set()
    script: Any = Script(Filled(1), *single, *held)
    async with asyncio.TaskGroup() as group:
        feeding = group.create_task(cache.feed(script))
        while len(names(cache)) < 20:
            await asyncio.sleep(0)
            seen.add(len(names(cache)))
        feeding.cancel()
    assert {length for length in seen if length > 10} == {20}
    assert len(seen) > 2
