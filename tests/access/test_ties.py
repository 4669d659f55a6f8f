"""Ties between callers and objects of the host: those that an object states, and those that access has."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.access.ties import given, names_caller, names_given, within, written
from skerry.api.kinds.access import OF_POOL, OF_WORKSPACE, REACHED, Tie, giver_at, subjects_at, user_at
from skerry.api.messages import Caller
from tests.access.grants import access, grant, workspace

ALICE, BOB = Caller(user="alice", groups=("org:shop",)), Caller(user="bob")
SUBJECTS, USER, GIVER = subjects_at("spec.subjects"), user_at("spec.user"), giver_at("spec.clusters.names")


def subject(kind: Any, name: Any) -> dict[str, Any]:
    return {"kind": kind, "name": name}


@pytest.mark.parametrize(
    ("tie", "spec", "keys"),
    [
        (USER, {"user": "alice"}, {"ualice"}),
        (USER, {"user": ""}, set()),
        (USER, {"user": ["alice"]}, set()),
        (USER, {}, set()),
        (SUBJECTS, {"subjects": [subject("User", "alice"), subject("Group", "ops")]}, {"ualice", "gops"}),
        (SUBJECTS, {"subjects": [subject("ServiceAccount", "a:b")]}, {"userviceaccount:a:b"}),
        (SUBJECTS, {"subjects": [subject("User", "serviceaccount:a:b"), subject("Robot", "r")]}, set()),
        (SUBJECTS, {"subjects": [subject("User", 1), "alice", None, {}, subject("User", "bob")]}, {"ubob"}),
        (SUBJECTS, {"subjects": "alice"}, set()),
        (SUBJECTS, {}, set()),
        (GIVER, {"clusters": {"names": ["m1", "m2", 3]}}, {"cm1", "cm2"}),
        (GIVER, {"clusters": {"selector": {}}}, set()),
        (GIVER, {"clusters": {"names": "m1"}}, set()),
    ],
)
def test_whom_an_object_names(tie: Tie, spec: dict[str, Any], keys: set[str]) -> None:
    assert tie.written
    assert written(tie)({"spec": spec}) == keys


def test_a_caller_is_named_by_user_and_by_group() -> None:
    for keys, named in (
        ({"ualice"}, True),
        ({"gorg:shop", "ubob"}, True),
        ({"galice", "uorg:shop"}, False),
        (set(), False),
    ):
        assert names_caller(frozenset(keys), ALICE) is named


def test_a_cluster_is_tied_to_whoever_has_something_on_it_until_that_ends() -> None:
    compiled = access(
        grant("a", namespaces=["shop"]),
        grant("b", clusters={"selector": {"matchLabels": {"env": "prod"}}}, expires="1970-01-01T00:01:00Z"),
        labels={"m2": {"env": "prod"}},
    )
    assert not REACHED.written
    for now, names in ((0.0, ["m1", "m2"]), (60.0, ["m1"])):
        assert sorted(names_given(REACHED, ALICE, compiled, now)) == names
        assert [name for name in ("m1", "m2", "m3", "m9") if given(REACHED, ALICE, name, compiled, now)] == names
    assert list(names_given(REACHED, BOB, compiled, 0.0)) == []


@pytest.mark.parametrize(
    ("roles", "mine"),
    [(OF_WORKSPACE.roles, ["attic", "till"]), (("edit", "admin"), ["till"]), (("admin",), [])],
)
def test_a_workspace_is_tied_to_its_members_of_enough_role(roles: tuple[str, ...], mine: list[str]) -> None:
    compiled = access()
    touched = compiled.workspace("till", workspace("till"))
    assert "ualice" in touched.subjects
    compiled.workspace("attic", workspace("attic", members=[subject("Group", "org:shop")], owned=[]))
    tie = Tie(by="workspace", roles=roles)
    assert sorted(names_given(tie, ALICE, compiled, 0.0)) == mine
    assert [name for name in ("attic", "cellar", "till") if given(tie, ALICE, name, compiled, 0.0)] == mine
    assert not given(tie, BOB, "till", compiled, 0.0)
    assert compiled.workspace("attic", None).subjects == {"gorg:shop"}
    assert list(names_given(OF_WORKSPACE, ALICE, compiled, 0.0)) == ["till"]


def test_what_lies_in_a_namespace_is_tied_to_members_and_to_who_has_the_role_everywhere() -> None:
    compiled = access()
    compiled.workspace("till", workspace("till"))
    edits, built_in = Tie(by="workspace", roles=("edit", "admin")), Caller(user="e", groups=("skerry:edit",))
    basis = [str(within(edits, who, "till", compiled, 0.0)) for who in (ALICE, BOB, built_in)]
    assert basis == ["Workspace till", "None", "Group skerry:edit"]
    assert str(within(edits, built_in, "none", compiled, 0.0)) == "Group skerry:edit", (
        "whether it is there is another question"
    )
    for namespace in ("default", "skerry-apps"):
        assert within(edits, built_in, namespace, compiled, 0.0) is None, "they are no workspaces"
    viewer = Caller(user="v", groups=("skerry:view", "skerry:auditor"))
    assert within(edits, viewer, "till", compiled, 0.0) is None


def test_the_pool_is_tied_to_whoever_has_anything_while_they_have_it() -> None:
    ends = "1970-01-01T00:01:00Z"
    compiled = access(grant("a", subjects=[subject("User", "gus")], expires=ends))
    compiled.workspace("till", workspace("till"))
    compiled.workspace("bare", workspace("bare", members=[{"kind": "User", "name": "mia", "role": "view"}], owned=[]))
    people = {
        "a member": Caller(user="mia"),
        "alice": ALICE,
        "bob": BOB,
        "gus": Caller(user="gus"),
        "built-in": Caller(user="x", groups=("skerry:view",)),
        "reviewer": Caller(user="x", groups=("skerry:app-reviewer",)),
    }
    for now, shown in (
        (0.0, ["a member", "alice", "gus", "built-in", "reviewer"]),
        (60.0, ["a member", "alice", "built-in", "reviewer"]),
    ):
        assert [who for who, each in people.items() if given(OF_POOL, each, "skerry-apps", compiled, now)] == shown
        tied = [who for who, each in people.items() if within(OF_POOL, each, "skerry-apps", compiled, now)]
        assert tied == shown
        assert str(within(OF_POOL, people["a member"], "skerry-apps", compiled, now)) == "Namespace skerry-apps"
        assert [who for who, each in people.items() if list(names_given(OF_POOL, each, compiled, now))] == shown
        assert not any(within(OF_POOL, each, "till", compiled, now) for each in people.values())
