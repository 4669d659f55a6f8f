"""Events that no change tells: told without waiting, counted when they repeat, dropped rather than in the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from skerry import cloudevents, subjects
from skerry.api.kinds import EVENT
from skerry.bus import Bucket, Bus, Stream
from skerry.cloudevents import CloudEvent
from skerry.controller.kubernetes import LONGEST
from skerry.controller.publisher import EventPublisher
from skerry.controller.recorder import WAITING, Recorder
from skerry.errors import BadRequest, ServiceUnavailable
from skerry.informer import Informer
from skerry.storage import make_all
from skerry.storage.origin import Origin, on_behalf_of
from tests.fixtures.bucket import feeding
from tests.fixtures.nats import NatsHost


def about(name: str, revision: int = 0, **metadata: str) -> dict[str, Any]:
    """A document of an object."""
    known = {"resourceVersion": str(revision)} if revision else {}
    return {
        "apiVersion": "skerry.dev/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": name, "uid": f"uid-{name}", **known, **metadata},
    }


async def source() -> str:
    return "/hosts/u/test"


@asynccontextmanager
async def running(recorder: Recorder) -> AsyncIterator[None]:
    """`recorder`, until everything is stored."""
    task = asyncio.create_task(recorder.run())
    try:
        yield
        async with asyncio.timeout(10):
            await recorder.flushed()
    finally:
        task.cancel()
        await asyncio.wait((task,))


class Publisher:
    """Keeps what is published, or fails."""

    def __init__(self, *errors: Exception) -> None:
        self.events: list[CloudEvent] = []
        self.errors = list(errors)
        self.source = source

    async def publish(self, event: CloudEvent) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.events.append(event)


def recording(publisher: Publisher, **more: Any) -> Recorder:
    return Recorder(None, "proxy", publisher=publisher, **more)  # type: ignore[arg-type]


class TestTheQueue:
    async def test_what_waits_together_is_one_event_that_counts(self) -> None:
        publisher = Publisher()
        recorder = recording(publisher)
        for _ in range(5):
            recorder.system("Flooded", "m1", "too much")
        async with running(recorder):
            pass
        assert [(each.type, each.data.count) for each in publisher.events] == [("dev.skerry.system.flooded", 5)]

    async def test_what_repeats_is_told_once_a_second(self) -> None:
        publisher, now = Publisher(), 1000.0
        recorder = recording(publisher, clock=lambda: now)
        async with running(recorder):
            recorder.system("Flooded", "m1", "too much")
            await recorder.flushed()
            for _ in range(3):
                recorder.system("Flooded", "m1", "too much")
            recorder.system("Flooded", "m2", "too much")
            while len(publisher.events) < 2:
                await asyncio.sleep(0)
            assert [each.subject for each in publisher.events] == ["system/m1", "system/m2"]
            now += 1
        assert publisher.events[-1].data.count == 3

    async def test_a_flood_drops_the_oldest_and_counts_them(self) -> None:
        recorder = recording(Publisher())
        for number in range(WAITING + 10):
            recorder.system("Flooded", f"m{number}", "too much")
        assert recorder.dropped == 10
        publisher = Publisher()
        recorder._publisher = publisher  # type: ignore[assignment]
        async with running(recorder):
            while len(publisher.events) <= WAITING:
                await asyncio.sleep(0)
        assert publisher.events[-1].data.message.startswith("10 events are missing")

    async def test_what_cannot_be_published_for_now_waits_and_keeps_its_id(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("skerry.controller.recorder.RETRY_S", 0.01)
        publisher = Publisher(ServiceUnavailable("away"), ServiceUnavailable("away"))
        recorder = recording(publisher)
        recorder.member("Started", "m1", "an agent")
        async with running(recorder):
            pass
        (event,) = publisher.events
        assert event.id.endswith(":1")
        assert (event.type, event.subject, event.data.cluster) == ("dev.skerry.member.started", "member/m1", "m1")

    async def test_what_can_never_be_published_is_counted_and_in_nobodys_way(self) -> None:
        publisher = Publisher(BadRequest("no subject"))
        recorder = recording(publisher)
        recorder.system("Flooded", "m1", "first")
        recorder.system("Flooded", "m1", "second")
        async with running(recorder):
            pass
        assert publisher.events[0].data.message == "second"
        assert recorder.dropped == 1

    async def test_it_says_on_whose_behalf_it_happened_and_what_else_is_known(self) -> None:
        publisher = Publisher()
        recorder = recording(publisher)
        with on_behalf_of(Origin("alice", "a-1")):
            recorder.system("LimitReached", "streams", "a\nb", details={"limit": "5"}, cluster="m1", warning=False)
        async with running(recorder):
            pass
        (event,) = publisher.events
        assert (event.actor, event.auditid, event.data.message) == ("alice", "a-1", "a b")
        assert (event.data.type, event.data.details, event.data.cluster) == ("Normal", {"limit": "5"}, "m1")

    def test_a_reason_that_is_not_declared_is_a_bug(self) -> None:
        recorder = recording(Publisher())
        with pytest.raises(KeyError):
            recorder.system("Unheard", "m1", "x")
        with pytest.raises(KeyError):
            recorder.member("Flooded", "m1", "x")


@pytest.fixture
async def registry(nats_host: NatsHost) -> AsyncIterator[Bus]:
    """The registry's connection, and everything of the service table."""
    async with nats_host.bus("registry") as bus:
        await make_all(bus)
        yield bus


@pytest.fixture
async def events(registry: Bus) -> Bucket:
    """The bucket of Kubernetes Events."""
    return await registry.bucket(subjects.EVENTS)


async def told(events: Bucket, name: str, reason: str = "Ready") -> dict[str, Any]:
    """The one stored Event about `name` with that reason."""
    cache = Informer([EVENT])
    async with feeding(cache, events):
        documents = [item.document() for item in cache.list(EVENT)]
    (only,) = [each for each in documents if (each["involvedObject"]["name"], each["reason"]) == (name, reason)]
    return only


@pytest.mark.integration
class TestKubernetesEvents:
    async def test_an_event_says_what_happened_to_which_object(self, registry: Bus, events: Bucket) -> None:
        stream = Stream(registry, subjects.EVENT_STREAM)
        recorder = Recorder(events, "registry", publisher=EventPublisher(stream, "registry", source))
        recorder.normal(about("a", 7), "Ready", "it is ready")
        async with running(recorder):
            pass
        document = await told(events, "a")
        assert document["involvedObject"] == {
            "apiVersion": "skerry.dev/v1alpha1",
            "kind": "Cluster",
            "name": "a",
            "uid": "uid-a",
            "resourceVersion": "7",
        }
        assert (document["reason"], document["type"], document["count"]) == ("Ready", "Normal", 1)
        assert document["firstTimestamp"] == document["lastTimestamp"]
        assert document["reportingComponent"] == document["source"]["component"] == "registry"
        (message,) = (await stream.read("event.cluster.a.*")).messages
        event = cloudevents.from_message(message.headers, message.data)
        assert (event.subject, event.data.message) == ("cluster/a", "it is ready")

    async def test_one_revision_counts_once_whoever_tells_it_and_another_one_counts_on(self, events: Bucket) -> None:
        for revision in (1, 1, 2, 3, 2):
            recorder = Recorder(events, "registry")
            recorder.normal(about("b", revision), "Ready", "it is ready")
            async with running(recorder):
                pass
        assert (await told(events, "b"))["count"] == 3

    async def test_an_event_of_a_namespaced_object_is_in_its_namespace(self, events: Bucket) -> None:
        recorder = Recorder(events, "registry")
        recorder.normal(about("c", namespace="shop"), "Ready", "it is ready")
        recorder.warning(about("d"), "NotReady", "x" * 5000)
        async with running(recorder):
            pass
        assert (await told(events, "c"))["metadata"]["namespace"] == "shop"
        other = await told(events, "d", "NotReady")
        assert (other["metadata"]["namespace"], len(other["message"])) == ("default", LONGEST)
