"""Times as metav1.Time writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from skerry.api.times import rfc3339, seconds

MOMENT = datetime(2026, 1, 1, 2, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))


def test_a_time_is_written_in_utc_with_whole_seconds_that_are_cut() -> None:
    assert rfc3339(MOMENT) == "2026-01-01T00:00:00Z"


def test_seconds_since_the_epoch_are_written_alike() -> None:
    assert rfc3339(datetime(2026, 1, 1, tzinfo=UTC).timestamp() + 0.9) == "2026-01-01T00:00:00Z"


def test_a_time_before_the_epoch_is_cut_downwards_too() -> None:
    assert rfc3339(-0.5) == rfc3339(datetime.fromtimestamp(-0.5, UTC)) == "1969-12-31T23:59:59Z"


def test_what_was_written_is_read_back() -> None:
    assert seconds(rfc3339(1_767_225_600)) == 1_767_225_600.0


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="soon"):
        seconds("soon")
