"""What is changed on a member and put right again: a repair, or, if it happens as often as it is put right, a fight. Pure.

Times are seconds of the host's clock.
"""

from __future__ import annotations

from collections import defaultdict, deque

from skerry.api.desired import BY, REPAIRS, Repair

FIGHTS, FIGHT_S = 5, 60.0
"""So many changes in so many seconds, each of which was answered, are a fight."""


class Repairs:
    """Of one member, by keys of entries."""

    def __init__(self) -> None:
        self._drifting: dict[str, str] = {}
        """Objects that are not put right yet, and who changed them."""
        self._changes: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=FIGHTS))
        self._latest: dict[str, Repair] = {}
        """In the order in which they were put right."""

    def drifted(self, key: str, by: str) -> None:
        """An object is not as it was applied; `by` is empty for one that was deleted."""
        self._drifting[key] = by

    def fought(self, key: str, now: float) -> bool:
        """True if another change, which is about to be answered, makes it a fight."""
        changes = self._changes[key]
        changes.append(now)
        return len(changes) == FIGHTS and now - changes[0] < FIGHT_S

    def applied(self, key: str, now: float) -> None:
        """An object is in place; if it had drifted, that was a repair."""
        by = self._drifting.pop(key, None)
        if by is None:
            return
        self._latest.pop(key, None)
        self._latest[key] = Repair(key=key, by=by[:BY], last=now)
        if len(self._latest) > REPAIRS:
            del self._latest[next(iter(self._latest))]

    def forget(self, key: str) -> None:
        """It is not wanted any more."""
        self._drifting.pop(key, None)
        self._changes.pop(key, None)

    @property
    def latest(self) -> tuple[Repair, ...]:
        """The last ones, for a report."""
        return tuple(self._latest.values())
