"""Requests without a credential that holds: so many a second of an address are recorded, and of more their number.

Who asks without one pays nothing, and must not be able to fill the log.
"""

from __future__ import annotations

from collections import Counter

PER_SECOND = 10
MOST = 10_000
"""Addresses that are told apart in a second."""
OTHERS = ""
"""Stands for those beyond."""


class Refusals:
    """Counts them, second by second of any clock."""

    def __init__(self) -> None:
        self._second = 0
        self._seen: Counter[str] = Counter()
        self._counted: Counter[str] = Counter()

    def admits(self, address: str, now: float) -> bool:
        """True if a refusal of this address is to be recorded by itself; False if it was counted."""
        if int(now) != self._second:
            self._second = int(now)
            self._seen.clear()
        if address not in self._seen and len(self._seen) >= MOST:
            address = OTHERS
        self._seen[address] += 1
        if self._seen[address] <= PER_SECOND:
            return True
        self._counted[address] += 1
        return False

    def take(self) -> dict[str, int]:
        """What was counted since the last call, by address."""
        counted, self._counted = self._counted, Counter()
        return counted
