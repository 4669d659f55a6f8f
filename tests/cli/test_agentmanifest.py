"""The agent's objects in the package are the chart's, and settings are put in where the chart puts them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skerry.cli.agentmanifest import FILE, AgentInstallation, manifests
from skerry.member.objects import PLACES
from tests.deploy.agentchart import rendered

Objects = dict[tuple[str, str], dict[str, Any]]
CHECKSUMS = ("checksum/settings", "checksum/token")


def test_the_file_is_what_helm_renders_from_the_chart(helms: Mapping[str, Path], tmp_path: Path) -> None:
    for helm in ("helm-3", "helm-4"):
        objects = list(rendered(helms[helm], {"token": "TOKEN", "replicas": 2}, tmp_path).values())
        text = msgspec.json.format(msgspec.json.encode(objects)) + b"\n"
        if os.environ.get("SKERRY_TEST_WRITE_TABLE") == "1":
            FILE.write_bytes(text)
        assert FILE.read_bytes() == text, "the chart is another one: make manifests"


@pytest.mark.parametrize(
    ("installation", "values"),
    [
        (AgentInstallation(token="a"), {}),
        (AgentInstallation(token="a", replicas=3), {"replicas": 3}),
        (AgentInstallation(token="a", registry="r.example/x/"), {"image": {"registry": "r.example/x"}}),
        (AgentInstallation(token="a", read_only=True), {"ceiling": {"readOnly": True}}),
        (
            AgentInstallation(token="a", no_exec=True, namespaces=("b", "c"), desired="None"),
            {"ceiling": {"noExec": True, "namespaces": ["b", "c"], "desired": "None"}},
        ),
    ],
    ids=["plain", "replicas", "registry", "read-only", "ceiling"],
)
def test_settings_make_what_the_chart_makes_of_values(
    helms: Mapping[str, Path], installation: AgentInstallation, values: dict[str, Any], tmp_path: Path
) -> None:
    chart = rendered(helms["helm-4"], {"token": "a", **values}, tmp_path)
    ours = {(each["kind"], each["metadata"]["name"]): each for each in manifests(installation)}
    for objects in (chart, ours):
        annotations = objects["Deployment", "skerry-agent"]["spec"]["template"]["metadata"]["annotations"]
        assert all(annotations.pop(name) for name in CHECKSUMS)
    assert ours == chart


def test_another_namespace_is_said_everywhere() -> None:
    documents = manifests(AgentInstallation(token="a", namespace="islands"))
    assert b"skerry-system" not in msgspec.json.encode(documents)


def test_another_token_or_ceiling_rolls_the_pods_and_replicas_do_not() -> None:
    def template(**options: Any) -> Any:
        documents = manifests(AgentInstallation(**{"token": "a", **options}))
        return next(each["spec"]["template"] for each in documents if each["kind"] == "Deployment")

    assert template(replicas=3) == template()
    assert template(token="b") != template() != template(read_only=True)


def test_every_kind_has_its_place() -> None:
    documents = manifests(AgentInstallation(token="a", replicas=2))
    paths = [PLACES[each["apiVersion"], each["kind"]].path(each) for each in documents]
    assert len(set(paths)) == len(paths)
    assert "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/skerry%3Aview" in paths
    assert "/api/v1/namespaces/skerry-system/secrets/skerry-agent-state" in paths
