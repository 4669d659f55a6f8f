"""Who owns what after which write. What a real API server says of the same: tests/conformance."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from skerry.api.kinds import WORKSPACE
from skerry.api.meta import Document
from skerry.apply import Conflicts, FieldManager, TypeMismatch
from skerry.apply.managed import MOST_UPDATERS

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def workspace(**spec: Any) -> Document:
    return {"apiVersion": WORKSPACE.api_version, "kind": "Workspace", "metadata": {"name": "w"}, "spec": spec}


def manager(name: str, subresource: str = "") -> FieldManager:
    return FieldManager(WORKSPACE, name, NOW, subresource)


def owners(document: Document) -> dict[str, Document]:
    return {each["manager"]: each["fieldsV1"] for each in document["metadata"].get("managedFields", [])}


def test_a_creator_owns_what_it_wrote_and_the_maps_around_it() -> None:
    made = manager("me").updated({}, workspace(displayName="a"))
    assert owners(made) == {"me": {"f:spec": {".": {}, "f:displayName": {}}}}
    assert made["metadata"]["managedFields"][0]["time"] == "2026-01-02T03:04:05Z"


def test_an_update_takes_over_what_it_changes_alone() -> None:
    made = manager("me").updated({}, workspace(displayName="a"))
    changed = manager("you").updated(made, {**made, "spec": {"displayName": "b"}})
    assert owners(changed) == {"me": {"f:spec": {}}, "you": {"f:spec": {"f:displayName": {}}}}


def test_an_applier_owns_leaves_alone() -> None:
    made = manager("me").applied({}, workspace(displayName="a"), force=False)
    assert owners(made) == {"me": {"f:spec": {"f:displayName": {}}}}


def test_a_conflict_names_the_owner_and_the_field() -> None:
    made = manager("me").applied({}, workspace(displayName="a"), force=False)
    with pytest.raises(
        Conflicts, match=r'Apply failed with 1 conflict: conflict with "me": \.spec\.displayName'
    ) as caught:
        manager("you").applied(made, workspace(displayName="b"), force=False)
    assert [(each.reason, each.field) for each in caught.value.details.causes] == [
        ("FieldManagerConflict", ".spec.displayName")
    ]


def test_force_takes_it() -> None:
    made = manager("me").applied({}, workspace(displayName="a"), force=False)
    forced = manager("you").applied(made, workspace(displayName="b"), force=True)
    assert owners(forced) == {"you": {"f:spec": {"f:displayName": {}}}}
    assert forced["spec"] == {"displayName": "b"}


def test_what_nobody_applies_any_more_is_removed() -> None:
    made = manager("me").applied({}, workspace(displayName="a", members=[{"kind": "User", "name": "al"}]), force=False)
    less = manager("me").applied(made, workspace(displayName="a"), force=False)
    assert less["spec"] == {"displayName": "a"}


def test_what_somebody_else_applies_too_stays() -> None:
    made = manager("me").applied({}, workspace(displayName="a"), force=False)
    shared = manager("you").applied(made, workspace(displayName="a", namespaces=[]), force=False)
    less = manager("me").applied(shared, workspace(), force=False)
    assert less["spec"]["displayName"] == "a"
    assert set(owners(less)) == {"me", "you"}


def test_managers_of_subresources_are_others() -> None:
    made = manager("me").updated({}, workspace(displayName="a"))
    status = {"conditions": [{"type": "A", "status": "True", "reason": "x"}]}
    stated = manager("me", "status").updated(made, {**made, "status": status})
    assert [each.get("subresource", "") for each in stated["metadata"]["managedFields"]] == ["", "status"]


def test_many_updaters_become_one() -> None:
    document = manager("me").updated({}, workspace(displayName="a"))
    for number in range(MOST_UPDATERS + 3):
        labels = {**document["metadata"].get("labels", {}), f"l{number}": "x"}
        changed = {**document, "metadata": {**document["metadata"], "labels": labels}}
        document = manager(f"u{number:02}").updated(document, changed)
    assert len(owners(document)) == MOST_UPDATERS
    assert "ancient-changes" in owners(document)


def test_what_is_of_another_type_is_unreadable() -> None:
    with pytest.raises(TypeMismatch, match="field not declared"):
        manager("me").check(workspace(zz=1))
