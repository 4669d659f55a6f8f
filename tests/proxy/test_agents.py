"""Presence as people see it, from heartbeats that may be hostile."""

from __future__ import annotations

import msgspec
import pytest

from services.proxy.agents import MAX_AGENTS, Presence
from skerry.api.messages import Heartbeat


class Clock:
    """Seconds that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def beat(agent: str = "UA", rtt_ms: float | None = 0.61) -> bytes:
    return msgspec.json.encode(Heartbeat(agent=agent, epoch="1", version="0.1.0", rtt_ms=rtt_ms))


def presence(clock: Clock, *members: str) -> Presence:
    known = members or ("m1",)
    return Presence(known.__contains__, clock, lambda: 1_790_000_000.0)


def test_cells_are_the_age_and_the_round_trip() -> None:
    clock = Clock()
    table = presence(clock)
    table.heard("up.m1.hb", beat())
    clock.now = 4.2
    assert table.live("m1") == {"heartbeat": "4s", "rtt": "0.6ms"}


def test_a_member_that_was_never_heard_has_no_cells_and_no_since() -> None:
    assert presence(Clock()).live("m1") == {}
    assert presence(Clock()).since("m1") == ""


def test_since_is_the_time_of_the_last_heartbeat() -> None:
    table = presence(Clock())
    table.heard("up.m1.hb", beat())
    assert table.since("m1") == "2026-09-21T14:13:20Z"


NOT_TEXT = b'{"agent":"A","epoch":"\xff","version":"1"}'


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"\xff", b'{"agent":1}', NOT_TEXT])
def test_rubbish_is_counted(data: bytes) -> None:
    table = presence(Clock())
    table.heard("up.m1.hb", data)
    assert table.rubbish == 1
    assert table.last("m1") is None


def test_unknown_members_take_no_memory() -> None:
    table = presence(Clock())
    table.heard("up.m2.hb", beat())
    assert table.last("m2") is None


def test_a_flood_of_agent_names_is_bounded() -> None:
    clock = Clock()
    table = presence(clock)
    for number in range(MAX_AGENTS * 2):
        clock.now = number
        table.heard("up.m1.hb", beat(f"U{number}"))
    assert len(table._beats["m1"]) == MAX_AGENTS
    assert table.live("m1")["heartbeat"] == "0s"


def test_an_unbelievable_round_trip_is_left_out() -> None:
    table = presence(Clock())
    table.heard("up.m1.hb", beat(rtt_ms=1e300))
    assert table.live("m1") == {"heartbeat": "0s"}
