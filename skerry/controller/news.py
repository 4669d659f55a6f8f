"""Events that follow from stored changes: a service says what a change means to people, this tells it.

Nothing else has to remember to tell: a change that is stored is told, one that is not stored did not happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from skerry.api.kinds import Kind
from skerry.controller.recorder import Recorder
from skerry.informer import Cache
from skerry.informer.ring import Change
from skerry.storage.documents import Document, Item


class News(NamedTuple):
    """One Event: its reason, in one CamelCase word, and what happened, for people."""

    reason: str
    message: str
    warning: bool = False


Means = Callable[[Document, Document], Iterator[News]]
"""From an object before and after a change; an empty document is none. Pure."""


def follow(cache: Cache, recorder: Recorder, meanings: Mapping[Kind, Means]) -> Callable[[], None]:
    """Tell what happens to objects of these kinds from now on: call it when the cache is filled. Returns how to stop."""
    stops = [cache.on_change(kind, _teller(recorder, means)) for kind, means in meanings.items()]

    def stop() -> None:
        for each in stops:
            each()

    return stop


def _teller(recorder: Recorder, means: Means) -> Callable[[Change], None]:
    def tell(change: Change) -> None:
        old, new = _document(change.old), _document(change.new)
        about = new or _document(change.final) or old
        for one in means(old, new):
            say = recorder.warning if one.warning else recorder.normal
            say(about, one.reason, one.message)

    return tell


def _document(item: Item | None) -> Document:
    return {} if item is None else item.document()
