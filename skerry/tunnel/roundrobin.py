"""Whose turn it is to publish while the connection is behind: deficit round-robin (Shreedhar and Varghese, 1995).

A message is at most one quantum and bytes can be cut anywhere, so a queue with bytes left uses its quantum whole; what
a short last message leaves of a deficit is dropped when its queue leaves the round, as the algorithm says.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")


class DeficitRoundRobin(Generic[K]):
    """A round of those that wait; each gets one quantum per turn."""

    def __init__(self) -> None:
        self._round: OrderedDict[K, None] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._round)

    def add(self, who: K) -> None:
        """`who` has something to publish; keeps its place if it waits already."""
        self._round.setdefault(who)

    def remove(self, who: K) -> None:
        """`who` has nothing any more. Idempotent."""
        self._round.pop(who, None)

    def next(self) -> K | None:
        """The next one, taken out of the round: it is added again, at the end, if it has more."""
        return self._round.popitem(last=False)[0] if self._round else None
