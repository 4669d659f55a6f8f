"""Nodes that are only told of: no kubelet stands behind them, and the scheduler and preflights take them as real."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.federation import eventually
from tests.kube.member import Member

SPARE = {"cpu": "2", "memory": "4Gi", "pods": "110"}


def node(
    member: Member, name: str, sizes: dict[str, str] = SPARE, *, ready: str = "True", **spec: Any
) -> dict[str, Any]:
    """Tell of one, and return it when it takes pods; who asked for it deletes it."""
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    document = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": spec}
    member.apply(document)
    status = {"allocatable": sizes, "capacity": sizes, "conditions": [{"type": "Ready", "status": ready}]}
    patch = json.dumps({"status": status})
    member.kubectl("patch", "node", name, "--subresource=status", "--type=merge", "-p", patch)
    if ready == "True":
        eventually(
            lambda: b"node.kubernetes.io/not-ready" not in _taints(member, name), f"node {name} is taken as ready"
        )
    return document


def _taints(member: Member, name: str) -> bytes:
    """Each node has one of being not ready, until the controller manager has seen that it is."""
    return member.kubectl("get", "node", name, "-o", "jsonpath={.spec.taints[*].key}")
