"""What the status of an EventSink says. Pure: times are Unix seconds."""

from __future__ import annotations

from services.events.model import GONE, Answer
from skerry.api.conditions import Verdict, condition_of, conditions_of, new_condition, with_condition
from skerry.api.meta import Document
from skerry.api.times import rfc3339, seconds

READY, ACTIVE = "Ready", "Active"
"""Conditions: whether the receiver takes events; whether any are sent."""
CERTAIN = 3
"""Failures in a row after which a receiver does not take events: one alone is nobody's business."""
KEPT = "events wait for 7 days"

PAUSED = Verdict("False", "Paused", f"spec.paused is true; {KEPT}")
GONE_PAUSED = Verdict(
    "False", "Gone", f"the receiver answered 410, so spec.paused was set: skerry sink resume NAME; {KEPT}"
)
NO_SECRET = Verdict(
    "False", "NoSecret", f"it has no secret that requests are signed with: skerry sink secret NAME; {KEPT}"
)
SENDING = Verdict("True", "Sending", "events are sent as they come")
NOT_TRIED = Verdict("Unknown", "NotTried", "no event was sent yet: skerry sink test NAME tries it")
_REASONS = {
    "TLS": "TLSError",
    "Address": "AddressRefused",
    "Name": "NameNotResolved",
    "Unreachable": "Unreachable",
    "Timeout": "Timeout",
    "Protocol": "NotHTTP",
    "URL": "BadURL",
}


def verdict(answer: Answer, failures: int) -> Verdict | None:
    """Whether the receiver takes events, by its last answer; None: as it was."""
    if answer.taken:
        return Verdict("True", "Delivering", "the receiver takes events")
    if failures < CERTAIN:
        return None
    return Verdict("False", reason_of(answer), answer.message)


def reason_of(answer: Answer) -> str:
    """A failure in one word."""
    if not answer.status:
        return _REASONS.get(answer.reason, "Unreachable")
    return "Redirect" if 300 <= answer.status < 400 else "Refused"


def idle(active: Verdict, document: Document) -> Verdict | None:
    """Whether the receiver takes events, where nothing is sent, or nothing was yet; None: as it was."""
    if active.status != "True":
        return active
    before = condition_of(document, READY)
    if not before.reason or before.reason in (PAUSED.reason, GONE_PAUSED.reason, NO_SECRET.reason):
        return NOT_TRIED
    return None if _observed(document) else NOT_TRIED


def gone(answer: Answer) -> bool:
    """True if the receiver wants nothing any more."""
    return answer.status == GONE


def since(document: Document) -> float:
    """From when on the sink could take events: since then it is Active, or since it was made."""
    for each in conditions_of(document):
        if each.get("type") == ACTIVE and each.get("status") == "True":
            try:
                return seconds(str(each.get("lastTransitionTime")))
            except ValueError:
                break
    return seconds(str(document["metadata"]["creationTimestamp"]))


def with_verdicts(document: Document, fields: Document, verdicts: dict[str, Verdict], now: float) -> Document | None:
    """The document with these fields in its status, and these conditions; None if it says all that already."""
    status = {**(document.get("status") or {}), **fields}
    conditions = status.get("conditions")
    generation = int(document["metadata"].get("generation") or 0)
    for name, each in verdicts.items():
        conditions = with_condition(conditions, {**new_condition(name, each, now), "observedGeneration": generation})
    status["conditions"] = conditions or []
    return None if status == document.get("status") else {**document, "status": status}


def answered(answer: Answer, event: str, at: float) -> Document:
    """A request and its answer, as SinkAnswer."""
    return {"time": rfc3339(at), "status": answer.status, "message": answer.message, "event": event}


def _observed(document: Document) -> bool:
    """True if what is said of its receiver is said of the spec that it has."""
    generation = int(document["metadata"].get("generation") or 0)
    return any(
        each.get("type") == READY and int(each.get("observedGeneration") or 0) == generation
        for each in conditions_of(document)
    )
