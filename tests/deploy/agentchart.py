"""The agent's chart as real helm renders it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.kube.contents import delete_namespaces
from tests.kube.member import Member

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "skerry-agent"
NAMESPACE, RELEASE = "skerry-system", "skerry-agent"
KUBERNETES = "1.36.3"
"""Said to `helm template`: one that is built from source believes in 1.20."""


def helm(binary: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run helm; exit code not judged."""
    return subprocess.run([str(binary), *arguments], capture_output=True, text=True, timeout=60, check=False)


def template(binary: Path, values: dict[str, Any], directory: Path) -> subprocess.CompletedProcess[str]:
    """`helm template` with these values."""
    file = directory / "values.json"
    file.write_text(json.dumps(values))
    arguments = ("-n", NAMESPACE, "-f", str(file), "--kube-version", KUBERNETES)
    return helm(binary, "template", RELEASE, str(CHART), *arguments)


def rendered(binary: Path, values: dict[str, Any], directory: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """The objects by kind and name."""

    def text() -> str:
        done = template(binary, values, directory)
        assert done.returncode == 0, done.stderr
        return done.stdout

    objects = documents(f"{binary} agent {json.dumps(values)}", text)
    assert len({(each["kind"], each["metadata"]["name"]) for each in objects}) == len(objects)
    return {(each["kind"], each["metadata"]["name"]): each for each in objects}


_DOCUMENTS: dict[str, str] = {}


def documents(name: str, text: Callable[[], str]) -> list[dict[str, Any]]:
    """The objects of a manifest, copies of its own for each caller: many tests look at the same one, which takes a fifth of a second to
    be rendered and read. It is known by `name`; a test that renders are the same has its own."""
    if name not in _DOCUMENTS:
        _DOCUMENTS[name] = json.dumps([each for each in yaml.load_all(text(), yaml.CSafeLoader) if each])
    objects: list[dict[str, Any]] = json.loads(_DOCUMENTS[name])
    return objects


def values_table(chart: Path = CHART) -> str:
    """The values as the table of the documentation: name, default, description."""
    schema = json.loads((chart / "values.schema.json").read_text())

    def rows(part: dict[str, Any], prefix: str) -> list[str]:
        lines = []
        for name, each in part["properties"].items():
            if "properties" in each:
                lines += rows(each, f"{prefix}{name}.")
            elif "default" in each:
                lines.append(f"| `{prefix}{name}` | `{json.dumps(each['default'])}` | {each['description']} |")
        return lines

    return "\n".join(["| value | default | |", "|---|---|---|", *rows(schema, "")]) + "\n"


def make_namespace(cluster: Member) -> None:
    """NAMESPACE, empty: clusters are handed from test to test, and one that was killed leaves what it had."""
    delete_namespaces(cluster, NAMESPACE)
    leftovers = ("clusterrole,clusterrolebinding", "-l", "skerry.dev/installed")
    cluster.kubectl("delete", *leftovers, "--ignore-not-found")
    cluster.kubectl("create", "namespace", NAMESPACE)


def check_schema(chart: Path) -> None:
    """Each value of a chart is described, has the default that the chart gives it, and nothing else may be set."""
    schema = json.loads((chart / "values.schema.json").read_text())
    values = yaml.safe_load((chart / "values.yaml").read_text())

    def check(part: dict[str, Any], value: Any, place: str) -> None:
        assert part.get("description"), place
        if "properties" not in part:
            assert part["default"] == value, place
            return
        assert part["additionalProperties"] is False, place
        assert value.keys() <= part["properties"].keys(), place
        for name, each in part["properties"].items():
            if name in value:
                check(each, value[name], f"{place}.{name}")
            else:
                assert "default" not in each, f"{place}.{name}"

    check({"description": "x", **schema}, values, "")
