"""What a dry run tells of an object, and what it only tells of who tries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from skerry.checks.dryrun import try_objects, try_pods
from skerry.checks.unreadable import Unreadable
from skerry.errors import Forbidden, Invalid, NotFound, ServiceUnavailable, StatusError, TooManyRequests
from skerry.http.exchange import Exchange
from skerry.installation import installation
from skerry.member.objects import PLACES, ObjectClient
from tests.member.apiserver import JSON, ApiServer

pytestmark = pytest.mark.integration

PODS = "/api/v1/namespaces/ns/pods"
RBAC = "rbac.authorization.k8s.io/v1"
ROLE = {"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": "r"}}
BINDING = {
    "apiVersion": RBAC, "kind": "ClusterRoleBinding", "metadata": {"name": "b"},
    "roleRef": {"kind": "ClusterRole", "name": "r"},
}  # fmt: skip
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
RIGHT = 'secrets "s" is forbidden: User "u" cannot patch resource "secrets" in API group "" in the namespace "ns"'


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with ApiServer(tmp_path) as server:
        yield server


@pytest.fixture
async def client(api: ApiServer) -> AsyncIterator[ObjectClient]:
    async with api.client() as client:
        yield client


def answers(api: ApiServer, path: str, error: StatusError | None = None) -> None:
    """Take whatever is sent there, or refuse it."""

    async def route(exchange: Exchange) -> None:
        await exchange.body(1 << 20)
        await exchange.respond(error.code if error else 201, JSON, error.body() if error else b'{"metadata":{}}')

    api.routes[path] = route


def path(document: dict[str, Any]) -> str:
    place = PLACES[document["apiVersion"], document["kind"]]
    return place.path({**document, "metadata": {**document["metadata"], "namespace": "ns"}})


async def test_all_that_is_taken_passes(api: ApiServer, client: ObjectClient) -> None:
    for each in (ROLE, BINDING, SECRET):
        answers(api, path(each))
    check = await try_objects(client, [ROLE, BINDING, SECRET], "ns", namespace_exists=True)
    assert (check.state, check.message) == ("pass", "3 of 3 objects are accepted")
    assert all(b"dryRun=All" in each.target for each in api.seen if each.method == b"PATCH")


async def test_the_first_that_is_refused_is_named(api: ApiServer, client: ObjectClient) -> None:
    answers(api, path(ROLE), Invalid("no such verb"))
    answers(api, path(SECRET), Forbidden("a policy forbids it"))
    check = await try_objects(client, [ROLE, SECRET], "ns", namespace_exists=True)
    assert (check.state, check.message) == ("fail", "ClusterRole r is refused (no such verb), and 1 more")


async def test_a_binding_to_a_role_that_comes_with_it_is_not_tried(api: ApiServer, client: ObjectClient) -> None:
    answers(api, path(ROLE))
    answers(api, path(BINDING), NotFound("clusterroles r not found"))
    check = await try_objects(client, [ROLE, BINDING], "ns", namespace_exists=True)
    assert (check.state, "(ClusterRoleBinding b)" in check.message) == ("pass", True)
    check = await try_objects(client, [BINDING], "ns", namespace_exists=True)
    assert (check.state, "clusterroles r not found" in check.message) == ("fail", True)


async def test_without_its_namespace_only_the_rest_is_tried(api: ApiServer, client: ObjectClient) -> None:
    answers(api, path(ROLE))
    secrets = [{**SECRET, "metadata": {"name": f"s{number}"}} for number in range(5)]
    check = await try_objects(client, [ROLE, *secrets], "ns", namespace_exists=False)
    assert check.state == "pass"
    assert check.message.startswith("1 of 6 objects are accepted; ")
    assert "(Secret s0, Secret s1, Secret s2 and 2 more)" in check.message


@pytest.mark.parametrize("error", [TooManyRequests("later"), ServiceUnavailable("not now")])
async def test_an_api_server_that_is_not_well_judges_nothing(
    api: ApiServer, client: ObjectClient, error: StatusError
) -> None:
    for place in (path(SECRET), PODS):
        answers(api, place, error)
    with pytest.raises(type(error)):
        await try_objects(client, [SECRET], "ns", namespace_exists=True)
    with pytest.raises(type(error)):
        await try_pods(client, installation("agent", {}).workloads, "ns")


async def test_who_may_not_try_knows_nothing(api: ApiServer, client: ObjectClient) -> None:
    for place in (path(SECRET), PODS):
        answers(api, place, Forbidden(RIGHT))
    with pytest.raises(Unreadable, match="cannot patch resource"):
        await try_objects(client, [SECRET], "ns", namespace_exists=True)
    with pytest.raises(Unreadable):
        await try_pods(client, installation("agent", {}).workloads, "ns")


async def test_pods_of_what_has_no_replica_are_not_tried(api: ApiServer, client: ObjectClient) -> None:
    check = await try_pods(client, installation("agent", {"replicas": 0}).workloads, "ns")
    assert (check.state, api.seen) == ("pass", [])
