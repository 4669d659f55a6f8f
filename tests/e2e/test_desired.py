"""Desired state through the whole system: an owner on the host's bus, the registry, an agent, and a real API server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from skerry import subjects
from skerry.api.desired import Options
from skerry.bus import Bus, Settings
from skerry.desired.client import DesiredClient, Want
from skerry.identity.federation import Authority
from tests.e2e.federation import Host, eventually
from tests.kube.member import Member

pytestmark = pytest.mark.kube
RBAC = "rbac.authorization.k8s.io"


def space(name: str) -> dict[str, Any]:
    """A Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def binding(namespace: str) -> dict[str, Any]:
    """A RoleBinding of a tenant."""
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "skerry:edit", "namespace": namespace},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": "skerry:shop-edit"}],
    }


def tenancy(host: Host) -> Bus:
    """The bus, as the service tenancy reaches it."""
    ca = (host.state / "host" / "pki" / "ca.crt").read_text()
    authority = Authority.load(host.state / "host" / "keys")
    settings = Settings(servers=(f"tls://{host.bus}",), ca_pem=ca, name="tenancy")
    return Bus(settings, lambda: authority.service_credentials("tenancy"))


def names(host: Host, *arguments: str) -> list[str]:
    """What kubectl lists on the member, by name."""
    listed = json.loads(host.kubectl("m1", "get", *arguments, "-o", "json"))
    return [each["metadata"]["name"] for each in listed["items"]]


async def test_what_an_owner_wants_is_there_also_after_the_agent_was_away(
    new_host: Callable[..., Host], plain_cluster: Member
) -> None:
    host = await asyncio.to_thread(new_host)
    agent = await asyncio.to_thread(host.join, plain_cluster, "m1")
    await asyncio.to_thread(host.wait_ready, "m1", agent)
    async with tenancy(host) as bus:
        desired = DesiredClient(bus, await bus.bucket(subjects.DESIRED_STATUS), "tenancy")
        wants = [Want(binding("shop")), Want(space("shop"), Options(withdraw="Delete"))]
        results = await desired.settle("m1", wants)
        assert [each.code for each in results] == [0, 0]
        await _in_place(desired, results)
        assert "skerry:edit" in await asyncio.to_thread(names, host, "rolebindings", "-n", "shop")

        await asyncio.to_thread(agent.stop)
        wants[0] = Want(binding("store"))
        results = await desired.settle("m1", [*wants, Want(space("store"), Options(withdraw="Delete"))])
        agent = await asyncio.to_thread(host.agent, plain_cluster, None)
        await _in_place(desired, results)
        assert "skerry:edit" in await asyncio.to_thread(names, host, "rolebindings", "-n", "store")
        assert await asyncio.to_thread(names, host, "rolebindings", "-n", "shop") == []

        await desired.settle("m1", [])
        await asyncio.to_thread(
            eventually, lambda: not {"shop", "store"} & {*_active(host)}, "the namespaces are withdrawn"
        )


def _active(host: Host) -> list[str]:
    listed = json.loads(host.kubectl("m1", "get", "namespaces", "-o", "json"))
    return [each["metadata"]["name"] for each in listed["items"] if "deletionTimestamp" not in each["metadata"]]


async def _in_place(desired: DesiredClient, results: Any) -> None:
    async with asyncio.timeout(30):
        for each in results:
            while not await desired.in_place("m1", each.key, each.revision):
                await asyncio.sleep(0.1)
