"""What a member reports of its desired state, before anybody believes it: bounded, and about itself alone."""

from __future__ import annotations

import msgspec

from skerry import subjects
from skerry.api.desired import ENTRIES, MESSAGE, PROBLEMS, Problem, Report, State
from skerry.api.text import clean
from skerry.desired import owners
from skerry.errors import BadRequest


def checked(member: str, report: Report) -> Report:
    """A member decides what it says, not how much, nor about whom."""
    if len(report.epoch) > 64 or report.applied < 0 or report.more < 0:
        raise BadRequest("a report has an epoch of at most 64 characters, and no negative numbers")
    counts = {
        owner: {state: number for state, number in states.items() if state in set(State) and 0 <= number <= ENTRIES}
        for owner, states in report.counts.items()
        if owner in owners.OWNERS
    }
    problems = tuple(problem for each in report.problems[:PROBLEMS] if (problem := _problem(member, each)) is not None)
    return Report(
        epoch=report.epoch,
        applied=report.applied,
        counts=counts,
        problems=problems,
        more=min(report.more, ENTRIES),
    )


def _problem(member: str, problem: Problem) -> Problem | None:
    try:
        parts = subjects.desired_key(problem.key)
    except ValueError:
        return None
    if parts.member != member:
        return None
    return msgspec.structs.replace(problem, message=clean(problem.message, MESSAGE))
