"""Heads that continue in the body: cut and joined they are the same, and nothing hostile joins."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.tunnel import longhead
from skerry.tunnel.codes import ProtocolError, TooLarge
from skerry.tunnel.frames import Open, Resp

PAIRS = st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=40)), max_size=10).map(tuple)


def opening(**fields: Any) -> Open:
    usual: dict[str, Any] = {
        "proxy": "p", "number": "1", "id": "i", "assertion": b"a", "method": b"GET", "target": b"/x", "headers": (),
        "bulk": False, "long_running": False, "deadline_ms": 1, "window": 1, "traceparent": "t", "packed": True, "long": True,
    }  # fmt: skip
    return Open(**usual | fields)


@given(st.binary(max_size=50), st.binary(max_size=50), PAIRS, st.booleans())
def test_an_open_is_joined_as_it_was_cut(assertion: bytes, target: bytes, headers: Any, whole: bool) -> None:
    head = opening(assertion=assertion, target=target, headers=headers)
    short, rest = longhead.split_open(head, whole=whole)
    joined, follows = longhead.join_open(short, rest)
    assert msgspec.structs.replace(joined, rest=0) == head
    assert (follows, short.rest) == (whole, len(rest))


@given(st.binary(max_size=50), PAIRS)
def test_a_resp_is_joined_as_it_was_cut(reason: bytes, headers: Any) -> None:
    head = Resp(status=200, reason=reason, headers=headers, length=None)
    short, rest = longhead.split_resp(head)
    assert msgspec.structs.replace(longhead.join_resp(short, rest), rest=0) == head
    assert short.rest == len(rest)


def test_the_part_that_fits_names_nobody_and_asks_for_nothing() -> None:
    """An acceptor of before takes it for the whole head: it must have nothing to execute."""
    short, _ = longhead.split_open(opening(target=b"/secret", headers=((b"a", b"b"),)), whole=True)
    assert (short.assertion, short.target, short.headers) == (b"", b"/", ())
    cut, _ = longhead.split_resp(Resp(status=200, reason=b"OK", headers=((b"a", b"b"),), length=5))
    assert (cut.status, cut.reason, cut.headers, cut.length) == (200, b"", (), 5)


def test_a_rest_has_a_limit_on_its_way_out() -> None:
    fits = longhead.REST_LIMIT - len(longhead.split_open(opening(target=b"x" * 70_000), whole=True)[1]) + 70_000
    assert len(longhead.split_open(opening(target=b"x" * fits), whole=True)[1]) == longhead.REST_LIMIT
    with pytest.raises(TooLarge, match=f"at most {longhead.REST_LIMIT} travel"):
        longhead.split_open(opening(target=b"x" * (fits + 1)), whole=True)
    with pytest.raises(TooLarge):
        longhead.split_resp(Resp(status=200, reason=b"x" * longhead.REST_LIMIT, headers=(), length=None))


def test_a_rest_has_so_many_lines() -> None:
    lines = ((b"a", b"b"),) * longhead.LINES_LIMIT
    short, rest = longhead.split_open(opening(headers=lines), whole=False)
    assert longhead.join_open(short, rest)[0].headers == lines
    short, rest = longhead.split_open(opening(headers=(*lines, (b"a", b"b"))), whole=False)
    with pytest.raises(ProtocolError, match="OPEN whose rest"):
        longhead.join_open(short, rest)


ODD = [b"", b"\xc1", b"\x90", b"\x94\x01\x02\x03\x04", b"\x91" * 5000, msgspec.msgpack.encode((b"a", b"b"))]


@pytest.mark.parametrize("rest", ODD)
def test_a_rest_that_cannot_be_read_breaks_the_protocol(rest: bytes) -> None:
    with pytest.raises(ProtocolError, match="OPEN whose rest cannot be read"):
        longhead.join_open(opening(), rest)
    with pytest.raises(ProtocolError, match="RESP whose rest cannot be read"):
        longhead.join_resp(Resp(status=200, reason=b"", headers=(), length=None), b"" if rest == ODD[-1] else rest)


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_else(rest: bytes) -> None:
    for join in (
        lambda: longhead.join_open(opening(), rest)[0],
        lambda: longhead.join_resp(Resp(status=200, reason=b"", headers=(), length=None), rest),
    ):
        try:
            found = join()
        except ProtocolError:
            continue
        assert isinstance(found, Open | Resp)
