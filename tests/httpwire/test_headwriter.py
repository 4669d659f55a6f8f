"""Writing heads: what is written can be read, and nothing can be smuggled through it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.httpwire.head import MalformedHead
from skerry.httpwire.headreader import parse_request, parse_response
from skerry.httpwire.headwriter import encode_request, encode_response, valid_headers


def test_what_is_built_can_be_parsed() -> None:
    raw = encode_request(b"PUT", b"/x", [(b"a", b"b"), (b"host", b"evil")], host=b"h:1", length=4)
    head = parse_request(raw)
    assert head.headers == [(b"host", b"h:1"), (b"a", b"b"), (b"content-length", b"4")]


def test_an_upgrade_is_built_with_its_connection_header() -> None:
    assert parse_request(encode_request(b"GET", b"/", [], host=b"h", upgrade=b"websocket")).upgrade == b"websocket"
    assert parse_response(encode_response(101, [], upgrade=b"SPDY/3.1")).upgrade == b"SPDY/3.1"


def test_framing_headers_of_others_are_dropped() -> None:
    foreign = [(b"content-length", b"99"), (b"transfer-encoding", b"chunked"), (b"connection", b"x"), (b"ok", b"1")]
    parsed = parse_response(encode_response(200, foreign, length=2))
    assert (parsed.length, parsed.chunked) == (2, False)
    assert parsed.head.headers == [(b"ok", b"1"), (b"content-length", b"2")]


_INJECTIONS = [
    (b"a", b"b\r\nc: d"),
    (b"a\r\nb", b"c"),
    (b"a", b"b\n"),
    (b"a", b"\x00"),
    (b"", b"x"),
    (b"a b", b"c"),
    (b"a:", b"c\r\n\r\nGET / HTTP/1.1"),
]


@pytest.mark.parametrize("pair", _INJECTIONS)
def test_a_header_pair_cannot_smuggle_another_line(pair: tuple[bytes, bytes]) -> None:
    assert not valid_headers([pair])
    with pytest.raises(MalformedHead):
        encode_request(b"GET", b"/", [pair], host=b"h")
    with pytest.raises(MalformedHead):
        encode_response(200, [pair], length=0)


@pytest.mark.parametrize("target", [b"/a b", b"/a\r\nX: y", b"", b"/\xff"])
def test_a_target_cannot_smuggle_a_line(target: bytes) -> None:
    with pytest.raises(MalformedHead):
        encode_request(b"GET", target, [], host=b"h")


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=40)), max_size=5))
def test_built_heads_have_exactly_the_pairs_that_went_in(pairs: list[tuple[bytes, bytes]]) -> None:
    try:
        raw = encode_response(200, pairs, length=0)
    except MalformedHead:
        return
    assert len(parse_response(raw).head.headers) <= len(pairs) + 1
    assert raw.count(b"\r\n\r\n") == 1
