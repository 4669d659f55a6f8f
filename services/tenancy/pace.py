"""How soon what is being put in place on members is looked at again: often at first, and less when it takes longer."""

from __future__ import annotations

from collections.abc import Callable

SOON_S, LATER_S = 0.3, 5.0
FIRST_S = 20.0
"""From SOON_S to LATER_S after so long."""


class Pace:
    """Counted from when this process saw that a generation of an object is being put in place. The time of a condition does not tell
    it: it has whole seconds, and stays while the status does, so what was not in place before, for days and for another reason,
    would seem to have taken as long. `now` is in seconds of any clock.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._since: dict[str, tuple[int, float]] = {}
        """By name: the generation, and when it was seen first."""

    def next_s(self, name: str, generation: int) -> float:
        """Seconds until an object that is being put in place is to be looked at again."""
        since = self._since.get(name)
        if since is None or since[0] != generation:
            since = self._since[name] = generation, self._now()
        return SOON_S if self._now() - since[1] < FIRST_S else LATER_S

    def over(self, name: str) -> None:
        """It is not being put in place, or there is none."""
        self._since.pop(name, None)
