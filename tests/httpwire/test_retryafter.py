"""Retry-After: seconds, or a date."""

from __future__ import annotations

import pytest

from skerry.httpwire.retryafter import LONGEST_S, seconds_of

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("99999999999999999999", LONGEST_S),
        ("Fri, 15 Jan 2027 08:01:30 GMT", 90.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("Fri, 15 Jan 2038 07:00:00 GMT", LONGEST_S),
        ("", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("1.5", 0.0),
        ("٣", 0.0),
        ("x" * 1000, 0.0),
    ],
)
def test_what_a_server_asks_for_is_seconds(text: str, seconds: float) -> None:
    assert seconds_of(text, NOW) == seconds
