"""The decision table: who may do what, and as whom members see them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from services.proxy.authorize import HostAccess, HostRequest, HostRule, decide_host, host_groups, rules
from services.proxy.routes import open_to
from skerry.access import Access, Allowed, Decision, Denied, MemberRequest, decide, held
from skerry.access.holdings import Basis
from skerry.api.kinds import BUILT_IN, CLUSTER, HOST_GROUPS, HOST_VIEW
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
        (ALICE, HostRequest("list", "skerry.dev", "credentials"), True),
        (ALICE, HostRequest("list", "skerry.dev", "jointokens"), False),
        (ALICE, HostRequest("create", "skerry.dev", "jointokens"), False),
        (NOBODY, CLUSTERS, True),
        (NOBODY, HostRequest("list", "skerry.dev", "settings"), False),
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
            HostRequest("create", "", "namespaces"),
            'namespaces is forbidden: User "nobody" cannot create resource "namespaces" in API group "" at the cluster scope',
            ("namespaces", "", ""),
        ),
        (
            HostRequest("delete", "events.k8s.io", "events", "", "default", "e"),
            'events.events.k8s.io "e" is forbidden: User "nobody" cannot delete resource "events" in API group '
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
    assert rights.right(connection).groups == ("joiners",)
    assert rights.right(connection._replace(verb="update")).groups == ()
    assert rights.right(connection._replace(verb="get", subresource="")).groups == (*BUILT_IN, HOST_VIEW)


MONITOR, AUDITOR = (Caller(user="mo", groups=(f"skerry:{group}",)) for group in ("monitor", "auditor"))


@pytest.mark.parametrize("caller", [NOBODY, ADMIN, MONITOR, AUDITOR], ids=lambda caller: caller.user)
def test_everybody_is_told_the_paths_that_are_open_to_them(caller: Caller) -> None:
    told = [rule for rule in rules(caller, "", NONE, 0.0) if rule.paths]
    assert told == [HostRule(("get",), paths=open_to(caller.groups))]
    for path in told[0].paths:
        assert isinstance(decide_host(caller, HostRequest("get", path=path), NONE, 0.0), Allowed)


def test_metrics_are_for_who_monitors() -> None:
    asked = HostRequest("get", path="/metrics")
    assert [isinstance(decide_host(each, asked, NONE, 0.0), Allowed) for each in (NOBODY, AUDITOR, MONITOR, ADMIN)] == [
        False,
        False,
        True,
        True,
    ]
    assert denied(AUDITOR, asked) == (
        'forbidden: User "mo" cannot get path "/metrics": it takes one of the groups skerry:monitor, skerry:cluster-admin; '
        "ask an administrator of the host"
    )


@pytest.mark.parametrize("caller", [MONITOR, AUDITOR], ids=["monitor", "auditor"])
def test_who_looks_at_the_host_reaches_no_member(caller: Caller) -> None:
    assert isinstance(decide(caller, MemberRequest("m1", "get", "pods"), NONE, 0.0), Denied)


ON_HOST = {"names": ["host"]}
SELF = ("authorization.k8s.io", "selfsubjectaccessreviews")


def test_everybody_may_ask_about_themselves() -> None:
    assert isinstance(decided(NOBODY, HostRequest("create", *SELF)), Allowed)
    assert isinstance(decided(NOBODY, HostRequest("list", *SELF)), Denied)


def ties(caller: Caller, request: HostRequest, compiled: Access = NONE) -> list[str] | None:
    """By what ties alone a request is allowed; None: with all objects."""
    decision = decided(caller, request, compiled)
    assert isinstance(decision, Allowed)
    return [tie.by for tie in decision.ties] or None


@pytest.mark.parametrize("verb", ["get", "list", "watch"])
@pytest.mark.parametrize(
    ("resource", "by"),
    [
        (("skerry.dev", "clusters"), ["cluster"]),
        (("", "namespaces"), ["workspace", "pool"]),
        (("", "events"), None),
        (("events.k8s.io", "events"), None),
    ],
)
def test_what_is_read_with_a_built_in_group_others_read_by_ties(
    verb: str, resource: tuple[str, str], by: list[str] | None
) -> None:
    assert ties(ALICE, HostRequest(verb, *resource)) is None
    assert ties(NOBODY, HostRequest(verb, *resource)) == by
    assert isinstance(decided(ALICE, HostRequest("delete", *resource)), Denied)


@pytest.mark.parametrize(
    ("resource", "verbs", "by"),
    [
        ("workspaces", ("get", "list", "watch"), ["workspace"]),
        ("accessgrants", ("get", "list", "watch"), ["subjects", "giver"]),
        ("credentials", ("get", "list", "watch", "delete"), ["user"]),
    ],
)
def test_what_is_somebodys_own_takes_no_group(resource: str, verbs: tuple[str, ...], by: list[str]) -> None:
    for verb in verbs:
        assert ties(NOBODY, HostRequest(verb, "skerry.dev", resource)) == by
        assert ties(ADMIN, HostRequest(verb, "skerry.dev", resource)) is None
    many = HostRequest("deletecollection", "skerry.dev", resource)
    assert ties(NOBODY, many) == ["giver"] if resource == "accessgrants" else isinstance(decided(NOBODY, many), Denied)


@pytest.mark.parametrize("group", HOST_GROUPS)
def test_built_in_groups_of_the_host_come_from_credentials_and_from_grants_on_the_host(group: str) -> None:
    name = group.removeprefix("skerry:")
    on_host = access(grant(role=None, groups=[name], clusters=ON_HOST))
    on_member = access(grant(role=None, groups=[name]))
    assert host_groups(Caller(user="x", groups=(group,)), NONE, 0.0) == {group: Basis("Group", group)}
    assert host_groups(Caller(user="alice"), on_host, 0.0) == {group: Basis("AccessGrant", "g")}
    assert host_groups(Caller(user="alice"), on_member, 0.0) == {}
    assert host_groups(Caller(user="x", groups=(name,)), on_host, 0.0) == {}
    reach = decide(Caller(user="x", groups=(group,)), MemberRequest("m1", "get"), on_host, 0.0)
    assert isinstance(reach, Denied), "they are nothing on members"


def test_a_host_decision_says_what_it_rests_on() -> None:
    compiled = access(grant(clusters=ON_HOST))

    def basis(caller: Caller, request: HostRequest) -> list[str]:
        decision = decided(caller, request, compiled)
        assert isinstance(decision, Allowed)
        return [str(each) for each in decision.basis]

    assert basis(ADMIN, CLUSTERS) == ["Group skerry:cluster-admin"]
    assert basis(ALICE, CLUSTERS) == ["Group skerry:view", "Group skerry:edit", "AccessGrant g"]
    assert basis(Caller(user="alice"), HostRequest("get", "skerry.dev", "settings")) == ["AccessGrant g"]
    assert basis(NOBODY, CLUSTERS) == []


@pytest.mark.parametrize("caller", [ALICE, NOBODY, ADMIN])
def test_rules_say_what_decide_allows(caller: Caller) -> None:
    told = {
        (verb, group, resource)
        for rule in rules(caller, "", NONE, 0.0)
        for verb in rule.verbs
        for group in rule.groups
        for resource in rule.resources
    }
    for verb in ("get", "create", "delete"):
        for group, resource in (("skerry.dev", "clusters"), ("skerry.dev", "credentials"), ("", "events"), SELF):
            allowed = isinstance(decided(caller, HostRequest(verb, group, resource)), Allowed)
            assert allowed == bool(told & {(verb, group, resource), ("*", "*", "*")}), (verb, group, resource)


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
    assert tuple(host_groups(caller, compiled, 0.0)) == groups
    for plural, verb, reads in (
        ("clusters", "list", True),
        ("accessgrants", "watch", True),
        ("workspaces", "get", True),
        ("settings", "get", True),
        ("identityproviders", "list", True),
        ("revocations", "list", False),
    ):
        decision = decided(caller, HostRequest(verb, "skerry.dev", plural), compiled)
        assert isinstance(decision, Allowed) is (reads or role == "cluster-admin")
        assert not isinstance(decision, Allowed) or not decision.ties
    administers = role == "cluster-admin"
    for plural, verb in (
        ("credentials", "create"),
        ("jointokens", "get"),
        ("settings", "create"),
        ("clusters", "delete"),
    ):
        assert isinstance(decided(caller, HostRequest(verb, "skerry.dev", plural), compiled), Allowed) is administers
    assert host_groups(caller, compiled, 60.0) == {}


def test_neither_a_group_on_the_host_nor_one_that_a_caller_says_is_a_right_there() -> None:
    compiled = access(grant(role=None, groups=["dba"], clusters=ON_HOST))
    for caller in (Caller(user="alice"), Caller(user="alice", groups=("cluster-admin", "host-view"))):
        assert host_groups(caller, compiled, 0.0) == {}


def test_rights_that_a_grant_gives_on_the_host_are_among_the_rules() -> None:
    compiled = access(grant(role="cluster-admin", clusters=ON_HOST))
    assert HostRule(("*",), ("*",), ("*",)) in rules(Caller(user="alice"), "", compiled, 0.0)
    reading = rules(Caller(user="alice"), "", access(grant(clusters=ON_HOST)), 0.0)
    assert HostRule(("get", "list", "watch"), ("skerry.dev",), ("accessgrants",)) in reading


@pytest.mark.parametrize(("role", "verbs"), [("cluster-admin", ("list", "delete")), ("view", ("list",))])
def test_what_a_grant_on_the_host_gives_holds_until_it_ends(role: str, verbs: tuple[str, ...]) -> None:
    compiled = access(grant(clusters=ON_HOST, role=role, expires="1970-01-01T01:00:00Z"))
    for verb in verbs:
        decision = decided(
            Caller(user="alice"),
            HostRequest(verb, "skerry.dev", "jointokens" if role == "cluster-admin" else "settings"),
            compiled,
        )
        assert isinstance(decision, Allowed)
        assert decision.until == 3600.0
