"""Events derived from what is stored: each once and in order, whoever dies in between."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from skerry import cloudevents, subjects
from skerry.api.kinds import CLUSTER, EVENT, KINDS
from skerry.api.meta import Document
from skerry.bus import Bus, Consumer, PubAck, Stream
from skerry.bus.jetstream import api
from skerry.cloudevents import CloudEvent
from skerry.controller import derivation
from skerry.controller.derivation import Derivation, consumer_config
from skerry.controller.kubernetes import KubernetesEvents
from skerry.controller.publisher import EventPublisher
from skerry.errors import ServiceUnavailable
from skerry.informer import Informer
from skerry.storage import Store, make_all
from skerry.storage.origin import Origin, on_behalf_of
from tests.fixtures.bucket import cluster, feeding
from tests.fixtures.nats import NatsHost

pytestmark = pytest.mark.integration
KINDS_OF = [kind for kind in KINDS if kind.owner == "registry"]


class Died(Exception):
    """The leader was killed."""


class Leading:
    """Who leads for as long as the test says."""

    held = True

    def check(self) -> None:
        if not self.held:
            raise ServiceUnavailable("does not lead")

    async def changed(self) -> None:
        await asyncio.Event().wait()


class World:
    """A store with Clusters, and replicas that derive events of them."""

    def __init__(self, bus: Bus) -> None:
        self.bus, self.events = bus, Stream(bus, subjects.EVENT_STREAM)
        self.clusters: Store
        self.kubernetes: KubernetesEvents

    async def open(self) -> None:
        resources = await self.bus.bucket(subjects.RESOURCES)
        self.clusters = Store(resources, CLUSTER)
        self.kubernetes = KubernetesEvents(await self.bus.bucket(subjects.EVENTS), "registry")
        await self.consumer()

    async def consumer(self) -> Consumer:
        config = consumer_config(KINDS_OF, "registry", 1)
        return await self.bus.consumer(f"KV_{subjects.RESOURCES}", subjects.derivation("registry"), config)

    def replica(self, **faults: Any) -> Derivation:
        """One that dies where `faults` says."""

        async def source() -> str:
            return "/hosts/u/registry"

        publisher = _Publisher(self.events, "registry", source)
        kubernetes = self.kubernetes
        publisher.before, publisher.after = faults.get("before"), faults.get("after")
        made = Derivation(
            self.consumer, Stream(self.bus, f"KV_{subjects.RESOURCES}"), KINDS_OF, publisher, kubernetes, Leading()
        )
        if acknowledging := faults.get("acknowledging"):
            made._acknowledge = acknowledging  # type: ignore[method-assign]
        return made

    @contextlib.asynccontextmanager
    async def running(self, **faults: Any) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.replica(**faults).run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait((task,))

    async def told(self, name: str = "*") -> list[CloudEvent]:
        page = await self.events.read(f"event.cluster.{name}.*")
        return [cloudevents.from_message(each.headers, each.data, each.sequence) for each in page.messages]

    async def verbs(self, name: str) -> list[str]:
        return [each.verb for each in await self.told(name)]

    async def quiet(self) -> None:
        """Until all writes are told and acknowledged."""
        consumer = await self.consumer()
        async with asyncio.timeout(20):
            while (state := await consumer.state()).pending or state.unacknowledged:
                await asyncio.sleep(0.02)

    async def ready(self, name: str, status: str) -> None:
        """A write that makes a Cluster ready, or not."""
        condition = {"type": "Ready", "status": status, "reason": "Test", "message": status, "lastTransitionTime": ""}
        await self.clusters.modify(name, lambda document: {**document, "status": {"conditions": [condition]}})


class _Publisher(EventPublisher):
    before: Callable[[CloudEvent], None] | None = None
    after: Callable[[CloudEvent], None] | None = None

    async def publish(self, event: CloudEvent) -> PubAck:
        if self.before is not None:
            self.before(event)
        ack = await super().publish(event)
        if self.after is not None:
            self.after(event)
        return ack


@pytest.fixture
async def world(fresh_nats_host: NatsHost) -> AsyncIterator[World]:
    async with fresh_nats_host.bus("registry") as bus:
        await make_all(bus)
        made = World(bus)
        await made.open()
        yield made


def die(event: object = None) -> None:
    raise Died


async def story(world: World) -> list[str]:
    """Writes of one Cluster, and what is to be told of them."""
    await world.clusters.create(cluster("m1"))
    for status in ("True", "False", "True"):
        await world.ready("m1", status)
    await world.clusters.delete("m1")
    return ["joined", "ready", "notready", "ready", "removed"]


async def test_what_is_stored_is_told_with_who_did_it(world: World) -> None:
    async with world.running():
        with on_behalf_of(Origin("alice", "audit-1", "00-trace")):
            expected = await story(world)
        await world.quiet()
    events = await world.told("m1")
    assert [each.verb for each in events] == expected
    first = events[0]
    assert (first.actor, first.auditid, first.traceparent) == ("alice", "audit-1", "00-trace")
    assert (first.source, first.subject, first.data.cluster) == ("/hosts/u/registry", "cluster/m1", "m1")
    not_ready = events[2]
    assert (not_ready.data.from_["ready"], not_ready.data.to["ready"]) == ("True", "False")  # type: ignore[index]
    assert "spec" not in cloudevents.structured(not_ready).decode().replace("specversion", "")


async def test_a_services_own_writes_are_its_own(world: World) -> None:
    async with world.running():
        await world.clusters.create(cluster("m2"))
        await world.quiet()
    assert [each.actor for each in await world.told("m2")] == ["service:registry"]


@pytest.mark.parametrize("where", ["before", "after", "acknowledging"])
async def test_each_event_is_told_once_whenever_the_leader_dies(world: World, where: str) -> None:
    """Before a publish, after it is stored, and before what was told is acknowledged."""
    expected = await story(world)
    for _ in range(3):
        async with world.running(**{where: die}) as task:
            await asyncio.wait((task,), timeout=10)
        assert isinstance(task.exception(), Died)
    async with world.running():
        await world.quiet()
    assert await world.verbs("m1") == expected


async def test_what_was_told_long_ago_and_never_acknowledged_is_not_told_again(
    world: World, fresh_nats_host: NatsHost
) -> None:
    """Longer ago than the stream remembers ids: the last event on the subject says it."""
    expected = await story(world)
    async with world.running(acknowledging=die) as task:
        await asyncio.wait((task,), timeout=10)
    before = await world.verbs("m1")
    config = (await world.events.info())["config"] | {"duplicate_window": 100_000_000}
    async with fresh_nats_host.open_bus("operator") as bus:
        await api(await bus.connection(5), f"STREAM.UPDATE.{world.events.name}", json.dumps(config).encode())
        while not await _is_forgotten(bus):
            await asyncio.sleep(0.05)
    async with world.running():
        await world.quiet()
    assert before == expected[:1]
    assert await world.verbs("m1") == expected


async def test_two_replicas_that_race_tell_each_event_once(world: World) -> None:
    async with world.running(), world.running():
        expected = await story(world)
        await world.quiet()
    assert sorted(await world.verbs("m1")) == sorted(expected)


async def test_seven_writes_while_nobody_reads_are_all_told(world: World) -> None:
    await world.clusters.create(cluster("m1"))
    for number in range(7):
        await world.ready("m1", "True" if number % 2 == 0 else "False")
    async with world.running():
        await world.quiet()
    assert await world.verbs("m1") == ["joined", *(["ready", "notready"] * 4)[:7]]


async def test_of_twenty_writes_a_gap_is_told_and_the_last_ones(world: World) -> None:
    await world.clusters.create(cluster("m1"))
    for number in range(20):
        await world.ready("m1", "True" if number % 2 == 0 else "False")
    async with world.running():
        await world.quiet()
    verbs = await world.verbs("m1")
    assert verbs[0] == "gap"
    assert verbs[1:] == (["ready", "notready"] * 4)[:7] or verbs[1:] == (["notready", "ready"] * 4)[:7]


async def test_the_end_of_an_object_is_told_even_behind_a_gap(world: World) -> None:
    await world.clusters.create(cluster("m1"))
    for number in range(20):
        await world.ready("m1", "True" if number % 2 == 0 else "False")
    await world.clusters.delete("m1")
    async with world.running():
        await world.quiet()
    assert (await world.verbs("m1"))[-1] == "removed"


async def test_a_restart_of_the_bus_loses_nothing(world: World, fresh_nats_host: NatsHost) -> None:
    async with world.running():
        await world.clusters.create(cluster("m1"))
        await world.ready("m1", "True")
        fresh_nats_host.restart()
        await world.bus.ready()
        await world.ready("m1", "False")
        await world.quiet()
    assert await world.verbs("m1") == ["joined", "ready", "notready"]


async def test_kubernetes_events_come_from_the_same_description(world: World) -> None:
    async with world.running():
        expected = await story(world)
        await world.quiet()
    cache = Informer([EVENT])
    async with feeding(cache, await world.bus.bucket(subjects.EVENTS)):
        documents: list[Document] = [item.document() for item in cache.list(EVENT)]
    assert {each["reason"].lower() for each in documents} == set(expected)
    (ready,) = [each for each in documents if each["reason"] == "Ready"]
    assert ready["count"] == 2


async def _is_forgotten(bus: Bus) -> bool:
    """True if the stream took an id again that it was given before."""
    stream = Stream(bus, subjects.EVENT_STREAM)
    return not (await stream.publish("event.system.probe.probe", b"", message_id="probe")).duplicate


def test_filters_are_of_kinds() -> None:
    assert derivation.filter_of(CLUSTER) == "$KV.resources.skerry=2Edev.cluster.>"
