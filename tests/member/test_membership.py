"""What joining made is looked at again: repaired where our account may, named with the command where it may not."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from skerry.api.names import HOST_LABEL, OWNER_LABEL
from skerry.errors import BadGateway, Forbidden, ServiceUnavailable
from skerry.http.exchange import Exchange
from skerry.member import bindings, membership
from skerry.member.identity import KUBE_SYSTEM, Expected, TakenOver, WrongCluster
from skerry.member.membership import Findings, MembershipCheck
from skerry.member.upstream import Upstream
from tests.fixtures.nats import eventually
from tests.member.apiserver import BINDINGS, JSON, ApiServer

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
    [
        ({"subjects": []}, "ClusterRoleBinding skerry:view"),
        ({"metadata": {"name": "skerry:view", "labels": {"app.kubernetes.io/managed-by": "skerry"}}}, ""),
    ],
)
async def test_a_changed_binding_is_made_right_and_told_if_it_served_nobody(
    api: ApiServer, check: MembershipCheck, change: dict[str, object], told: str
) -> None:
    right = api.bindings["skerry:view"]
    api.bindings["skerry:view"] = {**right, **change}
    assert (await check.look()).repaired == told
    assert api.bindings["skerry:view"] == right


@pytest.mark.parametrize("label", ["app.kubernetes.io/managed-by", "team"])
async def test_a_binding_that_serves_and_whose_labels_may_not_be_changed_is_nothing_missing(
    api: ApiServer, check: MembershipCheck, label: str
) -> None:
    api.bindings["skerry:view"]["metadata"] = {"name": "skerry:view", "labels": {label: "skerry"}}
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


async def test_a_mark_that_another_host_makes_during_a_look_is_left_alone_and_seen_by_the_next(
    api: ApiServer, upstream: Upstream
) -> None:
    """Who joins elsewhere in this moment has it."""
    upstream.expect(Expected("uid-1", "m1", "host-uid"))
    check = MembershipCheck(upstream, "host", "host-uid")

    async def version(exchange: Exchange) -> None:
        api.annotations["skerry.dev/host"] = "another-host"
        await exchange.respond(200, JSON, msgspec.json.encode({"gitVersion": "v1.36.3"}))

    api.routes["/version"] = version
    await check.look()
    assert api.annotations["skerry.dev/host"] == "another-host"
    with pytest.raises(TakenOver):
        await check.look()


async def test_a_mark_that_is_forbidden_is_tried_once_and_changes_nothing(api: ApiServer, upstream: Upstream) -> None:
    made = MembershipCheck(upstream, "host", "host-uid")
    api.unmarkable = True
    for _ in range(2):
        assert (await made.look()).missing == ""
    patches = [seen for seen in api.seen if seen.method == b"PATCH" and seen.target == KUBE_SYSTEM.encode()]
    assert len(patches) == 1


@pytest.mark.parametrize(("owner", "left"), [("host-uid", {"team": "a"}), ("first-uid", None)])
async def test_what_the_host_before_wrote_before_it_let_go_is_not_labelled_as_its_own_any_more(
    api: ApiServer, check: MembershipCheck, owner: str, left: dict[str, str] | None
) -> None:
    """Until it has seen the mark it puts right what is changed; while the mark is its own, its labels are too."""
    labels = {HOST_LABEL: "first-uid", OWNER_LABEL: "tenancy", "team": "a"}
    api.bindings["skerry:view"]["metadata"] = {"name": "skerry:view", "labels": labels}
    api.annotations["skerry.dev/host"] = owner
    await check.look()
    found = api.bindings["skerry:view"]["metadata"]["labels"]
    assert {key: value for key, value in found.items() if value} == (labels if left is None else left)


@pytest.mark.usefixtures("check")
async def test_who_joins_another_host_is_no_longer_labelled_as_the_first_ones(
    api: ApiServer, upstream: Upstream
) -> None:
    """Its entries would else be refused as somebody else's for ever."""
    labels = {HOST_LABEL: "first-uid", OWNER_LABEL: "tenancy", "team": "a"}
    api.bindings["skerry:view"]["metadata"] = {"name": "skerry:view", "labels": labels}
    await bindings.ensure(upstream, "first-uid")
    assert api.bindings["skerry:view"]["metadata"]["labels"] == labels
    await bindings.ensure(upstream, "second-uid")
    left = {key: value for key, value in api.bindings["skerry:view"]["metadata"]["labels"].items() if value}
    assert left == {"team": "a"}


# Beside entries of desired state


@pytest.fixture
async def beside(api: ApiServer, check: MembershipCheck, upstream: Upstream) -> MembershipCheck:
    """Of a cluster where an entry keeps `skerry:view` in place, and nobody the others."""
    return MembershipCheck(upstream, "host", "host-uid", lambda name: name == "skerry:view")


@pytest.mark.parametrize("change", [{"subjects": []}, {"roleRef": {"kind": "ClusterRole", "name": "edit"}}, None])
async def test_a_binding_that_an_entry_keeps_is_never_written_and_named_if_it_stays_wrong(
    api: ApiServer, beside: MembershipCheck, monkeypatch: pytest.MonkeyPatch, change: dict[str, object] | None
) -> None:
    monkeypatch.setattr(membership, "KEPT_S", 0.05)
    right = api.bindings.pop("skerry:view")
    if change is not None:
        api.bindings["skerry:view"] = {**right, **change}
    api.seen.clear()
    command = "kubectl create clusterrolebinding skerry:view --clusterrole=view --group=skerry:view"
    assert command in (await beside.look()).missing
    assert {seen.method for seen in api.seen} == {b"GET"}


async def test_a_binding_that_its_entry_puts_right_meanwhile_is_neither_missing_nor_repaired(
    api: ApiServer, beside: MembershipCheck
) -> None:
    right = api.bindings.pop("skerry:view")
    api.seen.clear()
    look = asyncio.create_task(beside.look())
    await eventually(lambda: f"{BINDINGS}/skerry%3Aview".encode() in api.targets)
    api.bindings["skerry:view"] = right
    assert await look == Findings()


async def test_a_binding_without_an_entry_is_repaired_beside_one_that_has_one(
    api: ApiServer, beside: MembershipCheck
) -> None:
    del api.bindings["skerry:edit"]
    assert (await beside.look()).repaired == "ClusterRoleBinding skerry:edit"


async def test_the_label_of_earlier_versions_is_taken_off_also_where_an_entry_keeps_it(
    api: ApiServer, beside: MembershipCheck
) -> None:
    """An entry says nothing of it, so the applier leaves it where it is."""
    api.bindings["skerry:view"]["metadata"]["labels"] = {"app.kubernetes.io/managed-by": bindings.FORMER, "team": "a"}
    assert await beside.look() == Findings()
    assert api.bindings["skerry:view"]["metadata"]["labels"] == {"team": "a"}


# When it leaves


async def test_when_the_cluster_leaves_nothing_is_made_right_any_more(api: ApiServer, check: MembershipCheck) -> None:
    await check.end()
    api.bindings.clear()
    api.annotations.clear()
    assert await check.look() == Findings()
    assert (api.bindings, api.annotations) == ({}, {})


async def test_a_look_that_is_making_one_right_is_waited_for_and_makes_no_other(
    api: ApiServer, check: MembershipCheck
) -> None:
    """Else what was just withdrawn would be there again."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def made(exchange: Exchange) -> None:
        api.bindings["skerry:view"] = msgspec.json.decode(await exchange.body(1 << 20))
        asked.set()
        await go_on.wait()
        await exchange.respond(201, JSON, b"{}")

    for name in ("skerry:view", "skerry:admin"):
        del api.bindings[name]
    api.annotations.clear()
    api.routes[BINDINGS] = made
    look = asyncio.create_task(check.look())
    await asked.wait()
    ending = asyncio.create_task(check.end())
    done, _ = await asyncio.wait({ending}, timeout=0.2)
    assert done == set()
    go_on.set()
    await ending
    await look
    assert "skerry:admin" not in api.bindings
    assert api.annotations == {}


async def test_one_that_leaves_while_its_entry_is_waited_for_is_not_waited_for(
    api: ApiServer, beside: MembershipCheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "KEPT_S", 600.0)
    del api.bindings["skerry:view"]
    api.seen.clear()
    look = asyncio.create_task(beside.look())
    await eventually(lambda: f"{BINDINGS}/skerry%3Acluster-admin".encode() in api.targets)
    await beside.end()
    assert await look == Findings()
