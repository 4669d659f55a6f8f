"""Namespaces, derived from Workspaces."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostapi.conftest import World

pytestmark = pytest.mark.integration

NAMESPACES = "/api/v1/namespaces"
WORKSPACES = "/apis/skerry.dev/v1alpha1/workspaces"


async def workspace(world: World, name: str) -> dict[str, str]:
    body = {"apiVersion": "skerry.dev/v1alpha1", "kind": "Workspace", "metadata": {"name": name}, "spec": {}}
    answer = await world.ask(WORKSPACES, "POST", body)
    assert answer.status == 201, answer.body
    found: dict[str, str] = answer.json()["metadata"]
    return found


async def test_default_and_the_pool_are_always_there(world: World) -> None:
    for name in ("default", "skerry-apps"):
        answer = await world.ask(f"{NAMESPACES}/{name}")
        assert answer.status == 200
        assert answer.json()["status"] == {"phase": "Active"}


async def test_nobody_makes_or_deletes_the_pool_as_a_workspace(world: World) -> None:
    body = {"apiVersion": "skerry.dev/v1alpha1", "kind": "Workspace", "metadata": {"name": "skerry-apps"}, "spec": {}}
    refused = await world.ask(WORKSPACES, "POST", body)
    assert (refused.status, "is reserved" in refused.json()["message"]) == (422, True)
    assert (await world.ask(f"{WORKSPACES}/skerry-apps", "DELETE")).status == 404
    assert (await world.ask(f"{NAMESPACES}/skerry-apps", "DELETE")).status == 405


async def test_a_workspace_is_a_namespace_of_its_name(world: World) -> None:
    made = await workspace(world, "shop")
    found = (await world.ask(f"{NAMESPACES}/shop")).json()
    assert found["kind"] == "Namespace"
    assert found["metadata"]["uid"] == made["uid"]
    assert int(found["metadata"]["resourceVersion"]) >= int(made["resourceVersion"]), "its status may be newer"
    listed = (await world.ask(NAMESPACES)).json()
    assert (listed["kind"], [item["metadata"]["name"] for item in listed["items"]]) == (
        "NamespaceList",
        ["default", "shop", "skerry-apps"],
    )
    await world.ask(f"{WORKSPACES}/shop", "DELETE")
    assert (await world.ask(f"{NAMESPACES}/shop")).status == 404


async def test_namespaces_can_be_watched_and_paged(world: World) -> None:
    page = (await world.ask(f"{NAMESPACES}?limit=1")).json()
    since = page["metadata"]["resourceVersion"]
    async with world.watching(f"{NAMESPACES}?watch=1&resourceVersion={since}") as lines:
        await workspace(world, "blog")
        event = await lines.next()
        assert (event["type"], event["object"]["kind"], event["object"]["metadata"]["name"]) == (
            "ADDED",
            "Namespace",
            "blog",
        )
    await world.ask(f"{WORKSPACES}/blog", "DELETE")


async def test_namespaces_are_read_only(world: World) -> None:
    assert (await world.ask(NAMESPACES, "POST", {})).status == 405
    assert (await world.ask(f"{NAMESPACES}/default", "DELETE")).status == 405


async def test_kubectl_get_namespaces(world: World, tmp_path: Path) -> None:
    code, out, err = await world.kubectl("get", "ns", home=tmp_path)
    assert (code, err) == (0, "")
    assert out.splitlines()[1].split()[:2] == ["default", "Active"]
