"""The decision table: who may do what, and as whom members see them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from services.proxy.authorize import (
    Allowed,
    Denied,
    HostAccess,
    HostRequest,
    HostRule,
    MemberRequest,
    decide,
    held,
    rules,
)
from services.proxy.routes import open_to_all
from skerry.api.kinds import BUILT_IN, CLUSTER
from skerry.api.messages import Caller

GUIDE = Path(__file__).parents[2] / "docs" / "guide.md"
ALICE = Caller(user="alice", groups=("skerry:edit", "shop", "skerry:view", "system:masters"))
NOBODY = Caller(user="nobody", groups=("shop",))
ADMIN = Caller(user="admin", groups=("skerry:cluster-admin",))
CLUSTERS = HostRequest("list", "skerry.dev", "clusters")


def denied(caller: Caller, request: MemberRequest | HostRequest) -> str:
    decision = decide(caller, request)
    assert isinstance(decision, Denied)
    assert decision.error.code == 403
    return decision.error.message


def test_only_built_in_groups_travel_and_the_user_gets_the_prefix() -> None:
    assert decide(ALICE, MemberRequest("m1", "get", "pods")) == Allowed(
        "skerry:alice", ("skerry:view", "skerry:edit"), (("skerry.dev/user", ("alice",)),)
    )


def test_the_host_leaves_verbs_on_members_to_the_members_own_rbac() -> None:
    viewer = Caller(user="v", groups=("skerry:view",))
    assert isinstance(decide(viewer, MemberRequest("m1", "delete", "pods")), Allowed)


def test_without_a_built_in_group_every_cluster_is_the_same_403() -> None:
    texts = {denied(NOBODY, MemberRequest(name, "get", "pods")).replace(name, "?") for name in ("m1", "unknown")}
    assert len(texts) == 1


def test_the_403_names_what_is_missing() -> None:
    assert "skerry:view, skerry:edit, skerry:admin, skerry:cluster-admin" in denied(
        NOBODY, MemberRequest("m1", "get", "pods")
    )


@pytest.mark.parametrize(
    "request_", [MemberRequest("m1", "get", impersonates=True), CLUSTERS._replace(impersonates=True)]
)
def test_impersonation_by_the_caller_is_refused(request_: MemberRequest | HostRequest) -> None:
    assert "--as" in denied(ADMIN, request_)


@pytest.mark.parametrize(
    "request_", [MemberRequest("m1", "get", "nodes", "proxy"), MemberRequest("m1", "proxy", "nodes", "")]
)
def test_the_kubelet_is_nobodys(request_: MemberRequest) -> None:
    assert "nodes/proxy" in denied(ADMIN, request_)


@pytest.mark.parametrize(
    "request_",
    [
        MemberRequest("m1", "get", "nodes"),
        MemberRequest("m1", "patch", "nodes", "status"),
        MemberRequest("m1", "get", "pods", "proxy"),
        MemberRequest("m1", "proxy", "services"),
    ],
)
def test_other_proxies_and_nodes_are_left_to_the_members_own_rbac(request_: MemberRequest) -> None:
    assert isinstance(decide(ADMIN, request_), Allowed)


@pytest.mark.parametrize(
    ("request_", "what", "way_out"),
    [
        (MemberRequest("m1", "get", impersonates=True), "may not impersonate others", "skerry credential create"),
        (MemberRequest("m1", "get", "nodes", "proxy"), "nodes/proxy is refused", "port-forward"),
    ],
)
def test_what_is_refused_on_purpose_names_the_way_out_and_is_in_the_guide(
    request_: MemberRequest, what: str, way_out: str
) -> None:
    message = denied(ADMIN, request_)
    assert what in message
    assert way_out in message
    rows = [line for line in GUIDE.read_text().splitlines() if line.startswith("| `403") and what in line]
    assert len(rows) == 1
    assert way_out in rows[0]


@pytest.mark.parametrize("user", ["system:admin", "system:serviceaccount:a:b", ""])
def test_reserved_users_get_nowhere(user: str) -> None:
    denied(Caller(user=user, groups=("skerry:cluster-admin",)), MemberRequest("m1", "get", "pods"))


@pytest.mark.parametrize(
    ("caller", "request_", "allowed"),
    [
        (ADMIN, CLUSTERS, True),
        (ADMIN, HostRequest("delete", "skerry.dev", "clusters", name="m1"), True),
        (ADMIN, HostRequest("create", "skerry.dev", "credentials"), True),
        (ALICE, CLUSTERS, True),
        (ALICE, HostRequest("watch", "skerry.dev", "clusters"), True),
        (ALICE, HostRequest("delete", "skerry.dev", "clusters", name="m1"), False),
        (ALICE, HostRequest("list", "skerry.dev", "credentials"), False),
        (ALICE, HostRequest("create", "skerry.dev", "jointokens"), False),
        (NOBODY, CLUSTERS, False),
        (NOBODY, HostRequest("get"), True),
    ],
)
def test_host_api(caller: Caller, request_: HostRequest, allowed: bool) -> None:
    assert isinstance(decide(caller, request_), Allowed) is allowed


def test_a_refused_host_request_reads_like_kubernetes() -> None:
    message = denied(ALICE, HostRequest("delete", "skerry.dev", "clusters", name="m1"))
    assert message.startswith(
        'clusters.skerry.dev "m1" is forbidden: User "alice" cannot delete resource "clusters" in API group '
        '"skerry.dev" at the cluster scope'
    )


@pytest.mark.parametrize(
    ("request_", "words", "details"),
    [
        (
            HostRequest("list", "", "namespaces"),
            'namespaces is forbidden: User "nobody" cannot list resource "namespaces" in API group "" at the cluster scope',
            ("namespaces", "", ""),
        ),
        (
            HostRequest("get", "events.k8s.io", "events", "", "default", "e"),
            'events.events.k8s.io "e" is forbidden: User "nobody" cannot get resource "events" in API group '
            '"events.k8s.io" in the namespace "default"',
            ("events", "events.k8s.io", "e"),
        ),
        (
            HostRequest("update", "skerry.dev", "clusters", "connection", "", "m1"),
            'clusters.skerry.dev "m1" is forbidden: User "nobody" cannot update resource "clusters/connection" in API '
            'group "skerry.dev" at the cluster scope',
            ("clusters", "skerry.dev", "m1"),
        ),
    ],
)
def test_a_refusal_is_worded_as_the_api_server_words_it(
    request_: HostRequest, words: str, details: tuple[str, str, str]
) -> None:
    decision = decide(NOBODY, request_)
    assert isinstance(decision, Denied)
    assert decision.error.message.startswith(f"{words}: ")
    about = decision.error.details
    assert (about.kind, about.group, about.name) == details


def test_held_groups_are_not_repeated() -> None:
    assert held(Caller(user="a", groups=("skerry:view", "skerry:view"))) == ("skerry:view",)


def test_an_action_is_let_in_by_its_own_groups_whatever_its_kind_lets_do() -> None:
    own = {"create": ("joiners",), "update": ()}
    connect = [action for action in CLUSTER.actions if action.subresource == "connection"]
    actions = tuple(dataclasses.replace(action, groups=own[action.verb]) for action in connect)
    access = HostAccess((dataclasses.replace(CLUSTER, actions=actions),))
    connection = HostRequest("create", CLUSTER.group, CLUSTER.plural, "connection")
    assert access.groups(connection) == ("joiners",)
    assert access.groups(connection._replace(verb="update")) == ()
    assert access.groups(connection._replace(verb="get", subresource="")) == BUILT_IN


def test_everybody_is_told_the_paths_that_are_open() -> None:
    for caller in (NOBODY, ADMIN):
        told = [rule for rule in rules(caller) if rule.paths]
        assert told == [HostRule(("get",), paths=open_to_all())]


SELF = ("authorization.k8s.io", "selfsubjectaccessreviews")


def test_everybody_may_ask_about_themselves() -> None:
    assert isinstance(decide(NOBODY, HostRequest("create", *SELF)), Allowed)
    assert isinstance(decide(NOBODY, HostRequest("list", *SELF)), Denied)


@pytest.mark.parametrize("resource", [("", "namespaces"), ("", "events"), ("events.k8s.io", "events")])
def test_namespaces_and_events_are_read_with_any_built_in_group(resource: tuple[str, str]) -> None:
    assert isinstance(decide(ALICE, HostRequest("watch", *resource)), Allowed)
    assert isinstance(decide(ALICE, HostRequest("delete", *resource)), Denied)
    assert isinstance(decide(NOBODY, HostRequest("get", *resource)), Denied)


@pytest.mark.parametrize("caller", [ALICE, NOBODY, ADMIN])
def test_rules_say_what_decide_allows(caller: Caller) -> None:
    told = {
        (verb, group, resource)
        for rule in rules(caller)
        for verb in rule.verbs
        for group in rule.groups
        for resource in rule.resources
    }
    for verb in ("get", "create", "delete"):
        for group, resource in (("skerry.dev", "clusters"), ("skerry.dev", "credentials"), ("", "events"), SELF):
            allowed = isinstance(decide(caller, HostRequest(verb, group, resource)), Allowed)
            assert allowed == bool(told & {(verb, group, resource), ("*", "*", "*")}), (verb, group, resource)
