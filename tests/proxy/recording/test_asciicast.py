"""asciicast v2, as its players read it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.proxy.recording.asciicast import (
    EVENT_CHARACTERS,
    LONGEST_EVENT,
    OutputText,
    event,
    exit_of,
    header,
    terminal_size,
)
from skerry.api.recordings import RecordingBegin

ABOUT = RecordingBegin(
    id="a" * 22, user="alice", cluster="m1", namespace="shop", pod="web-1", command=("sh", "-l"), start=1700000000.9
)


def test_the_first_line_says_what_and_whose_it_is() -> None:
    line = header((120, 40), ABOUT)
    assert line.endswith(b"}\n")
    head = json.loads(line)
    assert (head["version"], head["width"], head["height"], head["timestamp"]) == (2, 120, 40, 1700000000)
    assert head["title"] == "alice on m1: shop/web-1 sh -l"
    assert head["skerry"]["pod"] == "web-1"


def test_an_attached_session_is_titled_so() -> None:
    about = RecordingBegin(id="a", user="u", cluster="m", namespace="n", pod="p", subresource="attach", start=0.0)
    assert json.loads(header((80, 24), about))["title"] == "u on m: n/p attach"


def test_an_event_is_a_line() -> None:
    assert event(1.23456789, "o", "a\x1b[0m\r\n") == b'[1.234568,"o","a\\u001b[0m\\r\\n"]\n'
    assert event(-5.0, "m", "") == b'[0.0,"m",""]\n'


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_a_character_may_be_cut(pieces: list[bytes]) -> None:
    text = OutputText()
    parts = [part for piece in pieces for part in text.feed(piece)] + text.feed(b"", last=True)
    assert "".join(parts) == b"".join(pieces).decode("utf-8", "replace")


@pytest.mark.parametrize("character", ["\x01", '"', "\U0001f600", "\ufffd", "\x7f"])
def test_no_event_is_longer_than_it_may_be(character: str) -> None:
    assert len(event(123456.123456, "o", character * EVENT_CHARACTERS)) <= LONGEST_EVENT


def test_long_output_is_many_events() -> None:
    assert [len(part) for part in OutputText().feed(b"x" * 10_000)] == [4096, 4096, 1808]


@pytest.mark.parametrize(
    ("message", "size"),
    [
        (b'{"Width":120,"Height":40}\n', (120, 40)),
        (b'{"Width":0,"Height":40}', None),
        (b'{"Width":120}', None),
        (b'{"Width":99999,"Height":1}', None),
        (b'{"Width":"1","Height":1}', None),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_a_size_is_believed_if_it_can_be_one(message: bytes, size: tuple[int, int] | None) -> None:
    assert terminal_size(message) == size


@pytest.mark.parametrize(
    ("message", "ended"),
    [
        (b'{"metadata":{},"status":"Success"}', "0"),
        (
            b'{"status":"Failure","reason":"NonZeroExitCode","message":"command terminated with exit code 7",'
            b'"details":{"causes":[{"reason":"Other"},{"reason":"ExitCode","message":"7"}]}}',
            "7",
        ),
        (b'{"status":"Failure","message":"container not found"}', "container not found"),
        (b'{"status":"Failure","reason":"Expired","details":{}}', "Expired"),
        (b'{"status":"Failure"}', "failed"),
        (b"[]", "a status that cannot be read"),
    ],
)
def test_how_a_command_ended(message: bytes, ended: str) -> None:
    assert exit_of(message) == ended
