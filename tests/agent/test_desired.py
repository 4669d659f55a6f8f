"""An agent's side of desired state on a real bus: what it hears, asks, believes and says. (Applying: tests/desired.)"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import msgspec
import pytest

from services.agent.desired import DesiredState
from services.agent.store import Membership
from skerry import subjects
from skerry.api.decode import decoded
from skerry.api.desired import Report, State, SyncRequest, WithdrawOrder
from skerry.api.messages import Direction
from skerry.api.v1alpha1 import Ceiling
from skerry.bus import Bus, Connection, Message
from skerry.desired.entry import signed_order
from skerry.errors import ServiceUnavailable
from skerry.http.exchange import Exchange
from skerry.identity import nkey
from skerry.identity.trust import is_signed
from skerry.member.bindings import binding
from skerry.member.upstream import Upstream
from skerry.subjects import complete_key
from tests.desired.bucket import CLUSTER, HOST, Bucket
from tests.fixtures.nats import NatsHost, eventually
from tests.member.apiserver import BINDINGS, JSON, ApiServer

pytestmark = pytest.mark.integration

SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "default"}}
"""What no owner may want: it is refused without an API server."""


class Registry:
    """The host's side: a bucket, answers to syncs, and the reports that came."""

    def __init__(self, bus: Bus) -> None:
        self.bus, self.bucket = bus, Bucket()
        self.reports: list[Report] = []
        self.leaving = 0

    async def start(self) -> None:
        """Answer member m1."""
        endpoints = {subjects.desired_sync("m1"): self._sync, subjects.desired_report("m1"): self._report}
        self.bus.serve("registry", "0", endpoints, description="")
        await self.bus.ready()

    async def _sync(self, message: Message) -> bytes:
        return msgspec.json.encode(await self.bucket.sync(decoded(message.data, SyncRequest)))

    async def _report(self, message: Message) -> bytes:
        self.reports.append(decoded(message.data, Report))
        return b"{}"

    async def publish(self, key: str) -> None:
        """A stored change, as the server publishes it again."""
        revision, data = self.bucket.entries[key]
        member, _, rest = key.partition(".")
        headers = {"Nats-Sequence": str(revision), **({} if data else {"KV-Operation": "PURGE"})}
        await self.bus.publish(f"down.{member}.desired.{rest}", data or b"", headers=headers)

    async def left(self) -> None:
        """The agent is told that its member leaves."""
        self.leaving += 1

    async def order(self, id_: str, cluster: str = CLUSTER, name: str = "m1", *, forged: bool = False) -> None:
        """Everything is to go from m1."""
        root = nkey.create(nkey.KeyType.ACCOUNT) if forged else self.bucket.root
        text = signed_order(name, WithdrawOrder(cluster=cluster, id=id_), root.sign)
        await self.bus.publish(subjects.desired_order("m1"), text)


@pytest.fixture
async def registry(nats_host: NatsHost) -> AsyncIterator[Registry]:
    async with nats_host.open_bus("registry") as bus:
        made = Registry(bus)
        await made.start()
        yield made


@pytest.fixture
async def connection(nats_host: NatsHost) -> AsyncIterator[Connection]:
    """Of an agent of m1."""
    _, credentials = await nats_host.member("m1")
    async with nats_host.connection(credentials) as made:
        yield made


@pytest.fixture
async def desired(registry: Registry, upstream: Upstream) -> AsyncIterator[DesiredState]:
    """An agent's side that runs and leads, without a connection."""
    membership: Any = Membership(
        member="m1",
        host="h",
        host_uid=HOST,
        servers=[],
        ca="",
        assertion_root=registry.bucket.root.public,
        cluster_uid="u",
    )
    made = DesiredState(
        membership, partial(is_signed, membership.roots), upstream, Ceiling(), lambda: 1000.0, registry.left
    )
    made.directed(Direction(epoch="", last=0, lead=True))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(made.run())
        yield made
        task.cancel()


async def test_what_it_should_have_is_asked_for_on_each_new_connection(
    desired: DesiredState, registry: Registry, connection: Connection
) -> None:
    key = registry.bucket.put("tenancy", SECRET)
    assert desired.progress.epoch == ""
    await desired.attach(connection)
    await eventually(lambda: key in desired.applier.state.entries)
    await eventually(lambda: bool(desired.progress.epoch) and desired.progress.applied == registry.bucket.last)


async def test_a_change_is_heard_live_and_what_became_of_it_is_said(
    desired: DesiredState, registry: Registry, connection: Connection
) -> None:
    await desired.attach(connection)
    await eventually(lambda: bool(desired.progress.epoch))
    key = registry.bucket.put("tenancy", SECRET)
    await registry.publish(key)
    await eventually(lambda: bool(registry.reports) and bool(registry.reports[-1].problems))
    (problem,) = registry.reports[-1].problems
    assert (problem.key, problem.state) == (key, State.REFUSED)
    assert registry.reports[-1].counts == {"tenancy": {"Refused": 1}}


async def test_who_does_not_lead_follows_and_neither_applies_nor_reports(
    desired: DesiredState, registry: Registry, connection: Connection
) -> None:
    desired.directed(Direction(epoch="", last=0, lead=False))
    key = registry.bucket.put("tenancy", SECRET)
    await desired.attach(connection)
    await eventually(lambda: key in desired.applier.state.entries)
    assert desired.applier.state.entries[key].state is State.PENDING
    desired.directed(Direction(epoch="e1", last=registry.bucket.last, lead=True))
    await eventually(lambda: bool(registry.reports))


async def test_who_leads_no_more_when_its_turn_to_write_comes_writes_nothing_and_goes_on_when_it_leads_again(
    desired: DesiredState, registry: Registry, connection: Connection, api: ApiServer
) -> None:
    methods: list[bytes] = []

    async def kinds(exchange: Exchange) -> None:
        served = {"name": "clusterrolebindings", "kind": "ClusterRoleBinding", "namespaced": False}
        await exchange.respond(200, JSON, msgspec.json.encode({"resources": [served]}))

    async def object_(exchange: Exchange) -> None:
        await exchange.body(1 << 20)
        if not methods:
            desired.directed(Direction(epoch="", last=0, lead=False))
        methods.append(exchange.head.method)
        status = 404 if exchange.head.method == b"GET" else 201
        await exchange.respond(status, JSON, b'{"metadata": {"uid": "o1"}}')

    api.routes["/apis/rbac.authorization.k8s.io/v1"] = kinds
    api.routes[f"{BINDINGS}/skerry%3Aview"] = object_
    key = registry.bucket.put("tenancy", binding("view"))
    await desired.attach(connection)
    await eventually(lambda: bool(methods) and desired.applier._idle.is_set())
    assert methods == [b"GET"]
    desired.directed(Direction(epoch="", last=0, lead=True))
    await eventually(lambda: desired.applier.state.entries[key].state is State.APPLIED)
    assert methods[-2:] == [b"GET", b"PATCH"]


async def test_a_heartbeats_answer_that_is_ahead_makes_it_ask(
    desired: DesiredState, registry: Registry, connection: Connection
) -> None:
    await desired.attach(connection)
    await eventually(lambda: bool(desired.progress.epoch))
    key = registry.bucket.put("tenancy", SECRET)
    desired.directed(Direction(epoch="e1", last=registry.bucket.last, lead=True))
    await eventually(lambda: key in desired.applier.state.entries)


async def test_an_older_host_that_answers_no_sync_changes_nothing(desired: DesiredState, nats_host: NatsHost) -> None:
    _, credentials = await nats_host.member("m2")
    desired._member = desired._registry._member = "m2"
    async with nats_host.connection(credentials) as connection:
        await desired.attach(connection)
        desired.directed(None)
        with pytest.raises(ServiceUnavailable):
            await desired._registry.sync(SyncRequest())
    assert desired.progress.epoch == ""


async def test_without_a_connection_it_waits(desired: DesiredState) -> None:
    with pytest.raises(ServiceUnavailable, match="not connected"):
        await desired._registry.sync(SyncRequest())


async def test_an_order_of_its_host_has_everything_withdrawn_and_says_so(
    desired: DesiredState, registry: Registry, connection: Connection
) -> None:
    registry.bucket.put("tenancy", SECRET)
    await desired.attach(connection)
    await eventually(lambda: bool(registry.reports))
    await registry.order("o1")
    await eventually(lambda: registry.reports[-1].order == "o1")
    assert desired.applier.ending
    assert registry.leaving == 1
    said = len(registry.reports)
    await registry.order("o1")
    await eventually(lambda: len(registry.reports) > said)


@pytest.mark.timeout(30)
async def test_what_became_of_an_order_is_said_again_when_nobody_heard_it_and_nothing_stands_still_meanwhile(
    desired: DesiredState, registry: Registry, connection: Connection, nats_host: NatsHost
) -> None:
    """The connection of who leaves is cut, maybe before it is heard: the agent must go on, to learn that it was removed."""
    await desired.attach(connection)
    await eventually(lambda: bool(registry.reports))
    await registry.order("o1")
    await eventually(lambda: registry.reports[-1].order == "o1")
    connection.abort("cut")
    await connection.closed()
    desired.applier.report_again()
    await asyncio.sleep(0.1)
    said = len(registry.reports)
    _, credentials = await nats_host.member("m1")
    async with nats_host.connection(credentials) as other:
        await desired.attach(other)
        await eventually(lambda: len(registry.reports) > said)
        assert registry.reports[-1].order == "o1"


@pytest.mark.parametrize("change", [{"cluster": "another"}, {"name": "m2"}, {"forged": True}])
async def test_an_order_for_another_membership_or_of_another_host_does_nothing(
    desired: DesiredState, registry: Registry, connection: Connection, change: dict[str, Any]
) -> None:
    key = registry.bucket.put("tenancy", SECRET)
    await desired.attach(connection)
    await eventually(lambda: bool(registry.reports) and bool(registry.reports[-1].problems))
    await registry.order("o1", **change)
    other = registry.bucket.put("tenancy", {**SECRET, "metadata": {"name": "b", "namespace": "default"}})
    await registry.publish(other)
    await eventually(lambda: len(registry.reports[-1].problems) == 2)
    assert not desired.applier.ending
    assert {each.key for each in registry.reports[-1].problems} == {key, other}


async def test_a_replica_that_does_not_lead_withdraws_nothing_and_applies_nothing_any_more(
    desired: DesiredState, registry: Registry, connection: Connection
) -> None:
    key = registry.bucket.put("tenancy", SECRET)
    desired.applier.lead = False
    await desired.attach(connection)
    await eventually(lambda: key in desired.applier.state.entries)
    await registry.order("o1")
    await eventually(lambda: desired.applier.ending)
    assert registry.reports == []


async def test_a_pause_ends_with_a_bucket_that_is_made_anew_once_the_host_says_that_it_wants_none(
    desired: DesiredState, registry: Registry, connection: Connection
) -> None:
    settings = {
        "apiVersion": "skerry.dev/v1alpha1",
        "kind": "AgentSettings",
        "metadata": {"name": "agent"},
        "spec": {"paused": True},
    }
    registry.bucket.put("registry", settings)
    await desired.attach(connection)
    await eventually(lambda: desired.applier.paused)
    registry.bucket.made_anew("e2")
    desired.directed(Direction(epoch="e2", last=1, lead=True))
    await eventually(lambda: desired.applier.state.epoch == "e2")
    assert desired.applier.paused
    registry.bucket.complete("registry")
    await registry.publish(complete_key("m1", "registry"))
    await eventually(lambda: not desired.applier.paused)
