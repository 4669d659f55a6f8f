"""The checks of a cluster before it joins: each failure has its name, one line, and the next step; nothing is changed."""

from __future__ import annotations

import msgspec
import pytest

from skerry.errors import BadGateway, Forbidden
from skerry.member import bindings, checks
from skerry.member.checks import CheckFailed
from skerry.member.upstream import Upstream
from tests.member.apiserver import BINDINGS, ApiServer

pytestmark = pytest.mark.integration


def report(check: str, found: str) -> None:
    """Nobody listens."""


async def failed(upstream: Upstream) -> CheckFailed:
    with pytest.raises(CheckFailed) as caught:
        await checks.member(upstream, "host-uid", report)
    assert "\n" not in str(caught.value)
    return caught.value


async def test_a_good_member_passes_and_nothing_is_changed(api: ApiServer, upstream: Upstream) -> None:
    found: list[str] = []
    cluster = await checks.member(upstream, "host-uid", lambda check, what: found.append(check))
    assert (cluster.uid, cluster.version) == ("uid-1", "v1.36.3")
    assert found == ["api server", "identity", "impersonation", "bindings"]
    assert api.bindings == {}
    assert api.annotations == {}


async def test_a_refused_credential_is_named(api: ApiServer, upstream: Upstream) -> None:
    api.token = "another"
    error = await failed(upstream)
    assert error.check == "api server"
    assert "refuses the credential" in str(error)


async def test_something_else_than_an_api_server_is_named(api: ApiServer, upstream: Upstream) -> None:
    api.routes["/version"] = lambda exchange: exchange.respond(200, [], b"hello")
    assert "is not a Kubernetes API server" in str(await failed(upstream))


async def test_an_api_server_that_is_down_is_named(api: ApiServer, upstream: Upstream) -> None:
    await api.__aexit__()
    error = await failed(upstream)
    assert error.check == "api server"
    assert "cannot be reached" in str(error)


@pytest.mark.parametrize(
    ("path", "check", "says"),
    [
        ("/api/v1/namespaces/kube-system", "identity", "allow `get` on it"),
        (BINDINGS, "bindings", "rights of cluster-admin"),
    ],
)
async def test_a_missing_permission_is_named(
    api: ApiServer, upstream: Upstream, path: str, check: str, says: str
) -> None:
    api.refuse[path] = Forbidden("you may not")
    error = await failed(upstream)
    assert error.check == check
    assert says in str(error)
    assert "you may not" in str(error)


async def test_a_member_of_another_host_is_refused_naming_it(api: ApiServer, upstream: Upstream) -> None:
    api.annotations |= {"skerry.dev/host": "other-uid", "skerry.dev/host-name": "other"}
    error = await failed(upstream)
    assert error.check == "identity"
    assert "belongs to host 'other'" in str(error)


async def test_bindings_are_made_once_and_repaired(api: ApiServer, upstream: Upstream) -> None:
    await bindings.ensure(upstream)
    assert sorted(api.bindings) == ["skerry:admin", "skerry:cluster-admin", "skerry:edit", "skerry:view"]
    wanted = msgspec.json.decode(bindings.binding("view"))
    assert api.bindings["skerry:view"] == wanted
    api.bindings["skerry:view"]["subjects"] = []
    await bindings.ensure(upstream)
    assert api.bindings["skerry:view"] == wanted


async def test_a_binding_to_another_role_is_not_taken_over(api: ApiServer, upstream: Upstream) -> None:
    await bindings.ensure(upstream)
    api.bindings["skerry:view"]["roleRef"]["name"] = "cluster-admin"
    with pytest.raises(BadGateway, match="kubectl delete clusterrolebinding skerry:view"):
        await bindings.ensure(upstream)


async def test_the_mark_says_whose_member_it_is(api: ApiServer, upstream: Upstream) -> None:
    await bindings.mark(upstream, "h", "host-uid")
    assert api.annotations == {"skerry.dev/host": "host-uid", "skerry.dev/host-name": "h"}


async def test_a_cluster_is_taken_over_when_that_is_wanted(api: ApiServer, upstream: Upstream) -> None:
    api.annotations |= {"skerry.dev/host": "other-uid", "skerry.dev/host-name": "other"}
    assert (await checks.member(upstream, "host-uid", report, take_over=True)).uid == "uid-1"
