"""What a preflight compares with the room, by values alone, is what the chart makes of them: as large, and bound to the same places."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skerry.installation import Where, Workload, installation
from skerry.manifest import installation_of
from tests.deploy import agentchart

SPREAD = {
    "maxSkew": 1,
    "topologyKey": "kubernetes.io/hostname",
    "whenUnsatisfiable": "DoNotSchedule",
    "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "skerry-agent"}},
}
PLACES = {
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}]
    }}},
    "topologySpreadConstraints": [SPREAD],
    "priorityClassName": "system-cluster-critical",
}  # fmt: skip
SIZES = {"resources": {"requests": {"cpu": "300m", "memory": "64Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}}}


@pytest.mark.parametrize(
    "values", [{}, {"replicas": 3}, SIZES, PLACES, {"ceiling": {"readOnly": True}}],
    ids=["plain", "replicas", "sizes", "places", "ceiling"],
)  # fmt: skip
def test_the_agent_s_chart(helms: Mapping[str, Path], tmp_path: Path, values: dict[str, Any]) -> None:
    rendered = agentchart.rendered(helms["helm-4"], values, tmp_path)
    check("agent", values, list(rendered.values()))


def check(where: Where, values: dict[str, Any], documents: list[dict[str, Any]]) -> None:
    planned, made = installation(where, values), installation_of(where, documents)
    assert [shown(each) for each in planned.workloads] == [shown(each) for each in made.workloads]
    assert (planned.claims, planned.storage_class) == (made.claims, made.storage_class)
    for ours, theirs in zip(planned.workloads, made.workloads, strict=True):
        assert ours.labels.items() <= theirs.labels.items()
        assert guarded(ours.pod("ns")["spec"]) == guarded(theirs.pod("ns")["spec"])


def shown(workload: Workload) -> dict[str, Any]:
    """What decides about its places. Rules that are only wished for decide nothing."""
    rules = msgspec.structs.replace(
        workload.rules,
        topology_spread_constraints=[each for each in workload.rules.topology_spread_constraints if each.hard],
    )
    fields = {**workload._asdict(), "rules": rules}
    del fields["template"]
    return fields


def guarded(spec: dict[str, Any]) -> dict[str, Any]:
    """What Pod Security looks at, of the pod and of each of its containers."""
    pod = {name: spec["securityContext"].get(name) for name in ("runAsNonRoot", "runAsUser", "seccompProfile")}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert all({"secret", "configMap", "emptyDir", "persistentVolumeClaim", "projected"} & each.keys() for each in spec.get("volumes", ()))  # fmt: skip
    names = ("allowPrivilegeEscalation", "capabilities", "readOnlyRootFilesystem")
    containers = {str({name: each["securityContext"].get(name) for name in names}) for each in spec["containers"]}
    return {"pod": pod, "containers": containers}
