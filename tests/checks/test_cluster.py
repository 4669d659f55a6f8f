"""The checks of a cluster: each fails or warns alone, by its name, with the next step; nothing is changed by any."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from skerry.checks import cluster
from skerry.checks.cluster import ClusterChecks
from skerry.checks.report import JOIN, Check
from skerry.checks.rights import ReviewedRight, rights
from skerry.checks.run import Checks
from skerry.errors import Forbidden, ServiceUnavailable
from skerry.http.exchange import Exchange
from skerry.member import account
from skerry.member.inventory import NODES, PODS
from skerry.member.upstream import Upstream
from tests.member.apiserver import BINDINGS, JSON, REVIEWS, ROLES, ApiServer

pytestmark = pytest.mark.integration

KUBE_SYSTEM = "/api/v1/namespaces/kube-system"


async def made(upstream: Upstream, **options: Any) -> dict[str, Check]:
    run = Checks("m", JOIN)
    await ClusterChecks(upstream, "host-uid", **options).run(run)
    return {each.name: each for each in run.checks}


def alone(results: dict[str, Check], name: str, result: str) -> Check:
    """The one check that has this result; all others passed."""
    odd = {each.name: each.result for each in results.values() if each.result not in {"pass", "skip"}}
    assert odd == {name: result}
    assert results[name].next
    return results[name]


async def test_a_good_cluster_passes_all_and_nothing_is_changed(api: ApiServer, upstream: Upstream) -> None:
    results = await made(upstream)
    assert {each.result for each in results.values()} == {"pass"}
    assert results["identity"].found == "kube-system UID uid-1"
    assert results["resources"].found == (
        "node node-0 has cpu 4 and memory 8Gi unrequested, cpu 100m and memory 128Mi for an agent in a pod is needed"
    )
    assert (api.bindings, api.annotations) == ({}, {})


async def test_a_refused_credential_is_api_reach(api: ApiServer, upstream: Upstream) -> None:
    api.token = "another"
    results = await made(upstream)
    assert "refuses the credential" in alone(results, "api.reach", "fail").found
    assert "kubectl" in results["api.reach"].next
    assert {each.result for each in results.values()} == {"fail", "skip"}


async def test_a_server_that_is_down_is_api_reach(api: ApiServer, upstream: Upstream) -> None:
    await api.__aexit__()
    assert "cannot be reached" in alone(await made(upstream), "api.reach", "fail").found


async def test_a_server_that_is_not_well_is_api_reach(api: ApiServer, upstream: Upstream) -> None:
    api.refuse["/version"] = ServiceUnavailable("etcd is away")
    assert "etcd is away" in alone(await made(upstream), "api.reach", "fail").found


async def test_something_else_than_an_api_server_is_api_version(api: ApiServer, upstream: Upstream) -> None:
    api.routes["/version"] = lambda exchange: exchange.respond(200, [], b"hello")
    assert "is not a Kubernetes API server" in alone(await made(upstream), "api.version", "fail").found


@pytest.mark.parametrize(("version", "says"), [("v1.30.9", "1.31 and later"), ("odd", "no version of Kubernetes")])
async def test_an_old_api_server_is_warned_of(api: ApiServer, upstream: Upstream, version: str, says: str) -> None:
    api.version = version
    assert says in alone(await made(upstream), "api.version", "warn").found


async def test_a_cluster_that_does_not_tell_its_uid_is_identity(api: ApiServer, upstream: Upstream) -> None:
    api.refuse[KUBE_SYSTEM] = Forbidden("you may not")
    check = alone(await made(upstream), "identity", "fail")
    assert (check.next, "you may not" in check.found) == ("allow `get` on it", True)


@pytest.mark.parametrize("body", [b"[]", b'{"metadata": 7}', b'{"metadata": {"uid": "' + b"u" * 129 + b'"}}', b"nope"])
async def test_a_kube_system_that_is_none_is_identity(api: ApiServer, upstream: Upstream, body: bytes) -> None:
    api.routes[KUBE_SYSTEM] = lambda exchange: exchange.respond(200, JSON, body)
    assert "does not tell the UID" in alone(await made(upstream), "identity", "fail").found


async def test_annotations_that_are_none_are_no_mark(api: ApiServer, upstream: Upstream) -> None:
    body = b'{"metadata": {"uid": "u", "annotations": ["skerry.dev/host"]}}'
    api.routes[KUBE_SYSTEM] = lambda exchange: exchange.respond(200, JSON, body)
    assert (await made(upstream))["owner"].result == "pass"


async def test_the_mark_of_another_host_is_owner_and_a_take_over_is_warned_of(
    api: ApiServer, upstream: Upstream
) -> None:
    api.annotations |= {"skerry.dev/host": "other-uid", "skerry.dev/host-name": "other"}
    check = alone(await made(upstream), "owner", "fail")
    assert "belongs to host 'other' (other-uid)" in check.found
    assert "kubectl annotate namespace kube-system skerry.dev/host-" in check.next
    assert "is taken over" in alone(await made(upstream, take_over=True), "owner", "warn").found


async def test_ones_own_mark_and_nobodys_are_no_obstacle(api: ApiServer, upstream: Upstream) -> None:
    assert "nobody to take it over from" in (await made(upstream, take_over=True))["owner"].found
    api.annotations["skerry.dev/host"] = "host-uid"
    assert (await made(upstream))["owner"].found == "it is marked as this host's own"


async def test_a_mark_that_cannot_be_written_is_warned_of(api: ApiServer, upstream: Upstream) -> None:
    api.unmarkable = True
    check = alone(await made(upstream), "owner", "warn")
    assert check.found == (
        "it is no host's member yet, and cannot be marked as one (namespaces cannot be patched): another host would not see that it is"
    )
    assert check.next.endswith("`patch` on namespace kube-system; it joins all the same")
    made_account = await made(upstream, account_is_made=True)
    assert made_account["owner"].result == "pass", "the account that will be made may"


async def test_a_mark_that_cannot_be_compared_is_skipped(api: ApiServer, upstream: Upstream) -> None:
    api.annotations["skerry.dev/host"] = "some"
    run = Checks("m", JOIN)
    await ClusterChecks(upstream, "").run(run)
    assert {each.name: each.result for each in run.checks}["owner"] == "skip"


async def test_a_credential_that_may_not_impersonate_is_named(api: ApiServer, upstream: Upstream) -> None:
    async def version(exchange: Exchange) -> None:
        if any(name == b"impersonate-user" for name, _ in exchange.head.headers):
            raise Forbidden("users is forbidden")
        await exchange.respond(200, JSON, b'{"gitVersion": "v1.36.3"}')

    api.routes["/version"] = version
    check = alone(await made(upstream), "impersonation", "fail")
    assert "may not impersonate (users is forbidden)" in check.found
    assert "userextras/skerry.dev/user" in check.next


async def test_roles_that_are_missing_or_empty_are_warned_of(api: ApiServer, upstream: Upstream) -> None:
    api.roles["view"] = []
    check = alone(await made(upstream), "roles", "warn")
    assert (check.found.startswith("ClusterRole view has no rules"), "controller-manager" in check.next) == (True, True)
    del api.roles["edit"]
    assert alone(await made(upstream), "roles", "warn").found.startswith("ClusterRole edit is missing")


async def test_roles_that_may_not_be_read_are_skipped_and_errors_warn(api: ApiServer, upstream: Upstream) -> None:
    api.refuse[ROLES] = Forbidden("no")
    assert (await made(upstream))["roles"].result == "skip"
    api.refuse[ROLES] = ServiceUnavailable("later")
    results = await made(upstream)
    assert (results["roles"].result, "later" in results["roles"].found) == ("warn", True)


async def test_bindings_that_may_not_be_made_are_named(api: ApiServer, upstream: Upstream) -> None:
    api.refuse[BINDINGS] = Forbidden("you may not")
    check = alone(await made(upstream), "bindings", "fail")
    assert "may not bind ClusterRole view (you may not)" in check.found
    assert "cluster-admin" in check.next


async def test_rights_that_desired_state_needs_are_warned_of_by_name(api: ApiServer, upstream: Upstream) -> None:
    api.may_not = {"nodes", "/readyz"}
    check = alone(await made(upstream), "desired", "warn")
    assert "get nodes, list nodes, watch nodes and 2 more" in check.found
    api.may_not = {"pods"}
    assert alone(await made(upstream), "desired", "warn").found.endswith("may not list pods")


async def test_rights_are_not_asked_for_in_vain(api: ApiServer, upstream: Upstream) -> None:
    api.refuse[REVIEWS] = Forbidden("no reviews")
    assert (await made(upstream))["desired"].result == "skip"
    for options in ({"desired": False}, {"account_is_made": True}):
        assert (await made(upstream, **options))["desired"].result == "skip"
    api.refuse[REVIEWS] = ServiceUnavailable("later")
    assert (await made(upstream))["desired"].result == "warn"


def test_rules_are_asked_one_by_one_and_impersonation_is_not_among_them() -> None:
    rules = [
        {
            "apiGroups": ["a", ""],
            "resources": ["things/status"],
            "verbs": ["get", "impersonate"],
            "resourceNames": ["x"],
        },
        {"nonResourceURLs": ["/readyz"], "verbs": ["get"]},
    ]
    made = list(rights(rules))
    assert made == [
        ReviewedRight("get", "a", "things", "status", "x"),
        ReviewedRight("get", "", "things", "status", "x"),
        ReviewedRight("get", path="/readyz"),
    ]
    assert [str(each) for each in made] == ["get things/status.a x", "get things/status x", "get /readyz"]
    assert made[1].attributes() == {
        "resourceAttributes": {"verb": "get", "resource": "things", "subresource": "status", "name": "x"}
    }
    assert made[2].attributes() == {"nonResourceAttributes": {"verb": "get", "path": "/readyz"}}
    assert not any(each.verb == "impersonate" for each in rights(account.rules()))


def pod(node: str, cpu: str, phase: str = "Running") -> dict[str, Any]:
    containers = [{"resources": {"requests": {"cpu": cpu}}}]
    return {"spec": {"nodeName": node, "containers": containers}, "status": {"phase": phase}}


async def test_full_nodes_are_warned_of_with_the_one_that_has_most(api: ApiServer, upstream: Upstream) -> None:
    api.pods = [pod("node-0", "3950m"), pod("node-1", "3990m"), pod("node-2", "5"), pod("gone", "1")]
    check = alone(await made(upstream), "resources", "warn")
    assert "no node has cpu 100m and memory 128Mi" in check.found
    assert "most has node-0, cpu 50m and memory 8Gi" in check.found
    api.pods[0] = pod("node-0", "3950m", "Succeeded")
    assert (await made(upstream))["resources"].result == "pass"


@pytest.mark.parametrize(
    ("spec", "ready"),
    [({"unschedulable": True}, "True"), ({"taints": [{"effect": "NoSchedule"}]}, "True"), ({}, "False")],
)
async def test_nodes_that_take_no_pods_have_no_room(
    api: ApiServer, upstream: Upstream, spec: dict[str, Any], ready: str
) -> None:
    status = {
        "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "9"},
        "conditions": [{"type": "Ready", "status": ready}],
    }
    node = {"metadata": {"name": "a"}, "spec": spec, "status": status}
    api.routes[NODES] = lambda exchange: exchange.respond(200, JSON, msgspec.json.encode({"items": [node]}))
    assert "no node that is ready" in alone(await made(upstream), "resources", "warn").found


@pytest.mark.parametrize("path", [NODES, PODS])
async def test_room_that_may_not_be_counted_is_skipped(api: ApiServer, upstream: Upstream, path: str) -> None:
    api.refuse[path] = Forbidden("you may not list")
    results = await made(upstream)
    assert (results["resources"].result, "you may not list" in results["resources"].found) == ("skip", True)


async def test_pods_that_are_not_listed_in_time_hold_up_nothing(
    api: ApiServer, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = asyncio.Event()

    async def hang(exchange: Exchange) -> None:
        await ended.wait()

    monkeypatch.setattr(cluster, "ADVICE_S", 0.2)
    api.routes[PODS] = hang
    results = await made(upstream)
    ended.set()
    assert (results["resources"].result, "not known after 0.2 s" in results["resources"].found) == ("warn", True)
    assert results["identity"].result == "pass"


async def test_a_direct_member_needs_no_room(api: ApiServer, upstream: Upstream) -> None:
    assert (await made(upstream, installs=False))["resources"].result == "skip"
