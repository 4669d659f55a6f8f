"""Grants on a real bus, with the registry's gate: bound, put in place, and true to what the member says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from services.tenancy import pace
from services.tenancy.granting import clusters_of, picture
from services.tenancy.service import SERVICE
from services.tenancy.settings import TenancySettings
from skerry import subjects
from skerry.api.bindingstates import BindingStatesAnswer, BindingStatesRequest
from skerry.api.conditions import Verdict, condition_of, new_condition
from skerry.api.decode import decoded
from skerry.api.desired import Problem, Report, State
from skerry.api.kinds import ACCESS_GRANT, CLUSTER
from skerry.api.meta import Document
from skerry.bus import BucketConfig, Bus
from skerry.errors import BadRequest
from skerry.service import Process
from skerry.storage import Store
from skerry.storage.documents import item
from tests.fixtures.nats import NatsHost, eventually
from tests.fixtures.service import serving
from tests.registry.gate import CLUSTERS, Gate, opened_gate

pytestmark = pytest.mark.integration


def cluster(name: str = "m1", **labels: str) -> Document:
    conditions = [
        {"type": "Ready", "status": "True", "reason": "AgentConnected", "message": ""},
        {"type": "DesiredApplied", "status": "True", "reason": "Applied", "message": ""},
    ]
    spec = {"role": "member", "connection": {"mode": "agent"}}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": {"conditions": conditions}}


class World:
    """Tenancy, the registry's gate, and what both store."""

    def __init__(self, gate: Gate, process: Process, clusters: Store, grants: Store) -> None:
        self.gate, self.process, self.clusters, self.grants = gate, process, clusters, grants

    async def join(self, monkeypatch: pytest.MonkeyPatch, name: str = "m1", **labels: str) -> str:
        """A cluster, which the gate knows; its UID."""
        made = await self.clusters.create(cluster(name, **labels))
        monkeypatch.setitem(CLUSTERS, name, made.uid)
        return made.uid

    async def grant(self, name: str, *conditions: Document, **spec: Any) -> None:
        """A grant of edit in namespace shop on m1, as an earlier version stored it: bound to nothing."""
        base = {"subjects": [{"kind": "User", "name": "alice"}], "clusters": {"names": ["m1"]}, "role": "edit"}
        status = {"status": {"conditions": list(conditions)}} if conditions else {}
        await self.grants.create(
            {"metadata": {"name": name}, "spec": {**base, "namespaces": ["shop"], **spec}, **status}
        )

    def document(self, name: str) -> Document:
        stored = self.process.informer.get(ACCESS_GRANT, name)
        return {} if stored is None else stored.document()

    def enforced(self, name: str) -> Verdict:
        return condition_of(self.document(name), "Enforced")

    def states(self, name: str) -> list[tuple[str, str]]:
        clusters = (self.document(name).get("status") or {}).get("clusters") or ()
        return [(each["name"], each["state"]) for each in clusters]

    async def says(self, name: str, status: str, reason: str) -> None:
        """Wait until the grant does."""
        await eventually(lambda: self.enforced(name)[:2] == (status, reason), 20)

    async def report(self, *problems: Problem) -> None:
        """What m1 says: all was tried."""
        keys = await self.gate.client.keys("m1")
        applied = max(each.revision for each in keys.keys)
        await self.gate.desired.report("m1", Report(epoch=keys.epoch, applied=applied, problems=problems))

    async def wanted(self) -> list[str]:
        """Names of tenancy's entries for m1."""
        keys = (await self.gate.client.keys("m1")).keys
        return sorted(subjects.desired_key(each.key).name for each in keys if not subjects.is_complete(each.key))


@asynccontextmanager
async def opened(host: NatsHost) -> AsyncIterator[World]:
    async with opened_gate(host) as gate, serving(host, (SERVICE, TenancySettings())) as process:
        clusters = Store(await gate.bus.bucket(subjects.RESOURCES, create=BucketConfig()), CLUSTER)
        async with host.open_bus("tenancy") as bus:
            yield World(gate, process, clusters, Store(await bus.bucket(subjects.RESOURCES), ACCESS_GRANT))


async def states(proxy: Bus, name: str, *scopes: tuple[str, str]) -> list[tuple[str, str]]:
    """What tenancy tells a proxy of bindings."""
    question = msgspec.json.encode(BindingStatesRequest(cluster=name, scopes=scopes))
    answer = decoded((await proxy.request(subjects.BINDING_STATES, question)).data, BindingStatesAnswer)
    return [(each.state, each.message) for each in answer.states]


async def test_a_grant_is_bound_put_in_place_and_says_so_when_the_member_does(
    fresh_nats_host: NatsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(fresh_nats_host) as world:
        await world.grant("a")
        await world.says("a", "False", "NoCluster")
        uid = await world.join(monkeypatch)
        await world.says("a", "False", "Applying")
        assert world.document("a")["status"]["clusters"] == [{"name": "m1", "uid": uid, "state": "Applying"}]
        await wants(world, "skerry:edit", "skerry:namespaces")
        await world.report()
        await world.says("a", "True", "Enforced")
        assert world.enforced("a").message == "on m1"

        await world.report(
            Problem(key=_shop(world), revision=1, state=State.WAITING, message="namespace shop is missing")
        )
        await world.clusters.modify("m1", lambda document: _desired(document, "Problems"))
        await world.says("a", "False", "Waiting")
        async with fresh_nats_host.bus("proxy") as proxy:
            await proxy.ready()
            assert await states(proxy, "m1", ("edit", "shop"), ("view", "")) == [
                ("Waiting", "namespace shop is missing"),
                ("Enforced", ""),
            ]
            assert await states(proxy, "m1", ("edit", "till")) == [("Applying", "")]
            assert await states(proxy, "m7", ("view", "")) == [("NoCluster", "there is no such cluster (yet)")]
            for asked in ([("root", "")], [("view", "")] * 65):
                with pytest.raises(BadRequest, match="at most 64 scopes"):
                    await states(proxy, "m1", *asked)
        assert world.enforced("a").message == "waiting on m1 (namespace shop is missing)"

        await world.grant("whole", namespaces=[], clusters={"selector": {"matchLabels": {"env": "prod"}}})
        await world.says("whole", "False", "NoCluster")
        await world.clusters.modify("m1", lambda document: _labelled(document, env="prod"))
        await world.says("whole", "True", "Enforced")
        assert world.states("whole") == [("m1", "Enforced")]

        await world.clusters.delete("m1")
        await world.says("a", "False", "NoCluster")
        await world.join(monkeypatch, env="prod")
        await world.says("a", "False", "ClusterReplaced")
        assert world.document("a")["status"]["clusters"][0]["uid"] == uid


async def test_a_grant_ends_at_its_time_and_what_it_needed_goes(
    fresh_nats_host: NatsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(fresh_nats_host) as world:
        await world.join(monkeypatch)
        await world.grant("b", expires="2020-01-01T00:00:00Z")
        await world.says("b", "False", "Expired")
        await wants(world, without="skerry:namespaces")


async def test_what_was_not_in_place_for_long_and_is_changed_is_looked_at_as_often_as_what_is_new(
    fresh_nats_host: NatsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of a condition stays while its status does: it does not tell since when something is being put in place."""
    monkeypatch.setattr(pace, "LATER_S", 60.0)
    long_ago = {**new_condition("Enforced", Verdict("False", "NoCluster", ""), 0.0), "observedGeneration": 1}
    async with opened(fresh_nats_host) as world:
        await world.grant("a", long_ago)
        await world.join(monkeypatch)
        await world.says("a", "False", "Applying")
        await wants(world, "skerry:edit", "skerry:namespaces")
        await world.report()
        await world.says("a", "True", "Enforced")


async def wants(world: World, *names: str, without: str = "") -> None:
    """Wait until tenancy wants these on m1, among others, and the other not."""
    async with asyncio.timeout(20):
        while not {"skerry:view", *names} <= set(wanted := await world.wanted()) or without in wanted:
            await asyncio.sleep(0.05)


def _shop(world: World) -> str:
    return world.gate.client.key("m1", {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "skerry:edit", "namespace": "shop"},
    })  # fmt: skip


def _desired(document: Document, reason: str) -> Document:
    conditions = [
        each | ({"reason": reason} if each["type"] == "DesiredApplied" else {})
        for each in document["status"]["conditions"]
    ]
    return {**document, "status": {"conditions": conditions}}


def _labelled(document: Document, **labels: str) -> Document:
    return {**document, "metadata": {**document["metadata"], "labels": labels}}


def test_clusters_of_a_grant_and_what_counts_of_a_cluster() -> None:
    named = {"metadata": {"name": "g"}, "spec": {"clusters": {"names": ["m1", "m2"]}}}
    assert clusters_of(item(named, 1)) == ["m1", "m2"]
    assert clusters_of(item({"metadata": {"name": "g"}, "spec": {"clusters": {"selector": {}}}}, 1)) == ["*"]
    one, two = item(cluster(), 1), item(cluster() | {"status": {**cluster()["status"], "nodes": 3}}, 2)
    assert picture(one) == picture(two)
    assert picture(one) != picture(item(cluster(env="prod"), 3))
    assert picture(None) is None
