"""Access follows the informer: what is there, what changes, what goes, and what cannot be read."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.access import Access, Touched
from skerry.api.kinds import ACCESS_GRANT, CLUSTER, WORKSPACE, Kind
from skerry.api.messages import Caller
from skerry.api.meta import Document
from skerry.bus import Entry, Filled
from skerry.informer import Change, Informer
from skerry.informer.granted import follow
from skerry.storage.documents import seal
from skerry.subjects import key

ALICE = Caller(user="alice")


class World:
    """An informer that is told what is stored, and access that follows it."""

    def __init__(self) -> None:
        self.informer, self.access, self.revision = Informer((CLUSTER, ACCESS_GRANT, WORKSPACE)), Access(), 0
        self.informer.take(Filled(0))
        self.touched: list[Touched] = []

    def store(self, kind: Kind, name: str, deleted: bool = False, **document: Any) -> None:
        self.revision += 1
        metadata = {"name": name, "uid": f"uid-{name}", **document.pop("metadata", {})}
        value = seal({"metadata": metadata, **document}, writes=(), deleted=deleted)
        entry = Entry(key=key(kind.group, kind.kind, "", name), value=value, revision=self.revision, created=0.0)
        self.informer.take(entry)

    def note(self, touched: Touched, change: Change) -> None:
        self.touched.append(touched)

    def whole(self) -> tuple[str, ...]:
        return self.access.reach(ALICE, "m1", 0.0).whole


GRANT: Document = {
    "spec": {"subjects": [{"kind": "User", "name": "alice"}], "clusters": {"names": ["m1"]}, "role": "edit"},
    "status": {"clusters": [{"name": "m1", "uid": "uid-m1"}]},
}


@pytest.mark.parametrize("first", [True, False])
def test_what_is_there_and_what_comes_counts_alike_and_what_goes_does_not(first: bool) -> None:
    world = World()
    if first:
        follow(world.informer, world.access, world.note)
    world.store(CLUSTER, "m1", spec={})
    world.store(ACCESS_GRANT, "a", **GRANT)
    if not first:
        follow(world.informer, world.access, world.note)
    assert world.whole() == ("skerry:edit",)
    assert Touched(frozenset(("ualice",)), scopes=frozenset(("m1",))) in world.touched
    world.store(ACCESS_GRANT, "a", deleted=True, **GRANT)
    assert world.whole() == ()


def test_a_cluster_that_is_leaving_is_nobodys() -> None:
    world = World()
    stop = follow(world.informer, world.access)
    world.store(CLUSTER, "m1", spec={})
    world.store(ACCESS_GRANT, "a", **GRANT)
    world.store(CLUSTER, "m1", spec={}, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x"]})
    assert not world.access.exists("m1")
    world.store(CLUSTER, "m1", spec={}, metadata={"uid": "uid-m1"})
    assert world.whole() == ("skerry:edit",)
    world.store(CLUSTER, "m1", deleted=True, spec={})
    assert not world.access.exists("m1")
    stop()
    world.store(CLUSTER, "m1", spec={})
    assert not world.access.exists("m1")


def test_a_grant_that_cannot_be_read_any_more_gives_nothing() -> None:
    world = World()
    follow(world.informer, world.access)
    world.store(CLUSTER, "m1", spec={})
    world.store(ACCESS_GRANT, "a", **GRANT)
    world.store(ACCESS_GRANT, "a", spec={"subjects": 7}, status={})
    assert world.whole() == ()


def test_a_workspace_counts_too() -> None:
    world = World()
    follow(world.informer, world.access)
    world.store(CLUSTER, "m1", spec={})
    namespaces = [{"cluster": "m1", "name": "shop"}]
    members = [{"kind": "User", "name": "alice", "role": "edit"}]
    owned = [{**namespaces[0], "uid": "uid-m1", "state": "Ready"}]
    world.store(WORKSPACE, "t", spec={"members": members, "namespaces": namespaces}, status={"namespaces": owned})
    assert world.access.reach(ALICE, "m1", 0.0).groups("shop") == ("skerry:ns:shop:edit",)
