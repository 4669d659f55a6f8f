"""What is told of what happens in the App Store, and what its tables show."""

from __future__ import annotations

import pytest

from skerry.api.kinds import APP, APP_REPOSITORY, APP_REVIEW, APP_STORE, APP_VERSION
from skerry.api.kinds.kind import Kind
from skerry.api.meta import Document


def told(kind: Kind, old: Document, new: Document) -> list[tuple[str, str, bool]]:
    assert kind.events is not None
    return [(each.reason, each.message, each.warning) for each in kind.events(old, new)]


def with_ready(status: str, reason: str, message: str = "", **sync: object) -> Document:
    condition = {"type": "Ready", "status": status, "reason": reason, "message": message}
    return {"metadata": {"name": "stable", "generation": 1}, "status": {"conditions": [condition], "sync": sync}}


def test_the_switch_is_told_once_for_each_turn() -> None:
    off = {
        "status": {"conditions": [{"type": "Usable", "status": "False", "reason": "HostDisabled", "message": "off"}]}
    }
    on = {"status": {"conditions": [{"type": "Usable", "status": "True", "reason": "Enabled", "message": "on"}]}}
    assert told(APP_STORE, off, on) == [("Enabled", "on", False)]
    assert told(APP_STORE, on, off) == [("HostDisabled", "off", True)]
    assert told(APP_STORE, on, on) == []


def test_a_repository_that_cannot_be_read_warns_and_what_is_new_in_it_is_told() -> None:
    good, bad = with_ready("True", "Synced", "40 charts", revision="a"), with_ready("False", "TLSError", "wrong CA")
    assert told(APP_REPOSITORY, good, bad) == [("TLSError", "wrong CA", True)]
    newer = with_ready("True", "Synced", "41 charts", revision="b", charts=41, versions=90)
    assert told(APP_REPOSITORY, good, newer) == [
        ("ContentChanged", "its content changed: 90 versions of 41 charts", False)
    ]
    assert told(APP_REPOSITORY, good, {}) == [("Deleted", "deleted", False)]


def test_a_step_of_a_review_is_told_with_who_and_why() -> None:
    def version(phase: str, **step: str) -> Document:
        return {"metadata": {"name": "a-1.0.0"}, "status": {"phase": phase, "reviews": [step]}}

    after = version("Rejected", action="Reject", by="bob", message="no limits")
    assert told(APP_VERSION, version("Submitted"), after) == [
        ("Rejected", "Submitted became Rejected by bob: no limits", False)
    ]
    assert told(APP_VERSION, after, after) == []
    assert told(APP_VERSION, after, {}) == [("Deleted", "deleted", False)]
    assert told(APP_VERSION, {}, version("Draft")) == []


@pytest.mark.parametrize(
    ("kind", "column", "document", "cell"),
    [
        (APP, "Category", {"spec": {}}, "uncategorized"),
        (APP, "Category", {"spec": {"categories": ["a", "b"]}}, "a,b"),
        (APP_VERSION, "Risks", {"status": {"risks": [{"type": "RBAC"}, {"type": "Hooks"}]}}, "RBAC,Hooks"),
        (APP_REVIEW, "Version", {"spec": {"app": "a"}}, "a"),
        (APP_REVIEW, "Version", {"spec": {"version": "a-1.0.0"}}, "a-1.0.0"),
    ],
)
def test_a_cell(kind: Kind, column: str, document: Document, cell: str) -> None:
    shown = next(each for each in kind.columns if each.name == column)
    assert shown.read(document) == cell
