"""On which nodes a pod may run, as the scheduler decides it (k8s.io/component-helpers, nodeaffinity; kube-scheduler's taints). Pure.

Only hard rules count: what is preferred is never in the way. Pod affinity to pods that are not ours is not known here, and
said to be so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeAlias

from skerry.access.selection import selects
from skerry.api.grants import LabelRequirement, LabelSelector
from skerry.api.meta import Struct
from skerry.demand import Amounts

ARCHITECTURES = ("amd64", "arm64")
"""For which there are images."""
OPERATING_SYSTEM = "linux"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_REPELS = ("NoSchedule", "NoExecute")
_NAME_FIELD = "metadata.name"


class Taint(NamedTuple):
    """core/v1 Taint."""

    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        return f"{self.key}{f'={self.value}' if self.value else ''}:{self.effect}"


class Toleration(Struct, frozen=True, kw_only=True):
    """core/v1 Toleration."""

    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""

    def tolerates(self, taint: Taint) -> bool:
        """Whether it allows pods where the taint is."""
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        if self.operator == "Exists":
            return True
        return self.operator in {"", "Equal"} and bool(self.key) and self.value == taint.value


class NodeSelectorTerm(Struct, frozen=True, kw_only=True):
    """core/v1 NodeSelectorTerm: all of it must hold; an empty one selects nothing."""

    match_expressions: list[LabelRequirement] = []
    match_fields: list[LabelRequirement] = []


class NodeSelector(Struct, frozen=True, kw_only=True):
    """core/v1 NodeSelector: one of the terms must hold."""

    node_selector_terms: list[NodeSelectorTerm] = []


class NodeAffinity(Struct, frozen=True, kw_only=True):
    """core/v1 NodeAffinity, what is required of it."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None


class PodAffinityTerm(Struct, frozen=True, kw_only=True):
    """core/v1 PodAffinityTerm."""

    topology_key: str
    label_selector: LabelSelector | None = None


class PodAffinity(Struct, frozen=True, kw_only=True):
    """core/v1 PodAffinity and PodAntiAffinity, what is required of them."""

    required_during_scheduling_ignored_during_execution: list[PodAffinityTerm] = []


class Affinity(Struct, frozen=True, kw_only=True):
    """core/v1 Affinity."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None


class TopologySpreadConstraint(Struct, frozen=True, kw_only=True):
    """core/v1 TopologySpreadConstraint."""

    max_skew: int
    topology_key: str
    when_unsatisfiable: str
    label_selector: LabelSelector | None = None
    min_domains: int = 1
    node_affinity_policy: str = "Honor"
    node_taints_policy: str = "Ignore"

    @property
    def hard(self) -> bool:
        """Whether a pod waits rather than breaking it."""
        return self.when_unsatisfiable == "DoNotSchedule"


class PodRules(Struct, frozen=True, kw_only=True):
    """The fields of a pod's spec, and of a chart's values, that say where it may run."""

    node_selector: dict[str, str] = {}
    tolerations: list[Toleration] = []
    affinity: Affinity | None = None
    topology_spread_constraints: list[TopologySpreadConstraint] = []

    @property
    def apart_from(self) -> list[PodAffinityTerm]:
        """Pods with which it shares no domain."""
        anti = self.affinity.pod_anti_affinity if self.affinity else None
        return anti.required_during_scheduling_ignored_during_execution if anti else []

    @property
    def beside(self) -> list[PodAffinityTerm]:
        """Pods without which it does not run."""
        affinity = self.affinity.pod_affinity if self.affinity else None
        return affinity.required_during_scheduling_ignored_during_execution if affinity else []


class NodeRoom(NamedTuple):
    """A node, what decides who may run there, and what is left of it."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    ready: bool
    left: Amounts


Test: TypeAlias = Callable[[NodeRoom], str]
"""Empty for a node that is taken; else why it is not, in a few words which many nodes share."""


def repelled(rules: PodRules) -> Test:
    """By what is no place for pods, and by taints that are not tolerated."""

    def test(node: NodeRoom) -> str:
        if not node.ready:
            return "not ready"
        taint = _untolerated(node.taints, rules.tolerations)
        if taint is None:
            return ""
        return "cordoned" if taint.key == UNSCHEDULABLE else f"taint {taint}"

    return test


def selected(rules: PodRules) -> Test:
    """By architecture and operating system, the node selector, and the node affinity that is required."""
    affinity = rules.affinity.node_affinity if rules.affinity else None
    required = affinity.required_during_scheduling_ignored_during_execution if affinity else None
    terms = None if required is None else [_term(each) for each in required.node_selector_terms]

    def test(node: NodeRoom) -> str:
        system = node.labels.get("kubernetes.io/os", OPERATING_SYSTEM)
        if system != OPERATING_SYSTEM:
            return f"operating system {system}"
        architecture = node.labels.get("kubernetes.io/arch", "")
        if architecture and architecture not in ARCHITECTURES:
            return f"architecture {architecture}"
        for key, value in rules.node_selector.items():
            if node.labels.get(key) != value:
                return f"no label {key}={value}"
        return "" if terms is None or any(holds(node) for holds in terms) else "node affinity"

    return test


def refusals(nodes: Iterable[NodeRoom], tests: Iterable[Test]) -> dict[str, int]:
    """How many nodes are no place, by why; the first reason counts."""
    counted: dict[str, int] = {}
    for node in nodes:
        reason = next((reason for test in tests if (reason := test(node))), "")
        if reason:
            counted[reason] = counted.get(reason, 0) + 1
    return counted


def _untolerated(taints: Iterable[Taint], tolerations: list[Toleration]) -> Taint | None:
    for taint in taints:
        if taint.effect in _REPELS and not any(each.tolerates(taint) for each in tolerations):
            return taint
    return None


def _term(term: NodeSelectorTerm) -> Callable[[NodeRoom], bool]:
    if not term.match_expressions and not term.match_fields:
        return lambda node: False
    sets = selects(LabelSelector(match_expressions=[each for each in term.match_expressions if not _compares(each)]))
    numbers = [each for each in term.match_expressions if _compares(each)]
    fields = selects(LabelSelector(match_expressions=term.match_fields))
    return lambda node: (
        sets(node.labels) and all(_compared(each, node.labels) for each in numbers) and fields({_NAME_FIELD: node.name})
    )


def _compares(requirement: LabelRequirement) -> bool:
    return requirement.operator in {"Gt", "Lt"}


def _compared(requirement: LabelRequirement, labels: Mapping[str, str]) -> bool:
    """What is no whole number is neither more nor less."""
    try:
        label, bound = int(labels[requirement.key]), int(requirement.values[0])
    except (KeyError, ValueError, IndexError):
        return False
    return label > bound if requirement.operator == "Gt" else label < bound
