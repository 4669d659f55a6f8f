"""Conditions as documents have them."""

from __future__ import annotations

from skerry.api.conditions import NO_VERDICT, Verdict, changed_conditions, condition_of
from skerry.api.meta import Document

READY: Document = {"type": "Ready", "status": "True", "reason": "Connected", "message": "it answers"}
LOST: Document = {"type": "Ready", "status": "False"}


def having(*conditions: Document) -> Document:
    return {"status": {"conditions": list(conditions)}}


def test_a_condition_is_read_by_its_type_and_the_first_counts() -> None:
    assert condition_of(having(READY, LOST), "Ready") == Verdict("True", "Connected", "it answers")
    assert condition_of(having(LOST), "Ready") == Verdict("False", "", "")
    assert condition_of(having(READY), "Joined") == condition_of({}, "Ready") == NO_VERDICT


def test_only_conditions_that_changed_are_told() -> None:
    joined: Document = {"type": "Joined", "status": "True"}
    assert changed_conditions(having(joined, READY), having(READY, joined)) == {}
    lost = Verdict("False", "", "")
    assert changed_conditions(having(joined, READY), having(joined, LOST)) == {
        "Ready": (Verdict("True", "Connected", "it answers"), lost)
    }
    assert changed_conditions(having(READY, LOST), having(READY)) == {}


def test_a_condition_that_comes_or_goes_was_or_is_unknown() -> None:
    verdict = condition_of(having(READY), "Ready")
    assert changed_conditions({}, having(READY)) == {"Ready": (NO_VERDICT, verdict)}
    assert changed_conditions(having(READY), {}) == {"Ready": (verdict, NO_VERDICT)}
