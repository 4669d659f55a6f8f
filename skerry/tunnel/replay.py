"""Stream numbers that were opened in the last five minutes: the bus sometimes delivers an OPEN twice.

Numbers of one proxy connection only grow, so they are kept as bit masks of 1,024: at 2,000 requests a second this is
a hundred kilobytes, where a set of ids would be a hundred megabytes.
"""

from __future__ import annotations

REMEMBER_S = 300.0
_BITS = 10


class ReplayWindow:
    """The numbers of all proxy connections."""

    def __init__(self) -> None:
        self._masks: dict[tuple[str, int], tuple[float, int]] = {}
        self._next = 0.0

    def first(self, proxy: str, number: str, now: float) -> bool:
        """True if this is the first OPEN of `number` (hexadecimal) on the connection `proxy`."""
        if now >= self._next:
            self._expire(now)
        value = int(number, 16)
        key, bit = (proxy, value >> _BITS), 1 << (value & (1 << _BITS) - 1)
        mask = self._masks.get(key, (now, 0))[1]
        self._masks[key] = (now, mask | bit)
        return not mask & bit

    def _expire(self, now: float) -> None:
        self._next = now + REMEMBER_S / 10
        self._masks = {k: v for k, v in self._masks.items() if now - v[0] <= REMEMBER_S}
