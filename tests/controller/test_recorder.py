"""Events: told without waiting, counted when they repeat, dropped rather than in the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from skerry import subjects
from skerry.api.kinds import EVENT
from skerry.bus import Bucket
from skerry.controller.recorder import LONGEST, WAITING, Recorder
from skerry.informer import Informer
from skerry.storage import make_bucket
from tests.fixtures.bucket import feeding
from tests.fixtures.nats import NatsHost

pytestmark = pytest.mark.integration


def about(name: str, revision: int = 0, **metadata: str) -> dict[str, Any]:
    """A document of an object."""
    known = {"resourceVersion": str(revision)} if revision else {}
    return {
        "apiVersion": "skerry.dev/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": name, "uid": f"uid-{name}", **known, **metadata},
    }


@pytest.fixture
async def events(nats_host: NatsHost) -> AsyncIterator[Bucket]:
    """The bucket of Events."""
    async with nats_host.bus("registry") as bus:
        yield await make_bucket(bus, subjects.EVENTS)


async def told(events: Bucket, name: str, reason: str) -> dict[str, Any]:
    """The one stored Event about `name` with that reason."""
    cache = Informer([EVENT])
    async with feeding(cache, events):
        documents = [item.document() for item in cache.list(EVENT)]
    (found,) = [each for each in documents if (each["involvedObject"]["name"], each["reason"]) == (name, reason)]
    return found


async def stored(events: Bucket, recorder: Recorder, name: str, namespace: str = "default") -> dict[str, Any]:
    """The one Event about `name`, once everything is stored."""
    running = asyncio.ensure_future(recorder.run())
    async with asyncio.timeout(10):
        await recorder.flushed()
    running.cancel()
    found = await told(events, name, "Ready")
    assert found["metadata"]["namespace"] == namespace
    return found


async def test_an_event_says_what_happened_to_which_object(events: Bucket) -> None:
    recorder = Recorder(events, "registry")
    recorder.normal(about("a", 7), "Ready", "it is ready")
    found = await stored(events, recorder, "a")
    assert found["involvedObject"] == {
        "apiVersion": "skerry.dev/v1alpha1",
        "kind": "Cluster",
        "name": "a",
        "uid": "uid-a",
        "resourceVersion": "7",
    }
    assert (found["reason"], found["type"], found["count"]) == ("Ready", "Normal", 1)
    assert found["firstTimestamp"] == found["lastTimestamp"]
    assert found["reportingComponent"] == found["source"]["component"] == "registry"


async def test_what_waits_together_is_counted_together(events: Bucket) -> None:
    recorder = Recorder(events, "registry")
    for revision in (1, 2, 3):
        recorder.normal(about("b", revision), "Ready", "it is ready")
    assert (await stored(events, recorder, "b"))["count"] == 3


async def test_an_event_of_a_namespaced_object_is_in_its_namespace(events: Bucket) -> None:
    recorder = Recorder(events, "registry")
    recorder.normal(about("c", namespace="shop"), "Ready", "it is ready")
    assert (await stored(events, recorder, "c", "shop"))["metadata"]["namespace"] == "shop"


async def test_another_message_is_another_event(events: Bucket) -> None:
    recorder = Recorder(events, "registry")
    recorder.normal(about("d"), "Ready", "it is ready")
    recorder.warning(about("d"), "NotReady", "x" * 5000)
    assert (await stored(events, recorder, "d"))["count"] == 1
    assert len((await told(events, "d", "NotReady"))["message"]) == LONGEST


async def test_a_flood_drops_the_oldest(events: Bucket) -> None:
    recorder = Recorder(events, "registry")
    for number in range(WAITING + 10):
        recorder.normal(about(f"e{number}"), "Ready", "it is ready")
    assert len(recorder._waiting) == WAITING
