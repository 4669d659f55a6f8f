"""Members of workspaces, by workspace and by caller."""

from __future__ import annotations

import pytest

from skerry.access.members import Members
from skerry.api.grants import WorkspaceMember
from skerry.api.messages import Caller

ALICE = Caller(user="alice", groups=("shop", "ops"))


def member(name: str, role: str = "view", kind: str = "Group") -> WorkspaceMember:
    return WorkspaceMember(kind=kind, name=name, role=role)


def test_somebody_has_the_roles_of_their_name_and_of_all_their_groups() -> None:
    members = Members()
    members.put("till", [member("alice", "edit", "User"), member("shop", "admin"), member("bob", "admin", "User")])
    members.put("attic", [member("ops"), member("ops", "edit")])
    assert members.roles(ALICE, "till") == {"edit", "admin"}
    assert members.roles(ALICE, "attic") == {"view", "edit"}
    assert members.roles(Caller(user="shop"), "till") == frozenset()
    assert members.roles(ALICE, "cellar") == frozenset()
    assert sorted(members.workspaces(ALICE)) == ["attic", "till"]
    assert list(members.workspaces(Caller(user="carol"))) == []


@pytest.mark.parametrize("odd", [member("alice", "owner", "User"), member("alice", "view", "Robot")])
def test_what_is_not_known_gives_nothing(odd: WorkspaceMember) -> None:
    members = Members()
    assert members.put("till", [odd]) == frozenset()
    assert members.roles(ALICE, "till") == frozenset()


def test_a_change_tells_whose_roles_are_others() -> None:
    members = Members()
    assert members.put("till", [member("shop"), member("bob", "edit", "User")]) == {"gshop", "ubob"}
    assert members.put("till", [member("shop"), member("bob", "admin", "User")]) == {"ubob"}
    assert members.put("attic", [member("shop")]) == {"gshop"}
    assert members.put("till", [member("ops")]) == {"gshop", "gops", "ubob"}
    assert list(members.workspaces(ALICE)) == ["attic", "till"]
    assert members.put("attic", []) == {"gshop"}
    assert members.put("attic", []) == frozenset()
    assert list(members.workspaces(ALICE)) == ["till"]
