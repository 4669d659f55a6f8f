"""Events that follow from stored changes: a kind's declaration says what a change means to people, this records it.

Nothing else has to remember to tell: a change that is stored is told, one that is not stored did not happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from skerry.api.kinds import Describe, Kind
from skerry.controller.recorder import Recorder
from skerry.informer import View
from skerry.informer.ring import Change


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
        for occurrence in describe(old, new):
            about = new or (old if change.final is None else change.final.document())
            say = recorder.warning if occurrence.warning else recorder.normal
            say(about, occurrence.reason, occurrence.message)

    return tell
