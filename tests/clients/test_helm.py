"""Helm 3 and 4: a release's whole life with a small chart, and what Helm says when the chart or the cluster says no."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.clients.shore import Client, Shore

pytestmark = [pytest.mark.kube, pytest.mark.node, pytest.mark.timeout(240)]

CHART = str(Path(__file__).parent / "chart")
WAIT = ("--wait", "--timeout=60s")


@pytest.fixture(scope="module", params=["3", "4"])
def helm(request: pytest.FixtureRequest, programs: Mapping[str, Path], shore: Shore) -> Client:
    """Each Helm that must work, with release names and namespace of its own."""
    namespace = f"helm-{request.param}"
    client = Client(programs[f"helm-{request.param}"], shore, ("--namespace", namespace))
    return client.having(HELM_CACHE_HOME=str(shore.host.directory / namespace))


@pytest.fixture(scope="module")
def release(helm: Client) -> Iterator[str]:
    """An installed release, red."""
    image = f"image={helm.shore.member.image}"
    helm.ok("install", "skiff", CHART, "--create-namespace", "--set", image, *WAIT)
    yield "skiff"
    helm.run("uninstall", "skiff", "--ignore-not-found")


def _colour(helm: Client, one_kubectl: Client) -> str:
    return one_kubectl.ok(*helm.first, "get", "configmap", "skiff-dinghy", "-o", "jsonpath={.data.colour}")


def _status(helm: Client) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(helm.ok("status", "skiff", "-o", "json"))
    return found


def test_a_release_sees_the_version_and_the_apis_of_the_member(helm: Client, release: str, one_kubectl: Client) -> None:
    data = json.loads(one_kubectl.ok(*helm.first, "get", "configmap", "skiff-dinghy", "-o", "json"))["data"]
    version = json.loads(one_kubectl.ok("get", "--raw", "/version"))
    assert data == {"colour": "red", "minor": version["minor"], "hasDeployments": "true"}


def test_list_and_get_show_it(helm: Client, release: str) -> None:
    assert [each["name"] for each in json.loads(helm.ok("list", "-o", "json"))] == [release]
    assert json.loads(helm.ok("get", "values", release, "--all", "-o", "json"))["colour"] == "red"
    assert "kind: Deployment" in helm.ok("get", "manifest", release)
    assert "helm.sh/hook: test" in helm.ok("get", "hooks", release)


def test_upgrade_and_rollback_change_what_runs(helm: Client, release: str, one_kubectl: Client) -> None:
    helm.ok("upgrade", release, CHART, "--reuse-values", "--set", "colour=blue", *WAIT)
    assert _colour(helm, one_kubectl) == "blue"
    helm.ok("rollback", release, "1", *WAIT)
    assert _colour(helm, one_kubectl) == "red"
    assert len(json.loads(helm.ok("history", release, "-o", "json"))) == _status(helm)["version"] == 3


def test_helm_test_runs_a_pod_and_shows_its_log(helm: Client, release: str) -> None:
    said = helm.ok("test", release, "--logs", "--timeout=60s")
    assert "Succeeded" in said
    assert "the colour is red" in said


def test_a_failing_upgrade_says_why_and_can_be_gone_back_from(helm: Client, release: str) -> None:
    done = helm.run("upgrade", release, CHART, "--reuse-values", "--set", "image=")
    assert done.returncode == 1
    assert b"an image is needed" in done.stderr
    assert _status(helm)["info"]["status"] == "deployed"


def test_a_release_can_be_made_in_dry_run_on_the_server(helm: Client, release: str) -> None:
    dry = ("--dry-run=server", "--set", f"image={helm.shore.member.image}")
    assert "colour:" in helm.ok("install", "ghost", CHART, *dry)
    assert [each["name"] for each in json.loads(helm.ok("list", "-o", "json"))] == [release]


def test_uninstall_leaves_nothing(helm: Client, release: str, one_kubectl: Client) -> None:
    helm.ok("uninstall", release, *WAIT)
    assert json.loads(helm.ok("list", "--all" if "helm-3" in helm.program.name else "--max=10", "-o", "json")) == []
    left = one_kubectl.ok(*helm.first, "get", "deployments,secrets", "-o", "name").split()
    assert left == []
