"""What people are told about Workspaces and grants: from documents before and after, without a store."""

from __future__ import annotations

import itertools
from typing import Any

from skerry.api.kinds.tenancy import describe, describe_grant, describe_workspace
from skerry.api.meta import Document

UNENFORCED = {"type": "Enforced", "status": "False", "reason": "Partly", "message": "not in place on m2"}


def an(generation: int = 1, condition: Document | None = None, **metadata: Any) -> Document:
    status = {"status": {"conditions": [condition]}} if condition else {}
    return {"metadata": {"name": "a", "generation": generation, **metadata}, **status}


def reasons(old: Document, new: Document) -> list[str]:
    return [each.reason for each in describe(old, new)]


def test_beginning_change_and_end_are_told() -> None:
    assert reasons({}, an()) == ["Created"]
    assert reasons(an(), an(2)) == ["Changed"]
    assert reasons(an(), an(labels={"a": "b"})) == []
    assert reasons(an(), {}) == ["Deleted"]


def test_what_waits_for_finalizers_says_for_which() -> None:
    held = an(finalizers=["x.dev/f"], deletionTimestamp="2026-01-01T00:00:00Z")
    assert [each.message for each in describe(an(), held)] == ["deletion was asked for and waits for x.dev/f"]
    assert reasons(held, held) == []


def test_a_grant_without_effect_is_a_warning_once() -> None:
    told = list(describe_grant({}, an(condition=UNENFORCED)))
    assert [(each.reason, each.warning) for each in told] == [("Created", False), ("Partly", True)]
    assert [each.reason for each in describe_grant(an(condition=UNENFORCED), an(2, UNENFORCED))] == ["Changed"]
    enforced = UNENFORCED | {"status": "True", "reason": "Enforced"}
    assert [each.reason for each in describe_grant(an(condition=UNENFORCED), an(condition=enforced))] == ["Enforced"]


def test_what_is_being_put_in_place_is_no_event_and_the_end_of_a_grant_no_warning() -> None:
    applying = UNENFORCED | {"reason": "Applying"}
    assert [each.reason for each in describe_grant({}, an(condition=applying))] == ["Created"]
    (ended,) = describe_grant(an(condition=applying), an(condition=UNENFORCED | {"reason": "Expired"}))
    assert (ended.reason, ended.warning) == ("Expired", False)


def test_a_workspace_whose_namespaces_are_not_its_own_is_a_warning_once_and_one_that_is_ready_again_is_told() -> None:
    exists = {"type": "Ready", "status": "False", "reason": "Exists", "message": "0 of 1"}
    ready, making = exists | {"status": "True", "reason": "Ready"}, exists | {"reason": "Creating"}
    away = exists | {"reason": "Away"}
    steps = (None, making, exists, exists | {"message": "0 of 1, still"}, ready, away, ready)
    told = [
        [(each.reason, each.warning) for each in describe_workspace(an(condition=before), an(condition=after))]
        for before, after in itertools.pairwise(steps)
    ]
    assert told == [[], [("Exists", True)], [], [("Ready", False)], [("Away", False)], [("Ready", False)]]
