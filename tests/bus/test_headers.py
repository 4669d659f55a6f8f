"""NATS headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.bus.headers import decode_headers, encode_headers, one_line
from skerry.errors import BadRequest

names = st.text("abcXYZ-09", min_size=1, max_size=20)
values = st.text('abc:;,="äß€\U0001f40b', max_size=30)


@given(st.dictionaries(names, values, max_size=5))
def test_what_is_written_is_read(headers: dict[str, str]) -> None:
    assert decode_headers(encode_headers(headers)) == headers


@pytest.mark.parametrize("value", ["a\r\nPUB x 0", "a\nb", "a\rb", "a\0b"])
def test_trap_10_a_value_that_would_end_the_line_is_refused(value: str) -> None:
    """Trap 10: CR and LF in header values are not rejected by nats-py."""
    with pytest.raises(BadRequest, match="'X'"):
        encode_headers({"X": value})


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "ä", "a\n"])
def test_trap_10_a_name_that_is_not_a_token_is_refused(name: str) -> None:
    """Trap 10: the same through the name."""
    with pytest.raises(BadRequest):
        encode_headers({name: "x"})


def test_a_status_line_is_read() -> None:
    assert decode_headers(b"NATS/1.0 503\r\n\r\n") == {"Status": "503", "Description": ""}
    found = decode_headers(b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 4\r\n\r\n")
    assert found == {"Status": "100", "Description": "Idle Heartbeat", "Nats-Last-Consumer": "4"}


@given(st.binary(max_size=200))
def test_any_bytes_can_be_read(block: bytes) -> None:
    decode_headers(block)


def test_an_error_text_becomes_one_line() -> None:
    assert one_line("a\r\nb\0c\td ") == "a b c d"
    assert len(one_line("x" * 2000)) == 512
