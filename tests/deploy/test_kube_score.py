"""kube-score over what the charts render: nothing critical, but what is otherwise for a reason."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from skerry import requirements
from tests.deploy import agentchart, hostchart, test_agent_chart, test_host_chart

pytestmark = pytest.mark.integration

OPTIONAL = ("container-ports-check", "container-seccomp-profile")
"""Checks that are off without being asked for, and that the charts pass."""
EXCEPTIONS = {
    "container-image-pull-policy": "tags are versions, or a digest is given: a node without a registry starts what it has",
    "container-ephemeral-storage-request-and-limit": "roots are read-only, what may be written are emptyDirs with a limit of their own",
}
TURNED_OFF = {
    "bare": {"pod-networkpolicy", "deployment-has-poddisruptionbudget"}, "open": {"pod-networkpolicy"},
    "placed": {"pod-topology-spread-constraints"},
}  # fmt: skip
"""By values that ask for it."""
CRITICAL = 1
"""Grade: 1 critical, 5 warning, 7 almost, 10 ok."""


def critical(program: Path, manifest: str) -> dict[str, list[str]]:
    """Checks that found something critical, and where."""
    flags = [word for each in OPTIONAL for word in ("--enable-optional-test", each)]
    command = [
        str(program),
        "score",
        "--output-format",
        "json",
        "--kubernetes-version",
        f"v{requirements.oldest_kubernetes()}",
        *flags,
        "-",
    ]
    done = subprocess.run(command, input=manifest, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout, done.stderr
    objects: list[dict[str, Any]] = json.loads(done.stdout)
    assert objects
    checks: dict[str, list[str]] = {}
    for each in objects:
        for check in each["checks"]:
            if check["grade"] <= CRITICAL and not check["skipped"]:
                checks.setdefault(check["check"]["id"], []).append(f"{each['object_name']}: {check['comments']}")
    return checks


def judged(program: Path, name: str, manifest: str) -> None:
    found = critical(program, manifest)
    allowed = EXCEPTIONS.keys() | TURNED_OFF.get(name, set())
    assert {check: places for check, places in found.items() if check not in allowed} == {}


@pytest.mark.parametrize("values", test_host_chart.MATRIX)
def test_the_host_s_chart(kube_score: Path, helms: Mapping[str, Path], values: str, tmp_path: Path) -> None:
    code, manifest, err = hostchart.manifest(helms["helm-4"], test_host_chart.MATRIX[values], tmp_path)
    assert code == 0, err
    judged(kube_score, values, manifest)


@pytest.mark.parametrize("values", test_agent_chart.MATRIX)
def test_the_agent_s_chart(kube_score: Path, helms: Mapping[str, Path], values: str, tmp_path: Path) -> None:
    done = agentchart.template(helms["helm-4"], test_agent_chart.MATRIX[values], tmp_path)
    assert done.returncode == 0, done.stderr
    judged(kube_score, values, done.stdout)


def test_a_chart_that_is_careless_would_be_told(kube_score: Path) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x"},
        "spec": {"containers": [{"name": "c", "image": "x"}]},
    }
    assert {
        "container-resources",
        "container-security-context-readonlyrootfilesystem",
        "pod-networkpolicy",
    } <= critical(kube_score, json.dumps(pod)).keys()
