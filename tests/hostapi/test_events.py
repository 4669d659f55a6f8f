"""Events as clients see them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.hostapi.conftest import DEADLINE_S, World

pytestmark = pytest.mark.integration

CORE = "/api/v1/namespaces/default/events"
EVENTS_V1 = "/apis/events.k8s.io/v1/namespaces/default/events"


async def told(world: World, name: str, reason: str = "Joined") -> dict[str, Any]:
    """An Event about a Cluster, stored."""
    await world.made(name)
    about: dict[str, Any] = (await world.ask(f"/apis/skerry.dev/v1alpha1/clusters/{name}")).json()
    world.recorder.normal(about, reason, f"{name} joined")
    async with asyncio.timeout(DEADLINE_S):
        await world.recorder.flushed()
    return about


async def test_events_are_served_in_both_groups(world: World) -> None:
    about = await told(world, "m1")
    found = await about_object(world, CORE, "involvedObject", about)
    assert found["involvedObject"]["uid"] == about["metadata"]["uid"]
    assert (found["reason"], found["message"], found["count"], found["type"]) == ("Joined", "m1 joined", 1, "Normal")
    other = await about_object(world, EVENTS_V1, "regarding", about)
    assert other["regarding"] == found["involvedObject"]
    assert (other["note"], other["apiVersion"]) == ("m1 joined", "events.k8s.io/v1")
    assert other["metadata"] == found["metadata"]


async def about_object(world: World, path: str, field: str, about: dict[str, Any]) -> Any:
    selector = f"{field}.name%3D{about['metadata']['name']},{field}.uid%3D{about['metadata']['uid']}"
    items = (await world.ask(f"{path}?fieldSelector={selector}")).json()["items"]
    assert len(items) == 1
    return items[0]


async def test_what_repeats_is_counted(world: World) -> None:
    about = await told(world, "m2", "Ready")
    for revision in ("90001", "90002"):
        again = {**about, "metadata": {**about["metadata"], "resourceVersion": revision}}
        world.recorder.normal(again, "Ready", "m2 joined")
        await world.recorder.flushed()
    found = await about_object(world, CORE, "involvedObject", about)
    assert (found["count"], found["series"]["count"]) == (3, 3)


async def test_one_change_told_by_two_replicas_counts_once(world: World) -> None:
    about = await told(world, "m3", "Ready")
    world.recorder.normal(about, "Ready", "m3 joined")
    await world.recorder.flushed()
    assert (await about_object(world, CORE, "involvedObject", about))["count"] == 1


async def test_events_can_be_watched(world: World) -> None:
    listed = (await world.ask("/api/v1/events")).json()["metadata"]["resourceVersion"]
    async with (
        world.watching(f"/api/v1/events?watch=1&resourceVersion={listed}") as lines,
        world.watching(f"{EVENTS_V1}?watch=1&resourceVersion={listed}") as others,
    ):
        await told(world, "m4")
        kind, name = await lines.told()
        assert (kind, name.partition(".")[0]) == ("ADDED", "m4")
        assert (await others.next())["object"]["note"] == "m4 joined"


async def test_events_cannot_be_written(world: World) -> None:
    assert (await world.ask(CORE, "POST", {})).status == 405


async def test_kubectl_describe_and_events_show_history(world: World, tmp_path: Path) -> None:
    await told(world, "m5")
    code, out, err = await world.kubectl("describe", "cluster", "m5", home=tmp_path)
    assert (code, err) == (0, "")
    assert "m5 joined" in out.partition("Events:")[2]
    for command in (("events", "--for", "cluster/m5"), ("get", "events"), ("get", "ev", "-A", "-o", "wide")):
        code, out, err = await world.kubectl(*command, home=tmp_path)
        assert (code, err) == (0, "")
        assert "m5 joined" in out
