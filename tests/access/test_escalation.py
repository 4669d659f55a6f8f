"""Who may write which grants and workspaces: nobody gives what they do not have."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from skerry.access.escalation import (
    CANDIDATES,
    GIVERS,
    Refusal,
    Writer,
    administers_host,
    givers,
    grant_refusal,
    too_long,
    workspace_refusal,
)
from skerry.access.holdings import ends_of
from skerry.api.grants import AccessGrant, OwnedNamespace, Workspace, WorkspaceMember, WorkspaceSpec
from skerry.api.kinds.access import ROLES
from skerry.api.messages import Caller
from skerry.api.times import rfc3339
from tests.access.grants import UIDS, access, grant, workspace

USER = {"kind": "User", "name": "bob"}
BOB = Writer(Caller(user="bob", groups=("ops",)))
ROOT = Writer(Caller(user="root", groups=("skerry:cluster-admin",)))


SPECIAL: list[dict[str, Any]] = [
    {"clusters": {"selector": {}}},
    {"clusters": {"names": ["host"]}},
    {"role": None, "groups": ["dba"]},
]
"""What host administrators alone give."""


def minute(number: int) -> str:
    return rfc3339(60.0 * number)


def bobs(**spec: Any) -> AccessGrant:
    """A grant for bob: admin in the whole of m1, but for what `spec` says."""
    return grant("bobs", **{"subjects": [USER], "role": "admin", **spec})


def team(**spec: Any) -> Workspace:
    """A workspace that bob is admin of, on m1 and m2."""
    members = [{**USER, "role": "admin"}, {"kind": "User", "name": "eve", "role": "view"}]
    return workspace(**{"members": members, "clusters": {"names": ["m1", "m2"]}, **spec})


def refusal(new: AccessGrant | None, *held: AccessGrant, old: AccessGrant | None = None) -> str:
    """What bob is told who holds these; empty: he may."""
    return str(grant_refusal(BOB, old, new, access(*held), 0.0) or "")


# Grants


@pytest.mark.parametrize("role", ROLES)
def test_a_host_administrator_writes_every_grant_for_as_long_as_they_are_one(role: str) -> None:
    head = grant("h", subjects=[USER], clusters={"names": ["host"]}, role="cluster-admin", expires=minute(9))
    rich = access(head)
    for spec in SPECIAL:
        new = grant(**{"role": role, "expires": minute(9), **spec})
        assert grant_refusal(ROOT, None, grant(**{"role": role, **spec}), access(), 0.0) is None
        assert grant_refusal(BOB, None, new, rich, 0.0) is None
        assert grant_refusal(BOB, None, new, access(head), 600.0) is not None
    too_long = grant_refusal(BOB, None, grant(role=role, expires=minute(10)), rich, 0.0)
    assert too_long is not None
    assert "set spec.expires" in too_long.missing
    assert grant_refusal(BOB, grant(role=role), None, rich, 0.0) is None


@pytest.mark.parametrize(
    "spec",
    [
        {"clusters": {"selector": {}}},
        {"clusters": {"names": []}},
        {"role": None, "groups": ["dba"]},
        {"role": "owner"},
        {"groups": ["dba"]},
        {"clusters": {"names": ["m1", "host"]}},
        {"clusters": {"names": ["m1", "m2"]}},
        {"clusters": {"names": ["m1", "nowhere"]}},
        {"role": "cluster-admin"},
        {"role": "cluster-admin", "namespaces": ["shop"]},
    ],
    ids=["selector", "none", "groups", "no role", "role and groups", "host", "m2", "no cluster", "more", "more in one"],
)
def test_who_has_a_cluster_gives_nothing_else_whether_it_is_new_or_was_there(spec: dict[str, Any]) -> None:
    other, good = grant(**spec), grant()
    assert refusal(good, bobs()) == ""
    assert refusal(other, bobs()) != ""
    assert refusal(other, bobs(), old=good) != ""
    assert refusal(good, bobs(), old=other) != ""
    assert refusal(None, bobs(), old=other) != ""


@pytest.mark.parametrize(("held", "most"), [("view", -1), ("edit", -1), ("admin", 2), ("cluster-admin", 3)])
def test_the_whole_cluster_gives_up_to_its_role_from_admin_on(held: str, most: int) -> None:
    specs: list[dict[str, Any]] = [{}, {"namespaces": ["shop", "till"]}]
    for spec in specs:
        given = [role for role in ROLES if not refusal(grant(role=role, **spec), bobs(role=held))]
        assert given == list(ROLES[: most + 1])
        operator = Writer(Caller(user="x", groups=(f"skerry:{held}",)))
        by_group = [
            role for role in ROLES if not grant_refusal(operator, None, grant(role=role, **spec), access(), 0.0)
        ]
        assert by_group == list(ROLES[: most + 1])


def test_a_namespace_that_was_granted_is_not_handed_on_and_that_of_a_workspace_is_by_its_admins() -> None:
    new = grant(role="admin", namespaces=["shop"])
    assert "admin in shop on m1 (AccessGrant bobs)" in refusal(new, bobs(namespaces=["shop"]))
    compiled = access()
    compiled.workspace("team", team())
    assert grant_refusal(BOB, None, new, compiled, 0.0) is None
    eve = Writer(Caller(user="eve"))
    told = grant_refusal(eve, None, new, compiled, 0.0)
    assert told == Refusal(
        "admin in the whole of m1, or of the workspace that has the namespace, to give admin in shop on m1",
        "view in shop on m1 (Workspace team)",
    )
    changes: list[dict[str, Any]] = [
        {"namespaces": []},
        {"namespaces": ["shop", "till"]},
        {"role": "cluster-admin"},
        {"clusters": {"names": ["m1", "m2"]}},
    ]
    for change in changes:
        spec = {"role": "admin", "namespaces": ["shop"], **change}
        assert grant_refusal(BOB, None, grant(**spec), compiled, 0.0)


def test_a_grant_lasts_no_longer_than_what_it_is_given_by_and_of_several_the_longest_counts() -> None:
    short = bobs(expires=minute(5))
    long = grant("l", subjects=[{"kind": "Group", "name": "ops"}], role="admin", expires=minute(7))
    assert refusal(grant(expires=minute(5)), short) == ""
    assert refusal(grant(expires=minute(6)), short, long) == ""
    assert refusal(grant(expires=minute(7)), short, long) == ""
    told = refusal(grant(expires=minute(8)), short, long)
    assert told == (
        "it takes an end that is not after 1970-01-01T00:07:00Z: set spec.expires; "
        "held there: what is given, until 1970-01-01T00:07:00Z"
    )
    assert refusal(grant(), short, long) == told
    assert refusal(None, short, old=grant()) == ""
    writer = Writer(Caller(user="x", groups=("skerry:admin",)), ends=300.0)
    assert grant_refusal(writer, None, grant(expires=minute(5)), access(), 0.0) is None
    assert grant_refusal(writer, None, grant(expires=minute(6)), access(), 0.0) is not None
    assert grant_refusal(writer, None, grant(expires=minute(5)), access(), 301.0) is not None


def test_a_refusal_says_what_is_held_and_what_is_missing() -> None:
    assert refusal(grant(namespaces=["shop"])) == (
        "it takes admin in the whole of m1, or of the workspace that has the namespace, to give view in shop on m1; "
        "held there: nothing"
    )
    assert refusal(grant(role="cluster-admin"), bobs(role=None, groups=["dba"])) == (
        "it takes cluster-admin in the whole of m1 to give cluster-admin in the whole of m1; "
        "held there: group dba in the whole of m1 (AccessGrant bobs)"
    )
    names = [f"n{number}" for number in range(5)]
    many = grant(namespaces=names, clusters={"names": ["m2"]})
    operator = Writer(Caller(user="x", groups=("skerry:edit",)))
    told = grant_refusal(operator, None, many, access(), 0.0)
    assert told is not None
    assert told.missing.endswith("to give view in n0 on m2, n1 on m2, n2 on m2 and 2 more")
    assert told.held == "group skerry:edit"
    for special, why in (
        ({"clusters": {"selector": {}}}, "the grant names no clusters"),
        ({"role": None, "groups": ["dba"]}, "the grant gives groups of the members' own"),
        ({"clusters": {"names": ["m1", "host"]}}, "the grant gives rights on the host"),
    ):
        assert refusal(grant(**special), bobs()).startswith(f"it takes an administrator of the host: {why}")
    clusters = [f"c{number}" for number in range(5)]
    assert "in the whole of c0, c1, c2 and 2 more" in refusal(grant(clusters={"names": clusters}))


def test_who_could_give_is_told_users_first_and_each_of_them_could() -> None:
    group, account = {"kind": "Group", "name": "ops"}, {"kind": "ServiceAccount", "name": "ci:bot"}
    compiled = access(
        bobs(subjects=[group, account, USER]),
        grant("v", subjects=[{"kind": "User", "name": "viewer"}]),
        grant("n", subjects=[{"kind": "User", "name": "narrow"}], role="admin", namespaces=["shop"]),
        grant("h", subjects=[{"kind": "User", "name": "head"}], clusters={"names": ["host"]}, role="cluster-admin"),
    )
    compiled.workspace("team", team(members=[{"kind": "User", "name": "owner", "role": "admin"}]))
    known = [ROOT, Writer(Caller(user="operator", groups=("skerry:edit",)))]
    wanted = grant(namespaces=["shop"])
    named = givers(wanted, compiled, 0.0, known)
    assert named == ("root", "bob", "head", "owner", "service account ci:bot", "group ops")
    assert givers(grant(role="cluster-admin"), compiled, 0.0) == ("head",)
    assert givers(grant(clusters={"selector": {}}), compiled, 0.0) == ("head",)
    assert givers(wanted, access(), 0.0) == ()


def test_those_who_could_give_are_few_and_so_are_those_who_are_looked_at() -> None:
    many = [{"kind": "User", "name": f"u{number}"} for number in range(CANDIDATES + 1)]
    assert len(givers(grant(), access(bobs(subjects=many)), 0.0)) == GIVERS
    assert givers(grant(), access(bobs(subjects=many, expires=minute(1)), bobs()), 0.0, [BOB]) == ("bob",)


# Workspaces


def told(new: Workspace | None, old: Workspace | None, writer: Writer = BOB) -> str:
    return str(workspace_refusal(writer, old, new, access(labels={"m3": {"env": "prod"}}), 0.0) or "")


def test_host_administrators_alone_make_and_delete_workspaces_and_its_admins_change_it() -> None:
    assert (
        told(team(), None, ROOT)
        == told(None, team(), ROOT)
        == told(team(clusters={"selector": {}}), team(), ROOT)
        == ""
    )
    assert told(team(), None) == "it takes an administrator of the host to make a workspace; held there: nothing"
    assert told(None, team()) == "it takes an administrator of the host to delete a workspace; held there: nothing"
    assert told(team(displayName="Team"), team()) == ""
    eve = Writer(Caller(user="eve"))
    assert told(team(displayName="Eve's"), team(), eve) == (
        "it takes an admin of the workspace, or an administrator of the host; held there: view"
    )
    leaving = msgspec.structs.replace(team().metadata, deletion_timestamp=minute(1))
    assert told(team(), msgspec.structs.replace(team(), metadata=leaving)) != ""


def test_who_administers_the_host_for_a_while_gives_nothing_by_a_workspace_that_lasts_longer() -> None:
    """It has no end; what takes away is theirs, and what a workspace's admin may."""
    head = grant(
        "h",
        subjects=[{"kind": "User", "name": "head"}],
        clusters={"names": ["host"]},
        role="cluster-admin",
        expires=minute(9),
    )
    granted, ending = access(head), Writer(Caller(user="head"))

    def said(new: Workspace | None, old: Workspace | None = None) -> str:
        return str(workspace_refusal(ending, old or team(), new, granted, 0.0) or "")

    refused = (
        f"it takes an end that is not after {minute(9)}: a workspace has none; ask one who administers the host without an end; "
        f"held there: what is given, until {minute(9)}"
    )
    assert str(workspace_refusal(ending, None, team(), granted, 0.0)) == refused
    members = msgspec.to_builtins(team().spec.members)
    more: tuple[dict[str, Any], ...] = (
        {"members": [*members, {"kind": "User", "name": "head", "role": "view"}]},
        {"members": [{**each, "role": "admin"} for each in members]},
        {"members": [{**each, "role": "owner"} for each in members]},
        {"clusters": {"selector": {}}},
        {"namespaces": [named("m1", "team")]},
    )
    assert [said(team(**each)) for each in more] == [refused] * len(more)
    less = team(members=[{**each, "role": "view"} for each in members[:1]], displayName="T")
    assert [said(each) for each in (None, less, team())] == ["", "", ""]
    own = [*members, {"kind": "User", "name": "head", "role": "admin"}]
    assert said(team(members=[*own, {"kind": "Group", "name": "g", "role": "edit"}]), team(members=own)) == ""


def test_admins_change_members_and_the_last_of_them_stays() -> None:
    carol = {"kind": "User", "name": "carol", "role": "admin"}
    assert told(team(members=[{**USER, "role": "edit"}, carol]), team()) == ""
    assert told(team(members=[{**USER, "role": "view"}]), team()) == (
        "it takes an administrator of the host to take away its last admin: name another one first; "
        "held there: admin of the workspace"
    )
    assert "a role that is no workspace's" in told(team(members=[carol, {**USER, "role": "cluster-admin"}]), team())


def named(cluster: str, name: str, **more: Any) -> dict[str, Any]:
    return {"cluster": cluster, "name": name, **more}


def test_admins_change_namespaces_of_the_workspaces_name_on_its_clusters() -> None:
    shop = named("m1", "shop")
    for entry in (named("m1", "team"), named("m2", "team-a", whenRemoved="Delete")):
        assert told(team(namespaces=[shop, entry]), team()) == ""
        assert told(team(namespaces=[shop]), team(namespaces=[shop, entry])) == ""
    for entry in (named("m1", "teams"), named("m1", "till"), named("m3", "team"), named("m1", "team", adopt=True)):
        assert "for namespace" in told(team(namespaces=[shop, entry]), team())
        assert "for namespace" in told(team(namespaces=[shop]), team(namespaces=[shop, entry]))
    assert "shop on m1" in told(team(namespaces=[]), team())
    assert "shop on m1" in told(team(namespaces=[{**shop, "whenRemoved": "Delete"}]), team())
    selecting = {"clusters": {"selector": {"matchLabels": {"env": "prod"}}}}
    assert told(team(namespaces=[shop, named("m3", "team")], **selecting), team(**selecting)) == ""
    assert told(team(namespaces=[shop, named("m2", "team")], **selecting), team(**selecting)) != ""
    without = msgspec.structs.replace(team().spec, clusters=msgspec.UNSET)
    nowhere = msgspec.structs.replace(team(), spec=without)
    more = msgspec.structs.replace(without, namespaces=team(namespaces=[shop, named("m1", "team")]).spec.namespaces)
    assert told(msgspec.structs.replace(nowhere, spec=more), nowhere) != ""


def test_clusters_finalizers_and_owners_are_not_for_a_workspaces_admins() -> None:
    assert "to change its clusters" in told(team(clusters={"names": ["m1", "m2", "m3"]}), team())
    held = msgspec.structs.replace(team().metadata, finalizers=["example.com/mine"])
    assert "finalizers and owners" in told(msgspec.structs.replace(team(), metadata=held), team())


# Any sequence

PEOPLE = (Caller(user="alice", groups=("shop",)), Caller(user="bob"), Caller(user="carol"))
TIMES = (0.0, 90.0, 150.0, 1e9)
SPACES = ("", "shop", "team-a")
WRITERS = st.sampled_from([*PEOPLE, PEOPLE[1]])
PERSON = st.sampled_from([*({"kind": "User", "name": each.user} for each in PEOPLE), {"kind": "Group", "name": "shop"}])
PLACES: list[dict[str, Any]] = [
    *([{"clusters": {"names": ["m1"]}}] * 6),
    *([{"clusters": {"names": ["m1"]}, "namespaces": ["shop"]}] * 4),
    {"clusters": {"names": ["m1"]}, "namespaces": ["shop", "team-a"]},
    {"clusters": {"names": ["m1", "m2"]}},
    {"clusters": {"names": ["m2", "m9"]}},
    {"clusters": {"names": ["host"]}},
    {"clusters": {"selector": {}}},
]
ENDS = st.sampled_from([None, minute(1), minute(2)])
GIVEN: list[dict[str, Any]] = [{"role": role} for role in (*ROLES, *ROLES[1:], "admin")] + [SPECIAL[-1]]


@st.composite
def grants(draw: st.DrawFn) -> AccessGrant:
    place, given = draw(st.sampled_from(PLACES)), draw(st.sampled_from(GIVEN))
    return grant(draw(st.sampled_from("abc")), subjects=[draw(PERSON)], expires=draw(ENDS), **place, **given)


MEMBERS = st.tuples(PERSON, PERSON, st.sampled_from(["view", "edit", "admin"])).map(
    lambda drawn: [{**drawn[0], "role": "admin"}, *([{**drawn[1], "role": drawn[2]}] * (drawn[0] != drawn[1]))]
)
NAMESPACES = st.lists(
    st.sampled_from(
        [
            named("m1", "shop"),
            named("m1", "shop", adopt=True),
            named("m1", "team-a"),
            named("m2", "team-a"),
            named("m2", "shop"),
        ]
    ),
    unique_by=lambda each: (each["cluster"], each["name"]),
    max_size=2,
)
NAMES = st.sampled_from([["m1"], ["m1"], ["m1", "m2"]])


def _team(members: list[dict[str, Any]], names: list[str], namespaces: list[dict[str, Any]]) -> Workspace:
    return workspace("team", owned=[], members=members, clusters={"names": names}, namespaces=namespaces)


class Writes(RuleBasedStateMachine):
    """An administrator gives some things; then everybody writes what they are let. What somebody gains by a write, whoever
    wrote had: that is worked out from what requests would be asserted, by the groups of each caller at several times.
    """

    def __init__(self) -> None:
        super().__init__()
        self.later = {now: access() for now in TIMES}
        """As it will be, if nothing changes: what somebody has is remembered, and time does not go back."""
        self.access = self.later[TIMES[0]]
        self.grants: dict[str, AccessGrant] = {}
        self.team = team()
        self.gained: list[str] = []

    @initialize(given=st.lists(grants(), max_size=2), ends=ENDS, members=MEMBERS, names=NAMES, namespaces=NAMESPACES)
    def begin(self, given: list[AccessGrant], ends: str | None, **spec: Any) -> None:
        for each in (bobs(expires=ends), *given):
            self._grant(each.metadata.name, each)
        self._workspace(_team(**spec))

    @rule(writer=WRITERS, new=st.one_of(grants(), st.none()), name=st.sampled_from("abc"))
    def write_grant(self, writer: Caller, new: AccessGrant | None, name: str) -> None:
        new = None if new is None else msgspec.structs.replace(new, metadata=grant(name).metadata)
        old = self.grants.get(name)
        if (old, new) != (None, None) and grant_refusal(Writer(writer), old, new, self.access, 0.0) is None:
            before, until = self._all_rights(), administers_host(Writer(writer), self.access, 0.0)
            before[writer.user] |= {place: len(ROLES) for place in before[writer.user] if place[2] < until}
            self._grant(name, new)
            self._compare(writer, before, frozenset())

    @rule(writer=WRITERS, members=MEMBERS)
    def write_members(self, writer: Caller, members: list[dict[str, Any]]) -> None:
        changed = msgspec.convert(members, list[WorkspaceMember])
        self.write_workspace(writer, msgspec.structs.replace(self.team.spec, members=changed))

    @rule(writer=WRITERS, members=MEMBERS, names=NAMES, namespaces=NAMESPACES)
    def write_all(self, writer: Caller, **spec: Any) -> None:
        self.write_workspace(writer, _team(**spec).spec)

    def write_workspace(self, writer: Caller, spec: WorkspaceSpec) -> None:
        old, host = self.team, administers_host(Writer(writer), self.access, 0.0)
        new = msgspec.structs.replace(old, spec=spec)
        if workspace_refusal(Writer(writer), old, new, self.access, 0.0) is None:
            before = self._all_rights()
            before[writer.user] |= {place: len(ROLES) for place in before[writer.user] if place[2] < host}
            clusters = old.spec.clusters.names if old.spec.clusters is not msgspec.UNSET else []
            own = frozenset((cluster, name) for cluster in clusters for name in SPACES if name.startswith("team-"))
            self._workspace(new)
            self._compare(writer, before, own)

    def _grant(self, name: str, new: AccessGrant | None) -> None:
        self.grants.pop(name, None)
        if new is not None:
            self.grants[name] = new
        for each in self.later.values():
            each.grant(name, new)

    def _workspace(self, new: Workspace) -> None:
        """Stored, with its namespaces made."""
        owned = [
            OwnedNamespace(cluster=each.cluster, name=each.name, uid=UIDS[each.cluster], state="Ready")
            for each in new.spec.namespaces
        ]
        self.team = msgspec.structs.replace(new, status=msgspec.structs.replace(new.status, namespaces=owned))
        for each in self.later.values():
            each.workspace("team", self.team)

    def _rights(self, caller: Caller) -> dict[tuple[str, str, float], int]:
        """The strongest role by cluster, namespace and time; groups of members' own count as one that nobody gives."""
        rights: dict[tuple[str, str, float], int] = {}
        for now, compiled in self.later.items():
            for cluster in UIDS:
                reach = compiled.reach(caller, cluster, now)
                for space in SPACES:
                    roles = [group.rpartition(":")[2] for group in reach.groups(space)]
                    ranks = [ROLES.index(role) if role in ROLES else len(ROLES) for role in roles]
                    rights[cluster, space, now] = max(ranks, default=-1)
        return rights

    def _all_rights(self) -> dict[str, dict[tuple[str, str, float], int]]:
        return {each.user: self._rights(each) for each in PEOPLE}

    def _compare(
        self, writer: Caller, before: dict[str, dict[tuple[str, str, float], int]], own: frozenset[tuple[str, str]]
    ) -> None:
        for each in PEOPLE:
            for place, rank in self._rights(each).items():
                had = max(before[each.user][place], before[writer.user][place])
                if rank > had and not (place[:2] in own and rank <= ROLES.index("admin")):
                    self.gained.append(f"{each.user} gained {rank} in {place} from {writer.user}")

    @invariant()
    def nobody_gains_what_the_writer_did_not_have(self) -> None:
        assert self.gained == []


Writes.TestCase.settings = settings(max_examples=100, stateful_step_count=8, deadline=None)
TestWrites = Writes.TestCase


def test_the_property_is_about_writes_that_are_let() -> None:
    machine = Writes()
    admins = [{**USER, "role": "admin"}]
    machine.begin([], None, members=admins, names=["m1", "m2"], namespaces=[named("m1", "shop")])
    machine.write_grant(Caller(user="bob"), grant("a", subjects=[{"kind": "User", "name": "carol"}]), "a")
    more = [named("m1", "shop"), named("m2", "team-a")]
    machine.write_all(Caller(user="bob"), members=admins, names=["m1", "m2"], namespaces=more)
    assert machine.access.reach(Caller(user="carol"), "m1", 0.0).whole == ("skerry:view",)
    assert machine.access.reach(Caller(user="bob"), "m2", 0.0).namespaces == ("team-a",)
    assert machine.gained == []
    nothing = {**machine._all_rights(), "bob": dict.fromkeys(machine._rights(PEOPLE[1]), -1)}
    machine._compare(Caller(user="carol"), nothing, frozenset())
    assert machine.gained != []


def test_who_does_not_administer_the_host_any_more_is_told_so() -> None:
    assert str(too_long(-math.inf, "")) == "it takes an administrator of the host; held there: nothing"


def test_who_administers_the_host_is_told_until_when() -> None:
    assert administers_host(ROOT, access(), 0.0) == math.inf
    assert administers_host(BOB, access(bobs(clusters={"names": ["host"]})), 0.0) == -math.inf
    head = bobs(clusters={"names": ["host"]}, role="cluster-admin", expires=minute(3))
    assert administers_host(BOB, access(head), 0.0) == 180.0
    assert administers_host(BOB, access(head), 180.0) == -math.inf


def test_an_end_that_cannot_be_read_is_over() -> None:
    assert ends_of(grant(expires="soon")) == -math.inf
    assert ends_of(grant()) == math.inf
