"""What a member reports of its desired state, before anybody believes it: bounded, and about itself alone."""

from __future__ import annotations

import msgspec

from skerry import subjects
from skerry.api.desired import BY, ENTRIES, MESSAGE, PROBLEMS, REPAIRS, Problem, Repair, Report, State
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
        repairs=tuple(
            Repair(key=each.key, by=clean(each.by, BY), last=min(max(each.last, 0.0), now))
            for each in report.repairs[:REPAIRS]
            if _is_of(member, each.key)
        ),
        order=report.order,
        withdrawn=None if report.withdrawn is None else min(max(report.withdrawn, 0), ENTRIES),
        unmarked=report.unmarked,
    )


def _is_of(member: str, key: str) -> bool:
    try:
        return subjects.desired_key(key).member == member
    except ValueError:
        return False


def _problem(member: str, problem: Problem, now: float) -> Problem | None:
    if not _is_of(member, problem.key):
        return None
    since = min(max(problem.since, 0.0), now)
    return msgspec.structs.replace(problem, message=clean(problem.message, MESSAGE), since=since)
