"""Who may take which step of a review, and what is said to whoever may not."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.appstore.reviewing import (
    LONGEST_MESSAGE,
    STEPS,
    Action,
    Phase,
    Review,
    allowed,
    installable,
    of_all,
    step,
)
from skerry.errors import BadRequest, Conflict, Forbidden, StatusError

PHASES: tuple[Phase, ...] = get_args(Phase)
ACTIONS: tuple[Action, ...] = get_args(Action)


def review(
    action: Action, by: str = "rob", *, author: bool = True, reviewer: bool = True, message: str = "because"
) -> Review:
    return Review(action, by, author, reviewer, message)


def taken(phase: Phase, one: Review, *, four_eyes: bool = True) -> Phase:
    return step(phase, one, submitted_by="alice", four_eyes=four_eyes)


WAYS = [
    ("Draft", "Submit", "Submitted"),
    ("Rejected", "Submit", "Submitted"),
    ("Submitted", "Cancel", "Draft"),
    ("Passed", "Cancel", "Draft"),
    ("Submitted", "Pass", "Passed"),
    ("Submitted", "Reject", "Rejected"),
    ("Passed", "Release", "Active"),
    ("Active", "Suspend", "Suspended"),
    ("Suspended", "Recover", "Active"),
]


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("phase", PHASES)
def test_each_action_is_taken_in_its_phases_alone(phase: Phase, action: Action) -> None:
    after = next((end for start, each, end in WAYS if (start, each) == (phase, action)), None)
    if after:
        assert taken(phase, review(action)) == after
        return
    with pytest.raises(Conflict) as caught:
        taken(phase, review(action))
    assert phase in caught.value.message
    assert all(each in caught.value.message for each in allowed(phase))


def test_nobody_passes_what_they_submitted_where_four_eyes_are_asked_for() -> None:
    with pytest.raises(Forbidden, match="alice submitted this version"):
        taken("Submitted", review("Pass", "alice"))
    assert taken("Submitted", review("Pass", "alice"), four_eyes=False) == "Passed"
    assert taken("Submitted", review("Reject", "alice")) == "Rejected"


@pytest.mark.parametrize("action", ACTIONS)
def test_who_may_not_is_told_what_it_takes(action: Action) -> None:
    needs = "a reviewer" if STEPS[action].reviewer else "somebody who may write"
    with pytest.raises(Forbidden, match=needs):
        taken(
            STEPS[action].before[0], review(action, author=STEPS[action].reviewer, reviewer=not STEPS[action].reviewer)
        )


def test_a_rejection_says_why() -> None:
    with pytest.raises(BadRequest, match="needs a message"):
        taken("Submitted", review("Reject", message=" "))
    with pytest.raises(BadRequest, match="the limit is"):
        taken("Submitted", review("Reject", message="x" * (LONGEST_MESSAGE + 1)))


def test_what_may_be_installed() -> None:
    assert [phase for phase in PHASES if installable(phase, at_home=False)] == ["Active"]
    assert [phase for phase in PHASES if not installable(phase, at_home=True)] == ["Suspended"]


def test_a_whole_app_is_suspended_and_recovered_together() -> None:
    assert of_all(["Draft", "Active"], "Suspend")
    assert not of_all(["Draft"], "Suspend")
    assert of_all(["Suspended"], "Recover")
    assert not of_all(["Submitted"], "Pass")


@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.sampled_from(["alice", "rob"]), st.booleans()), max_size=20))
def test_nothing_becomes_active_that_a_second_person_has_not_passed(
    taken_steps: list[tuple[Action, str, bool]],
) -> None:
    phase: Phase = "Draft"
    submitted_by, passed_by = "", ""
    for action, by, reviewer in taken_steps:
        try:
            phase = step(phase, Review(action, by, True, reviewer, "why"), submitted_by=submitted_by, four_eyes=True)
        except StatusError:
            continue
        submitted_by = by if action == "Submit" else submitted_by
        passed_by = by if action == "Pass" else passed_by
        assert phase != "Active" or (passed_by and passed_by != submitted_by)
