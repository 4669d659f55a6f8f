"""What a preflight compares with the room, by values alone, is what the chart makes of them: as large, and bound to the same places."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from skerry.installation import MOST_REPLICAS, Where, Workload, installation
from skerry.manifest import installation_of, objects
from tests.deploy import agentchart, hostchart

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


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"controllerManager": SIZES, "tower": {"replicas": 2, **SIZES}, "bus": {"replicas": 3, **SIZES}},
        {"controllerManager": PLACES, "tower": PLACES, "bus": {"replicas": 3, **PLACES}},
        {"bus": {"persistence": {"size": "1Gi", "storageClass": "fast"}, "replicas": 3}},
        {"bus": {"persistence": {"enabled": False}}},
        {"bus": {"mode": "external", "external": {"servers": ["tls://nats.example:4222"], "caSecret": "ca"}}},
        {"standalone": ["appstore", "tenancy"]},
    ],
    ids=["plain", "sizes", "places", "volumes", "no-volumes", "external", "standalone"],
)
def test_the_host_s_chart(helms: Mapping[str, Path], tmp_path: Path, values: dict[str, Any]) -> None:
    code, out, err = hostchart.manifest(helms["helm-4"], values, tmp_path)
    assert code == 0, err
    check("host", values, objects(yaml.safe_load_all(out)))


@pytest.mark.parametrize("chart", [agentchart.CHART, hostchart.CHART], ids=["agent", "host"])
def test_as_many_replicas_as_a_chart_allows_are_counted(chart: Path) -> None:
    schema = json.loads((chart / "values.schema.json").read_text())["properties"]
    parts = [schema, *(each["properties"] for each in schema.values() if "properties" in each)]
    counts = [part["replicas"] for part in parts if "replicas" in part]
    most = [each.get("maximum") or max(each["enum"]) for each in counts]
    assert most
    assert max(most) <= MOST_REPLICAS


def check(where: Where, values: dict[str, Any], documents: list[dict[str, Any]]) -> None:
    planned, made = installation(where, values), installation_of(where, documents)
    both = [sorted(each.workloads, key=lambda workload: workload.name) for each in (planned, made)]
    assert [shown(each) for each in both[0]] == [shown(each) for each in both[1]]
    assert (planned.claims, planned.storage_class) == (made.claims, made.storage_class)
    for ours, theirs in zip(*both, strict=True):
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
