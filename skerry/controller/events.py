"""What a stored write means, as events: a kind's declaration says it to people, and nothing else has to remember to tell. Pure.

A change that is stored is told, one that is not stored did not happen.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from skerry.api.kinds import Kind, Occurrence
from skerry.api.kinds.paths import at
from skerry.api.meta import Document
from skerry.cloudevents import NORMAL, WARNING, CloudEvent, EventData, EventObject, subject_of, type_of, verb_of
from skerry.storage.origin import Origin

log = logging.getLogger("skerry.events")

GAP = Occurrence("Gap", "writes before this one were not seen, and are not kept any more", warning=True)
"""What is told of an object whose past is gone before anybody could read it."""


class StoredWrite(NamedTuple):
    """One write of an object, with the object before it."""

    kind: Kind
    old: Document
    """Empty if there was none, or nobody knows: then `gap`."""
    new: Document
    """Empty if this write ended it."""
    about: Document
    """What was written: the last state of one that ended."""
    revision: int
    created: float
    """Seconds since the epoch."""
    origin: Origin = Origin()
    gap: bool = False


def derived(write: StoredWrite, source: str) -> Iterator[CloudEvent]:
    """The events of a write, in order. Their ids follow from its revision: who derives them again gives the same ones."""
    numbers: Counter[str] = Counter()
    for occurrence in _occurrences(write):
        verb = verb_of(occurrence.reason)
        numbers[verb] += 1
        more = f":{numbers[verb]}" if numbers[verb] > 1 else ""
        yield _event(write, occurrence, f"resources:{write.revision}:{verb}{more}", source)


def revision_of(event_id: str) -> tuple[int, int]:
    """(revision, number) in the id of an event that was derived; zeros for one of another kind."""
    parts = event_id.split(":")
    numbers = [int(part) if part.isascii() and part.isdigit() else 0 for part in (*parts[1:2], *parts[3:4])]
    if parts[0] != "resources" or len(numbers) == 0:
        return 0, 0
    return numbers[0], numbers[1] if len(numbers) > 1 else 1


def time_of(seconds: float) -> str:
    """RFC 3339 with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def object_of(document: Document) -> EventObject:
    """The reference to an object in an event."""
    metadata = document.get("metadata") or {}
    named = {name: str(metadata.get(name) or "") for name in ("namespace", "name", "uid")}
    return EventObject(
        api_version=str(document.get("apiVersion", "")),
        kind=str(document.get("kind", "")),
        resource_version=str(metadata.get("resourceVersion") or ""),
        **named,
    )


def _event(write: StoredWrite, occurrence: Occurrence, event_id: str, source: str) -> CloudEvent:
    kind, about, origin = write.kind, write.about, write.origin
    reference = object_of(about)
    return CloudEvent(
        id=event_id,
        source=source,
        type=type_of(kind.kind, occurrence.reason),
        subject=subject_of(kind.kind, reference.name, reference.namespace),
        time=time_of(write.created),
        actor=origin.actor,
        auditid=origin.audit_id,
        traceparent=origin.traceparent,
        data=EventData(
            object=reference,
            type=WARNING if occurrence.warning else NORMAL,
            reason=occurrence.reason,
            message=occurrence.message,
            cluster=str(at(kind.cluster)(about) or "") if kind.cluster else "",
            from_=_state(kind, write.old),
            to=_state(kind, write.new),
        ),
    )


def _state(kind: Kind, document: Document) -> dict[str, object] | msgspec.UnsetType:
    if not document:
        return UNSET
    try:
        state: dict[str, object] = msgspec.to_builtins(kind.state(document))
    except _UNREADABLE:
        return UNSET  # another version stored it
    return state


def _occurrences(write: StoredWrite) -> Iterator[Occurrence]:
    """What a write means, as far as that can be said: another version may have stored what this one cannot read."""
    kind, old = write.kind, write.old
    if write.gap:
        yield GAP
        old = write.about
    if kind.events is None or (write.gap and write.new):
        return
    try:
        yield from kind.events(old, write.new)
    except _UNREADABLE:
        log.exception(
            "a change cannot be told: an event is missing",
            extra={"object": write.about.get("metadata", {}).get("name", ""), "revision": write.revision},
        )


_UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
