"""The decision table: who may do what, and as whom members see them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from services.proxy.authorize import HostAccess, HostRequest, HostRule, decide_host, host_groups, rules
from services.proxy.routes import open_to_all
from skerry.access import Access, Allowed, Decision, Denied, MemberRequest, decide, held
from skerry.api.kinds import BUILT_IN, CLUSTER, HOST_VIEW
from skerry.api.messages import Caller
from tests.access.grants import access, grant

NONE = access()
GUIDE = Path(__file__).parents[2] / "docs" / "guide.md"
ALICE = Caller(user="alice", groups=("skerry:edit", "shop", "skerry:view", "system:masters"))
NOBODY = Caller(user="nobody", groups=("shop",))
ADMIN = Caller(user="admin", groups=("skerry:cluster-admin",))
CLUSTERS = HostRequest("list", "skerry.dev", "clusters")


def decided(caller: Caller, request: HostRequest, compiled: Access = NONE) -> Decision:
    return decide_host(caller, request, compiled, 0.0)


def denied(caller: Caller, request: HostRequest) -> str:
    decision = decided(caller, request)
    assert isinstance(decision, Denied)
    assert decision.error.code == 403
    return decision.error.message


def test_impersonation_by_the_caller_is_refused() -> None:
    assert "--as" in denied(ADMIN, CLUSTERS._replace(impersonates=True))


@pytest.mark.parametrize("user", ["system:admin", "system:serviceaccount:a:b", ""])
def test_reserved_users_get_nowhere(user: str) -> None:
    assert "reserved" in denied(Caller(user=user, groups=("skerry:cluster-admin",)), CLUSTERS)


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
    decision = decide(ADMIN, request_, access(), 0.0)
    assert isinstance(decision, Denied)
    message = decision.error.message
    assert what in message
    assert way_out in message
    rows = [line for line in GUIDE.read_text().splitlines() if line.startswith("| `403") and what in line]
    assert len(rows) == 1
    assert way_out in rows[0]


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
    assert isinstance(decided(caller, request_), Allowed) is allowed


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
    decision = decided(NOBODY, request_)
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
    rights = HostAccess((dataclasses.replace(CLUSTER, actions=actions),))
    connection = HostRequest("create", CLUSTER.group, CLUSTER.plural, "connection")
    assert rights.groups(connection) == ("joiners",)
    assert rights.groups(connection._replace(verb="update")) == ()
    assert rights.groups(connection._replace(verb="get", subresource="")) == (*BUILT_IN, HOST_VIEW)


def test_everybody_is_told_the_paths_that_are_open() -> None:
    for caller in (NOBODY, ADMIN):
        told = [rule for rule in rules(caller, NONE, 0.0) if rule.paths]
        assert told == [HostRule(("get",), paths=open_to_all())]


SELF = ("authorization.k8s.io", "selfsubjectaccessreviews")


def test_everybody_may_ask_about_themselves() -> None:
    assert isinstance(decided(NOBODY, HostRequest("create", *SELF)), Allowed)
    assert isinstance(decided(NOBODY, HostRequest("list", *SELF)), Denied)


@pytest.mark.parametrize("resource", [("", "namespaces"), ("", "events"), ("events.k8s.io", "events")])
def test_namespaces_and_events_are_read_with_any_built_in_group(resource: tuple[str, str]) -> None:
    assert isinstance(decided(ALICE, HostRequest("watch", *resource)), Allowed)
    assert isinstance(decided(ALICE, HostRequest("delete", *resource)), Denied)
    assert isinstance(decided(NOBODY, HostRequest("get", *resource)), Denied)


@pytest.mark.parametrize("caller", [ALICE, NOBODY, ADMIN])
def test_rules_say_what_decide_allows(caller: Caller) -> None:
    told = {
        (verb, group, resource)
        for rule in rules(caller, NONE, 0.0)
        for verb in rule.verbs
        for group in rule.groups
        for resource in rule.resources
    }
    for verb in ("get", "create", "delete"):
        for group, resource in (("skerry.dev", "clusters"), ("skerry.dev", "credentials"), ("", "events"), SELF):
            allowed = isinstance(decided(caller, HostRequest(verb, group, resource)), Allowed)
            assert allowed == bool(told & {(verb, group, resource), ("*", "*", "*")}), (verb, group, resource)


ON_HOST = {"names": ["host"]}


@pytest.mark.parametrize(
    ("role", "groups"),
    [
        ("view", (HOST_VIEW,)),
        ("admin", (HOST_VIEW,)),
        ("cluster-admin", (HOST_VIEW, "skerry:cluster-admin")),
    ],
)
def test_a_grant_on_the_host_reads_there_or_is_its_administrator(role: str, groups: tuple[str, ...]) -> None:
    caller, compiled = Caller(user="alice"), access(grant(role=role, expires="1970-01-01T00:01:00Z", clusters=ON_HOST))
    assert host_groups(caller, compiled, 0.0) == groups
    for plural, verb, reads in (
        ("clusters", "list", True),
        ("accessgrants", "watch", True),
        ("workspaces", "get", True),
    ):
        assert isinstance(decided(caller, HostRequest(verb, "skerry.dev", plural), compiled), Allowed) is reads
    administers = role == "cluster-admin"
    for plural, verb in (
        ("credentials", "list"),
        ("jointokens", "get"),
        ("accessgrants", "create"),
        ("clusters", "delete"),
    ):
        assert isinstance(decided(caller, HostRequest(verb, "skerry.dev", plural), compiled), Allowed) is administers
    assert host_groups(caller, compiled, 60.0) == ()


def test_neither_a_group_on_the_host_nor_one_that_a_caller_says_is_a_right_there() -> None:
    compiled = access(grant(role=None, groups=["dba"], clusters=ON_HOST))
    for caller in (Caller(user="alice"), Caller(user="alice", groups=("cluster-admin", "host-view"))):
        assert host_groups(caller, compiled, 0.0) == ()


def test_rights_that_a_grant_gives_on_the_host_are_among_the_rules() -> None:
    compiled = access(grant(role="cluster-admin", clusters=ON_HOST))
    assert HostRule(("*",), ("*",), ("*",)) in rules(Caller(user="alice"), compiled, 0.0)
    reading = rules(Caller(user="alice"), access(grant(clusters=ON_HOST)), 0.0)
    assert HostRule(("get", "list", "watch"), ("skerry.dev",), ("accessgrants",)) in reading
