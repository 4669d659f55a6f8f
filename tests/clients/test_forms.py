"""Both ways in which a context may name its member, by every client: in TLS, and by path where that does not get through.

The member has an object that the host has not, so an answer of the host's own API cannot be taken for the member's.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import kubernetes.client
import kubernetes.config
import kubernetes_asyncio.client
import kubernetes_asyncio.config
import kubernetes_asyncio.watch
import pytest

from tests.clients.conftest import KUBECTLS
from tests.clients.rig import Rig
from tests.clients.shore import Client, Shore

pytestmark = [pytest.mark.kube, pytest.mark.timeout(120)]

BUOY = "/api/v1/namespaces/default/configmaps/buoy"
CHART = str(Path(__file__).parent / "chart")


@pytest.fixture(scope="module")
def buoy(rig: Rig) -> None:
    """An object of the member, made past the host."""
    rig.change("create", "buoy")


@pytest.fixture(params=["by name", "by path"])
def formed(request: pytest.FixtureRequest, rig: Rig, buoy: None) -> Shore:
    """The member, named in TLS and by path."""
    return replace(rig.shore, by_path=request.param == "by path")


@pytest.fixture(params=KUBECTLS)
def any_kubectl(request: pytest.FixtureRequest, programs: Mapping[str, Path], formed: Shore) -> Client:
    """Each kubectl, in both forms."""
    return Client(programs[f"kubectl-{request.param}"], formed)


def test_a_context_says_which_form_it_has(formed: Shore) -> None:
    assert (formed.server_name is None) == formed.by_path
    assert formed.server.endswith("/clusters/rig") == formed.by_path


def test_kubectl_reads_and_writes(any_kubectl: Client) -> None:
    assert any_kubectl.ok("get", "configmap", "buoy", "-o", "name") == "configmap/buoy\n"
    any_kubectl.ok("create", "configmap", "lamp", "--from-literal=a=b")
    any_kubectl.ok("delete", "configmap", "lamp")


def test_kubectl_get_raw_reaches_the_member(any_kubectl: Client) -> None:
    assert json.loads(any_kubectl.ok("get", "--raw", BUOY))["metadata"]["name"] == "buoy"


def test_kubectl_proxy_serves_the_member(any_kubectl: Client) -> None:
    flags = ("--append-server-path",) if any_kubectl.shore.by_path else ()
    with any_kubectl.start("proxy", "--port=0", *flags) as serving:
        address = serving.line().rsplit(" ", 1)[-1]
        with urllib.request.urlopen(f"http://{address}{BUOY}", timeout=30) as answer:
            assert json.load(answer)["metadata"]["name"] == "buoy"


@pytest.mark.parametrize("version", ["3", "4"])
def test_helm_installs_and_lists(programs: Mapping[str, Path], formed: Shore, version: str) -> None:
    name = f"form-{version}-{'path' if formed.by_path else 'name'}"
    helm = Client(
        programs[f"helm-{version}"], formed, ("--namespace", name), {"HELM_CACHE_HOME": str(formed.host.directory)}
    )
    helm.ok("install", "skiff", CHART, "--create-namespace", "--set", "image=none")
    assert [each["name"] for each in json.loads(helm.ok("list", "-o", "json"))] == ["skiff"]
    helm.ok("uninstall", "skiff")


def test_client_go_lists_and_watches(programs: Mapping[str, Path], formed: Shore, rig: Rig) -> None:
    name = f"seen-by-{'path' if formed.by_path else 'name'}"
    clientgo = Client(programs["clientgo"], formed, (formed.context,))
    with clientgo.start("informer", "default", "", "v1", "configmaps") as informer:
        assert "add buoy" in informer.until("synced")
        rig.change("create", name)
        informer.until(f"add {name}")


def test_the_python_client_reads(formed: Shore) -> None:
    with kubernetes.config.new_client_from_config(config_file=str(formed.kubeconfig)) as client:
        found = kubernetes.client.CoreV1Api(client).read_namespaced_config_map("buoy", "default")
    assert found.metadata.name == "buoy"


@pytest.mark.usefixtures("connections_end")
async def test_kubernetes_asyncio_reads_and_watches(formed: Shore) -> None:
    async with await kubernetes_asyncio.config.new_client_from_config(config_file=str(formed.kubeconfig)) as client:
        core = kubernetes_asyncio.client.CoreV1Api(client)
        assert (await core.read_namespaced_config_map("buoy", "default")).metadata.name == "buoy"
        async with kubernetes_asyncio.watch.Watch() as watching:
            selector = "metadata.name=buoy"
            async for event in watching.stream(core.list_namespaced_config_map, "default", field_selector=selector):
                assert event["object"].metadata.name == "buoy"
                break
