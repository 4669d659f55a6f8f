"""What is said of one entry in `clusters/<m>/desired`, from the bucket and from what the member reported last. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from skerry.api.conditions import DESIRED_APPLIED, condition_of
from skerry.api.desired import SETTLED, Because, Problem, Report, State
from skerry.api.desiredlist import UNKNOWN
from skerry.api.kinds import CLUSTER, KINDS
from skerry.api.meta import Document
from skerry.desired import owners
from skerry.errors import BadRequest

_HELD = ("Paused", "Behind", "NotSupported")
"""Reasons of the condition DesiredApplied that say why nothing is tried."""
_STATES = (*(str(state) for state in State), UNKNOWN)
_BY_NAME = {kind.kind: kind for kind in KINDS}


class Became(NamedTuple):
    """What became of an entry; `since` is None where only the entry's own time is known."""

    state: str
    message: str = ""
    since: float | None = None


class Outcomes:
    """What a member reported, so that entries are looked up in it."""

    def __init__(self, epoch: str, report: Report | None, cluster: Document) -> None:
        """`epoch` is the bucket's, `report` what the member said last, `cluster` its Cluster."""
        self._silent = report is None
        self._report = report if report is not None and report.epoch == epoch else None
        self._problems: Mapping[str, Problem] = (
            {} if self._report is None else {each.key: each for each in self._report.problems}
        )
        condition = condition_of(cluster, DESIRED_APPLIED)
        self._held = condition.message if condition.reason in _HELD else ""

    def of(self, key: str, owner: str, revision: int, *, withdrawn: bool) -> Became | None:
        """Of an entry as the bucket has it; None for one that was withdrawn, and is gone from the member."""
        problem = self._problems.get(key)
        if problem is not None and problem.revision == revision and problem.state is not State.PENDING:
            return Became(problem.state, problem.message, problem.since)
        if withdrawn and self._silent:
            return None  # of an earlier cluster of the name: this one never had anything
        if problem is not None or self._report is None or self._report.applied < revision:
            return Became(State.PENDING, self._held or ("it is to be taken away" if withdrawn else ""))
        if withdrawn:
            return None
        if self._unnamed(self._report, owner):
            return Became(UNKNOWN, "the cluster has more problems than it can name at once: mend those first")
        return Became(State.APPLIED)

    def _unnamed(self, report: Report, owner: str) -> bool:
        """Whether an owner has problems of which the report does not say which entries they are."""
        if not report.more:
            return False
        counted = sum(number for state, number in report.counts.get(owner, {}).items() if state not in SETTLED)
        named = sum(f".{owner}." in key for key in self._problems)
        return counted > named


def states(text: str) -> Collection[str]:
    """States of a query, separated by commas; all of them if there are none. BadRequest for one that does not exist."""
    chosen = [each.strip() for each in text.split(",") if each.strip()]
    for each in chosen:
        if each not in _STATES:
            raise BadRequest(f"there is no state {each[:63]!r}: there are {', '.join(_STATES)}")
    return chosen or _STATES


def owner(text: str) -> str:
    """The owner of a query; empty for all. BadRequest for one that does not exist."""
    if text and text not in owners.OWNERS:
        raise BadRequest(f"{text[:63]!r} is no owner of desired state: {', '.join(owners.OWNERS)} are")
    return text


def shows(because: Collection[Because], groups: Collection[str]) -> bool:
    """Whether who is in these groups sees an entry: whoever may write Clusters, and whoever sees one of the objects that it is
    for.
    """
    return CLUSTER.allows("update", groups) or any(
        each.kind in _BY_NAME and _BY_NAME[each.kind].allows("get", groups) for each in because
    )
