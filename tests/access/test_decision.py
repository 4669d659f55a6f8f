"""The decision table of requests to members: who is let through, and as whom members see them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.access import Allowed, Denied, MemberRequest, decide, held
from skerry.access.decision import KEPT, not_found
from skerry.access.holdings import Basis
from skerry.api.messages import Caller
from tests.access.grants import access, grant

ALICE = Caller(user="alice", groups=("skerry:edit", "shop", "skerry:view", "system:masters"))
NOBODY = Caller(user="nobody", groups=("shop",))
ADMIN = Caller(user="admin", groups=("skerry:cluster-admin",))
TENANT = Caller(user="alice", groups=("org:shop",))
GRANTED = access(grant(role="edit", namespaces=["shop", "till"]))
LIST = MemberRequest("m1", "list", "namespaces")


def denied(caller: Caller, request: MemberRequest) -> str:
    decision = decide(caller, request, GRANTED, 0.0)
    assert isinstance(decision, Denied)
    assert decision.error.code == 403
    return decision.error.message


def allowed(caller: Caller, request: MemberRequest) -> Allowed:
    decision = decide(caller, request, GRANTED, 0.0)
    assert isinstance(decision, Allowed)
    return decision


def test_only_what_was_given_travels_and_the_user_gets_the_prefix() -> None:
    answer = decide(ALICE, MemberRequest("m2", "get", "pods"), GRANTED, 0.0)
    assert isinstance(answer, Allowed)
    assert (answer.user, answer.groups) == ("skerry:alice", ("skerry:view", "skerry:edit"))
    assert answer.extra == (("skerry.dev/user", ("alice",)),)
    assert answer.basis == (Basis("Group", "skerry:view"), Basis("Group", "skerry:edit"))


def test_groups_of_a_namespace_are_asserted_for_requests_that_name_it() -> None:
    assert allowed(TENANT, MemberRequest("m1", "list", "pods", namespace="shop")).groups == ("skerry:ns:shop:edit",)
    for request in (
        MemberRequest("m1", "list", "pods"),
        MemberRequest("m1", "list", "pods", namespace="kube-system"),
        MemberRequest("m1", "get", "nodes"),
        MemberRequest("m1", "get"),
    ):
        assert allowed(TENANT, request).groups == ()


@pytest.mark.parametrize("verb", ["list", "watch"])
def test_lists_of_namespaces_show_those_of_the_caller_alone(verb: str) -> None:
    answer = allowed(TENANT, LIST._replace(verb=verb))
    assert (answer.groups, answer.only) == (("skerry:namespaces",), ("shop", "till"))


@pytest.mark.parametrize(
    "request_",
    [
        LIST._replace(verb="get", namespace="shop"),
        LIST._replace(verb="deletecollection"),
        LIST._replace(group="example.com"),
        LIST._replace(subresource="status"),
        MemberRequest("m1", "watch", "namespaces", namespace="shop"),
        MemberRequest("m1", "list", "pods"),
    ],
)
def test_the_group_that_lists_namespaces_is_asserted_for_nothing_else(request_: MemberRequest) -> None:
    answer = allowed(TENANT, request_)
    assert "skerry:namespaces" not in answer.groups
    assert answer.only == ()


def test_who_has_something_in_the_whole_cluster_lists_as_its_rbac_says() -> None:
    compiled = access(grant("a", namespaces=["shop"]), grant("b", role=None, groups=["dba"]))
    answer = decide(TENANT, LIST, compiled, 0.0)
    assert isinstance(answer, Allowed)
    assert (answer.groups, answer.only) == (("skerry:dba",), ())


def test_the_host_leaves_verbs_on_members_to_the_members_own_rbac() -> None:
    assert allowed(Caller(user="v", groups=("skerry:view",)), MemberRequest("m1", "delete", "pods"))


@pytest.mark.parametrize(
    ("role", "group"), [("edit", "skerry:view"), ("admin", "skerry:view"), ("cluster-admin", "skerry:cluster-admin")]
)
@pytest.mark.parametrize("namespace", ["", "shop", "skerry-system"])
def test_nobody_edits_in_the_hosts_own_cluster_but_its_administrators(role: str, group: str, namespace: str) -> None:
    """The keys of all members are Secrets there."""
    both = access(grant(role=role, clusters={"names": ["host", "m1"]}))
    alice = Caller(user="alice")
    for cluster, groups in (("host", (group,)), ("m1", (f"skerry:{role}",))):
        answer = decide(alice, MemberRequest(cluster, "get", "secrets", namespace=namespace), both, 0.0)
        assert isinstance(answer, Allowed)
        assert answer.groups == groups


def test_a_member_out_of_reach_is_the_same_404_as_one_that_does_not_exist() -> None:
    for name in ("m2", "host", "unknown"):
        decision = decide(TENANT, MemberRequest(name, "get", "pods"), GRANTED, 0.0)
        assert isinstance(decision, Denied)
        assert decision.error.body() == not_found(name).body()
        assert decision.missing == f"a grant on cluster {name}"
    unknown = decide(ADMIN, MemberRequest("unknown", "get", "pods"), GRANTED, 0.0)
    assert isinstance(unknown, Denied)
    assert unknown.error.body() == not_found("unknown").body()


def test_without_anything_anywhere_every_cluster_is_the_same_403() -> None:
    texts = {denied(NOBODY, MemberRequest(name, "get", "pods")).replace(name, "?") for name in ("m1", "unknown")}
    assert len(texts) == 1
    assert "skerry:view, skerry:edit, skerry:admin, skerry:cluster-admin" in texts.pop()


@pytest.mark.parametrize(
    "request_",
    [
        MemberRequest("m1", "get", "nodes", "proxy"),
        MemberRequest("m1", "create", "nodes", "proxy", namespace="shop"),
        MemberRequest("m1", "proxy", "nodes", ""),
        MemberRequest("m1", "*", "nodes", "*", group="*"),
    ],
)
def test_the_kubelet_is_nobodys(request_: MemberRequest) -> None:
    assert "nodes/proxy" in denied(ADMIN, request_)
    assert "nodes/proxy" in denied(TENANT, request_)


def test_nobody_impersonates() -> None:
    assert "--as" in denied(ADMIN, MemberRequest("m1", "get", impersonates=True))
    assert "impersonates" in denied(ADMIN, MemberRequest("m1", "impersonate", "users"))


@pytest.mark.parametrize(
    "request_",
    [
        MemberRequest("m1", "get", "nodes"),
        MemberRequest("m1", "patch", "nodes", "status"),
        MemberRequest("m1", "get", "pods", "proxy"),
        MemberRequest("m1", "proxy", "services"),
        MemberRequest("m1", "get", "nodes", "proxy", group="example.com"),
    ],
)
def test_other_proxies_and_nodes_are_left_to_the_members_own_rbac(request_: MemberRequest) -> None:
    assert allowed(ADMIN, request_)


@pytest.mark.parametrize("user", ["system:admin", "system:serviceaccount:a:b", ""])
def test_reserved_users_get_nowhere(user: str) -> None:
    assert "reserved" in denied(Caller(user=user, groups=("skerry:cluster-admin",)), MemberRequest("m1", "get", "pods"))


def test_a_decision_ends_with_the_first_grant_that_it_rests_on() -> None:
    compiled = access(grant(expires="1970-01-01T00:01:00Z"))
    answer = decide(TENANT, MemberRequest("m1", "get", "pods"), compiled, 0.0)
    assert isinstance(answer, Allowed)
    assert answer.until == 60.0
    assert isinstance(decide(TENANT, MemberRequest("m1", "get", "pods"), compiled, 60.0), Denied)


def test_answers_are_remembered_within_a_bound() -> None:
    first = allowed(TENANT, MemberRequest("m1", "list", "pods", namespace="shop"))
    assert allowed(TENANT, MemberRequest("m1", "get", "secrets", namespace="shop")) is first
    for number in range(KEPT + 2):
        allowed(TENANT, MemberRequest("m1", "get", "pods", namespace=f"n{number}"))
    assert len(GRANTED.reach(TENANT, "m1", 0.0).answers) <= KEPT


def test_built_in_groups_are_held_once_weakest_first() -> None:
    assert held(ALICE) == ("skerry:view", "skerry:edit")


TEXT = st.text(max_size=12)


@given(TEXT, st.lists(TEXT, max_size=3), TEXT, TEXT, TEXT, TEXT, TEXT, st.booleans())
def test_everything_has_an_answer_and_nothing_leaves_without_the_prefix(
    user: str, groups: list[str], member: str, verb: str, resource: str, subresource: str, namespace: str, asks: bool
) -> None:
    caller = Caller(user=user, groups=tuple(groups))
    for name in (member, "m1"):
        request = MemberRequest(name, verb, resource, subresource, asks, namespace=namespace)
        decision = decide(caller, request, GRANTED, 0.0)
        if isinstance(decision, Allowed):
            assert all(each.startswith("skerry:") for each in (decision.user, *decision.groups))
