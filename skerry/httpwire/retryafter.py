"""The header Retry-After (RFC 9110, 10.2.3). Pure."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

LONGEST_S = 86400.0
"""What a server may ask for at most: years are a mistake, or a joke."""


def seconds_of(text: str, now: float) -> float:
    """Seconds that it asks for, at most LONGEST_S: of a number, or of a date, `now` being Unix time; 0 for what is neither."""
    text = text.strip()[:64]
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), LONGEST_S)
    try:
        return min(max(parsedate_to_datetime(text).timestamp() - now, 0.0), LONGEST_S)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
