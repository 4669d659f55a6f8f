"""Bindings of scopes: all of them pass tenancy's row, and lead where they should."""

from __future__ import annotations

from services.tenancy.bindings import needed, wants
from skerry.access.holdings import Basis, Scope, group_scope, role_scope
from skerry.api.meta import Document
from skerry.desired.owners import refusal

SHOP, DBA = role_scope("edit", "shop"), group_scope("dba", "till")


def names(documents: list[Document]) -> list[tuple[object, object, object]]:
    return [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in documents]


def test_a_role_in_a_namespace_is_a_role_binding_there() -> None:
    wanted = wants("m1", {SHOP: (Basis("AccessGrant", "a"),), role_scope("view"): (Basis("AccessGrant", "b"),)})
    assert names([dict(want.document) for want in wanted[4:]]) == [
        ("RoleBinding", "shop", "skerry:edit"),
        ("ClusterRole", None, "skerry:namespaces"),
        ("ClusterRoleBinding", None, "skerry:namespaces"),
    ]
    binding = wanted[4].document
    assert binding["roleRef"]["name"] == "edit"
    assert binding["subjects"] == [
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "skerry:ns:shop:edit"}
    ]
    assert [(each.kind, each.name) for each in wanted[4].because] == [("AccessGrant", "a")]


def test_all_that_is_wanted_passes_the_owners_row_and_names_at_most_eight_reasons() -> None:
    bases = tuple(Basis("AccessGrant", f"g{number:02}") for number in range(12))
    wanted = wants("m1", {Scope(*SHOP): bases, DBA: bases})
    assert [refusal("tenancy", want.document) for want in wanted] == [""] * len(wanted)
    assert {len(want.because) for want in wanted} == {1, 8}


def test_a_group_of_the_members_own_has_no_binding_of_ours() -> None:
    assert names(needed([DBA])) == [
        ("ClusterRole", None, "skerry:namespaces"),
        ("ClusterRoleBinding", None, "skerry:namespaces"),
    ]
    assert needed([group_scope("dba")]) == []


def test_a_grant_rests_on_what_is_wanted_for_it() -> None:
    wanted = [want.document for want in wants("m1", {SHOP: ()})]
    for document in (*needed([SHOP]), *needed([role_scope("admin")])):
        assert document in wanted
