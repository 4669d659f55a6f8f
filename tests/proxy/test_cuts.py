"""Lines about answers that were cut: one for all of a reason, however many there are."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from services.proxy.cuts import GATHER_S, MOST_REASONS, NAMED, OTHERS, Cuts
from services.proxy.record import RequestRecord


def record(user: str, reason: str, stream: str = "") -> RequestRecord:
    made = RequestRecord()
    made.user, made.reason, made.stream = user, reason, stream
    return made


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(each) for each in caplog.records]


async def test_thousands_of_one_reason_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    cuts = Cuts()
    for number in range(5000):
        cuts.add(record("alice", "the grant is gone", f"s{number}"))
    assert lines(caplog) == []
    await asyncio.sleep(GATHER_S * 2)
    (line,) = lines(caplog)
    assert (line["levelno"], line["message"]) == (logging.WARNING, "responses were cut")
    assert (line["count"], line["reason"], line["users"]) == (5000, "the grant is gone", "alice")
    assert line["stream"] == "s0"


async def test_each_reason_has_its_line_and_names_a_few(caplog: pytest.LogCaptureFixture) -> None:
    cuts = Cuts()
    for number in range(NAMED + 2):
        cuts.add(record(f"u{number}", "its agent is gone"))
    cuts.add(record("bob", "the host is shutting down"))
    cuts.flush()
    one, other = lines(caplog)
    assert (one["count"], one["users"]) == (NAMED + 2, "u0, u1, u2 and 2 more")
    assert (other["count"], other["users"]) == (1, "bob")
    cuts.flush()
    assert len(lines(caplog)) == 2


async def test_reasons_that_a_member_makes_up_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    cuts = Cuts()
    for number in range(MOST_REASONS * 3):
        cuts.add(record("alice", f"reason {number}"))
    cuts.flush()
    assert len(lines(caplog)) == MOST_REASONS + 1
    assert {line["reason"]: line["count"] for line in lines(caplog)}[OTHERS] == 2 * MOST_REASONS
