"""Indexes under whatever happens, against a model that scans."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.api.kinds import CLUSTER
from skerry.bus import Entry, Filled, Resync
from skerry.informer import Informer
from skerry.informer.index import Index
from skerry.storage import Item
from skerry.storage.documents import seal
from tests.fixtures.bucket import cluster

NAMES, VALUES = st.sampled_from("abcd"), st.lists(st.sampled_from(("x", "y", "z")), max_size=3)


def groups(item: Item) -> Iterable[str]:
    """The values of an object: words of a label."""
    return item.labels.get("groups", "").split()


def of(name: str, values: list[str]) -> Item:
    """An object that has `values`."""
    return Item(namespace="", name=name, uid=name, revision=1, labels={"groups": " ".join(values)}, content=b"{}")


def entry(name: str, revision: int, values: list[str] | None, uid: str = "") -> Entry:
    """A Cluster with `values`; None: deleted."""
    document = cluster(name)
    document["metadata"] |= {"uid": uid or name, "labels": {"groups": " ".join(values or [])}}
    return Entry(f"skerry=2Edev.cluster._.{name}", seal(document, writes=(), deleted=values is None), revision, 0.0)


@given(st.lists(st.tuples(NAMES, st.none() | VALUES)))
def test_an_index_finds_what_a_scan_finds(changes: list[tuple[str, list[str] | None]]) -> None:
    index, model = Index(groups), dict[tuple[str, str], Item]()
    for name, values in changes:
        new = None if values is None else of(name, values)
        index.put(("", name), model.pop(("", name), None), new)
        if new is not None:
            model["", name] = new
        for value in "xyz":
            assert set(index.keys(value)) == {key for key, held in model.items() if value in groups(held)}
    for key, item in model.items():
        index.put(key, item, None)
    assert not any(index.keys(value) for value in "xyz")


@given(st.lists(st.tuples(NAMES, st.none() | VALUES, st.sampled_from(("1", "2"))), max_size=12), st.data())
def test_an_informers_index_follows_updates_deletes_refills_and_buckets_made_anew(
    changes: list[tuple[str, list[str] | None, str]], data: st.DataObject
) -> None:
    informer, stored, revision = Informer((CLUSTER,)), dict[str, Entry](), 0
    informer.index(CLUSTER, "groups", groups)
    informer.take(Filled(0))

    def holds() -> None:
        for value in "xyz":
            by_scan = [item.name for item in informer.list(CLUSTER) if value in groups(item)]
            assert sorted(item.name for item in informer.lookup(CLUSTER, "groups", value)) == by_scan

    for name, values, uid in changes:
        revision += data.draw(st.integers(1, 3))
        stored[name] = entry(name, revision, values, f"{name}-{uid}")
        informer.take(stored[name])
        holds()
    informer.take(Resync("a test"))
    lost = data.draw(st.sets(NAMES))
    last = max((each.revision for name, each in stored.items() if name not in lost), default=0)
    for each in (each for name, each in stored.items() if name not in lost):
        informer.take(each)
    informer.take(Filled(data.draw(st.sampled_from((revision, last)))))
    holds()
    assert [item.name for item in informer.list(CLUSTER)] == sorted(
        name for name, values, _ in {name: change for change in changes for name in [change[0]]}.values()
        if values is not None and name not in lost
    )  # fmt: skip


def test_an_index_asked_for_later_knows_what_is_there_and_is_shared() -> None:
    informer = Informer((CLUSTER,))
    informer.take(entry("a", 1, ["x"]))
    informer.take(Filled(1))
    for _ in range(2):
        informer.index(CLUSTER, "groups", groups)
    assert [item.name for item in informer.lookup(CLUSTER, "groups", "x")] == ["a"]
    assert informer.lookup(CLUSTER, "groups", "none") == []


def test_a_name_of_an_index_has_one_meaning() -> None:
    informer = Informer((CLUSTER,))
    informer.index(CLUSTER, "groups", groups)
    with pytest.raises(ValueError, match="Cluster has an index 'groups' already"):
        informer.index(CLUSTER, "groups", lambda item: (item.uid,))
    with pytest.raises(LookupError, match="Cluster has no index 'region'"):
        informer.lookup(CLUSTER, "region", "eu")
