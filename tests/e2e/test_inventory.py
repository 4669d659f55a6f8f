"""What a cluster has, through the whole system: a real API server, first with an agent, then reached directly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.federation import Host, eventually
from tests.kube.member import Member

pytestmark = [pytest.mark.kube, pytest.mark.timeout(240)]

NODES = "inventory-a", "inventory-b"
ROOM = {"cpu": "8", "memory": "16Gi", "pods": "110", "nvidia.com/gpu": "2"}
FREE = {"cpu": "7500m", "memory": "15Gi", "pods": "110", "nvidia.com/gpu": "2"}
OWN = ("conditions", "agent", "credentials", "ceiling", "desired", "observed")
"""Of the status: what tells one connection from another."""


def node(name: str) -> dict[str, Any]:
    labels = {"topology.kubernetes.io/region": "eu-central-1", "kubernetes.io/arch": "arm64"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"providerID": f"aws:///eu-central-1a/{name}"},
    }


def pod(name: str, on: str) -> dict[str, Any]:
    resources = {"requests": {"cpu": "1500m", "memory": "3Gi"}, "limits": {"nvidia.com/gpu": "1"}}
    container = {"name": "c", "image": "none", "resources": resources}
    spec = {"nodeName": on, "containers": [container], "automountServiceAccountToken": False}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def set_ready(member: Member, name: str, *, ready: bool = True) -> None:
    """What a kubelet would say."""
    conditions = [{"type": "Ready", "status": str(ready), "reason": "Test", "message": ""}]
    status = {"status": {"capacity": ROOM, "allocatable": FREE, "conditions": conditions}}
    member.kubectl("patch", "node", name, "--subresource=status", "--type=merge", "-p", json.dumps(status))


@pytest.fixture
def filled(plain_cluster: Member) -> Iterator[Member]:
    """A cluster with two nodes that nobody runs, and a pod on each."""
    member = plain_cluster
    for name in NODES:
        member.apply(node(name))
        set_ready(member, name)
        member.apply(pod(f"on-{name}", name))
    yield member
    for name in NODES:
        member.kubectl("delete", "pod", f"on-{name}", "--force", "--grace-period=0", "--ignore-not-found")
        member.kubectl("delete", "node", name)


def status(host: Host) -> dict[str, Any]:
    found: dict[str, Any] = host.cluster("m1")["status"]
    return found


def look(host: Host) -> dict[str, Any]:
    """Wait until all that can be known is; without what tells one connection from another."""
    eventually(lambda: status(host).get("requested", {}).get("pods") == "2", "the inventory is there")
    return {key: value for key, value in status(host).items() if key not in OWN}


def test_a_cluster_is_the_same_through_its_agent_and_directly(new_host: Callable[..., Host], filled: Member) -> None:
    host = new_host()
    agent = host.join(filled, "m1")
    host.wait_ready("m1", agent)
    through_agent = look(host)
    assert {key: through_agent[key] for key in ("platform", "nodes", "nodesReady", "capacity", "allocatable", "requested")} == {
        "platform": {"provider": "aws", "region": "eu-central-1", "arch": ["arm64"], "source": "nodes"},
        "nodes": 2,
        "nodesReady": 2,
        "capacity": {"cpu": "16", "memory": "32768Mi", "pods": "220", "nvidia.com/gpu": "4"},
        "allocatable": {"cpu": "15", "memory": "30720Mi", "pods": "220", "nvidia.com/gpu": "4"},
        "requested": {"cpu": "3", "memory": "6144Mi", "pods": "2", "nvidia.com/gpu": "2"},
    }  # fmt: skip
    assert through_agent["apiVersions"]["count"] > 20
    assert "used" not in through_agent
    set_ready(filled, NODES[1], ready=False)
    eventually(lambda: status(host)["nodesReady"] == 1, "a node that is not ready is told at once", 60)
    set_ready(filled, NODES[1])
    host.ok("cluster", "remove", "m1")
    agent.stop()

    host.ok("cluster", "join", "m1", "--direct", "--kubeconfig", str(filled.kubeconfig))
    assert look(host) == through_agent
    set_ready(filled, NODES[1], ready=False)
    eventually(lambda: status(host)["nodesReady"] == 1, "the same directly", 60)
    host.ok("cluster", "remove", "m1")
