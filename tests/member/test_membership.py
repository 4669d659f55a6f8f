"""What joining made is looked at again: repaired where our account may, named with the command where it may not."""

from __future__ import annotations

import pytest

from skerry.errors import BadGateway, Forbidden, ServiceUnavailable
from skerry.member.identity import KUBE_SYSTEM, Expected, WrongCluster
from skerry.member.membership import Findings, MembershipCheck
from skerry.member.upstream import Upstream
from tests.member.apiserver import BINDINGS, ApiServer

pytestmark = pytest.mark.integration


@pytest.fixture
async def check(api: ApiServer, upstream: Upstream) -> MembershipCheck:
    """Of a cluster where everything is as joining left it."""
    upstream.expect(Expected("uid-1", "m1"))
    made = MembershipCheck(upstream, "host", "host-uid")
    await made.look()
    assert len(api.bindings) == 4
    return made


async def test_nothing_is_written_where_nothing_is_missing(api: ApiServer, check: MembershipCheck) -> None:
    api.seen.clear()
    assert await check.look() == Findings()
    assert {seen.method for seen in api.seen} == {b"GET"}


async def test_a_deleted_binding_is_made_again_and_told(api: ApiServer, check: MembershipCheck) -> None:
    del api.bindings["skerry:cluster-admin"]
    assert (await check.look()).repaired == "ClusterRoleBinding skerry:cluster-admin"
    assert len(api.bindings) == 4
    assert await check.look() == Findings()


@pytest.mark.parametrize(
    ("change", "told"),
    [({"subjects": []}, "ClusterRoleBinding skerry:view"), ({"metadata": {"name": "skerry:view"}}, "")],
)
async def test_a_changed_binding_is_made_right_and_told_if_it_served_nobody(
    api: ApiServer, check: MembershipCheck, change: dict[str, object], told: str
) -> None:
    right = api.bindings["skerry:view"]
    api.bindings["skerry:view"] = {**right, **change}
    assert (await check.look()).repaired == told
    assert api.bindings["skerry:view"] == right


async def test_a_binding_that_serves_and_only_lacks_our_label_is_nothing_missing(
    api: ApiServer, check: MembershipCheck
) -> None:
    api.bindings["skerry:view"]["metadata"] = {"name": "skerry:view"}
    api.refuse[f"{BINDINGS}/skerry%3Aview"] = Forbidden("RBAC says no")
    api.readable = True
    assert await check.look() == Findings()


async def test_what_may_not_be_made_is_named_with_its_command_and_the_rest_is_made(
    api: ApiServer, check: MembershipCheck
) -> None:
    api.bindings["skerry:view"]["roleRef"]["name"] = "cluster-admin"
    del api.bindings["skerry:edit"]
    found = await check.look()
    assert (
        "kubectl delete clusterrolebinding skerry:view && kubectl create clusterrolebinding skerry:view"
        in found.missing
    )
    assert "skerry:edit" in api.bindings
    del api.bindings["skerry:edit"]
    api.refuse[BINDINGS] = Forbidden("RBAC says no")
    missing = (await check.look()).missing
    assert len(missing) < 1000
    for role in ("view", "edit", "admin", "cluster-admin"):
        assert f"kubectl create clusterrolebinding skerry:{role} --clusterrole={role} --group=skerry:{role}" in missing


async def test_bindings_that_may_be_made_and_not_seen_are_no_repair_each_minute(
    api: ApiServer, check: MembershipCheck
) -> None:
    api.refuse = {f"{BINDINGS}/": Forbidden("may not get")}
    assert await check.look() == Findings()


async def test_an_account_that_may_no_longer_impersonate_is_named(api: ApiServer, check: MembershipCheck) -> None:
    api.refuse["/version"] = Forbidden("may not impersonate users")
    assert "it needs the verb impersonate" in (await check.look()).missing


async def test_an_api_server_that_is_busy_says_nothing_about_rights(api: ApiServer, check: MembershipCheck) -> None:
    for path in ("/version", BINDINGS):
        api.refuse = {path: ServiceUnavailable("starting")}
        with pytest.raises(BadGateway):
            await check.look()


async def test_another_cluster_is_neither_repaired_nor_marked(api: ApiServer, check: MembershipCheck) -> None:
    api.bindings.clear()
    api.annotations.clear()
    api.uid = "uid-2"
    with pytest.raises(WrongCluster):
        await check.look()
    assert (api.bindings, api.annotations) == ({}, {})


async def test_a_mark_that_is_gone_is_made_again_and_anothers_is_left_alone(
    api: ApiServer, check: MembershipCheck
) -> None:
    api.annotations.clear()
    await check.look()
    assert api.annotations["skerry.dev/host"] == "host-uid"
    api.annotations["skerry.dev/host"] = "another-host"
    await check.look()
    assert api.annotations["skerry.dev/host"] == "another-host"


async def test_a_mark_that_is_forbidden_is_tried_once_and_changes_nothing(api: ApiServer, upstream: Upstream) -> None:
    made = MembershipCheck(upstream, "host", "host-uid")
    api.unmarkable = True
    for _ in range(2):
        assert (await made.look()).missing == ""
    patches = [seen for seen in api.seen if seen.method == b"PATCH" and seen.target == KUBE_SYSTEM.encode()]
    assert len(patches) == 1
