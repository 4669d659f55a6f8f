"""What a join with an agent sends to the cluster, and what it says of pods that do not serve."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skerry.cli.agentmanifest import AgentInstallation, manifests
from skerry.cli.commands import agentjoin
from skerry.cli.failure import Failure
from skerry.errors import AlreadyExists, Forbidden, StatusError
from skerry.http.exchange import Exchange
from skerry.member import kubeconfig
from skerry.member.credentials import source
from skerry.member.objects import PLACES, ObjectClient
from skerry.member.upstream import Upstream
from tests.member.apiserver import JSON, ApiServer

pytestmark = pytest.mark.integration

INSTALLATION = AgentInstallation(token="skerry-join-x", replicas=2)
METADATA = {"annotations": {"team": "sea", **INSTALLATION.checksums()}}
PODS = "/api/v1/namespaces/skerry-system/pods"
BINDING = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/skerry%3Aagent"
DEPLOYMENT = "/apis/apps/v1/namespaces/skerry-system/deployments/skerry-agent"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with ApiServer(tmp_path) as server:
        yield server


@pytest.fixture
async def client(upstream: Upstream) -> ObjectClient:
    return ObjectClient(upstream, agentjoin.MANAGER)


@pytest.fixture
async def upstream(api: ApiServer) -> AsyncIterator[Upstream]:
    target = kubeconfig.load(str(api.kubeconfig()))
    made = Upstream(target, source(target))
    yield made
    await made.close()


def answers(api: ApiServer, path: str, status: int, document: dict[str, Any]) -> None:
    """Answer so, whatever is sent."""

    async def route(exchange: Exchange) -> None:
        await exchange.body(1 << 20)
        await exchange.respond(status, JSON, msgspec.json.encode(document))

    api.routes[path] = route


def refuses(api: ApiServer, path: str, error: StatusError) -> None:
    """Answer with an error, whatever is sent."""
    answers(api, path, error.code, msgspec.to_builtins(error.status()))


def paths() -> list[str]:
    documents = manifests(INSTALLATION)
    return [PLACES[each["apiVersion"], each["kind"]].path(each) for each in documents]


async def test_all_objects_are_applied_in_the_namespace_that_is_made_first(
    api: ApiServer, client: ObjectClient
) -> None:
    refuses(api, "/api/v1/namespaces", AlreadyExists("it is there"))
    for path in paths():
        answers(api, path, 201, {})
    await agentjoin.install(client, INSTALLATION)
    sent = [(seen.method.decode(), seen.target.decode()) for seen in api.seen]
    assert sent[0] == ("POST", "/api/v1/namespaces?fieldManager=skerry-join")
    assert sent[1:] == [("PATCH", f"{path}?fieldManager=skerry-join&force=true") for path in paths()]


async def test_what_a_cluster_does_not_take_is_named(api: ApiServer, client: ObjectClient) -> None:
    refuses(api, "/api/v1/namespaces", Forbidden("you may not"))
    with pytest.raises(Failure, match="Namespace skerry-system cannot be made there: you may not"):
        await agentjoin.install(client, INSTALLATION)
    answers(api, "/api/v1/namespaces", 201, {})
    refuses(api, paths()[0], Forbidden("you may not"))
    with pytest.raises(Failure, match="cannot be applied there: you may not"):
        await agentjoin.install(client, INSTALLATION)


async def test_what_helm_installed_or_is_in_another_namespace_is_left_alone(
    api: ApiServer, client: ObjectClient
) -> None:
    ours = {"metadata": {"labels": {}}, "subjects": [{"namespace": "skerry-system"}]}
    await agentjoin.refuse_others(client, "skerry-system", "x")
    answers(api, BINDING, 200, ours)
    await agentjoin.refuse_others(client, "skerry-system", "x")
    with pytest.raises(Failure, match="the agent there is in namespace skerry-system, and a cluster has one"):
        await agentjoin.refuse_others(client, "islands", "x")
    answers(api, BINDING, 200, {**ours, "metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"}}})
    with pytest.raises(Failure, match="was installed by Helm: go on with that: helm uninstall"):
        await agentjoin.refuse_others(client, "skerry-system", "helm uninstall")


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({}, ""),
        ({"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}, ""),
        (
            {
                "containerStatuses": [
                    {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such\x1bimage"}}}
                ]
            },
            "its pod waits: ImagePullBackOff no such image",
        ),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes"}]},
            "its pod has no node: 0/3 nodes",
        ),
    ],
    ids=["nothing", "creating", "image", "node"],
)
async def test_what_keeps_a_pod_from_serving_is_told(
    api: ApiServer, upstream: Upstream, status: dict[str, Any], says: str
) -> None:
    answers(api, PODS, 200, {"items": [{"metadata": METADATA, "status": status}]})
    assert await agentjoin._of_pods(upstream, INSTALLATION) == says


async def test_the_line_with_which_the_agent_ended_ends_the_wait(api: ApiServer, upstream: Upstream) -> None:
    ended = {"terminated": {"message": "agent: token: it was used: make a new one"}}
    crash = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended}
    earlier = {"metadata": {"annotations": {}}, "status": {"containerStatuses": [crash]}}
    answers(api, PODS, 200, {"items": [earlier]})
    assert await agentjoin._of_pods(upstream, INSTALLATION) == ""
    answers(api, PODS, 200, {"items": [{**earlier, "metadata": METADATA}]})
    with pytest.raises(Failure, match="the agent cannot join: agent: token: it was used: make a new one"):
        await agentjoin._of_pods(upstream, INSTALLATION)


async def test_pods_that_cannot_be_listed_say_nothing(api: ApiServer, upstream: Upstream) -> None:
    answers(api, PODS, 403, {"message": "no"})
    assert await agentjoin._of_pods(upstream, INSTALLATION) == ""
