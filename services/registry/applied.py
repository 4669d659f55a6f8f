"""The condition DesiredApplied and `status.desired`: what a Cluster says of what the host's services want on it. Pure.

Neither holds a running figure: while something is being applied, and while the member is away, they stay as they were.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from services.registry import clusters
from services.registry.model import MemberAgents, Now, alive
from skerry.api.conditions import DESIRED_APPLIED, Verdict, condition_of, with_condition
from skerry.api.desired import SETTLED, Report, State
from skerry.api.meta import Document

MUTE_S = 25.0
"""An agent whose heartbeats say nothing of desired state for so long has no channel for it: two beats, and some."""


class Reported(NamedTuple):
    """What a member said last, as far as a Cluster shows it."""

    epoch: str
    applied: int
    """The revision up to which all was tried."""
    states: tuple[tuple[str, int], ...]
    """Entries by state, the names in order."""

    @classmethod
    def of(cls, report: Report) -> Reported:
        """Of a report that was checked."""
        states: Counter[str] = Counter()
        for each in report.counts.values():
            states.update(each)
        return cls(report.epoch, report.applied, tuple(sorted((state, n) for state, n in states.items() if n)))


class MemberView(NamedTuple):
    """What is known of one member."""

    epoch: str
    """Of the bucket."""
    last: int
    """The last revision in it for the member."""
    entries: int
    """How many it has there; of no interest if the member has seen all."""
    report: Reported | None
    channel: bool | None
    """Whether its agent knows desired state; None: that is not clear yet."""

    @property
    def behind(self) -> bool:
        """True if something was not tried yet on the member."""
        return self.report is None or self.report.epoch != self.epoch or self.report.applied < self.last


def channel(member: MemberAgents, mute_since: float | None, now: Now) -> tuple[bool | None, float | None]:
    """Whether a member's agents know desired state, and since when none of them says anything of it."""
    live = alive(member, now)
    if any(agent.beat.desired is not None for agent in live):
        return True, None
    if not live:
        return None, mute_since
    since = now.mono if mute_since is None else mute_since
    return (False if now.mono - since >= MUTE_S else None), since


def observed(document: Document, known: MemberView | None, now: Now) -> Document:
    """`document` as it follows from what is known; itself where nothing can be said, or nothing new."""
    if known is None or (known.channel is None and known.report is None):
        return document
    status = dict(document.get("status") or {})
    verdict, figures = _verdict(document, known), _figures(status.get("desired") or {}, known)
    if condition_of(document, DESIRED_APPLIED) == verdict and status.get("desired") == figures:
        return document
    new = clusters.condition(DESIRED_APPLIED, verdict, now)
    status["conditions"] = with_condition(status.get("conditions") or [], new)
    status["desired"] = figures
    return {**document, "status": status}


def _verdict(document: Document, known: MemberView) -> Verdict:
    if known.channel is False:
        return Verdict(
            "Unknown", "NotSupported", "its agent is too old to keep anything in place there: update the agent"
        )
    if (document.get("spec") or {}).get("paused") is True:
        return Verdict("False", "Paused", "it is paused: nothing of the host is applied there, or taken away")
    if known.behind and clusters.ready_of(document).status != "True":
        return Verdict("False", "Behind", "what changed since it was reached last is applied when it is back")
    if known.behind:
        return Verdict("False", "Applying", "what changed is being applied")
    problems = sorted((-n, state) for state, n in _problems(known))
    if problems:
        states = ", ".join(f"{-n} {state}" for n, state in problems)
        return Verdict("False", "Problems", f"entries are not in place: {states}")
    return Verdict("True", "Applied", "all that the host's services want on it is in place")


def _problems(known: MemberView) -> list[tuple[str, int]]:
    states = () if known.report is None else known.report.states
    return [(state, n) for state, n in states if state not in SETTLED]


def _figures(stored: Document, known: MemberView) -> Document:
    if known.behind or known.report is None:
        unchanged = {key: int(stored.get(key) or 0) for key in ("applied", "problems")}
        return {**stored, "entries": known.entries, **unchanged}
    entries = {state: n for state, n in known.report.states if state != State.WITHDRAWN}
    problems = sum(n for _, n in _problems(known))
    return {
        **stored,
        "entries": sum(entries.values()),
        "applied": entries.get(State.APPLIED, 0),
        "problems": problems,
    }
