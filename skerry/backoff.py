"""Pauses between attempts. Jittered: after a restart of a server everybody comes back, and not at the same moment."""

from __future__ import annotations

import random
from collections.abc import Callable

Chance = Callable[[float, float], float]
"""A number between two numbers, as `random.uniform` gives it."""


class Backoff:
    """Random pauses between a third and the whole of a span that doubles up to `longest_s`."""

    def __init__(self, first_s: float = 0.05, longest_s: float = 10.0, chance: Chance = random.uniform) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._span_s = first_s
        self._chance = chance

    def next(self) -> float:
        """Seconds to wait now."""
        pause = self._chance(self._span_s / 3, self._span_s)
        self._span_s = min(self._span_s * 2, self._longest_s)
        return pause

    def reset(self) -> None:
        """Start over."""
        self._span_s = self._first_s
