"""What would be installed where, by the values of the charts: workloads, volumes, what is made beside them. Pure.

Only values that decide whether there is room are read; the charts' own schema judges all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from skerry import requirements
from skerry.api.grants import LabelSelector
from skerry.api.meta import Document, Struct
from skerry.demand import PODS, Amounts, Texts, amounts, written
from skerry.errors import SkerryError
from skerry.placement import Replicas
from skerry.quotas import PodSize
from skerry.scheduling import PodRules, TopologySpreadConstraint

Where = Literal["host", "agent", "direct"]

PART_OF, NAME = "app.kubernetes.io/part-of", "app.kubernetes.io/name"
OURS = f"{PART_OF}=skerry"
"""Selects what the charts made."""
VOLUME = "10Gi"
"""Of each nats-server, unless values say otherwise."""
UID = 65532
MOST_REPLICAS = 20
"""Of one workload, for which places are searched for."""
_HOSTNAME = "kubernetes.io/hostname"


class ValuesError(SkerryError):
    """Values that cannot be read, by their path."""


class WorkloadResources(Struct, frozen=True, kw_only=True):
    """core/v1 ResourceRequirements in values: what is not there stays as in the table of requirements."""

    requests: Texts = {}
    limits: Texts = {}


class WorkloadValues(PodRules, frozen=True, kw_only=True):
    """What values say of one workload."""

    replicas: int | None = None
    resources: WorkloadResources = WorkloadResources()
    priority_class_name: str = ""


class PersistenceValues(Struct, frozen=True, kw_only=True):
    """`bus.persistence`."""

    enabled: bool = True
    size: str | int = VOLUME
    storage_class: str = ""


class BusValues(WorkloadValues, frozen=True, kw_only=True):
    """`bus`."""

    mode: Literal["internal", "external"] = "internal"
    persistence: PersistenceValues = PersistenceValues()


class HostValues(Struct, frozen=True, kw_only=True):
    """Values of the chart skerry."""

    controller_manager: WorkloadValues = WorkloadValues()
    tower: WorkloadValues = WorkloadValues()
    bus: BusValues = BusValues()
    standalone: list[str] = []
    """Services with a Deployment of their own, sized as controllerManager."""


class Workload(NamedTuple):
    """Pods that are alike."""

    name: str
    replicas: int
    requests: Amounts
    """A pod's place too."""
    limits: Amounts
    rules: PodRules
    priority_class: str = ""
    surges: bool = True
    """An upgrade starts one more before it ends one."""
    template: Document | None = None
    """Of its pods, as a manifest has it; None where values alone are known."""

    @property
    def labels(self) -> dict[str, str]:
        """Of its pods."""
        if self.template is not None:
            return self.template["metadata"].get("labels") or {}
        return {NAME: self.name, PART_OF: "skerry"}

    @property
    def wanted(self) -> Replicas:
        """The places that it wants."""
        return Replicas(self.name, self.replicas, self.requests, self.rules, self.labels)

    @property
    def size(self) -> PodSize:
        """What it asks of its namespace."""
        requests = {name: nano for name, nano in self.requests.items() if name != PODS}
        return PodSize(self.name, self.replicas, requests, self.limits, self.priority_class)

    @property
    def resources(self) -> dict[str, dict[str, str]]:
        """core/v1 ResourceRequirements of its container."""
        both = (("requests", self.size.requests), ("limits", self.limits))
        return {kind: {name: written(name, nano) for name, nano in sizes.items()} for kind, sizes in both}

    def pod(self, namespace: str) -> Document:
        """A pod as the chart makes them, as far as admission looks at it: with no account and volumes that are not there yet."""
        metadata = {"generateName": f"{self.name}-", "namespace": namespace, "labels": self.labels}
        if self.template is not None:
            absent = ("serviceAccountName", "serviceAccount", "imagePullSecrets")
            template = {name: value for name, value in self.template["spec"].items() if name not in absent}
            template["automountServiceAccountToken"] = False
            return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template}
        rules: Document = msgspec.to_builtins(self.rules)
        spec: Document = {
            **rules,
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "runAsUser": UID, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": self.name,
                    "image": self.name,
                    "resources": self.resources,
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                        "readOnlyRootFilesystem": True,
                    },
                }
            ],
            **({"priorityClassName": self.priority_class} if self.priority_class else {}),
        }
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


class Installation(NamedTuple):
    """All that would be installed."""

    where: Where
    workloads: list[Workload]
    claims: Amounts
    """Bytes of volumes, by the name of the claim."""
    storage_class: str = ""
    """Empty: the cluster's default."""


def installation(where: Where, values: Mapping[str, Any]) -> Installation:
    """What values of the chart for `where` install; on a direct member nothing is. ValuesError."""
    if where == "direct":
        return Installation(where, [], {})
    if where == "agent":
        return Installation(where, [_workload("agent", _read(values, WorkloadValues))], {})
    host = _read(values, HostValues)
    manager = _workload("controller-manager", host.controller_manager, "controllerManager.")
    workloads = [
        manager,
        *(manager._replace(name=f"skerry-{service}") for service in dict.fromkeys(host.standalone)),
        _workload("tower", host.tower, "tower."),
    ]
    claims: Amounts = {}
    if host.bus.mode == "internal":
        servers = _workload("nats-server", host.bus, "bus.")._replace(name="skerry-nats", surges=False)
        workloads.append(servers._replace(rules=_on_hosts_of_their_own(servers)))
        if host.bus.persistence.enabled:
            size = _amounts({"size": host.bus.persistence.size}, "bus.persistence.")["size"]
            claims = {f"data-{servers.name}-{number}": size for number in range(servers.replicas)}
    return Installation(where, workloads, claims, host.bus.persistence.storage_class if claims else "")


def _read(values: Mapping[str, Any], kind: type[Any]) -> Any:
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        raise ValuesError(f"values{path.rstrip('`') or ''}: {what}") from error


def _workload(row: str, values: WorkloadValues, path: str = "") -> Workload:
    default = requirements.workload(row)
    replicas = default.replicas if values.replicas is None else values.replicas
    if not 0 <= replicas <= MOST_REPLICAS:
        raise ValuesError(f"values.{path}replicas: {replicas}, 0 to {MOST_REPLICAS} are possible")
    return Workload(
        f"skerry-{row}",
        replicas,
        {**default.requests, **_amounts(values.resources.requests, f"{path}resources.requests.")},
        {**default.limits, **_amounts(values.resources.limits, f"{path}resources.limits.")},
        PodRules(
            node_selector=values.node_selector,
            tolerations=values.tolerations,
            affinity=values.affinity,
            topology_spread_constraints=values.topology_spread_constraints,
        ),
        values.priority_class_name,
    )


def _amounts(texts: Texts, path: str) -> Amounts:
    try:
        sizes = amounts(texts)
    except ValueError as error:
        raise ValuesError(f"values.{path.rstrip('.')}: {error}") from error
    negative = next((name for name, nano in sizes.items() if nano < 0), "")
    if negative:
        raise ValuesError(f"values.{path}{negative}: an amount below nothing")
    return sizes


def _on_hosts_of_their_own(servers: Workload) -> PodRules:
    """Two on one host would go with it both; values that spread them decide it themselves."""
    if servers.replicas < 2 or servers.rules.topology_spread_constraints:
        return servers.rules
    spread = TopologySpreadConstraint(
        max_skew=1,
        topology_key=_HOSTNAME,
        when_unsatisfiable="DoNotSchedule",
        label_selector=LabelSelector(match_labels={NAME: servers.name}),
    )
    return msgspec.structs.replace(servers.rules, topology_spread_constraints=[spread])
