"""What a member reports of its desired state, before anybody believes it: bounded, and about itself alone."""

from __future__ import annotations

import msgspec

from skerry import subjects
from skerry.api.desired import ENTRIES, MESSAGE, PROBLEMS, Problem, Report, State
from skerry.api.text import clean
from skerry.desired import owners
from skerry.errors import BadRequest


def checked(member: str, report: Report, now: float) -> Report:
    """A member decides what it says, not how much, nor about whom, nor of the future. `now` is in seconds since the epoch."""
    if max(len(report.epoch), len(report.order)) > 64 or report.applied < 0 or report.more < 0:
        raise BadRequest("a report has an epoch and an order of at most 64 characters, and no negative numbers")
    counts = {
        owner: {state: number for state, number in states.items() if state in set(State) and 0 <= number <= ENTRIES}
        for owner, states in report.counts.items()
        if owner in owners.OWNERS
    }
    problems = tuple(
        problem for each in report.problems[:PROBLEMS] if (problem := _problem(member, each, now)) is not None
    )
    return Report(
        epoch=report.epoch,
        applied=report.applied,
        counts=counts,
        problems=problems,
        more=min(report.more, ENTRIES),
        order=report.order,
    )


def _problem(member: str, problem: Problem, now: float) -> Problem | None:
    try:
        parts = subjects.desired_key(problem.key)
    except ValueError:
        return None
    if parts.member != member:
        return None
    since = min(max(problem.since, 0.0), now)
    return msgspec.structs.replace(problem, message=clean(problem.message, MESSAGE), since=since)
