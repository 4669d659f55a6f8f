"""What is asked of a cluster before it joins, and what joining makes there. (By name: tests/checks/test_cluster.py.)"""

from __future__ import annotations

import pytest

from skerry.api.names import HOST_LABEL, OWNER_LABEL
from skerry.desired import owners
from skerry.errors import BadGateway, Conflict, Forbidden, ServiceUnavailable, Unauthorized
from skerry.member import bindings, checks
from skerry.member.identity import RightsMissing
from skerry.member.upstream import Upstream
from tests.member.apiserver import BINDINGS, ApiServer

pytestmark = pytest.mark.integration


async def test_facts_are_found_and_nothing_is_changed(api: ApiServer, upstream: Upstream) -> None:
    assert await checks.version_of(upstream) == "v1.36.3"
    assert await checks.identity_of(upstream, "host-uid") == "uid-1"
    assert await checks.impersonation_of(upstream) == "allowed"
    assert await checks.bindings_of(upstream) == "may be made"
    assert (api.bindings, api.annotations) == ({}, {})


async def test_a_member_of_another_host_is_refused_naming_it_unless_that_does_not_matter(
    api: ApiServer, upstream: Upstream
) -> None:
    api.annotations |= {"skerry.dev/host": "other-uid", "skerry.dev/host-name": "other"}
    with pytest.raises(Conflict, match="belongs to host 'other'"):
        await checks.identity_of(upstream, "host-uid")
    assert await checks.identity_of(upstream, "") == "uid-1"


async def test_a_refused_credential_is_no_api_server_that_is_down(api: ApiServer, upstream: Upstream) -> None:
    api.token = "another"
    for work in (checks.version_of(upstream), checks.identity_of(upstream, "")):
        with pytest.raises(Unauthorized, match="refuses the credential"):
            await work


async def test_bindings_that_are_right_need_no_right_to_make_them(api: ApiServer, upstream: Upstream) -> None:
    await bindings.ensure(upstream)
    api.refuse[BINDINGS], api.readable = Forbidden("no create"), True
    assert await checks.bindings_of(upstream) == "are there"
    damages: tuple[dict[str, object], ...] = ({"subjects": []}, {"roleRef": {"kind": "ClusterRole", "name": "view"}})
    for damage in damages:
        right = api.bindings["skerry:edit"]
        api.bindings["skerry:edit"] = {**right, **damage}
        with pytest.raises(RightsMissing, match="may not bind ClusterRole edit"):
            await checks.bindings_of(upstream)
        api.bindings["skerry:edit"] = right
    api.refuse[BINDINGS], api.readable = ServiceUnavailable("etcd"), False
    with pytest.raises(BadGateway, match="does not say whether"):
        await checks.bindings_of(upstream)


async def test_bindings_are_made_once_and_repaired(api: ApiServer, upstream: Upstream) -> None:
    await bindings.ensure(upstream)
    assert sorted(api.bindings) == ["skerry:admin", "skerry:cluster-admin", "skerry:edit", "skerry:view"]
    wanted = bindings.binding("view")
    assert api.bindings["skerry:view"] == wanted
    api.bindings["skerry:view"]["subjects"] = []
    await bindings.ensure(upstream)
    assert api.bindings["skerry:view"] == wanted


async def test_what_joining_makes_is_the_hosts_as_if_its_entries_had(api: ApiServer, upstream: Upstream) -> None:
    """So it is withdrawn with the rest, however soon the member leaves."""
    await bindings.ensure(upstream, "host-uid")
    labels = {OWNER_LABEL: owners.BINDINGS[0], HOST_LABEL: "host-uid"}
    assert [each["metadata"]["labels"] for each in api.bindings.values()] == [labels] * 4
    manager = owners.OWNERS[owners.BINDINGS[0]].manager
    made = [each.target.decode() for each in api.seen if each.method == b"POST"]
    assert made == [f"{bindings.path_of_bindings()}?fieldManager={manager}"] * 4


async def test_a_binding_to_another_role_is_not_taken_over(api: ApiServer, upstream: Upstream) -> None:
    await bindings.ensure(upstream)
    api.bindings["skerry:view"]["roleRef"]["name"] = "cluster-admin"
    with pytest.raises(BadGateway, match="kubectl delete clusterrolebinding skerry:view"):
        await bindings.ensure(upstream)


async def test_the_mark_says_whose_member_it_is(api: ApiServer, upstream: Upstream) -> None:
    await bindings.mark(upstream, "h", "host-uid", await upstream.identify())
    assert api.annotations == {"skerry.dev/host": "host-uid", "skerry.dev/host-name": "h"}
