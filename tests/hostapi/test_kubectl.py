"""A real kubectl against the host API: no warnings, no surprises."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.hostapi.conftest import World

pytestmark = pytest.mark.integration

CREDENTIAL = """
apiVersion: skerry.dev/v1alpha1
kind: Credential
metadata: {}
spec: {user: bob, groups: ["skerry:edit"], ttl: 1h}
"""


async def test_get_prints_the_table(world: World, tmp_path: Path) -> None:
    await world.made("m1")
    world.live["m1"] = {"rtt": "2.5ms", "heartbeat": "3s"}
    code, out, err = await world.kubectl("get", "clusters", home=tmp_path)
    head, row = out.splitlines()
    assert (code, err) == (0, "")
    assert head.split() == [
        "NAME",
        "ROLE",
        "CONNECTION",
        "READY",
        "VERSION",
        "NODES",
        "RTT",
        "LAST",
        "HEARTBEAT",
        "AGE",
    ]
    assert row.split()[:4] == ["m1", "member", "agent", "Unknown"]
    assert "2.5ms" in row


@pytest.mark.parametrize("arguments", [("-o", "wide"), ("-o", "yaml"), ("-o", "json"), ("-o", "name"), ("-l", "a!=b")])
async def test_get_in_every_form(world: World, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    await world.made("m1")
    code, out, err = await world.kubectl("get", "cl", *arguments, home=tmp_path)
    assert (code, err) == (0, "")
    assert "m1" in out


async def test_get_of_what_is_not_there(world: World, tmp_path: Path) -> None:
    code, _, err = await world.kubectl("get", "cluster", "nope", home=tmp_path)
    assert code == 1
    assert err == 'Error from server (NotFound): clusters.skerry.dev "nope" not found\n'
    code, _, err = await world.kubectl("get", "nopes", home=tmp_path)
    assert err == 'error: the server doesn\'t have a resource type "nopes"\n'


async def test_create_and_delete(world: World, tmp_path: Path) -> None:
    code, out, err = await world.kubectl("create", "-f", "-", "-o", "name", stdin=CREDENTIAL, home=tmp_path)
    assert (code, err) == (0, "")
    code, out, err = await world.kubectl("delete", out.strip(), home=tmp_path)
    assert (code, err) == (0, "")
    assert "deleted" in out


async def test_api_resources_and_explain(world: World, tmp_path: Path) -> None:
    code, out, err = await world.kubectl("api-resources", "--no-headers", home=tmp_path)
    assert (code, err) == (0, "")
    assert {"clusters", "credentials", "jointokens", "workspaces", "accessgrants", "namespaces"} <= {
        line.split()[0] for line in out.splitlines()
    }
    code, out, err = await world.kubectl("explain", "cluster.spec.connection", home=tmp_path)
    assert (code, err) == (0, "")
    assert "How the host reaches the cluster." in out


async def test_get_w_follows(world: World, tmp_path: Path) -> None:
    await world.made("m1")
    command = ("get", "clusters", "-w", "--request-timeout=4s", "--no-headers")
    watching = asyncio.ensure_future(world.kubectl(*command, home=tmp_path))
    changed = 0
    while not watching.done():
        changed += 1
        await world.clusters.modify("m1", lambda d, n=str(changed): {**d, "status": {"kubernetesVersion": n}})  # type: ignore[misc]
        await asyncio.wait((watching,), timeout=0.5)
    _, out, err = watching.result()
    printed = [line.split()[4] for line in out.splitlines()]
    versions = [int(version) for version in printed if version != "<none>"]
    assert len(versions) > 3
    assert versions == list(range(versions[0], versions[0] + len(versions)))
    assert "Warning" not in err
