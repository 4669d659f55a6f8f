"""Approval of clusters that ask to join: what a Cluster says of itself while it waits, and after somebody has decided. Pure.

The Cluster is the one truth of it: its account on the bus, and what its agent is answered, follow from the condition Joined. A
cluster that waits is nobody's member yet: nothing is written on it, nothing is kept for it, and no request reaches it.
"""

from __future__ import annotations

from services.registry import clusters
from services.registry.model import Now
from skerry.api.conditions import (
    APPROVAL_DENIED,
    APPROVAL_PENDING,
    JOINED,
    Verdict,
    awaits_approval,
    condition_of,
    with_condition,
)
from skerry.api.meta import Document
from skerry.api.text import clean
from skerry.api.times import seconds
from skerry.errors import Conflict

WAITS_S = 7 * 86400.0
"""Who was not approved so long after it asked is turned away."""
CALLED_S = 60.0
"""After an approval its agents are called for so long, unless one was heard before."""
REASON = 256
"""Characters of a reason that are kept."""
_CALLED = "Approved"
"""Reason of Ready from the approval until an agent was heard."""


def waiting(document: Document, now: Now) -> Document:
    """A cluster that is about to join, when it has to be approved first."""
    name = document["metadata"]["name"]
    decide = f"skerry cluster approve {name}, or skerry cluster deny {name}"
    verdict = Verdict("False", APPROVAL_PENDING, f"its agent asks to join, and somebody has to approve it: {decide}")
    return _with(document, verdict, verdict, now)


def approved(document: Document, by: str, reason: str, now: Now) -> Document:
    """The cluster with an approval. Conflict if it does not wait for one."""
    _check(document)
    joined = Verdict("True", clusters.BY_AGENT.reason, f"{clusters.BY_AGENT.message}; approved by {_said(by, reason)}")
    ready = Verdict("Unknown", _CALLED, "approved; waiting for its agent, which asks again within half a minute")
    return _with(document, joined, ready, now)


def denied(document: Document, by: str, reason: str, now: Now) -> Document:
    """The cluster with a denial, to be removed. Conflict if it does not wait for an approval."""
    _check(document)
    return _turned_away(document, f"denied by {_said(by, reason)}", now)


def expired(document: Document, now: Now) -> Document:
    """The cluster that nobody approved in time, to be removed."""
    return _turned_away(document, f"nobody approved it within {WAITS_S / 86400:.0f} days", now)


def _turned_away(document: Document, why: str, now: Now) -> Document:
    verdict = Verdict("False", APPROVAL_DENIED, why)
    return _with(document, verdict, verdict, now)


def _with(document: Document, joined: Verdict, ready: Verdict, now: Now) -> Document:
    """It is reached as little as it is ready: its agent has no way but to ask."""
    status = dict(document["status"])
    for kind, verdict in ((JOINED, joined), ("Ready", ready), ("Reachable", ready)):
        status["conditions"] = with_condition(status.get("conditions") or [], clusters.condition(kind, verdict, now))
    return {**document, "status": status}


def _check(document: Document) -> None:
    name = document["metadata"]["name"]
    if name == clusters.HOST:
        raise Conflict(f"cluster {name!r} does not wait for approval: it is the host itself")
    if clusters.is_leaving(document) or is_denied(document):
        raise Conflict(f"cluster {name!r} is being removed: nothing is left to decide")
    if not awaits_approval(document):
        joined = condition_of(document, JOINED).message or "it is a member"
        raise Conflict(
            f"cluster {name!r} does not wait for approval: {joined}; to end that: skerry cluster remove {name}"
        )


def _said(by: str, reason: str) -> str:
    reason = clean(reason, REASON).strip()
    return clean(by, REASON) + (f": {reason}" if reason else "")


def waits(document: Document) -> bool:
    """True if nobody has decided on a cluster yet, and somebody may."""
    return awaits_approval(document) and not is_denied(document) and not clusters.is_leaving(document)


def is_denied(document: Document) -> bool:
    """True if a cluster was turned away and is to be removed."""
    return condition_of(document, JOINED).reason == APPROVAL_DENIED


def farewell(document: Document, host: str) -> str:
    """The text for the agents of a cluster that is removed though it was never approved; empty if it was."""
    if not awaits_approval(document):
        return ""
    name, joined = document["metadata"]["name"], condition_of(document, JOINED)
    why = joined.message if is_denied(document) else "it was removed while it waited"
    return (
        f"host {host!r} does not let cluster {name!r} in: {why}. Talk to its administrators; to ask again, make a token on the "
        f"host (skerry token create {name}) and start the agent with it"
    )


def left_s(document: Document, now: Now) -> float:
    """For how many seconds more a cluster may wait."""
    return seconds(document["metadata"]["creationTimestamp"]) + WAITS_S - now.wall


def is_called(document: Document, now: Now) -> bool:
    """True if a cluster was approved just now and no agent of it was heard since."""
    if clusters.ready_of(document).reason != _CALLED:
        return False
    joined: Document = next(each for each in document["status"]["conditions"] if each["type"] == JOINED)
    return now.wall - seconds(joined["lastTransitionTime"]) < CALLED_S
