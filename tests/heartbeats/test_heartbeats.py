"""What is admitted of heartbeats, and when silence proves something: tables, no bus."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from skerry.api.messages import Heartbeat
from skerry.heartbeats import (
    AGAIN_S,
    FLOOD_BEATS,
    LARGEST,
    LONGEST_NAME,
    PER_S,
    STILL_S,
    Admission,
    Hearing,
    UnreadableHeartbeat,
    read,
)


def beat(**changes: Any) -> bytes:
    fields: dict[str, Any] = {"agent": "UA", "epoch": "1", "version": "0.1.0"}
    return msgspec.json.encode(Heartbeat(**(fields | changes)))


def test_what_an_agent_sends_is_read_as_it_is() -> None:
    said: dict[str, Any] = {
        "cluster_uid": "5f2b",
        "kubernetes_version": "v1.36.3",
        "nodes": 3,
        "rtt_ms": 0.5,
        "roots": ("A", "B"),
    }
    assert read(beat(**said)) == Heartbeat(agent="UA", epoch="1", version="0.1.0", **said)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"agent":1}',
        beat(agent=""),
        beat(agent="U" * (LONGEST_NAME + 1)),
        beat(agent="\u00fc" * LONGEST_NAME),
        beat(agent="U\x1b[2J"),
        beat(agent="U\n"),
        beat(message="x" * LARGEST),
        beat(roots=("A", "B", "C")),
        beat(roots=("A" * 65,)),
        beat(connections=("A", "B", "C")),
        beat(connections=("A" * 65,)),
        beat(agent="x" * 1_900_000),
        b'{"agent":"UA","epoch":"1","version":"1","more":' + b"[" * 20_000,
        b'{"agent":"UA","epoch":"1","version":"1","more":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b'{"agent":"UA","epoch":"1","version":"1","rtt_ms":NaN}',
        b'{"agent":"\\ud800","epoch":"1","version":"1"}',
    ],
)
def test_what_no_correct_agent_sends_is_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableHeartbeat):
        read(data)


def test_texts_are_cut_and_print() -> None:
    found = read(beat(version="\x1b[31m" + "9" * 99, message="a\r\nb\u202ec", epoch="e" * 999, cluster_uid="\0"))
    assert (found.version[:5], len(found.version)) == (" [31m", 64)
    assert (found.message, len(found.epoch), found.cluster_uid) == ("a  b c", 128, " ")


@pytest.mark.parametrize("nodes", [-1, 10**30], ids=str)
def test_a_number_that_is_no_count_is_no_reason_to_be_taken_for_dead(nodes: int) -> None:
    text = b'{"agent":"UA","epoch":"1","version":"1","nodes":%d}' % nodes
    assert read(text).nodes is None


@pytest.mark.parametrize(("said", "kept"), [(3600.5, 3600.5), (-40.0, -40.0), (1e300, None), (None, None)])
def test_a_clock_that_nobody_has_is_left_out(said: float | None, kept: float | None) -> None:
    assert read(beat(clock_s=said)).clock_s == kept


@pytest.mark.parametrize("field", ["server_certificate", "client_certificate"])
@pytest.mark.parametrize(("said", "kept"), [(1.8e9, 1.8e9), (-1.0, None), (1e300, None), (None, None)])
def test_the_end_of_a_certificate_is_a_time_or_left_out(field: str, said: float | None, kept: float | None) -> None:
    assert getattr(read(beat(**{field: said})), field) == kept


def test_without_room_none_is_admitted_each_is_counted_and_the_burst_is_used_up() -> None:
    admission = Admission()
    assert not any(admission.admits("m", 0.0, room=False) for _ in range(3))
    assert not admission.admits("m", 0.0)
    assert admission.ignored("m") == 4
    assert admission.admits("m", 1 / PER_S)


def test_what_is_worth_more_than_one_takes_more_of_the_rate() -> None:
    admission = Admission(per_s=10, burst=10)
    admission.spend("unknown", 5)
    assert admission.admits("m", 0.0)
    admission.spend("m", 19)
    assert [admission.admits("m", now) for now in (0.5, 1.0, 1.1)] == [False, False, True]


def test_a_burst_is_admitted_and_then_a_rate() -> None:
    admission = Admission()
    assert [admission.admits("m1", 1.0) for _ in range(100)].count(True) == PER_S
    assert admission.ignored("m1") == 90
    assert [admission.admits("m1", 2.0) for _ in range(100)].count(True) == PER_S
    assert admission.admits("m2", 2.0)


def test_a_rate_and_a_burst_may_be_others_and_what_is_saved_up_is_bounded() -> None:
    admission = Admission(per_s=5, burst=3)
    admitted = [sum(admission.admits("a", now) for _ in range(10)) for now in (0.0, 0.1, 0.2, 100.0)]
    assert admitted == [3, 0, 1, 3]


def test_who_asked_least_recently_is_forgotten_first() -> None:
    admission = Admission(per_s=1, burst=1, keys=2)
    for key in ("a", "b", "a", "c"):
        admission.admits(key, 0.0)
    assert not admission.admits("a", 0.0)
    assert admission.admits("b", 0.0), "forgotten, so new"


def flood(admission: Admission, now: float) -> None:
    for _ in range(FLOOD_BEATS + 10):
        admission.admits("m1", now)


def test_a_flood_that_is_no_accident_is_said_once_and_again_when_it_goes_on() -> None:
    admission = Admission()
    said = []
    for now in (1.0, 1.0, 5.0, 1.0 + AGAIN_S):
        flood(admission, now)
        said.append(admission.floods("m1", now))
    assert said == [True, False, False, True]
    assert not admission.floods("m1", 500.0)
    assert not admission.floods("m2", 1.0)


def test_a_slow_drizzle_beyond_the_rate_is_no_flood() -> None:
    admission = Admission()
    for minute in range(1, 100):
        for _ in range(15):
            admission.admits("m1", 61.0 * minute)
    assert not admission.floods("m1", 6100.0)


def test_who_was_removed_takes_no_memory() -> None:
    admission = Admission()
    admission.admits("m1", 1.0)
    admission.forget("m1")
    admission.forget("m1")
    assert admission.members == []


def test_a_process_begins_to_hear_at_its_start_and_after_each_break() -> None:
    hearing = Hearing()
    asked = [(0, 0.0), (1, 0.0), (1, 0.1), (1, STILL_S + 1), (1, 0.0), (0, 0.0), (1, 0.0), (2, 0.0), (0, 9.0)]
    assert [hearing.begins(*each) for each in asked] == [False, True, False, True, False, False, True, True, False]


def test_what_is_missing_is_cut_and_that_nothing_was_looked_at_is_kept() -> None:
    assert read(b'{"agent": "U", "epoch": "e", "version": "v"}').missing is None
    beat = read(b'{"agent": "U", "epoch": "e", "version": "v", "missing": "' + b"x" * 9000 + b'", "repaired": "a\\nb"}')
    assert beat.missing == "x" * 1000
    assert beat.repaired == "a b"
