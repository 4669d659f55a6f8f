"""Counting what a cluster has and what is taken of it. Pure.

Agents and the host's prober count with the same code, so that a member looks the same whichever way it is reached. What is
no amount counts as nothing: one odd node hides no other.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from skerry.api.quantity import NANO
from skerry.api.v1alpha1 import APIVersions, Platform
from skerry.demand import PODS, Amounts, Pod, add, amounts, of_pod
from skerry.inventory import platforms
from skerry.inventory.limits import ARCHITECTURES, EXTRA, NODES, RESOURCES, rank
from skerry.inventory.objects import GroupList, Node, NodeMetrics

_ALWAYS_SHOWN = ("cpu", "memory", PODS)
_MI = 1 << 20
_BYTES = re.compile(r"memory|ephemeral-storage|hugepages-.*")
_OWN = frozenset(
    (
        "", "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "apps", "authentication.k8s.io",
        "authorization.k8s.io", "autoscaling", "batch", "certificates.k8s.io", "coordination.k8s.io", "discovery.k8s.io",
        "events.k8s.io", "extensions", "flowcontrol.apiserver.k8s.io", "internal.apiserver.k8s.io", "networking.k8s.io",
        "node.k8s.io", "policy", "rbac.authorization.k8s.io", "resource.k8s.io", "scheduling.k8s.io", "storage.k8s.io",
        "storagemigration.k8s.io",
    )
)  # fmt: skip
"""Groups of Kubernetes itself."""


class NodeFacts(NamedTuple):
    """What of a node counts here. Most nodes of a cluster have the same."""

    ready: bool
    provider: str
    region: str
    distribution: str
    arch: str
    capacity: tuple[tuple[str, int], ...]
    allocatable: tuple[tuple[str, int], ...]


def facts(node: Node) -> NodeFacts:
    """The facts of one node."""
    labels, provider_id = node.metadata.labels or {}, node.spec.provider_id or ""
    info = node.status.node_info
    return NodeFacts(
        any(each.type == "Ready" and each.status == "True" for each in node.status.conditions or ()),
        platforms.provider(provider_id),
        platforms.region(labels),
        platforms.distribution_of_node(provider_id, labels, info.os_image),
        labels.get("kubernetes.io/arch") or info.architecture,
        tuple(sorted(readable(node.status.capacity).items())),
        tuple(sorted(readable(node.status.allocatable).items())),
    )


class Nodes:
    """The nodes of a cluster as they come, change and go; at most NODES of them."""

    def __init__(self) -> None:
        self._facts: dict[str, NodeFacts] = {}
        self._kinds: dict[NodeFacts, NodeFacts] = {}

    def put(self, name: str, new: NodeFacts) -> bool:
        """There is a node `name`. Whether that changes what is counted."""
        if self._facts.get(name) == new or (name not in self._facts and len(self._facts) >= NODES):
            return False
        self._facts[name] = self._kinds.setdefault(new, new)
        return True

    def drop(self, name: str) -> bool:
        """There is none. Whether that changes what is counted."""
        return self._facts.pop(name, None) is not None

    def totals(self) -> NodeTotals:
        """All of them, summed."""
        kinds = Counter(self._facts.values())
        self._kinds = {each: each for each in kinds}
        return NodeTotals(kinds)


class NodeTotals:
    """Nodes, summed."""

    def __init__(self, kinds: Counter[NodeFacts]) -> None:
        self._kinds = kinds
        self.count = kinds.total()
        self.ready = sum(number for kind, number in kinds.items() if kind.ready)
        self.capacity: Amounts = {}
        self.allocatable: Amounts = {}
        for kind, number in kinds.items():
            add(self.capacity, {name: nano * number for name, nano in kind.capacity})
            add(self.allocatable, {name: nano * number for name, nano in kind.allocatable})

    def platform(self, version: str) -> Platform:
        """What they say they run on, of several what most say; and what the API server's `version` says."""
        arch = sorted({kind.arch for kind in self._kinds if kind.arch})
        return Platform(
            provider=self._most("provider"),
            region=self._most("region"),
            distribution=platforms.distribution_of_version(version) or self._most("distribution"),
            arch=arch[:ARCHITECTURES],
            source="nodes",
        )

    def _most(self, fact: str) -> str:
        votes: Counter[str] = Counter()
        for kind, number in self._kinds.items():
            votes[getattr(kind, fact)] += number
        votes.pop("", None)
        return min(votes, key=lambda each: (-votes[each], each), default="")


def readable(texts: Mapping[str, str | int | float] | None) -> Amounts:
    """A ResourceList as numbers; nothing if one of it is no amount."""
    try:
        return amounts(texts)
    except ValueError:
        return {}


class ResourceRequests:
    """What pods ask for, counted page by page."""

    def __init__(self) -> None:
        self.total: Amounts = {PODS: 0}

    def add(self, pods: Iterable[Pod]) -> None:
        """Count those that take room."""
        for pod in pods:
            if pod.placed:
                add(self.total, requested_by(pod))


def requested_by(pod: Pod) -> Amounts:
    """What a pod asks for; one whose amounts are none asks for its place."""
    try:
        return of_pod(pod)
    except ValueError:
        return {PODS: NANO}


def used(nodes: Iterable[NodeMetrics]) -> Amounts:
    """What nodes use, summed."""
    total: Amounts = {}
    for node in nodes:
        add(total, readable(node.usage))
    return total


def served(groups: GroupList) -> APIVersions:
    """What an API server serves; the core group is not in its list."""
    names = sorted({"v1", *(each.group_version for group in groups.groups for each in group.versions)})
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
    extra = [name for name in names if name.rpartition("/")[0] not in _OWN]
    return APIVersions(count=len(names), digest=digest, extra=extra[:EXTRA])


def texts(total: Amounts, *, up: bool = False) -> dict[str, str]:
    """Amounts as they are shown: bytes in whole Mi, all else to a thousandth; rounded `up` where they are a need, else down.

    What there is nothing of is left out, unless everybody has it.
    """
    names = sorted((name for name in total if name in _ALWAYS_SHOWN or total[name]), key=rank)
    return {name: _text(name, total[name], up=up) for name in names[:RESOURCES]}


def _text(name: str, nano: int, *, up: bool) -> str:
    suffix, unit = ("Mi", _MI * NANO) if _BYTES.fullmatch(name) else ("m", NANO // 1000)
    number = -(-nano // unit) if up else nano // unit
    if suffix == "m" and number % 1000 == 0:
        return str(number // 1000)
    return f"{number}{suffix}" if number else "0"
