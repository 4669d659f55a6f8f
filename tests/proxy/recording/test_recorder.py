"""What passes in a session becomes its recording: output, sizes and the end; never what was typed."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.proxy.recording.recorder import LIMIT_BYTES, RESERVED_BYTES, WAITING_BYTES, Backlog, SessionRecorder
from skerry.api.recordings import RecordingState
from skerry.httpwire.websocket import close
from tests.proxy.recording.frames import ABOUT, START, SUCCESS, lines, marks, output, shown, size, status, typed


def recorder(**more: int) -> SessionRecorder:
    return SessionRecorder(ABOUT, Backlog(more.pop("backlog", 1 << 30)), **more)


def everything(made: SessionRecorder) -> list[Any]:
    data = b""
    while piece := made.take(1000):
        data += piece
    return lines(data)


def test_a_session_is_its_sizes_its_output_and_its_end() -> None:
    made = recorder()
    made.from_client(size(100, 30), START)
    made.from_client(typed(b"hunter2\r"), START + 0.5)
    made.from_member(output(b"$ "), START + 1)
    made.from_client(size(120, 40), START + 2)
    made.from_member(output("ä".encode()[:1]), START + 3)
    made.from_member(output("ä".encode()[1:]) + status(SUCCESS) + close(1000), START + 4)
    made.finish(START + 5)
    head, *events = everything(made)
    assert (head["width"], head["height"]) == (100, 30)
    assert events == [[1.0, "o", "$ "], [2.0, "r", "120x40"], [4.0, "o", "ä"], [4.0, "m", "exit 0"]]
    assert (made.state, made.exit, made.lost) == (RecordingState.COMPLETE, "0", 0)


@given(
    st.lists(st.one_of(st.binary(max_size=50), st.text(max_size=20).map(str.encode)), max_size=6),
    st.lists(st.integers(0, 1 << 16), max_size=10),
    st.lists(st.integers(0, 1 << 16), max_size=10),
)
def test_any_split_of_the_bytes_is_the_same_recording(texts: list[bytes], down: list[int], up: list[int]) -> None:
    from_member = b"".join(map(output, texts)) + status(SUCCESS)
    from_client = size(99, 9) + b"".join(map(typed, texts)) + size(98, 8)

    def cut(data: bytes, places: list[int]) -> list[bytes]:
        ordered = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
        return [data[start:end] for start, end in pairwise(ordered)]

    def recorded(down: list[int], up: list[int]) -> tuple[Any, ...]:
        made = recorder()
        for piece in cut(from_client, up):
            made.from_client(piece, START)
        for piece in cut(from_member, down):
            made.from_member(piece, START + 1)
        made.finish(START + 2)
        events = everything(made)
        return events[0], shown(events), [each for each in events[1:] if each[1] != "o"], made.state, made.exit

    assert recorded(down, up) == recorded([], [])
    assert recorded([], [])[1] == b"".join(texts).decode("utf-8", "replace")


def test_a_client_that_says_no_size_has_the_usual_one() -> None:
    made = recorder()
    made.from_member(output(b"x"), START)
    made.from_client(size(120, 40), START + 1)
    assert [event if isinstance(event, list) else event["width"] for event in everything(made)] == [
        80,
        [0.0, "o", "x"],
        [1.0, "r", "120x40"],
    ]


def test_a_session_without_output_has_a_head() -> None:
    made = recorder()
    made.finish(START)
    made.finish(START + 1)
    (head,) = everything(made)
    assert head["width"] == 80


def test_a_client_that_cannot_be_read_costs_its_sizes_alone() -> None:
    made = recorder()
    made.from_client(b"\xff\xff\xff\xff\xff\xff", START)
    made.from_client(size(120, 40), START)
    made.from_member(output(b"x"), START)
    assert shown(everything(made)) == "x"
    assert not made.ended_because


def test_a_member_that_cannot_be_read_ends_the_recording_with_a_mark() -> None:
    made = recorder()
    made.from_member(output(b"before"), START)
    made.from_member(b"\xff\xff" + output(b"behind"), START + 1)
    made.from_member(output(b"later"), START + 2)
    made.from_client(size(1, 1), START + 2)
    made.finish(START + 3)
    events = everything(made)
    assert shown(events) == "before"
    assert marks(events)[0].startswith("the session cannot be read from here on: ")
    assert made.state is RecordingState.UNREADABLE
    assert made.ended_because


def test_a_recording_ends_at_its_limit_and_says_so() -> None:
    made = recorder(limit=RESERVED_BYTES + 200_000)
    for number in range(100):
        made.from_member(output(b"x" * 10_000), START + number)
        made.take(1 << 20)
    made.from_client(size(99, 9), START + 100)
    made.from_member(status(SUCCESS), START + 101)
    made.finish(START + 102)
    events = lines(made.take(1 << 20))
    assert [event[1:] for event in events] == [["m", "exit 0"]]
    assert made.state is RecordingState.FULL
    assert "the most that one may have" in made.ended_because


def test_the_limit_counts_what_is_stored() -> None:
    made, total = recorder(limit=RESERVED_BYTES + 200_000), 0
    for _ in range(100):
        made.from_member(output(b"\x1b" * 10_000), START)
        total += len(made.take(1 << 20))
    made.finish(START)
    assert total + len(made.take(1 << 20)) <= 200_000 + RESERVED_BYTES < LIMIT_BYTES


def test_output_that_cannot_wait_is_left_out_and_its_place_is_marked() -> None:
    made = recorder()
    while made.has_room:
        made.from_member(output(b"x" * 50_000), START)
    made.from_member(output(b"y" * 50_000), START + 1)
    made.from_client(size(99, 9), START + 1)
    assert made.waiting < WAITING_BYTES + 60_000
    made.take(1 << 30)
    made.from_member(output(b"z"), START + 2)
    made.finish(START + 3)
    assert lines(made.take(1 << 30)) == [[2.0, "m", "gap: 50000 bytes of output could not be stored"], [2.0, "o", "z"]]
    assert (made.state, made.lost) == (RecordingState.GAPS, 50_000)


def test_a_gap_at_the_end_is_marked_too() -> None:
    made = recorder()
    while made.has_room:
        made.from_member(output(b"x" * 50_000), START)
    made.from_member(output(b"y"), START + 1)
    made.finish(START + 3)
    assert marks(everything(made)) == ["gap: 1 bytes of output could not be stored"]


def test_all_sessions_of_a_process_share_what_may_wait() -> None:
    backlog = Backlog(100_000)
    first, second = SessionRecorder(ABOUT, backlog), SessionRecorder(ABOUT, backlog)
    first.from_member(output(b"x" * 120_000), START)
    assert not second.has_room
    first.forget()
    assert second.has_room
    assert backlog.bytes == 0


@pytest.mark.parametrize(("length", "exit_"), [(10, "x" * 10), (100_000, "")])
def test_a_status_of_any_length_is_held_no_further_than_it_is_read(length: int, exit_: str) -> None:
    made = recorder()
    made.from_member(status(json.dumps({"status": "Failure", "message": "x" * length}).encode()), START)
    assert made.exit == exit_


def test_one_status_ends_a_session() -> None:
    made = recorder()
    made.from_member(status(SUCCESS) + status(b'{"status":"Failure","message":"again"}'), START)
    assert marks(everything(made)) == ["exit 0"]


def test_nothing_is_recorded_behind_the_end() -> None:
    made = recorder()
    made.finish(START)
    made.take(1 << 20)
    made.from_member(output(b"x"), START)
    made.from_client(size(1, 1), START)
    assert made.waiting == 0
