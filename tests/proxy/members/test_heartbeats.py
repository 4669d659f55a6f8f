"""Presence as people see it, from heartbeats that may be hostile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from services.proxy.members.heartbeats import MAX_AGENTS, HeartbeatTable
from skerry.api.messages import Heartbeat
from skerry.heartbeats import FLOOD_BEATS, LONGEST_NAME, PER_S


class Clock:
    """Seconds that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def beat(agent: str = "UA", rtt_ms: float | None = 0.61, epoch: str = "1", **more: Any) -> bytes:
    return msgspec.json.encode(Heartbeat(agent=agent, epoch=epoch, version="0.1.0", rtt_ms=rtt_ms, **more))


def presence(clock: Clock, *members: str, flooded: Callable[[str], None] = lambda member: None) -> HeartbeatTable:
    known = members or ("m1",)
    return HeartbeatTable(known.__contains__, clock, lambda: 1_790_000_000.0, flooded)


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


@pytest.mark.parametrize("size", [LONGEST_NAME + 1, 15_000, 1_900_000])
def test_names_as_large_as_a_message_are_not_kept(size: int) -> None:
    clock = Clock()
    table = presence(clock)
    for number in range(16):
        clock.now = number
        table.heard("up.m1.hb", beat(f"{number}" + "x" * size))
    assert table.rubbish == 16
    assert "m1" not in table._beats


def test_what_is_kept_of_a_member_is_bounded_whatever_it_sends() -> None:
    clock = Clock()
    table = presence(clock)
    for number in range(500):
        clock.now = number / 20
        table.heard("up.m1.hb", beat(f"{number:x}".ljust(LONGEST_NAME, "x")))
    kept = table._beats["m1"]
    assert sum(len(name.encode()) for name, _ in kept) <= MAX_AGENTS * LONGEST_NAME
    assert len(kept) == MAX_AGENTS
    assert table._admission.members == ["m1"]


def test_a_flood_is_not_looked_at_and_told() -> None:
    told: list[str] = []
    table = presence(Clock(), "m1", "m2", flooded=told.append)
    for _ in range(FLOOD_BEATS + 20):
        table.heard("up.m1.hb", b"\xff")
    assert table.rubbish == PER_S
    assert told == ["m1"]
    table.heard("up.m2.hb", beat())
    assert table.live("m2")


def test_who_was_removed_takes_no_memory() -> None:
    members = {"m1", "m2"}
    table = HeartbeatTable(members.__contains__, Clock(), lambda: 0.0, lambda member: None)
    table.heard("up.m1.hb", beat())
    table.heard("up.m2.hb", b"rubbish")
    members.clear()
    for member in ("m1", "m2", "never-heard"):
        table.forget(member)
    assert (table.live("m1"), table._admission.members) == ({}, [])


def test_after_an_own_outage_nobody_is_said_to_be_silent() -> None:
    clock = Clock()
    table = presence(clock)
    table.heard("up.m1.hb", beat())
    clock.now = 300.0
    table.forget_all()
    assert (table.live("m1"), table.since("m1")) == ({}, "")


def test_an_unbelievable_round_trip_is_left_out() -> None:
    table = presence(Clock())
    table.heard("up.m1.hb", beat(rtt_ms=1e300))
    assert table.live("m1") == {"heartbeat": "0s"}


def test_where_agents_can_be_asked_is_told_the_last_heard_first_of_those_that_are_there() -> None:
    clock = Clock()
    table = presence(clock)
    table.heard("up.m1.hb", beat("UA", epoch="1", connections=("ai", "ab")))
    clock.now = 10.0
    table.heard("up.m1.hb", beat("UA", epoch="2", connections=("bi", "bb")))
    table.heard("up.m1.hb", beat("UB", connections=("ci", "cb"), leaving=True))
    table.heard("up.m1.hb", beat("UC"))
    assert list(table.connections("m1", "i")) == ["bi", "ai"]
    assert list(table.connections("m1", "b")) == ["bb", "ab"]
    clock.now = 36.0
    assert list(table.connections("m1", "i")) == ["bi"]
    assert list(table.connections("m2", "i")) == []
