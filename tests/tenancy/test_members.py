"""What tenancy wants on members, on a real bus with a registry's gate: said once per member, and again for another one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest

from services.tenancy.bindings import wants
from services.tenancy.granted import Granted
from services.tenancy.members import AGAIN_S, START_S, SURE_S, MemberWants
from skerry import subjects
from skerry.api.desired import SyncRequest
from skerry.api.meta import Document
from skerry.desired.owners import refusal
from skerry.errors import Conflict
from skerry.storage import Item
from skerry.storage.documents import item
from tests.access.grants import grant
from tests.fixtures.nats import NatsHost
from tests.registry.gate import CLUSTERS, Gate, opened_gate

pytestmark = pytest.mark.integration


class Stored(NamedTuple):
    """A Cluster of the informer."""

    name: str
    uid: str
    stored: Document

    def document(self) -> Document:
        return self.stored


class Clusters:
    """The informer, with one member in it."""

    def __init__(self) -> None:
        self.uid, self.reason, self.entries = "uid-1", "Applied", 0
        self.metadata: Document = {}
        self.workspaces: list[Item] = []

    def get(self, kind: Any, name: str) -> Stored | None:
        """The member, if its name is m1 or m9."""
        if name not in ("m1", "m9"):
            return None
        condition = {"type": "DesiredApplied", "status": "True", "reason": self.reason, "message": ""}
        conditions = [condition] if self.reason else []
        status = {"conditions": conditions, "desired": {"entries": self.entries}}
        return Stored(name, self.uid, {"metadata": {"name": name, **self.metadata}, "status": status})

    def lookup(self, kind: Any, index: str, name: str) -> list[Item]:
        """The workspaces with namespaces on m1."""
        return self.workspaces if name == "m1" else []


class World:
    """Tenancy's side, and the gate."""

    def __init__(self, gate: Gate) -> None:
        self.gate, self.clusters, self.now, self.granted = gate, Clusters(), 0.0, Granted()
        informer: Any = self.clusters
        self.granted.access.cluster("m1", "uid-1", {})
        self.wanted = MemberWants(gate.bus, informer, self.granted, lambda: self.now, lambda: self.now)

    def grant(self, name: str, **spec: Any) -> None:
        """A grant of edit in namespace shop on m1, or as `spec` says."""
        given = grant(name, uids={"m1": "uid-1"}, **{"role": "edit", "namespaces": ["shop"], **spec})
        self.granted.access.grant(name, given)

    async def names(self) -> list[str]:
        """Of the entries on m1."""
        page = await self.gate.desired.sync("m1", SyncRequest())
        return sorted(subjects.desired_key(each.key).name for each in page.entries if each.entry is not None)


@pytest.fixture
async def world(nats_host: NatsHost) -> AsyncIterator[World]:
    async with opened_gate(nats_host) as gate:
        yield World(gate)


FOUR = ["_", "skerry:admin", "skerry:cluster-admin", "skerry:edit", "skerry:view"]


async def test_the_four_bindings_are_wanted_for_the_cluster_and_that_is_all(world: World) -> None:
    again = await world.wanted.reconcile("m1")
    assert again is not None
    assert 0.7 * SURE_S < again.seconds < 1.3 * SURE_S
    assert await world.names() == FOUR


def test_what_is_wanted_passes_its_owners_row_and_may_be_adopted_if_it_is_the_same() -> None:
    assert [refusal("tenancy", want.document) for want in wants("m1", {})] == [""] * 4
    assert {want.options.adopt for want in wants("m1", {})} == {"Same"}
    assert {(each.kind, each.name) for want in wants("m1", {}) for each in want.because} == {("Cluster", "m1")}


@pytest.mark.parametrize("reason", ["", "NotSupported", "Left"])
async def test_of_a_member_without_the_channel_nothing_is_wanted(world: World, reason: str) -> None:
    world.clusters.reason = reason
    assert await world.wanted.reconcile("m1") is None
    assert await world.names() == []


async def test_of_one_that_leaves_and_of_one_that_is_not_there_nothing_is_wanted(world: World) -> None:
    assert await world.wanted.reconcile("nobody") is None
    world.clusters.metadata = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    assert await world.wanted.reconcile("m1") is None
    assert await world.names() == []


async def test_it_is_said_again_when_the_time_is_over_and_for_another_cluster_of_the_name(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its Cluster says."""
    await world.wanted.reconcile("m1")
    world.clusters.entries = 4
    await world.gate.desired.forget("m1")
    world.now += SURE_S / 2
    await world.wanted.reconcile("m1")
    assert await world.names() == []
    world.now += SURE_S
    await world.wanted.reconcile("m1")
    assert await world.names() == FOUR
    await world.gate.desired.forget("m1")
    world.clusters.uid, world.clusters.entries = "another", 0
    monkeypatch.setitem(CLUSTERS, "m1", "another")
    await world.wanted.reconcile("m1")
    assert await world.names() == FOUR


async def test_of_a_bucket_that_was_made_anew_it_is_said_again_soon_and_not_with_each_change(world: World) -> None:
    await world.wanted.reconcile("m1")
    await world.gate.desired.forget("m1")
    again = await world.wanted.reconcile("m1")
    assert again is not None
    assert again.seconds == AGAIN_S
    assert await world.names() == []
    world.now += AGAIN_S
    await world.wanted.reconcile("m1")
    assert await world.names() == FOUR


async def test_at_a_start_members_that_seem_to_have_it_all_are_asked_for_later_each_at_its_time(world: World) -> None:
    world.clusters.entries = 4
    again = await world.wanted.reconcile("m1")
    assert again is not None
    assert 0 <= again.seconds <= START_S
    assert await world.names() == []
    world.now += START_S
    await world.wanted.reconcile("m1")
    assert await world.names() == FOUR


async def test_what_the_registry_does_not_take_is_tried_again(world: World) -> None:
    with pytest.raises(Conflict, match="m9 is not taken: cluster m9 does not exist"):
        await world.wanted.reconcile("m9")


SHOP = [*FOUR, "skerry:edit", "skerry:namespaces", "skerry:namespaces"]


async def test_what_grants_need_comes_with_the_first_of_a_scope_and_goes_with_the_last(world: World) -> None:
    world.grant("a")
    await world.wanted.reconcile("m1")
    assert await world.names() == sorted(SHOP)
    placement = world.granted.placements["m1"]
    assert (placement.uid, len(placement.revisions)) == ("uid-1", 8)

    world.clusters.entries = 7
    world.grant("b", subjects=[{"kind": "Group", "name": "x"}])
    await world.wanted.reconcile("m1")
    assert world.granted.placements["m1"] == placement, "a second grant in a known scope writes nothing"

    world.granted.access.grant("a", None)
    await world.wanted.reconcile("m1")
    assert await world.names() == sorted(SHOP)
    world.granted.access.grant("b", None)
    await world.wanted.reconcile("m1")
    assert await world.names() == FOUR


async def test_what_ends_with_time_goes_at_that_time(world: World) -> None:
    world.grant("a", expires="1970-01-01T00:01:00Z")
    again = await world.wanted.reconcile("m1")
    assert again is not None
    assert 60 < again.seconds < 61
    world.now, world.clusters.entries = 60.5, 7
    await world.wanted.reconcile("m1")
    assert await world.names() == FOUR


async def test_of_a_member_that_goes_nothing_is_known_to_be_placed(world: World) -> None:
    told: list[str] = []
    world.granted.placed.append(told.append)
    await world.wanted.reconcile("m1")
    world.clusters.reason = "Left"
    await world.wanted.reconcile("m1")
    assert (world.granted.placements, told) == ({}, ["m1", "m1"])


async def test_why_the_registry_does_not_take_something_is_kept(world: World) -> None:
    with pytest.raises(Conflict):
        await world.wanted.reconcile("m9")
    assert world.granted.placements["m9"].problem.startswith("cluster m9 does not exist")


async def test_namespaces_of_workspaces_are_wanted_as_they_are_stored_and_go_with_them(world: World) -> None:
    place = {"cluster": "m1", "name": "shop"}
    document = {"metadata": {"name": "team"}, "spec": {"namespaces": [place]}}
    world.clusters.workspaces = [item(document, 1)]
    await world.wanted.reconcile("m1")
    assert await world.names() == FOUR, "nobody knows yet whose it is"
    world.clusters.entries = 5
    world.clusters.workspaces = [item({**document, "status": {"namespaces": [{**place, "uid": "uid-1"}]}}, 2)]
    await world.wanted.reconcile("m1")
    assert await world.names() == sorted([*FOUR, "shop"])
    world.clusters.workspaces = []
    await world.wanted.reconcile("m1")
    assert await world.names() == FOUR
