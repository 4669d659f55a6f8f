"""What one watch has told its client of, where what the caller is shown changes without the objects.

An object that becomes visible is ADDED, one that stops is DELETED, as of the revision that the watch is at. Which ones the
client has follows from what it was told alone, so nothing is told twice, whatever changes at the same time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from services.proxy.hostapi.selectors import Match
from services.proxy.hostapi.sight import Moving
from skerry.errors import Gone
from skerry.informer import Change
from skerry.informer.index import ObjectKey
from skerry.storage import Item, decode_document
from skerry.storage.documents import item as make_item

MOST = 500
"""Objects that come and go at once: more is 410, and the client lists again."""


class Told(NamedTuple):
    """What a client is told of an object: ADDED, MODIFIED or DELETED."""

    type: str
    item: Item


class Shown:
    """The objects that a client has: what there is now, but for the changes that come `later`."""

    def __init__(
        self, listed: Callable[[], Iterable[Item]], find: Callable[[ObjectKey], Item | None], match: Match
    ) -> None:
        self._listed = listed
        self._find = find
        self._match = match
        self._known = {_key(item) for item in listed()}

    def undo(self, later: Iterable[Change]) -> None:
        """Its watch begins before these changes."""
        for change in reversed(tuple(later)):
            self._keep(_key_of(change), change.old is not None and self._match(change.old))

    def _keep(self, key: ObjectKey, has: bool) -> None:
        if has:
            self._known.add(key)
        else:
            self._known.discard(key)

    def change(self, change: Change) -> tuple[bool, bool]:
        """Whether the client has the object of a change before it, and after."""
        key = _key_of(change)
        before, after = key in self._known, change.new is not None and self._match(change.new)
        self._keep(key, after)
        return before, after

    def shift(self, clusters: frozenset[str] | None, revision: int) -> list[Told]:
        """What the client is told, as of a revision, of a change of what it is shown: of these clusters, or None of
        everything. All changes of objects were told before. Gone if it is too much.
        """
        if clusters is None:
            keys = self._known | {_key(item) for item in self._listed()}
        else:
            keys = {("", name) for name in clusters}
        shifted = [each for key in sorted(keys) if (each := self._shifted(key, revision))]
        if len(shifted) > MOST:
            raise Gone("what you may see has changed a lot, list again")
        return shifted

    def _shifted(self, key: ObjectKey, revision: int) -> Told | None:
        item, before = self._find(key), key in self._known
        after = item is not None and self._match(item)
        self._keep(key, after)
        if item is None or before == after:
            return None
        return Told("ADDED", item) if after else Told("DELETED", make_item(decode_document(item.body), revision))


class Following:
    """A watch of a part that changes without its objects. What is told of them one by one is `shown`; without it every change
    is 410.
    """

    def __init__(self, moving: Moving, nudge: Callable[[], None], shown: Shown | None) -> None:
        self._moving = moving
        self._cursor = moving.cursor(nudge)
        self.shown = shown
        self._ends = self._next()

    def _next(self) -> float:
        return math.inf if self.shown is None else self._moving.ends()

    def rest_s(self) -> float:
        """For how long nothing ends by itself."""
        return max(0.0, self._ends - self._moving.now())

    def told(self, revision: int) -> list[Told]:
        """What the client is told of what changed since the last call, as of a revision. Gone."""
        clusters = self._cursor.take()
        if self._ends <= self._moving.now():
            clusters = None
        if clusters is not None and not clusters:
            return []
        if not self._moving.by_name:
            clusters = None
        if self.shown is None:
            raise Gone("what you may see has changed, list again")
        shifted = self.shown.shift(clusters, revision)
        self._ends = self._next()
        return shifted


def _key(item: Item) -> ObjectKey:
    return item.namespace, item.name


def _key_of(change: Change) -> ObjectKey:
    item = change.new or change.old
    if item is None:
        raise AssertionError("a change without an object")
    return _key(item)
