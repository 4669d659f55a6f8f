"""The parser of what the server sends: whole however it is cut, and refusing what is not the protocol."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.bus.parser import BUFFER_BYTES, MAX_LINE_BYTES, Parser
from skerry.errors import ServiceUnavailable

Seen = tuple[int, bytes, bytes, bytes, bytes | None]


class Fed:
    """A parser and what came out of it."""

    def __init__(self) -> None:
        self.messages: list[Seen] = []
        self.operations: list[tuple[bytes, bytes]] = []
        self.parser = Parser(lambda *m: self.messages.append(m), lambda *o: self.operations.append(o))

    def feed(self, data: bytes, cuts: list[int] | None = None) -> None:
        at = 0
        for cut in [*sorted(c % (len(data) + 1) for c in cuts or []), len(data)]:
            self.parser.feed(data[at:cut])
            at = cut


def msg(sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> bytes:
    middle = b" %s" % reply if reply else b""
    if headers is None:
        return b"MSG %s %d%s %d\r\n%s\r\n" % (subject, sid, middle, len(data), data)
    size = len(headers) + len(data)
    return b"HMSG %s %d%s %d %d\r\n%s%s\r\n" % (subject, sid, middle, len(headers), size, headers, data)


words = st.from_regex(rb"[A-Za-z0-9_$.]{1,20}", fullmatch=True)
messages = st.tuples(
    st.integers(1, 10**6),
    words,
    st.just(b"") | words,
    st.binary(max_size=300),
    st.none() | st.just(b"NATS/1.0\r\nA: b\r\n\r\n"),
)


@given(st.lists(messages, max_size=8), st.lists(st.integers(0, 10**6), max_size=12))
def test_messages_come_out_as_they_went_in_however_they_are_cut(sent: list[Seen], cuts: list[int]) -> None:
    fed = Fed()
    fed.feed(b"".join(msg(*m) for m in sent), cuts)
    assert fed.messages == sent


def test_operations_come_in_order_with_the_rest_of_their_line() -> None:
    fed = Fed()
    fed.feed(b"PING\r\nPONG\r\n+OK\r\n-ERR 'User Authentication Expired'\r\nINFO {\"a\": 1}\r\n", list(range(70)))
    assert fed.operations == [
        (b"PING", b""),
        (b"PONG", b""),
        (b"+OK", b""),
        (b"-ERR", b"'User Authentication Expired'"),
        (b"INFO", b'{"a": 1}'),
    ]


@pytest.mark.parametrize("size", [0, 1, BUFFER_BYTES - 1, BUFFER_BYTES, BUFFER_BYTES + 1, 3 * BUFFER_BYTES])
def test_messages_larger_than_the_buffer_arrive_and_the_buffer_shrinks_again(size: int) -> None:
    fed = Fed()
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    for _ in range(3):
        fed.feed(msg(1, b"a", b"", data, None), [10, 1000, size // 2])
    fed.feed(msg(1, b"a", b"", b"x", None) * 20_000)
    assert [m[3] for m in fed.messages[:3]] == [data] * 3
    assert len(fed.messages) == 20_003
    fed.parser.get_buffer()
    assert len(fed.parser._buffer) == BUFFER_BYTES


@pytest.mark.parametrize(
    "line",
    [
        b"MSG",
        b"MSG a",
        b"MSG a b",
        b"MSG a 1 x",
        b"MSG a 1 -1",
        b"MSG a 1 b c 5",
        b"HMSG a 1 9 5",
        b"MSG a 1 99999999999",
    ],
)
def test_a_malformed_message_line_is_refused(line: bytes) -> None:
    with pytest.raises(ServiceUnavailable, match="malformed"):
        Fed().feed(line + b" \r\n")


def test_a_line_without_an_end_is_refused() -> None:
    with pytest.raises(ServiceUnavailable, match="without an end"):
        Fed().feed(b"x" * (MAX_LINE_BYTES + 1))


@given(st.binary(max_size=500))
def test_any_bytes_are_parsed_or_refused_and_nothing_else(data: bytes) -> None:
    with contextlib.suppress(ServiceUnavailable):
        Fed().feed(data)


def test_nothing_comes_after_stop() -> None:
    fed = Fed()

    def last(*message: Any) -> None:
        fed.messages.append(message)
        fed.parser.stop()

    fed.parser = Parser(last, lambda *_: None)
    fed.feed(msg(1, b"a", b"", b"1", None) + msg(1, b"a", b"", b"2", None))
    assert len(fed.messages) == 1
