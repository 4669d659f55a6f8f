"""What one grant and one workspace give; what cannot be understood gives nothing."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from skerry.access.holdings import Holding, Scope, key_of, keys_of, of_grant, of_workspace, on_host
from skerry.api.grants import Subject
from skerry.api.messages import Caller
from tests.access.grants import grant, workspace

SHOP_EDIT = Scope("skerry:ns:shop:edit", "shop", "edit")


def held(**spec: Any) -> Holding:
    """What a grant gives, which is something."""
    holding = of_grant(grant(**spec))
    assert holding is not None
    return holding


def test_a_role_in_the_whole_cluster_and_in_namespaces() -> None:
    whole = held(role="admin")
    assert whole.scopes == (Scope("skerry:admin", "", "admin"),)
    assert whole.clusters == (("m1", "uid-m1"),)
    narrow = held(role="edit", namespaces=["shop", "till", "shop"])
    assert narrow.scopes == (SHOP_EDIT, Scope("skerry:ns:till:edit", "till", "edit"))


def test_members_own_groups_are_for_the_whole_cluster_or_for_requests_in_a_namespace() -> None:
    assert held(role=None, groups=["dba"]).scopes == (Scope("skerry:dba"),)
    assert held(role=None, groups=["dba"], namespaces=["shop"]).scopes == (Scope("skerry:dba", "shop"),)


@pytest.mark.parametrize(
    "group", ["view", "edit", "admin", "cluster-admin", "Cluster-Admin", "namespaces", "ns:shop:edit", "a:b"]
)
def test_a_group_that_bindings_of_skerry_are_for_is_given_by_no_grant(group: str) -> None:
    assert of_grant(grant(role=None, groups=[group])) is None


@pytest.mark.parametrize(
    "spec",
    [
        {"role": "owner"},
        {"groups": ["dba"]},
        {"role": None, "groups": []},
        {"subjects": []},
        {"subjects": [{"kind": "Robot", "name": "alice"}]},
        {"subjects": [{"kind": "User", "name": "serviceaccount:a:b"}]},
        {"clusters": {"names": ["m9"]}},
        {"clusters": {"names": []}},
        {"clusters": {"names": ["host"]}, "namespaces": ["shop"]},
    ],
)
def test_what_is_not_understood_gives_nothing(spec: dict[str, Any]) -> None:
    assert of_grant(grant(**spec)) is None


@pytest.mark.parametrize(
    ("role", "there"), [("view", "view"), ("edit", "view"), ("admin", "view"), ("cluster-admin", "cluster-admin")]
)
def test_on_the_host_there_are_two_roles_and_all_others_read(role: str, there: str) -> None:
    holding = held(role=role, clusters={"names": ["host", "m1"]})
    assert on_host(holding).scopes == (Scope(f"skerry:{there}", "", there),)


def test_on_the_host_members_own_groups_are_what_they_are_elsewhere() -> None:
    holding = held(role=None, groups=["edit-x", "auditor"])
    assert on_host(holding) is holding


def test_a_grant_that_is_being_deleted_gives_nothing() -> None:
    going = msgspec.structs.replace(grant().metadata, deletion_timestamp="2026-01-01T00:00:00Z")
    assert of_grant(msgspec.structs.replace(grant(), metadata=going)) is None
    leaving = msgspec.structs.replace(workspace(), metadata=going)
    assert of_workspace(leaving) == ()


@pytest.mark.parametrize(
    ("expires", "seconds"), [(None, math.inf), ("1970-01-01T00:01:00Z", 60.0), ("at some time", -math.inf)]
)
def test_the_end_of_a_grant(expires: str | None, seconds: float) -> None:
    assert held(expires=expires).expires == seconds


def test_equal_selectors_are_one_however_they_are_written() -> None:
    first = held(clusters={"selector": {"matchLabels": {"a": "1", "b": "2"}}})
    second = held(clusters={"selector": {"matchLabels": {"b": "2", "a": "1"}}})
    assert first.selector == second.selector
    assert first.clusters == ()


def test_subjects_and_callers_have_the_same_keys() -> None:
    caller = Caller(user="alice", groups=("org:shop",))
    assert keys_of(caller) == (
        key_of(Subject(kind="User", name="alice")),
        key_of(Subject(kind="Group", name="org:shop")),
    )
    account = Subject(kind="ServiceAccount", name="ci:deployer")
    assert keys_of(Caller(user="serviceaccount:ci:deployer")) == (key_of(account),)


def test_a_workspace_gives_roles_in_its_own_namespaces_alone() -> None:
    (holding,) = of_workspace(workspace())
    assert (holding.scopes, holding.clusters) == ((SHOP_EDIT,), (("m1", "uid-m1"),))
    assert str(holding.basis) == "Workspace team"


@pytest.mark.parametrize(
    "owned",
    [
        [],
        [{"cluster": "m1", "name": "shop", "uid": "uid-m1", "state": "Exists"}],
        [{"cluster": "m1", "name": "shop", "uid": "", "state": "Ready"}],
        [{"cluster": "m1", "name": "kube-system", "uid": "uid-m1", "state": "Ready"}],
    ],
)
def test_a_namespace_that_is_not_its_own_or_not_wanted_any_more_is_nobodys(owned: list[dict[str, str]]) -> None:
    assert of_workspace(workspace(owned=owned)) == ()


def test_members_of_a_workspace_with_several_roles_and_some_that_are_none() -> None:
    members = [
        {"kind": "User", "name": "bob", "role": "admin"},
        {"kind": "User", "name": "bob", "role": "view"},
        {"kind": "Robot", "name": "r", "role": "edit"},
        {"kind": "User", "name": "eve", "role": "cluster-admin"},
    ]
    holdings = of_workspace(workspace(members=members))
    assert {(each.subjects, each.scopes[0].role) for each in holdings} == {(("ubob",), "admin"), (("ubob",), "view")}
