"""Durations in specs: what is read, and what is refused with which words."""

from __future__ import annotations

import pytest

from skerry.api import duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("1h30m", 5400), ("30d", 30 * 86400), ("0s", 0), ("1m1m", 120)]
)
def test_a_duration(text: str, seconds: int) -> None:
    assert duration.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "-1s", "1.5h", "1w", "1s ", "1s\n", "\u0661s", "1" * 10 + "s"])
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration such as 30m"):
        duration.parse(text)


def test_a_duration_within_bounds() -> None:
    assert [duration.bounded(text, "24h") for text in ("1s", "90m", "24h")] == [1, 5400, 86400]


def test_the_shortest_is_a_second_unless_another_one_is_said() -> None:
    assert duration.bounded("0s", "10m", "0s") == 0
    with pytest.raises(ValueError, match="must be between 5s and 10m"):
        duration.bounded("4s", "10m", "5s")


@pytest.mark.parametrize("text", ["0s", "86401s", "2d"])
def test_a_duration_beyond_its_bounds_is_told_them(text: str) -> None:
    with pytest.raises(ValueError, match="must be between 1s and 24h"):
        duration.bounded(text, "24h")
