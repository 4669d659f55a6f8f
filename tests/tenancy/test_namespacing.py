"""Workspaces' namespaces on a real bus, with the registry's gate: claimed, put in place, given back, and one workspace's each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from services.tenancy.claims import Claims
from services.tenancy.granted import BY_CLUSTER, Granted, clusters_of
from services.tenancy.granting import Reports
from services.tenancy.namespacing import WorkspaceStatusWriter, is_gone
from services.tenancy.service import SERVICE
from services.tenancy.settings import TenancySettings
from skerry import subjects
from skerry.api.conditions import Verdict, condition_of
from skerry.api.decode import decoded
from skerry.api.desired import EntryKey, KeysAnswer, Options, Problem, Report, State, SyncRequest
from skerry.api.kinds import CLUSTER, WORKSPACE
from skerry.api.meta import Document
from skerry.bus import BucketConfig, Bus
from skerry.desired.entry import opened as opened_entry
from skerry.informer import Informer
from skerry.service import Process
from skerry.storage import Store, make_all
from tests.fixtures.nats import NatsHost, eventually
from tests.fixtures.service import serving
from tests.registry.gate import CLUSTERS, Gate, opened_gate, space, verify
from tests.tenancy.test_granting import cluster

pytestmark = pytest.mark.integration

BOB = {"kind": "User", "name": "bob", "role": "edit"}


class World:
    """Tenancy, the registry's gate, and what both store."""

    def __init__(self, gate: Gate, process: Process, clusters: Store, workspaces: Store, bus: Bus) -> None:
        self.gate, self.process, self.clusters, self.workspaces, self.bus = gate, process, clusters, workspaces, bus
        self.claims = Claims(bus)

    async def join(self, monkeypatch: pytest.MonkeyPatch, name: str = "m1") -> str:
        """A cluster, which the gate knows; its UID."""
        made = await self.clusters.create(cluster(name))
        monkeypatch.setitem(CLUSTERS, name, made.uid)
        return made.uid

    async def workspace(self, name: str, *namespaces: Document) -> None:
        """A workspace with bob in it and these namespaces; of one that is there, its namespaces."""
        if await self.workspaces.find(name) is None:
            spec = {"members": [BOB], "clusters": {"names": ["m1"]}, "namespaces": [*namespaces]}
            await self.workspaces.create({"metadata": {"name": name}, "spec": spec})
            return
        await self.workspaces.modify(
            name, lambda document: {**document, "spec": {**document["spec"], "namespaces": [*namespaces]}}
        )

    def document(self, name: str) -> Document:
        stored = self.process.informer.get(WORKSPACE, name)
        return {} if stored is None else stored.document()

    def namespaces(self, name: str) -> list[Document]:
        return list((self.document(name).get("status") or {}).get("namespaces") or ())

    def ready(self, name: str) -> Verdict:
        return condition_of(self.document(name), "Ready")

    async def says(self, name: str, *states: str) -> None:
        """Wait until its namespaces are in these states."""
        await eventually(lambda: tuple(each["state"] for each in self.namespaces(name)) == states, 20)

    async def entry(self, name: str = "shop") -> tuple[Document, Options] | None:
        """What is wanted on m1 of a namespace: its labels, and how."""
        key = self.gate.client.key("m1", space(name))
        page = await self.gate.desired.sync("m1", SyncRequest())
        for each in page.entries:
            if each.key == key and each.entry is not None:
                entry = opened_entry(key, each.entry.encode(), verify)
                return entry.document()["metadata"].get("labels"), entry.options
        return None

    async def wanted(self, test: Callable[[tuple[Document, Options] | None], bool], name: str = "shop") -> None:
        """Wait until what is wanted is so."""
        async with asyncio.timeout(20):
            while not test(await self.entry(name)):
                await asyncio.sleep(0.05)

    async def report(self, state: State | None = None, message: str = "why", name: str = "shop") -> None:
        """What m1 says: all was tried, and the namespace is in this state."""
        keys = await self.gate.client.keys("m1")
        key = self.gate.client.key("m1", space(name))
        problems = () if state is None else (Problem(key=key, revision=1, state=state, message=message),)
        await self.gate.desired.report("m1", Report(epoch=keys.epoch, applied=keys.last, problems=problems))
        await self.clusters.modify("m1", lambda document: _reported(document, f"{state}{keys.last}"))

    async def unclaimed(self, uid: str) -> None:
        """Wait until nothing is claimed on a Cluster."""
        async with asyncio.timeout(20):
            while await self.claims.on(uid):
                await asyncio.sleep(0.05)


def _reported(document: Document, text: str) -> Document:
    conditions = [
        each | ({"message": text} if each["type"] == "DesiredApplied" else {})
        for each in document["status"]["conditions"]
    ]
    return {**document, "status": {**document["status"], "conditions": conditions}}


def _away(document: Document) -> Document:
    conditions = [
        each | ({"status": "False", "message": "its agent is away"} if each["type"] == "Ready" else {})
        for each in document["status"]["conditions"]
    ]
    return {**document, "status": {**document["status"], "conditions": conditions}}


@asynccontextmanager
async def opened(host: NatsHost) -> AsyncIterator[World]:
    async with opened_gate(host) as gate, serving(host, (SERVICE, TenancySettings())) as process:
        clusters = Store(await gate.bus.bucket(subjects.RESOURCES, create=BucketConfig()), CLUSTER)
        async with host.open_bus("tenancy") as bus:
            yield World(gate, process, clusters, Store(await bus.bucket(subjects.RESOURCES), WORKSPACE), bus)


SHOP: Document = {"cluster": "m1", "name": "shop"}


async def test_a_namespace_is_claimed_made_and_its_workspaces_as_the_member_says_and_given_back(
    fresh_nats_host: NatsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(fresh_nats_host) as world:
        await world.workspace("people")
        await eventually(lambda: world.ready("people").reason == "NoNamespaces", 20)
        await world.workspace("team", SHOP)
        await world.says("team", "NoCluster")
        uid = await world.join(monkeypatch)
        await world.says("team", "Creating")
        await world.wanted(
            lambda each: each == ({"skerry.dev/workspace": "team"}, Options(adopt="Never", withdraw="Orphan"))
        )
        held = await world.claims.on(uid)
        assert [(each.namespace, each.claim and each.claim.workspace) for each in held] == [("shop", "team")]

        await world.report(State.EXISTS, "Namespace shop is there already and is not Skerry's")
        await world.says("team", "Exists")
        assert world.ready("team")[:2] == ("False", "Exists")
        await world.workspace("team", {**SHOP, "adopt": True, "whenRemoved": "Delete"})
        await world.wanted(lambda each: each is not None and each[1] == Options(adopt="Same", withdraw="Delete"))
        await world.says("team", "Creating")
        await world.report()
        await world.says("team", "Ready")
        assert world.ready("team") == Verdict("True", "Ready", "1 of 1 namespaces are ready")
        assert await bound(world), "who is in it has a role there"

        await world.clusters.modify("m1", _away)
        await world.workspace("second", SHOP)
        await world.says("second", "Problem")
        assert world.namespaces("second")[0]["message"] == "owned by another workspace"
        await eventually(lambda: world.namespaces("team")[0].get("message") == "its agent is away", 20)
        assert world.namespaces("team")[0]["state"] == "Ready"

        await world.workspaces.delete("team")
        await world.wanted(lambda each: each is None)
        await world.says("second", "Waiting")
        assert (await world.claims.on(uid))[0].claim is not None
        assert world.namespaces("second")[0].get("uid", "") == ""
        await world.report()
        await world.wanted(lambda each: each is not None and each[0] == {"skerry.dev/workspace": "second"})

        await world.clusters.delete("m1")
        await world.says("second", "NoCluster")
        await world.unclaimed(uid)
        again = await world.join(monkeypatch)
        await world.says("second", "ClusterReplaced")
        assert (again != uid, await world.claims.on(again)) == (True, [])


async def bound(world: World) -> bool:
    """Wait until bob's role in the namespace is wanted."""
    async with asyncio.timeout(20):
        while True:
            keys = (await world.gate.client.keys("m1")).keys
            if any(subjects.desired_key(each.key)[3:] == ("rolebinding", "shop", "skerry:edit") for each in keys):
                return True
            await asyncio.sleep(0.05)


class Replicas:
    """Two controllers that both believe to lead, each with an informer of its own, and workspaces that name the same."""

    def __init__(self, bus: Bus, store: Store, uid: str) -> None:
        self.store, self.uid, self.claims = store, uid, Claims(bus)
        self.replicas: list[WorkspaceStatusWriter] = []
        self.informers: list[Informer] = []
        self.feeds: list[asyncio.Task[None]] = []
        self.unclaimed: list[str] = []
        self._bus = bus

    def add(self, informer: Informer, feed: asyncio.Task[None]) -> None:
        """One more."""
        view: Any = informer
        view.index(WORKSPACE, BY_CLUSTER, clusters_of)
        reports = Reports(self._bus, lambda: 0.0)
        made = WorkspaceStatusWriter(
            self.store, view, Granted(), reports, Claims(self._bus), self.unclaimed.append, lambda: 0.0
        )
        self.replicas.append(made)
        self.informers.append(informer)
        self.feeds.append(feed)

    async def settle(self, replica: WorkspaceStatusWriter, name: str) -> None:
        """Have it look at a workspace as it is now."""
        await asyncio.gather(*(each.current() for each in self.informers))
        await replica.reconcile(name)
        await asyncio.gather(*(each.current() for each in self.informers))

    async def name(self, workspace: str, *names: str) -> None:
        """Have a workspace name these namespaces on m1, and no others."""
        spec = {"members": [], "namespaces": [{"cluster": "m1", "name": each} for each in names]}
        await self.store.modify(workspace, lambda document: {**document, "spec": spec})

    async def states(self, name: str) -> dict[str, tuple[str, str]]:
        """State, and UID of the Cluster, of each namespace in the status."""
        status = (await self.store.get(name)).document().get("status") or {}
        return {each["name"]: (each["state"], each.get("uid", "")) for each in status.get("namespaces") or ()}


@asynccontextmanager
async def replicas(host: NatsHost, name: str, *workspaces: str, count: int = 1) -> AsyncIterator[Replicas]:
    """With m1; the workspaces name `name`, or so many that begin with it."""
    async with host.bus("tenancy") as bus, host.open_bus("registry") as registry:
        await make_all(registry)
        bucket = await bus.bucket(subjects.RESOURCES)
        uid = (await Store(await registry.bucket(subjects.RESOURCES), CLUSTER).create(cluster("m1"))).uid
        world = Replicas(bus, Store(bucket, WORKSPACE), uid)
        names = [name] if count == 1 else [f"{name}-{number}" for number in range(count)]
        for each in workspaces:
            spec = {"members": [], "namespaces": [{"cluster": "m1", "name": name} for name in names]}
            await world.store.create({"metadata": {"name": each}, "spec": spec})
        async with asyncio.TaskGroup() as tasks:
            for _ in range(2):
                informer = Informer((CLUSTER, WORKSPACE))
                feed = tasks.create_task(informer.feed(bucket))
                await asyncio.wait_for(informer.filled.wait(), 10)
                world.add(informer, feed)
            yield world
            for feed in world.feeds:
                feed.cancel()


async def test_of_two_workspaces_and_two_replicas_one_has_each_namespace(fresh_nats_host: NatsHost) -> None:
    """Both work at the same time, as where a leader does not know yet that it is none any more; round after round."""
    async with replicas(fresh_nats_host, "ns", "a", "b", count=20) as world:
        for _ in range(3):
            await asyncio.gather(*(each.reconcile(name) for each in world.replicas for name in ("a", "b")))
            await asyncio.gather(*(each.current() for each in world.informers))
        states = {name: await world.states(name) for name in ("a", "b")}
        claims = {each.namespace: each.claim and each.claim.workspace for each in await world.claims.on(world.uid)}
        assert sorted(claims) == sorted(states["a"])
        for name, owner in claims.items():
            other = "b" if owner == "a" else "a"
            assert states[str(owner)][name][1] == world.uid
            assert states[other][name] == ("Problem", "")


KEY = "m1.tenancy._.namespace._.shop"
DONE = EntryKey(key=subjects.complete_key("m1", "tenancy"), revision=7, digest="d")


@pytest.mark.parametrize(
    ("keys", "report", "gone"),
    [
        (KeysAnswer(epoch="e", keys=(DONE,), last=9), Report(epoch="e", applied=9), True),
        (KeysAnswer(epoch="e", keys=(), last=9), Report(epoch="e", applied=9), False),
        (KeysAnswer(epoch="e", keys=(DONE, EntryKey(key=KEY, revision=8, digest="d")), last=9),
         Report(epoch="e", applied=9), False),
        (KeysAnswer(epoch="e", keys=(DONE,), last=9), None, False),
        (KeysAnswer(epoch="e", keys=(DONE,), last=9), Report(epoch="other", applied=9), False),
        (KeysAnswer(epoch="e", keys=(DONE,), last=9), Report(epoch="e", applied=8), False),
        (KeysAnswer(epoch="e", keys=(DONE,), last=9), Report(epoch="e", applied=9, more=1), False),
        (KeysAnswer(epoch="e", keys=(DONE,), last=9),
         Report(epoch="e", applied=9, problems=(Problem(key=KEY, revision=8, state=State.FORBIDDEN),)), False),
    ],
    ids=["gone", "not-all-said", "asked-for", "no-report", "other-epoch", "not-tried", "more-problems", "problem"],
)  # fmt: skip
def test_a_namespace_is_free_when_the_member_has_passed_its_end(
    keys: KeysAnswer, report: Report | None, *, gone: bool
) -> None:
    assert is_gone(KEY, decoded(msgspec.json.encode(keys), KeysAnswer), report) is gone


async def test_what_a_replica_saw_when_it_led_before_counts_for_nothing_that_was_given_back_since(
    fresh_nats_host: NatsHost,
) -> None:
    async with replicas(fresh_nats_host, "shop", "team", "second") as world:
        one, two = world.replicas
        await world.settle(one, "team")
        await world.name("team")
        await world.settle(two, "team")
        for held in await world.claims.on(world.uid):
            await world.claims.release(world.uid, held)
        await world.settle(two, "second")
        await world.name("team", "shop")
        await world.settle(two, "team")
        await world.settle(one, "team")
        assert await world.states("team") == {"shop": ("Problem", "")}
        assert await world.states("second") == {"shop": ("Creating", world.uid)}


async def test_what_a_workspace_has_by_its_status_is_its_own_also_without_the_bucket_of_claims(
    fresh_nats_host: NatsHost,
) -> None:
    async with replicas(fresh_nats_host, "shop", "second", "team") as world:
        one, two = world.replicas
        await world.settle(one, "team")
        (held,) = await world.claims.on(world.uid)
        await world.claims.release(world.uid, held)
        await world.settle(two, "second")
        assert await world.states("second") == {"shop": ("Problem", "")}
        await world.settle(two, "team")
        assert [each.claim and each.claim.workspace for each in await world.claims.on(world.uid)] == ["team"]


async def test_what_was_claimed_for_a_workspace_that_is_another_by_now_is_looked_at(
    fresh_nats_host: NatsHost,
) -> None:
    async with replicas(fresh_nats_host, "shop", "team") as world:
        stale, _ = world.replicas
        world.feeds[0].cancel()
        await world.name("team")
        again = await stale.reconcile("team")
        assert (again is not None, world.unclaimed) == (True, [world.uid])
        assert await world.states("team") == {}
