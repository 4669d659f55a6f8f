"""What callers have where, as grants, workspaces and clusters come and go."""

from __future__ import annotations

import math
import random
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from skerry.access import Access, Touched
from skerry.access.compiled import KEPT, MOST_GROUPS, NOTHING
from skerry.access.holdings import role_scope
from skerry.api.grants import AccessGrant, Workspace
from skerry.api.messages import Caller
from tests.access.grants import access, grant, workspace

ALICE = Caller(user="alice", groups=("shop",))
PROD = {"selector": {"matchLabels": {"env": "prod"}}}


def test_a_grant_by_name_holds_for_the_cluster_that_it_was_bound_to() -> None:
    compiled = access(grant())
    assert compiled.reach(ALICE, "m1", 0.0).whole == ("skerry:view",)
    assert compiled.reach(ALICE, "m2", 0.0).nothing
    compiled.cluster("m1")
    assert compiled.reach(ALICE, "m1", 0.0).nothing
    compiled.cluster("m1", "another")
    assert compiled.reach(ALICE, "m1", 0.0).nothing
    compiled.grant("g", grant(uids={"m1": "another"}))
    assert not compiled.reach(ALICE, "m1", 0.0).nothing


def test_a_selector_selects_now_and_later_and_never_the_host() -> None:
    compiled = access(grant(clusters={"selector": {}}), labels={"m1": {"env": "prod"}})
    assert sorted(compiled.clusters(ALICE, 0.0)) == ["m1", "m2", "m3"]
    assert compiled.selected("g") == ("m1", "m2", "m3")
    compiled.grant("g", grant(clusters=PROD))
    assert list(compiled.clusters(ALICE, 0.0)) == ["m1"]
    compiled.cluster("m1", "uid-m1", {"env": "test"})
    compiled.cluster("m4", "uid-m4", {"env": "prod"})
    assert list(compiled.clusters(ALICE, 0.0)) == ["m4"]
    assert compiled.selected("none") == ()


def test_what_has_expired_gives_nothing_and_the_next_end_is_known() -> None:
    compiled = access(
        grant("a", expires="1970-01-01T00:01:00Z"),
        grant("b", role="edit", expires="1970-01-01T00:02:00Z"),
        grant("c", clusters={"selector": {}}, role="admin", expires="1970-01-01T00:02:00Z"),
    )
    assert (compiled.reach(ALICE, "m1", 0.0).whole, compiled.reach(ALICE, "m1", 0.0).until) == (
        ("skerry:view", "skerry:edit", "skerry:admin"),
        60.0,
    )
    assert compiled.reach(ALICE, "m1", 60.0).whole == ("skerry:edit", "skerry:admin")
    assert compiled.reach(ALICE, "m1", 120.0).nothing
    assert compiled.scopes("m1", 120.0) == {}
    assert list(compiled.clusters(ALICE, 120.0)) == []


def test_groups_of_a_request_are_those_of_the_whole_cluster_and_of_its_namespace() -> None:
    reach = access(
        grant("a"),
        grant("b", role="edit", namespaces=["shop", "till"]),
        grant("c", role=None, groups=["dba"], namespaces=["shop"]),
    ).reach(ALICE, "m1", 0.0)
    assert reach.groups("") == ("skerry:view",)
    assert reach.groups("shop") == ("skerry:view", "skerry:ns:shop:edit", "skerry:dba")
    assert reach.groups("till") == ("skerry:view", "skerry:ns:till:edit")
    assert reach.groups("other") == ("skerry:view",)
    assert reach.namespaces == ("shop", "till")
    assert [str(each) for each in reach.given("till")[1]] == ["AccessGrant a", "AccessGrant b"]


def test_no_more_groups_are_asserted_than_a_member_takes_and_roles_are_first() -> None:
    groups = [f"g{number:03}" for number in range(100)]
    reach = access(grant("a", role=None, groups=groups), grant("b", role="edit", namespaces=["shop"])).reach(
        ALICE, "m1", 0.0
    )
    assert len(reach.groups("shop")) == MOST_GROUPS
    assert reach.groups("shop")[0] == "skerry:ns:shop:edit"


def test_a_built_in_group_holds_on_all_clusters_that_exist() -> None:
    compiled, operator = access(), Caller(user="o", groups=("skerry:edit",))
    assert compiled.reach(operator, "m2", 0.0).whole == ("skerry:edit",)
    assert compiled.reach(operator, "m9", 0.0).nothing
    assert sorted(compiled.clusters(operator, 0.0)) == ["host", "m1", "m2", "m3"]
    assert (compiled.exists("m2"), compiled.exists("m9")) == (True, False)


def test_clusters_are_named_once_and_those_that_do_not_exist_not_at_all() -> None:
    compiled = access(
        grant("a", clusters={"names": ["m1", "m9"]}, uids={"m1": "uid-m1", "m9": "x"}),
        grant("b", clusters={"selector": {}}),
    )
    assert sorted(compiled.clusters(ALICE, 0.0)) == ["m1", "m2", "m3"]
    assert list(compiled.clusters(Caller(user="bob"), 0.0)) == []


def test_scopes_of_a_cluster_are_those_of_all_subjects_with_what_gives_them() -> None:
    compiled = access(
        grant("a", role="edit", namespaces=["shop"]),
        grant(
            "b", role="edit", namespaces=["shop"], subjects=[{"kind": "Group", "name": "x"}], clusters={"selector": {}}
        ),
        grant("c", clusters={"names": ["m1"]}, uids={"m1": "another"}),
    )
    compiled.workspace("team", workspace())
    ((scope, bases),) = compiled.scopes("m1", 0.0).items()
    assert scope == role_scope("edit", "shop")
    assert [str(each) for each in bases] == ["AccessGrant a", "AccessGrant b", "Workspace team"]
    assert list(compiled.scopes("m2", 0.0)) == [scope]
    assert compiled.scopes("m9", 0.0) == {}


def test_whose_access_a_change_may_have_changed_is_told() -> None:
    compiled = access(grant())
    assert compiled.grant("g", grant()) == NOTHING
    assert compiled.grant("g", grant(role="edit")) == Touched(frozenset(("ualice",)), scopes=frozenset(("m1",)))
    assert compiled.grant("g", None) == Touched(frozenset(("ualice",)), scopes=frozenset(("m1",)))
    assert compiled.grant("g", None) == NOTHING
    assert compiled.workspace("team", workspace()) == Touched(frozenset(("ualice",)), scopes=frozenset(("m1",)))
    assert compiled.workspace("team", None) == Touched(frozenset(("ualice",)), scopes=frozenset(("m1",)))
    assert compiled.cluster("m1", "uid-m1") == NOTHING
    assert compiled.cluster("m1", "uid-m1", {"a": "b"}) == Touched(
        clusters=frozenset(("m1",)), scopes=frozenset(("m1",))
    )
    assert compiled.cluster("m9") == NOTHING


def test_whose_scopes_a_change_may_have_changed_is_told_and_when_they_end() -> None:
    compiled = access(grant(expires="1970-01-01T00:01:00Z"))
    touched = compiled.grant("g", grant(clusters={"selector": {}}, expires="1970-01-01T00:02:00Z"))
    assert touched.scopes == frozenset(("m1", "m2", "m3"))
    assert [compiled.ends("m1", now) for now in (0.0, 120.0)] == [120.0, math.inf]
    assert compiled.ends("m9", 0.0) == math.inf


def test_what_is_said_again_and_gives_the_same_can_go_afterwards() -> None:
    compiled = access()
    puts = ("grant", "a", grant("a")), ("workspace", "team", workspace("team"))
    for what, name, first in puts:
        again = msgspec.convert(msgspec.to_builtins(first), type(first))
        assert apply(compiled, (what, name, first)).subjects
        assert apply(compiled, (what, name, again)) == NOTHING
        assert apply(compiled, (what, name, None)).subjects
        assert picture(compiled, 0.0) == picture(access(), 0.0)


def test_what_is_remembered_has_a_bound() -> None:
    compiled = access(grant(clusters={"selector": {}}))
    for number in range(KEPT + 2):
        compiled.reach(Caller(user=f"u{number}"), "m1", 0.0)
    assert len(compiled._reaches) <= KEPT


# Properties

NAMES, NAMESPACES = st.sampled_from(["m1", "m2", "host"]), st.sampled_from(["shop", "till"])
SUBJECTS = st.sampled_from(
    [{"kind": "User", "name": "alice"}, {"kind": "Group", "name": "shop"}, {"kind": "User", "name": "bob"}]
)
SELECTIONS = st.one_of(
    st.lists(NAMES, min_size=1, max_size=2, unique=True).map(lambda names: {"names": names}),
    st.sampled_from(
        [PROD, {"selector": {}}, {"selector": {"matchExpressions": [{"key": "env", "operator": "DoesNotExist"}]}}]
    ),
)
ROLE: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{"role": "view"}, {"role": "edit"}, {"role": "cluster-admin"}, {"role": None, "groups": ["dba"]}]
)
EXPIRES = st.sampled_from([None, "1970-01-01T00:01:00Z", "1970-01-01T00:02:00Z"])
BOUND = st.dictionaries(NAMES, st.sampled_from(["uid-m1", "uid-m2", "uid-host", "old"]), max_size=3)


@st.composite
def grants(draw: st.DrawFn) -> AccessGrant:
    return grant(
        draw(st.sampled_from(["a", "b", "c"])),
        uids=draw(BOUND),
        subjects=draw(st.lists(SUBJECTS, min_size=1, max_size=2)),
        clusters=draw(SELECTIONS),
        namespaces=draw(st.lists(NAMESPACES, max_size=2)),
        expires=draw(EXPIRES),
        **draw(ROLE),
    )


@st.composite
def workspaces(draw: st.DrawFn) -> Workspace:
    state = draw(st.sampled_from(["Ready", "Exists"]))
    owned = [{"cluster": "m1", "name": "shop", "uid": draw(st.sampled_from(["uid-m1", "old"])), "state": state}]
    members = [{**draw(SUBJECTS), "role": draw(st.sampled_from(["view", "edit", "admin"]))}]
    return workspace("team", owned=owned, members=members)


STEPS = st.one_of(
    grants().map(lambda each: ("grant", each.metadata.name, each)),
    st.sampled_from(["a", "b", "c"]).map(lambda name: ("grant", name, None)),
    workspaces().map(lambda each: ("workspace", "team", each)),
    st.just(("workspace", "team", None)),
    st.tuples(
        st.just("cluster"),
        NAMES,
        st.tuples(st.sampled_from(["", "uid-m1", "uid-m2", "uid-host"]), st.sampled_from([{}, {"env": "prod"}])),
    ),
)
CALLERS = (ALICE, Caller(user="bob"), Caller(user="carol", groups=("shop", "skerry:view")), Caller(user="dave"))


def apply(compiled: Access, step: tuple[str, str, Any]) -> Touched:
    what, name, value = step
    if what == "cluster":
        return compiled.cluster(name, *value)
    return compiled.grant(name, value) if what == "grant" else compiled.workspace(name, value)


def picture(compiled: Access, now: float) -> Any:
    """All that can be asked."""
    reaches = {
        (caller.user, name, namespace): frozenset(compiled.reach(caller, name, now).groups(namespace))
        for caller in CALLERS
        for name in ("m1", "m2", "host")
        for namespace in ("", "shop", "till")
    }
    scopes = {name: compiled.scopes(name, now) for name in ("m1", "m2", "host")}
    return reaches, scopes, {caller.user: sorted(compiled.clusters(caller, now)) for caller in CALLERS}


@given(st.lists(STEPS, max_size=25), st.integers(0, 2**32))
def test_compiled_in_steps_it_is_what_it_is_at_once_in_any_order(steps: list[tuple[str, str, Any]], seed: int) -> None:
    compiled, last = Access(), dict[tuple[str, str], tuple[str, str, Any]]()
    for step in steps:
        apply(compiled, step)
        picture(compiled, 0.0)
        last[step[:2]] = step
    order = list(last.values())
    random.Random(seed).shuffle(order)
    fresh = Access()
    for step in order:
        apply(fresh, step)
    for now in (0.0, 90.0, 200.0):
        assert picture(compiled, now) == picture(fresh, now)


@given(st.lists(STEPS, max_size=12), STEPS)
def test_who_is_not_told_of_a_change_has_what_they_had(
    steps: list[tuple[str, str, Any]], step: tuple[str, str, Any]
) -> None:
    compiled = Access()
    for each in steps:
        apply(compiled, each)
    before, _, _ = picture(compiled, 0.0)
    touched = apply(compiled, step)
    after, _, _ = picture(compiled, 0.0)
    keys = {caller.user: {"u" + caller.user, *("g" + group for group in caller.groups)} for caller in CALLERS}
    for (user, name, namespace), groups in before.items():
        if not keys[user] & touched.subjects and name not in touched.clusters:
            assert after[user, name, namespace] == groups


@given(st.lists(grants(), max_size=4), grants())
def test_more_grants_never_give_less(few: list[AccessGrant], one: AccessGrant) -> None:
    less, more = access(*few), access(*few)
    more.grant("one more", one)
    for key, groups in picture(less, 0.0)[0].items():
        assert groups <= picture(more, 0.0)[0][key]


@given(st.lists(grants(), max_size=4))
def test_a_namespace_never_gives_the_whole_and_nothing_is_given_outside_the_prefix(few: list[AccessGrant]) -> None:
    narrow = [each for each in few if each.spec.namespaces]
    compiled = access(*narrow)
    for caller in (ALICE, Caller(user="bob")):
        for name in ("m1", "m2", "host"):
            reach = compiled.reach(caller, name, 0.0)
            assert reach.whole == ()
            assert reach.groups("other") == ()
            assert all(group.startswith("skerry:") for group in reach.groups("shop"))


def test_a_reach_of_nothing_has_no_end() -> None:
    assert access().reach(ALICE, "m1", 0.0).until == math.inf


def test_when_the_last_of_what_a_caller_had_ended() -> None:
    minute, hour = "1970-01-01T00:01:00Z", "1970-01-01T01:00:00Z"
    compiled = access(
        grant("a", expires=minute),
        grant("b", expires=hour, clusters={"selector": {}}),
        grant("c", subjects=[{"kind": "Group", "name": "shop"}]),
    )
    alice = Caller(user="alice", groups=("shop",))
    ended = [compiled.ended(alice, now) for now in (0.0, 60.0, 3599.0, 3600.0)]
    assert ended == [-math.inf, 60.0, 60.0, 3600.0]
    assert compiled.ended(Caller(user="bob"), 3600.0) == -math.inf
