"""An older replica beside a newer one erases nothing that it does not know.

A newer version wrote fields that this one has never heard of, in metadata, spec, lists and status. Every write through
this version keeps them, but one: a PUT replaces an object by what the client sends, so a client that leaves a field out
removes it, as in Kubernetes; a client that sends back what it was shown keeps it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from services.registry import clusters, direct
from services.registry.model import Agent, MemberAgents, Now, PresenceStatus
from skerry.api.conditions import Verdict
from skerry.api.kinds import CLUSTER, WORKSPACE
from skerry.api.messages import Heartbeat, Inventory
from skerry.api.meta import Document
from skerry.api.v1alpha1 import APIVersions, Platform
from skerry.storage import Store
from skerry.storage.documents import Item
from tests.durability.front import APPLY, JSON_PATCH, MERGE, WORKSPACES
from tests.fixtures.nats import NatsHost
from tests.hostapi.conftest import World, world

__all__ = ["world"]
pytestmark = pytest.mark.integration

Write = Callable[[World, Document], Awaitable[object]]
TARGET = f"{WORKSPACES}/newer"


async def newer(nats_host: NatsHost, world: World) -> Item:
    """A Workspace as a newer tenancy would store it."""
    document = {
        "metadata": {"name": "newer", "labels": {"a": "1"}, "annotations": {"b": "2"}},
        "spec": {
            "displayName": "first",
            "futureSpec": {"deep": [1, {"x": None}]},
            "members": [{"kind": "User", "name": "al", "role": "view", "futureMember": "kept"}],
            "clusters": {"names": ["c", "x"]},
            "namespaces": [{"cluster": "c", "name": "n"}],
        },
        "status": {"futureStatus": True, "conditions": []},
        "futureTop": {"kept": "yes"},
    }
    async with nats_host.bus("tenancy") as owner:
        await owner.ready()
        store = Store(await owner.bucket("resources"), WORKSPACE)
        if await store.find("newer") is not None:
            await store.delete("newer")
        made = await store.create(document)
    await world.cache.reached(made.revision)
    return made


def kept(found: Document, *, member: bool = True) -> None:
    """Every field of the future is there."""
    assert found["futureTop"] == {"kept": "yes"}
    assert found["spec"]["futureSpec"] == {"deep": [1, {"x": None}]}
    assert found["status"]["futureStatus"] is True
    if member:
        assert found["spec"]["members"][0]["futureMember"] == "kept"


def patch(body: object, media: str, query: str = "") -> Write:
    """A PATCH."""

    async def write(world: World, live: Document) -> object:
        answer = await world.ask(TARGET + query, "PATCH", body, {"content-type": media})
        assert answer.status == 200, answer.body
        return answer

    return write


def applied(spec: Document, query: str = "") -> Write:
    """A server-side apply."""
    body = {"apiVersion": "skerry.dev/v1alpha1", "kind": "Workspace", "metadata": {"name": "newer"}, "spec": spec}
    return patch(body, APPLY, f"?fieldManager=m&force=true{query}")


async def put_back(world: World, live: Document) -> object:
    """An edit of what was shown: kubectl edit."""
    live["spec"]["displayName"] = "edited"
    answer = await world.ask(TARGET, "PUT", live, {"content-type": "application/json"})
    assert answer.status == 200, answer.body
    return answer


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(patch({"spec": {"displayName": "second"}}, MERGE), id="merge-patch"),
        pytest.param(patch({"metadata": {"labels": {"c": "3", "a": None}}}, MERGE), id="label"),
        pytest.param(patch({"metadata": {"annotations": {"c": "3"}}}, MERGE, "?fieldManager=x"), id="annotate"),
        pytest.param(
            patch([{"op": "replace", "path": "/spec/displayName", "value": "second"}], JSON_PATCH), id="json-patch"
        ),
        pytest.param(
            patch([{"op": "add", "path": "/spec/members/-", "value": {"kind": "User", "name": "bo"}}], JSON_PATCH),
            id="json-patch-of-a-list",
        ),
        pytest.param(applied({"displayName": "second"}), id="apply"),
        pytest.param(applied({"members": [{"kind": "User", "name": "bo"}]}), id="apply-of-a-list"),
        pytest.param(applied({"members": [{"kind": "User", "name": "al", "role": "edit"}]}), id="apply-of-an-item"),
        pytest.param(put_back, id="edit"),
        pytest.param(patch({"metadata": {"finalizers": ["x.dev/y"]}}, MERGE), id="finalizers"),
    ],
)
async def test_a_write_keeps_what_this_version_does_not_know(nats_host: NatsHost, world: World, write: Write) -> None:
    await newer(nats_host, world)
    live = (await world.ask(TARGET)).json()
    kept(live)
    await write(world, live)
    found = (await world.ask(TARGET)).json()
    assert found["metadata"]["resourceVersion"] != live["metadata"]["resourceVersion"], "nothing was written"
    kept(found)
    if found["metadata"].get("finalizers"):
        await patch({"metadata": {"finalizers": None}}, MERGE)(world, found)
        kept((await world.ask(TARGET)).json())


async def test_apply_twice_gives_up_its_own_fields_alone(nats_host: NatsHost, world: World) -> None:
    await newer(nats_host, world)
    await applied({"displayName": "a", "namespaces": [{"cluster": "x", "name": "y"}]})(world, {})
    await applied({"displayName": "b"})(world, {})
    found = (await world.ask(TARGET)).json()
    kept(found)
    assert [(each["cluster"], each["name"]) for each in found["spec"]["namespaces"]] == [("c", "n")]


async def test_a_put_that_leaves_a_field_out_removes_it_and_status_stays(nats_host: NatsHost, world: World) -> None:
    await newer(nats_host, world)
    live = (await world.ask(TARGET)).json()
    del live["spec"]["futureSpec"]
    answer = await world.ask(TARGET, "PUT", {**live, "status": {}}, {"content-type": "application/json"})
    assert answer.status == 200, answer.body
    found = (await world.ask(TARGET)).json()
    assert "futureSpec" not in found["spec"]
    assert found["status"]["futureStatus"] is True


async def test_watches_and_lists_show_what_this_version_does_not_know(nats_host: NatsHost, world: World) -> None:
    made = await newer(nats_host, world)
    async with world.watching(f"{WORKSPACES}?watch=true&resourceVersion={made.revision - 1}") as lines:
        kept((await lines.next())["object"])
    (item,) = [i for i in (await world.ask(WORKSPACES)).json()["items"] if i["metadata"]["name"] == "newer"]
    kept(item)


async def test_status_writes_of_the_owner_keep_it(world: World) -> None:
    spec = {"role": "member", "connection": {"mode": "agent", "futureConnection": 1}, "futureSpec": 1}
    status = {"futureStatus": {"x": 1}, "conditions": []}
    made = await world.clusters.create({"metadata": {"name": "c"}, "spec": spec, "status": status})
    after = await world.clusters.modify("c", lambda found: {**found, "status": {**found["status"], "nodes": 3}})
    assert after.revision > made.revision
    found = after.document()
    assert (found["spec"], found["status"]["futureStatus"]) == (spec, {"x": 1})
    await world.cache.reached(after.revision)
    item = world.cache.get(CLUSTER, "c")
    assert item is not None
    assert item.document()["spec"] == spec


PARTS = ("agent", "ceiling", "credentials", "platform", "apiVersions")
INVENTORY = Inventory(nodes=3, platform=Platform(provider="aws"), api_versions=APIVersions(count=64))


def from_the_future() -> Document:
    """A Cluster whose status a newer registry wrote."""
    ready = {"type": "Ready", "status": "Unknown", "reason": "x", "message": "", "lastTransitionTime": "t", "future": 1}
    parts = {part: {"future": 1} for part in PARTS}
    return {"metadata": {"name": "m"}, "spec": {}, "status": {"conditions": [ready], "future": 1, **parts}}


def future_of(found: Document) -> list[Any]:
    """What is left of it."""
    status = found["status"]
    parts = [status[part].get("future") for part in PARTS]
    return [
        status.get("future"),
        *parts,
        *(each.get("future") for each in status["conditions"] if each["type"] == "Ready"),
    ]


def test_the_registrys_observations_keep_it() -> None:
    now = Now(100.0, 1e9)
    beat = Heartbeat(agent="A", epoch="e", version="1", kubernetes_version="v1.37.0", expires=2_000_000_000)
    inventory = msgspec.json.encode(INVENTORY)
    member = MemberAgents("o", "u", now, agents={("A", beat.epoch): Agent(beat, 100.0, 1e9, inventory=inventory)})
    found = clusters.observed(from_the_future(), member, PresenceStatus(Verdict("True", "Ready", "fine"), 1), now)
    assert (found["status"]["nodes"], found["status"]["conditions"][0]["status"]) == (3, "True")
    assert future_of(found) == [1] * 7


def test_the_probers_observations_and_a_rotation_keep_it() -> None:
    now = Now(100.0, 1e9)
    looked = direct.observed(
        from_the_future(), direct.ProbeResult(direct.ProbeState.READY, version="v1", inventory=INVENTORY), None, now
    )
    assert future_of(direct.credited(looked, 2, None)) == [1] * 7
