"""Changes of what callers are shown that are no changes of the objects: a grant that comes makes a cluster visible.

Watches that run are nudged, and look again at what is theirs. Those that come back from a revision before such a change get
410: what they knew then is not known any more. Grants, workspaces and clusters lie in one bucket, so each change has its
place among the revisions that clients hold; of Events, which lie in another, it is the place of the Event before it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import NamedTuple
from weakref import WeakSet

from skerry.access import Touched, keys_of
from skerry.api.messages import Caller

KEPT = 4096
"""Changes that are remembered; who comes back from before them gets 410."""
ENDED_S = 60.0
"""So long after a grant's time is over, tenancy is expected to say so in its status: up to then nothing tells at which revision
it was.
"""


class _Shift(NamedTuple):
    revision: int
    events: int
    """Of the bucket of Events."""
    at: float
    """Unix seconds."""
    subjects: frozenset[str]
    clusters: frozenset[str]

    def touches(self, keys: frozenset[str]) -> bool:
        return bool(self.clusters) or not self.subjects.isdisjoint(keys)


class ShiftCursor:
    """One caller's watch: what may be otherwise for it than it was when it looked last."""

    def __init__(self, keys: frozenset[str], nudge: Callable[[], None], clusters: bool) -> None:
        self._keys = keys
        self._nudge = nudge
        self._follows = clusters
        self._all = False
        self._clusters: set[str] = set()

    def touch(self, touched: Touched) -> None:
        """Note what changed, if it is the caller's business."""
        mine = not touched.subjects.isdisjoint(self._keys)
        self._all = self._all or mine
        if self._follows:
            self._clusters |= touched.clusters
        if mine or self._clusters:
            self._nudge()

    def take(self) -> frozenset[str] | None:
        """Clusters to look at again, of which there may be none; None: everything."""
        taken = None if self._all else frozenset(self._clusters)
        self._all, self._clusters = False, set()
        return taken


class Shifts:
    """All of them, as they come. `events` is the revision of the bucket of Events, `now` Unix time in seconds."""

    def __init__(self, now: Callable[[], float], events: Callable[[], int] = lambda: 0) -> None:
        self._now = now
        self._events = events
        self._shifts: deque[_Shift] = deque()
        self._before = (0, 0)
        """Revisions up to which they were forgotten."""
        self._cursors: WeakSet[ShiftCursor] = WeakSet()

    def note(self, touched: Touched, revision: int, *, known: bool = True) -> None:
        """A change at a revision. `known` is False of a cluster that comes: no watch can have known it."""
        for cursor in tuple(self._cursors):
            cursor.touch(touched)
        clusters = touched.clusters if known else frozenset()
        if not touched.subjects and not clusters:
            return
        if self._shifts and revision < self._shifts[-1].revision:
            self._shifts.clear()  # the bucket is read again: watches from before that are over anyway
        subjects = touched.subjects
        if self._shifts and self._shifts[-1].revision == revision:
            before = self._shifts.pop()
            subjects, clusters = subjects | before.subjects, clusters | before.clusters
        self._shifts.append(_Shift(revision, self._events(), self._now(), subjects, clusters))
        if len(self._shifts) > KEPT:
            oldest = self._shifts.popleft()
            self._before = oldest.revision, oldest.events

    def cursor(self, caller: Caller, nudge: Callable[[], None], *, clusters: bool) -> ShiftCursor:
        """A cursor that is told from now on, for as long as somebody has it; `nudge` is called each time. With `clusters` also of
        Clusters that are others than they were.
        """
        cursor = ShiftCursor(frozenset(keys_of(caller)), nudge, clusters)
        self._cursors.add(cursor)
        return cursor

    def since(self, caller: Caller, revision: int, *, events: bool = False, ended: float = -math.inf) -> bool:
        """True if what a caller is shown may be otherwise than at a revision (of Events, with `events`). `ended` is when the
        last of what grants gave them ended by itself.
        """
        if revision < self._before[events]:
            return True
        keys, latest = frozenset(keys_of(caller)), -math.inf
        for shift in reversed(self._shifts):
            if shift.touches(keys):
                if (shift.events if events else shift.revision) > revision:
                    return True
                latest = max(latest, shift.at)
        return latest < ended and self._now() < ended + ENDED_S
