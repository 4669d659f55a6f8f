"""What a caller is shown of the objects of a kind: all of them, or those that are tied to them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from services.proxy.hostapi.selectors import Match, everything
from services.proxy.hostapi.shifts import ShiftCursor
from skerry.informer.index import ObjectKey
from skerry.storage import Item


class Moving(NamedTuple):
    """How a watch learns that its part of the objects has become another one while they stayed as they are."""

    since: Callable[[int], bool]
    """True if that may have happened after a revision."""
    cursor: Callable[[Callable[[], None]], ShiftCursor]
    """Notes it from now on; it calls what it is given each time."""
    ends: Callable[[], float]
    """Unix seconds: when something that the caller has ends, if nothing changes."""
    now: Callable[[], float]
    """Unix seconds."""
    by_name: bool
    """Whether a change of one Cluster shows or hides that object alone."""


class Sight(NamedTuple):
    """A part of the objects of a kind, as it is at the time at which it is asked."""

    match: Match = everything
    """True of an object that belongs to it."""
    keys: Callable[[], Iterable[ObjectKey] | None] = lambda: None
    """Namespace and name of all objects that belong to it, and maybe of others; None: any may."""
    moving: Moving | None = None
    """None: it is another one only when an object is."""

    @property
    def whole(self) -> bool:
        """True if it is all of them."""
        return self.match is everything

    def past(self, then: Item, now: Item | None) -> bool:
        """True of an object as it was, if it belonged to this part then, and belongs to it as it is now, if it is there."""
        if self.whole:
            return True
        return self.match(then) and (now is None or (now.uid == then.uid and self.match(now)))


WHOLE = Sight()
