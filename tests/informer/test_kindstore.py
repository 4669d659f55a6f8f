"""Handlers, tombstones by age, and the order of what one kind has."""

from __future__ import annotations

import asyncio

import pytest

from skerry import subjects
from skerry.api.kinds import APP_VERSION, CLUSTER, KINDS
from skerry.bus import Entry, Filled
from skerry.errors import InternalError
from skerry.informer import Change, Informer
from skerry.storage.documents import seal
from tests.fixtures.bucket import cluster
from tests.informer.entries import entry, filled, purged


def test_listeners_hear_the_fill_and_what_follows() -> None:
    cache, heard = Informer(KINDS), list[Change]()
    stop = cache.add_event_handler(CLUSTER, heard.append)
    cache.take(entry("a", 1))
    cache.take(Filled(1))
    cache.take(entry("a", 2))
    stop()
    cache.take(entry("a", 3))
    assert [change.revision for change in heard] == [1, 2]


async def test_a_handler_that_raises_fails_its_reader_alone_and_hears_nothing_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache, heard, raised = filled(), list[Change](), list[int]()
    registry, tenancy = cache.view("registry", (CLUSTER,)), cache.view("tenancy", (CLUSTER,))

    def raises(change: Change) -> None:
        raised.append(change.revision)
        raise KeyError(change.revision)

    tenancy.add_event_handler(CLUSTER, raises)
    registry.add_event_handler(CLUSTER, heard.append)
    cache.take(entry("a", 1))
    cache.take(entry("b", 2))
    assert ([change.revision for change in heard], raised, cache.revision) == ([1, 2], [1], 2)
    assert (cache.failure, registry.failure) == ("", "")
    assert [record.message for record in caplog.records] == ["an event handler failed"]
    with pytest.raises(InternalError, match=r"tenancy could not take a change of Cluster a \(revision 1\)"):
        await tenancy.fails()


async def test_nobody_has_failed_before_a_handler_raises() -> None:
    view = filled(entry("a", 1)).view("tenancy", (CLUSTER,))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(view.fails(), 0.01)


def test_a_handler_may_stop_itself_or_another() -> None:
    cache, heard = filled(), list[str]()

    def once(change: Change) -> None:
        heard.append("once")
        stop_once()
        stop_other()

    stop_once = cache.add_event_handler(CLUSTER, once)
    stop_other = cache.add_event_handler(CLUSTER, lambda change: heard.append("other"))
    cache.take(entry("a", 1))
    cache.take(entry("a", 2))
    assert heard == ["once", "other"]


def test_a_handler_that_would_wait_is_refused() -> None:
    async def waits(change: Change) -> None:
        raise AssertionError

    with pytest.raises(TypeError, match="an event handler of Cluster is called inline"):
        Informer(KINDS).add_event_handler(CLUSTER, waits)  # type: ignore[arg-type]


def test_tombstones_are_found_by_age_without_a_look_at_the_young() -> None:
    def buried(name: str, revision: int, at: str) -> Entry:
        gone = {"metadata": {"name": name, "uid": name, "deletionTimestamp": at}}
        return Entry(f"skerry=2Edev.cluster._.{name}", seal(gone, writes=(), deleted=True), revision, 0.0)

    cache = filled(buried("young", 1, "1970-01-01T02:00:00Z"), buried("old", 2, "1970-01-01T00:30:00Z"))
    cache.take(buried("older", 3, "1970-01-01T00:20:00Z"))
    for _ in range(2):
        assert [each.name for each in cache.tombstones(CLUSTER, before=3600)] == ["older", "old"]
    cache.take(entry("old", 4))
    cache.take(purged("older", 5))
    assert cache.tombstones(CLUSTER, before=3600) == ()
    assert [each.name for each in cache.tombstones(CLUSTER, before=7200)] == ["young"]


def test_a_list_of_a_namespace_is_a_part_of_the_list() -> None:
    cache = filled()
    keys = [("red", "b"), ("re", "a"), ("", "x"), ("red", "a"), ("redd", "a"), ("reda", "z")]
    cache.list(CLUSTER)
    for revision, (namespace, name) in enumerate(keys, 1):
        document = cluster(name)
        document["metadata"] |= {"uid": f"{namespace}/{name}", "namespace": namespace}
        key = f"skerry=2Edev.cluster.{namespace or '_'}.{name}"
        cache.take(Entry(key, seal(document, writes=()), revision, 0.0))
    assert [(item.namespace, item.name) for item in cache.list(CLUSTER)] == sorted(keys)
    assert [item.name for item in cache.list(CLUSTER, "red")] == ["a", "b"]
    cache.take(Entry("skerry=2Edev.cluster.red.a", None, 9, 0.0))
    assert [item.name for item in cache.list(CLUSTER, "red")] == ["b"]


def test_handlers_share_what_one_of_them_has_decoded_and_the_ring_keeps_none_of_it() -> None:
    cache, documents = filled(entry("a", 1)), list[tuple[object, object]]()
    for _ in range(2):
        cache.add_event_handler(CLUSTER, lambda change: documents.append((change.before(), change.after())))
    watch = cache.watch(CLUSTER)
    cache.take(entry("a", 2))
    (before, after), again = documents
    assert again[0] is before
    assert again[1] is after
    (kept,) = watch.take()
    assert (kept.before(), kept.after()) == (before, after)
    assert kept.after() is not after


def test_what_is_not_there_is_an_empty_document() -> None:
    cache, heard = filled(), list[Change]()
    cache.add_event_handler(CLUSTER, heard.append)
    cache.take(entry("a", 1))
    cache.take(purged("a", 2))
    assert [bool(change.before()) for change in heard] == [False, True]
    assert [bool(change.after()) for change in heard] == [True, False]


def test_objects_of_a_kind_that_is_packed_are_read_as_they_are() -> None:
    cache, changes = Informer(KINDS), list[Change]()
    cache.add_event_handler(APP_VERSION, changes.append)
    for number, name in enumerate("abc", 1):
        document = {"metadata": {"name": name, "namespace": "n", "uid": name}, "spec": {"text": "words " * 40}}
        key = subjects.key(APP_VERSION.group, APP_VERSION.kind, "n", name)
        cache.take(Entry(key=key, value=seal(document, writes=()), revision=number, created=0.0))
    cache.take(Filled(3))
    items = cache.list(APP_VERSION)
    assert [each.document()["metadata"]["name"] for each in items] == ["a", "b", "c"]
    assert all(len(each.content) < len(each.body) / 4 for each in items)
    assert [change.new and change.new.body for change in changes] == [each.body for each in items]
