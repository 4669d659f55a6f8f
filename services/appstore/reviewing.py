"""The way of a template's version through its review, as a table. Pure.

Draft -Submit-> Submitted -Pass-> Passed -Release-> Active -Suspend-> Suspended -Recover-> Active; Submitted -Reject-> Rejected
-Submit-> Submitted; Submitted or Passed -Cancel-> Draft. The phases are those of KubeSphere's App Store.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, NamedTuple, TypeAlias

from skerry.errors import BadRequest, Conflict, Forbidden, StatusError

Phase: TypeAlias = Literal["Draft", "Submitted", "Passed", "Active", "Suspended", "Rejected"]
Action: TypeAlias = Literal["Submit", "Cancel", "Pass", "Reject", "Release", "Suspend", "Recover"]
LONGEST_MESSAGE = 1024


class Step(NamedTuple):
    """What an action makes of a version, and who may take it."""

    before: tuple[Phase, ...]
    after: Phase
    reviewer: bool = False
    """Whether it takes a reviewer; else one of the authors will do, who may write in the version's workspace."""
    message: bool = False
    """Whether it is to be said why."""


STEPS: dict[Action, Step] = {
    "Submit": Step(("Draft", "Rejected"), "Submitted"),
    "Cancel": Step(("Submitted", "Passed"), "Draft"),
    "Pass": Step(("Submitted",), "Passed", reviewer=True),
    "Reject": Step(("Submitted",), "Rejected", reviewer=True, message=True),
    "Release": Step(("Passed",), "Active"),
    "Suspend": Step(("Active",), "Suspended", reviewer=True),
    "Recover": Step(("Suspended",), "Active", reviewer=True),
}
REPLACEABLE: tuple[Phase, ...] = ("Draft", "Rejected")
"""Phases in which another package may take a version's place: what was submitted is what is passed and released."""


class Review(NamedTuple):
    """What somebody wants to do to a version, and what they may do at all."""

    action: Action
    by: str
    author: bool
    """Whether they may write in its workspace."""
    reviewer: bool
    message: str = ""


def step(phase: Phase, review: Review, *, submitted_by: str, four_eyes: bool) -> Phase:
    """The phase after a review. Conflict, Forbidden or BadRequest, naming what can be done instead."""
    taken = STEPS[review.action]
    if not (review.reviewer if taken.reviewer else review.author):
        raise _not_theirs(review, taken)
    if phase not in taken.before:
        raise _wrong_step(phase, review.action)
    if four_eyes and review.action == "Pass" and review.by == submitted_by:
        raise Forbidden(
            f"{review.by} submitted this version, and somebody else is to pass it (fourEyes of AppStore host); any other "
            "member of skerry:app-reviewer, or an administrator of the host, can"
        )
    if taken.message and not review.message.strip():
        raise BadRequest(f"{review.action} needs a message that says why (-m TEXT): the author reads it")
    if len(review.message) > LONGEST_MESSAGE:
        raise BadRequest(f"the message has {len(review.message)} characters, the limit is {LONGEST_MESSAGE}")
    return taken.after


def allowed(phase: Phase) -> tuple[Action, ...]:
    """The actions that there are in a phase."""
    return tuple(action for action, each in STEPS.items() if phase in each.before)


def installable(phase: Phase, *, at_home: bool) -> bool:
    """True if a version in this phase may be installed: at home, in its own workspace, also before it was reviewed."""
    return phase != "Suspended" if at_home else phase == "Active"


def of_all(phases: Collection[Phase], action: Action) -> bool:
    """True if an action on a whole app changes some of its versions: they are suspended and recovered together."""
    return action in ("Suspend", "Recover") and any(phase in STEPS[action].before for phase in phases)


def _wrong_step(phase: Phase, action: Action) -> StatusError:
    return Conflict(
        f"the version is {phase}, so it cannot be done: {action}; what can be done now is {' or '.join(allowed(phase))}"
    )


def _not_theirs(review: Review, taken: Step) -> StatusError:
    if taken.reviewer:
        return Forbidden(
            f"{review.action} takes a reviewer: a member of group skerry:app-reviewer, or an administrator of the host"
        )
    return Forbidden(f"{review.action} takes somebody who may write in the version's workspace")
