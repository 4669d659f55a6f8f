"""The host's chart as real helm renders it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.deploy.agentchart import KUBERNETES, NAMESPACE, ROOT, documents, helm

CHART = ROOT / "deploy" / "helm" / "skerry"
RELEASE = "skerry"

Objects = dict[tuple[str, str], dict[str, Any]]
WORKLOADS = {"Deployment", "StatefulSet", "Pod"}


def manifest(binary: Path, values: dict[str, Any], directory: Path) -> tuple[int, str, str]:
    """`helm template` with these values: exit code, output, errors."""
    file = directory / "values.json"
    file.write_text(json.dumps(values))
    arguments = ("-n", NAMESPACE, "-f", str(file), "--kube-version", KUBERNETES)
    done = helm(binary, "template", RELEASE, str(CHART), *arguments)
    return done.returncode, done.stdout, done.stderr


def objects_of(binary: Path, values: dict[str, Any], directory: Path) -> Objects:
    """The objects by kind and name."""

    def text() -> str:
        code, out, err = manifest(binary, values, directory)
        assert code == 0, err
        return out

    objects = documents(f"{binary} host {json.dumps(values)}", text)
    by_name = {(each["kind"], each["metadata"]["name"]): each for each in objects}
    assert len(by_name) == len(objects)
    return by_name


def pods(objects: Objects) -> dict[str, dict[str, Any]]:
    """spec of the pods, by the name of their workload."""
    return {
        name: each["spec"] if kind == "Pod" else each["spec"]["template"]["spec"]
        for (kind, name), each in objects.items()
        if kind in WORKLOADS
    }


def environment(pod: dict[str, Any]) -> dict[str, str]:
    """Of the first container; of what comes from a Secret, `NAME/KEY`."""
    variables = {}
    for each in pod["containers"][0]["env"]:
        reference = each.get("valueFrom", {}).get("secretKeyRef")
        variables[each["name"]] = f"{reference['name']}/{reference['key']}" if reference else each.get("value", "")
    return variables
