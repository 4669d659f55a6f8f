"""Members whose condition Ready changes again and again: a condition of its own says so, Ready stays true to the moment. Pure.

Every replica counts what is stored, so that who leads next knows as much. One that started after changes has only what
their end is stored with: ten minutes after the last one it is over, whoever counted them. Times are monotonic seconds.
"""

from __future__ import annotations

from collections import deque

from services.registry import clusters
from services.registry.model import Now
from skerry.api.conditions import FLAPPING, Verdict, condition_of, conditions_of, with_condition
from skerry.api.meta import Document
from skerry.api.times import seconds

WINDOW_S = 600.0
OFTEN = 4
"""Changes of Ready within the window."""
STABLE = Verdict("False", "Stable", "Ready did not change four times within the last ten minutes")


def changed(before: Document, after: Document) -> bool:
    """Whether requests reach a Cluster no more, or again."""
    return (clusters.ready_of(before).status == "True") != (clusters.ready_of(after).status == "True")


class Flaps:
    """When Ready changed, of each member."""

    def __init__(self, since: float) -> None:
        """`since`: when this process began to count."""
        self._since = since
        self._changes: dict[str, deque[float]] = {}

    def stored(self, name: str, before: Document, after: Document, now: float) -> None:
        """A Cluster was stored."""
        if changed(before, after):
            self._changes.setdefault(name, deque(maxlen=100)).append(now)

    def forget(self, name: str) -> None:
        """The member was removed."""
        self._changes.pop(name, None)

    def observed(self, name: str, before: Document, after: Document, now: Now) -> Document:
        """`after`, which may replace `before`, with the condition. What never flapped does not have it."""
        verdict = self._verdict(name, before, after, now)
        if verdict is None or condition_of(after, FLAPPING) == verdict:
            return after
        status = after["status"]
        conditions = with_condition(status["conditions"], clusters.condition(FLAPPING, verdict, now))
        return {**after, "status": {**status, "conditions": conditions}}

    def due(self, name: str, document: Document, now: Now) -> float | None:
        """In how many seconds it may be over; None if it is not on."""
        if condition_of(document, FLAPPING).status != "True":
            return None
        recent = self._recent(name, now.mono)
        left = recent[-OFTEN] + WINDOW_S - now.mono if len(recent) >= OFTEN else self._uncounted_s(document, now)
        return max(left, 0.0)

    def _uncounted_s(self, document: Document, now: Now) -> float:
        """For how many seconds changes that this process did not see may count; not positive: for none."""
        left = self._since + WINDOW_S - now.mono
        ready = (each for each in conditions_of(document) if each.get("type") == "Ready")
        stored = next((each.get("lastTransitionTime") for each in ready), None)
        try:
            return min(left, seconds(str(stored)) + WINDOW_S - now.wall)
        except ValueError:
            return left

    def _recent(self, name: str, now: float) -> list[float]:
        changes = self._changes.get(name)
        if changes is None:
            return []
        while changes and now - changes[0] >= WINDOW_S:
            changes.popleft()
        if not changes:
            del self._changes[name]
        return list(changes)

    def _verdict(self, name: str, before: Document, after: Document, now: Now) -> Verdict | None:
        is_on, changes = condition_of(before, FLAPPING).status == "True", changed(before, after)
        count = len(self._recent(name, now.mono)) + changes
        if count >= OFTEN:
            if is_on and not changes:
                return None
            return Verdict(
                "True",
                "ReadyChanges",
                f"Ready changed {count} times within ten minutes: look at its network, its agent and its API server",
            )
        if is_on and self._uncounted_s(before, now) <= 0:
            return STABLE
        return None
