"""Durations as people write them in specs: Go's syntax (`1h30m`, `45s`) and `d` for days."""

from __future__ import annotations

import re

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"([0-9]{1,9})([smhd])")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+\Z")


def parse(text: str) -> int:
    """Seconds in `text`. ValueError, whose text says what is allowed."""
    if _WHOLE.match(text) is None:
        raise ValueError("must be a duration such as 30m, 8h or 1h30m (units s, m, h, d)")
    return sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def bounded(text: str, longest: str, shortest: str = "1s") -> int:
    """Seconds in `text`, as many as in `shortest` at least and in `longest` at most. ValueError, which says so."""
    duration_s = parse(text)
    if not parse(shortest) <= duration_s <= parse(longest):
        raise ValueError(f"must be between {shortest} and {longest}")
    return duration_s
