"""The status of an AppRelease, from those of its instances. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from services.appstore.releases.choosing import NewerVersion
from skerry.api.conditions import Verdict, new_condition, with_condition
from skerry.api.meta import Document

NAMED = 5
"""Clusters that a message names at most."""


class InstanceState(NamedTuple):
    """An instance as its release counts it."""

    cluster: str
    phase: str
    revision: int
    health: str
    message: str
    by_hand: bool = False
    """Somebody else's helm put there what is in place."""


def state_of(document: Document) -> InstanceState:
    """An AppInstance as its release counts it."""
    status, spec = document.get("status") or {}, document.get("spec") or {}
    return InstanceState(
        str(spec.get("cluster", "")),
        str(status.get("phase", "Pending")),
        int(status.get("revision") or 0),
        str(status.get("health", "Unknown")),
        str(status.get("message", "")),
        (status.get("helm") or {}).get("byHand") is True,
    )


def summarized(
    document: Document, states: Sequence[InstanceState], newer: NewerVersion | None, *, desired: int, now: float
) -> Document:
    """A release with its status: clusters counted, conditions, the result of its revision, and a newer version."""
    status = dict(document.get("status") or {})
    revision = int(status.get("revision") or 0)
    ready = [each for each in states if _is_ready(each, revision)]
    waiting = [each for each in states if each.phase == "Waiting"]
    failed = [each for each in states if each.phase in ("Failed", "Blocked")]
    status["clusters"] = {"desired": desired, "ready": len(ready), "waiting": len(waiting), "failed": len(failed)}
    verdicts = {
        "Accepted": Verdict("True", "Accepted", "it is worked on"),
        "Ready": _ready(states, revision, desired),
        "Progressing": _progressing(states, revision, desired),
    }
    for name, verdict in verdicts.items():
        status["conditions"] = with_condition(status.get("conditions"), new_condition(name, verdict, now))
    status.pop("available", None)
    if newer is not None:
        status["available"] = {"version": newer.version, "securityUpdates": newer.security_updates}
    history = [dict(each) for each in status.get("history") or []]
    if history:
        history[0]["result"] = _result(states, revision, desired)
        status["history"] = history
    return {**document, "status": status}


def _is_ready(state: InstanceState, revision: int) -> bool:
    return (state.phase, state.revision, state.health) == ("Deployed", revision, "Healthy")


def _ready(states: Sequence[InstanceState], revision: int, desired: int) -> Verdict:
    if not desired:
        return Verdict("True", "NoClusters", "no cluster is selected: it is wanted on 0 clusters")
    behind = [each for each in states if not _is_ready(each, revision)]
    if not behind and len(states) >= desired:
        return _by_hand(states) or Verdict("True", "Healthy", f"healthy on {_clusters(desired)}")
    by_reason: dict[str, list[InstanceState]] = {}
    for each in behind:
        by_reason.setdefault(_reason(each, revision), []).append(each)
    for reason in ("Blocked", "Failed", "NotHealthy"):
        if concerned := by_reason.get(reason):
            return Verdict("False", reason, f"{_named(concerned)}: {concerned[0].message}")
    if by_reason.keys() == {"Waiting"}:
        return Verdict("False", "Waiting", f"{_named(behind)}: {behind[0].message}")
    return Verdict("False", "Progressing", f"in place on {len(states) - len(behind)} of {_clusters(desired)}")


def _by_hand(states: Iterable[InstanceState]) -> Verdict | None:
    """Healthy, and on some clusters as somebody else wants it."""
    theirs = [each for each in states if each.by_hand]
    return Verdict("True", "ChangedByHand", f"{_named(theirs)}: {theirs[0].message}") if theirs else None


def _reason(state: InstanceState, revision: int) -> str:
    """Why an instance is not ready."""
    if state.phase in ("Blocked", "Failed", "Waiting"):
        return state.phase
    return "NotHealthy" if state.phase == "Deployed" and state.revision == revision else "Progressing"


def _progressing(states: Sequence[InstanceState], revision: int, desired: int) -> Verdict:
    resting = ("Deployed", "Failed", "Blocked", "Waiting")
    moving = [
        each for each in states if each.phase not in resting or (each.phase == "Deployed" and each.revision != revision)
    ]
    if moving or len(states) < desired:
        text = f"{_named(moving)}: {moving[0].phase}" if moving else "it begins"
        return Verdict("True", "Working", text)
    return Verdict("False", "Settled", "nothing is on its way")


def _result(states: Sequence[InstanceState], revision: int, desired: int) -> str:
    counts: dict[str, int] = {}
    for each in states:
        word = "Healthy" if _is_ready(each, revision) else each.phase
        counts[word] = counts.get(word, 0) + 1
    told = ", ".join(f"{word} on {count}" for word, count in sorted(counts.items()))
    return f"{told} of {desired}" if told else "on no cluster"


def _named(states: Iterable[InstanceState]) -> str:
    names = sorted(each.cluster for each in states)
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _clusters(count: int) -> str:
    return f"{count} cluster{'' if count == 1 else 's'}"
