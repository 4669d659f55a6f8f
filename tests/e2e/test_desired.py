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


@pytest.mark.parametrize("mode", ["agent", pytest.param("direct", marks=pytest.mark.soak)])
async def test_what_an_owner_wants_is_there_also_after_the_member_was_away(
    new_host: Callable[..., Host], plain_cluster: Member, mode: str
) -> None:
    """An agent that was stopped; a direct member, which is never away by itself, that was paused. Namespaces outlive the removal."""
    before, after = f"shop-{mode}", f"store-{mode}"
    host = await asyncio.to_thread(new_host)
    away = await asyncio.to_thread(_join, host, mode, plain_cluster)
    async with tenancy(host) as bus:
        desired = DesiredClient(bus, await bus.bucket(subjects.DESIRED_STATUS), "tenancy")
        first = await _put(desired, before)
        await _in_place(desired, first)
        assert "skerry:edit" in await asyncio.to_thread(names, host, "rolebindings", "-n", before)
        listed = json.loads(await asyncio.to_thread(host.ok, "desired", "m1", "-o", "json"))["items"]
        assert {each["key"] for each in first} <= {each["key"] for each in listed if each["state"] == "Applied"}

        await asyncio.to_thread(away)
        second = await _put(desired, after)
        await desired.withdraw("m1", *(each["key"] for each in first))
        await asyncio.to_thread(_back, host, mode, plain_cluster)
        await _in_place(desired, second)
        await asyncio.to_thread(host.ok, "desired", "wait", "m1")
        assert "skerry:edit" in await asyncio.to_thread(names, host, "rolebindings", "-n", after)
        assert not {before} & {*await asyncio.to_thread(_active, host)}

        await asyncio.to_thread(host.ok, "cluster", "remove", "m1")
        ours = ("namespaces,clusterrolebindings", "-l", "skerry.dev/host")
        left = json.loads(plain_cluster.kubectl("get", *ours, "-o", "json"))["items"]
        assert not [each for each in left if "deletionTimestamp" not in each["metadata"]]


def _join(host: Host, mode: str, member: Member) -> Callable[[], object]:
    """The member joins as m1, and the host's own tenancy has said all that it wants; what takes the member away."""
    away: Callable[[], object]
    if mode == "direct":
        host.ok("cluster", "join", "m1", "--direct", "--kubeconfig", str(member.kubeconfig))
        host.wait_ready("m1")
        away = lambda: host.ok("cluster", "pause", "m1")  # noqa: E731 - the other one is a method
    else:
        agent = host.join(member, "m1")
        host.wait_ready("m1", agent)
        away = agent.stop
    eventually(lambda: host.skerry("desired", "wait", "m1").stderr.endswith("4 entries are in place\n"), "bindings", 60)
    return away


def _back(host: Host, mode: str, member: Member) -> None:
    if mode == "direct":
        host.ok("cluster", "resume", "m1")
    else:
        host.agent(member, None)


async def _put(desired: DesiredClient, name: str) -> list[dict[str, Any]]:
    """Have a namespace, and a binding in it; (key, revision) of each."""
    wants = [Want(binding(name)), Want(space(name), Options(withdraw="Delete"))]
    results = [await desired.put("m1", want) for want in wants]
    assert [each.code for each in results] == [0, 0]
    return [{"key": each.key, "revision": each.revision} for each in results]


def _active(host: Host) -> list[str]:
    listed = json.loads(host.kubectl("m1", "get", "namespaces", "-o", "json"))
    return [each["metadata"]["name"] for each in listed["items"] if "deletionTimestamp" not in each["metadata"]]


async def _in_place(desired: DesiredClient, results: Any) -> None:
    async with asyncio.timeout(30):
        for each in results:
            while not await desired.in_place("m1", each["key"], each["revision"]):
                await asyncio.sleep(0.1)
