"""Events that follow from stored changes: a kind's declaration says what a change means to people, this records it.

Nothing else has to remember to tell: a change that is stored is told, one that is not stored did not happen.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator

from skerry.api.kinds import Describe, Kind, Occurrence
from skerry.api.meta import Document
from skerry.controller.recorder import Recorder
from skerry.informer import View
from skerry.informer.ring import Change

log = logging.getLogger("skerry.events")


def record_events(cache: View, recorder: Recorder, kinds: Iterable[Kind]) -> Callable[[], None]:
    """Tell what happens to objects of `kinds` from now on: call it when the cache is filled. Returns how to stop."""
    stops = [cache.add_event_handler(kind, _teller(recorder, kind.events)) for kind in kinds if kind.events]

    def stop() -> None:
        for each in stops:
            each()

    return stop


def _teller(recorder: Recorder, describe: Describe) -> Callable[[Change], None]:
    def tell(change: Change) -> None:
        old, new = change.before(), change.after()
        about = new or (old if change.final is None else change.final.document())
        for occurrence in _described(describe, old, new):
            say = recorder.warning if occurrence.warning else recorder.normal
            say(about, occurrence.reason, occurrence.message)

    return tell


def _described(describe: Describe, old: Document, new: Document) -> Iterator[Occurrence]:
    """What a change means, as far as that can be said: another version may have stored what this one cannot read."""
    try:
        yield from describe(old, new)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        log.exception(
            "a change cannot be told: an Event is missing", extra={"object": (new or old)["metadata"]["name"]}
        )
