"""Clusters that are held back for a while: paused, and cordoned. Pure.

`spec.paused` and `spec.unschedulable` are what others look at; `spec.pause` and `spec.cordon` say until when, and why. The
time is the host's: whoever holds a cluster back need not be there to end it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from services.registry import clusters
from skerry.admission.conform import FieldError, forbidden, invalid_value
from skerry.api.meta import Document
from skerry.api.times import seconds

LONGEST_REASON = 256


class HoldFields(NamedTuple):
    """Which field holds a cluster back, and which one says until when."""

    flag: str
    detail: str
    word: str


HOLDS = (HoldFields("paused", "pause", "paused"), HoldFields("unschedulable", "cordon", "cordoned"))


def tidied(current: Document, document: Document) -> Document:
    """`document` without what `current` said of a hold that it ends."""
    spec, before = document.get("spec", {}), current.get("spec", {})
    over = {
        hold.detail
        for hold in HOLDS
        if hold.detail in spec and spec.get(hold.flag) is not True and spec[hold.detail] == before.get(hold.detail)
    }
    return {**document, "spec": {key: spec[key] for key in spec if key not in over}} if over else document


def problems(current: Document, document: Document, now: float) -> Iterator[FieldError]:
    """What is wrong with how `document` is held back. What was so before is not looked at again."""
    spec, before = document.get("spec", {}), current.get("spec", {})
    for hold in HOLDS:
        if (spec.get(hold.flag), spec.get(hold.detail)) != (before.get(hold.flag), before.get(hold.detail)):
            yield from _problems(hold, current, spec, now)


def _problems(hold: HoldFields, current: Document, spec: Document, now: float) -> Iterator[FieldError]:
    flag, detail, word = hold
    if spec.get(flag) is not True:
        if detail in spec:
            yield forbidden(f"spec.{detail}", f"it says until when and why a cluster is {word}: set spec.{flag} too")
        return
    if clusters.is_leaving(current):
        yield forbidden(f"spec.{flag}", f"the cluster is being removed, and cannot be {word} any more")
    elif flag == "paused" and not clusters.is_member(current):
        yield forbidden(f"spec.{flag}", "this is the host itself, and only members can be paused")
    yield from _detail_problems(f"spec.{detail}", spec.get(detail) or {}, now)


def _detail_problems(path: str, detail: Document, now: float) -> Iterator[FieldError]:
    until, reason = detail.get("until"), detail.get("reason") or ""
    if until is not None:
        try:
            end = end_of(until)
        except ValueError as error:
            yield invalid_value(f"{path}.until", until[:100], str(error))
        else:
            if end <= now:
                yield invalid_value(f"{path}.until", until, "must be in the future by the host's clock")
    if len(reason) > LONGEST_REASON or not reason.isprintable():
        why = f"must be one line of at most {LONGEST_REASON} characters that print"
        yield invalid_value(f"{path}.reason", reason[:100], why)


def end_of(until: Any) -> float:
    """Seconds since the epoch of an RFC 3339 time with its zone. ValueError, which says so."""
    try:
        moment = datetime.fromisoformat(until)
        if moment.tzinfo is not None and "T" in until.upper():
            return seconds(until)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError("must be a time as in RFC 3339, such as 2026-01-01T00:00:00Z")


def due(document: Document, now: float) -> float | None:
    """In how many seconds the next hold ends, 0 for one that is over; None if none ends by itself."""
    ends = [end for hold in HOLDS if (end := _end(hold, document)) is not None]
    return max(min(ends) - now, 0.0) if ends else None


def ended(document: Document, now: float) -> Document:
    """`document` without the holds whose time is over."""
    over = [hold for hold in HOLDS if (end := _end(hold, document)) is not None and end <= now]
    gone = {key for hold in over for key in (hold.flag, hold.detail)}
    return {**document, "spec": {key: value for key, value in document["spec"].items() if key not in gone}}


def _end(hold: HoldFields, document: Document) -> float | None:
    spec = document.get("spec", {})
    detail = spec.get(hold.detail)
    if spec.get(hold.flag) is not True or not isinstance(detail, dict) or "until" not in detail:
        return None
    try:
        return end_of(detail["until"])
    except ValueError:
        return None
