"""Events: told without waiting, counted when they repeat, dropped rather than in the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from skerry.api.kinds import EVENT
from skerry.bus import Bucket
from skerry.controller.recorder import LONGEST, WAITING, Recorder
from skerry.storage import Store, events_bucket
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
        yield await events_bucket(bus)


async def stored(events: Bucket, recorder: Recorder, name: str, namespace: str = "default") -> dict[str, Any]:
    """The one Event about `name`, once everything is stored."""
    running = asyncio.ensure_future(recorder.run())
    async with asyncio.timeout(10):
        await recorder.flushed()
    running.cancel()
    key = recorder._document(about(name, namespace=namespace), "Normal", "Ready", "it is ready")["metadata"]["name"]
    return (await Store(events, EVENT).get(key, namespace)).document()


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
    other = recorder._document(about("d"), "Warning", "NotReady", "x" * LONGEST)["metadata"]["name"]
    assert len((await Store(events, EVENT).get(other, "default")).document()["message"]) == LONGEST


async def test_a_flood_drops_the_oldest(events: Bucket) -> None:
    recorder = Recorder(events, "registry")
    for number in range(WAITING + 10):
        recorder.normal(about(f"e{number}"), "Ready", "it is ready")
    assert len(recorder._waiting) == WAITING
