"""What became of a look at a repository, as its status says it. Pure; times are Unix seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from services.appstore.index import Skipped
from services.appstore.network import Reason
from skerry.api.conditions import Verdict, condition_of, listed, new_condition, with_condition
from skerry.api.meta import Document
from skerry.api.times import rfc3339, seconds

TRUNCATED = "Truncated"
"""Condition of an AppRepository that lists less than it has, because there would be too many versions of all."""
NAMED = 20
"""Versions that are not listed and said by name."""


class Synced(NamedTuple):
    """It was read."""

    revision: str
    charts: int
    versions: int
    known: int
    skipped: Sequence[Skipped]
    dropped: int = 0
    """Versions that are not listed because of the limit of all."""
    limit: int = 0


class Failed(NamedTuple):
    """It was not."""

    reason: Reason
    message: str
    retry_after: str = ""


NEVER = Verdict("Unknown", "NeverSynced", "it was not looked at yet")
SYNCING = Verdict("Unknown", "Syncing", "it is being read")


def syncing(document: Document, now: float) -> Document | None:
    """While it is read. One that was read well stays Ready meanwhile: None."""
    if condition_of(document, "Ready").status == "True":
        return None
    return _ready(document, SYNCING, now, observed=False)


def stopped(document: Document, message: str, now: float) -> Document | None:
    """While nothing is read: None unless it says that it is."""
    if condition_of(document, "Ready").reason not in ("", SYNCING.reason):
        return None
    return _ready(document, NEVER._replace(message=message), now, observed=False)


def requested(document: Document, now: float) -> Document:
    """A stored AppRepository after somebody asked for a look: at least a second after the last one ended, because what was asked for
    by then is done, as far as whole seconds can tell.
    """
    status = document.get("status") or {}
    sync = status.get("sync") or {}
    after = max(now, _time(str(sync.get("finished", ""))) + 1.0)
    return {**document, "status": {**status, "sync": {**sync, "requested": rfc3339(after)}}}


def with_outcome(
    document: Document,
    outcome: Synced | Failed,
    *,
    generation: int,
    pause_s: float | None,
    now: float,
    credential: Document,
    answers: bool = True,
) -> Document:
    """A stored AppRepository after a look that ended now: it `answers` what was asked for by then. `generation` is that of the spec by
    which it was looked at.
    """
    status = document.get("status") or {}
    before = status.get("sync") or {}
    asked = _time(str(before.get("requested", "")))
    sync = {
        **before,
        "finished": rfc3339(max(now, asked) if answers else min(now, asked - 1.0)),
        "failures": before.get("failures", 0) + 1 if isinstance(outcome, Failed) else 0,
        "next": "" if pause_s is None else rfc3339(now + pause_s),
    }
    if isinstance(outcome, Failed):
        after = {**status, "sync": _without_empty(sync), "credential": credential}
        verdict = Verdict("False", outcome.reason, outcome.message)
    else:
        sync |= {
            "revision": outcome.revision,
            "charts": outcome.charts,
            "versions": outcome.versions,
            "known": outcome.known,
        }
        after = {**status, "sync": _without_empty(sync), "credential": credential, **_skipped(outcome.skipped)}
        text = f"{outcome.versions} versions of {outcome.charts} charts are listed"
        verdict = Verdict("True", "Synced", text)
        after["conditions"] = _truncated(listed(status.get("conditions")), outcome, now)
    return _ready({**document, "status": after}, verdict, now, generation=generation)


def _ready(document: Document, verdict: Verdict, now: float, *, generation: int = 0, observed: bool = True) -> Document:
    status = document.get("status") or {}
    said = new_condition("Ready", verdict, now) | ({"observedGeneration": generation} if observed else {})
    return {**document, "status": {**status, "conditions": with_condition(status.get("conditions") or [], said)}}


def _truncated(conditions: list[Document], outcome: Synced, now: float) -> list[Document]:
    if not outcome.dropped:
        return [each for each in conditions if each.get("type") != TRUNCATED]
    text = (
        f"{outcome.dropped} versions are not listed, because all repositories together may list {outcome.limit}: name the charts "
        "that are wanted in spec.charts, lower spec.keepVersions, or raise spec.limits.versions of AppStore host"
    )
    return with_condition(conditions, new_condition(TRUNCATED, Verdict("True", "TooManyVersions", text), now))


def _skipped(skipped: Sequence[Skipped]) -> Document:
    return {
        "skipped": [_without_empty(each._asdict()) for each in skipped[:NAMED]],
        "skippedCount": len(skipped),
    }


def _without_empty(fields: Document) -> Document:
    return {key: value for key, value in fields.items() if value != ""}


def _time(text: str) -> float:
    try:
        return seconds(text)
    except ValueError:
        return 0.0
