"""Bytes to frames and back; whatever the bytes, a Frame or a ProtocolError."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.relay import ResetCode
from skerry.tunnel import frames
from skerry.tunnel.codes import ProtocolError, RejectCode, TooLarge
from skerry.tunnel.frames import (
    END,
    FLUSH,
    HEADER_SIZE,
    Frame,
    Reject,
    Reset,
    Sent,
    Sync,
    Trail,
    Type,
    ahead,
    decode,
    encode,
)
from tests.tunnel.pair import answering, opening

HEADER = b"\x14\x00\x00\x00" + bytes(12)
ONE_OF_EACH = [
    encode(Type.OPEN, flags=END, head=opening("1f"), body=b"body"),
    encode(Type.ACK, offset=5),
    frames.reject(RejectCode.LIMIT, "full"),
    encode(Type.RESP, head=answering(), body=b"x" * 100),
    encode(Type.DATA, flags=FLUSH, seq=7, offset=9, body=b"data"),
    encode(Type.CREDIT, offset=1 << 40),
    encode(Type.END, seq=8, offset=13),
    frames.reset(ResetCode.GAP, "lost"),
    encode(Type.PING, offset=1),
    encode(Type.PONG, offset=1),
    encode(Type.SYNC, head=Sync(streams=(Sent(number="1", seq=1, offset=2, credit=3),))),
    encode(Type.DRAIN),
]


def test_a_frame_is_the_specified_sixteen_bytes_then_head_then_body() -> None:
    assert encode(Type.DATA, flags=FLUSH, seq=7, offset=9, body=b"data") == bytes.fromhex(
        "14 02 0000 00000007 0000000000000009"
    ) + (b"data")


@pytest.mark.parametrize("data", ONE_OF_EACH)
def test_every_type_comes_back_as_it_was(data: bytes) -> None:
    frame = decode(data)
    assert (
        encode(frame.type, flags=frame.flags, seq=frame.seq, offset=frame.offset, head=frame.head, body=frame.body)
        == data
    )


def test_header_pairs_stay_bytes() -> None:
    head = msgspec.structs.replace(opening("1"), headers=((b"X-\xff", b"\x00"), (b"X-\xff", b"again")))
    assert decode(encode(Type.OPEN, head=head)).head.headers == ((b"X-\xff", b"\x00"), (b"X-\xff", b"again"))


def test_a_refusal_names_code_and_safety() -> None:
    assert decode(frames.reject(RejectCode.GOAWAY, "bye")).head == Reject(
        code=RejectCode.GOAWAY, safe=True, message="bye"
    )
    assert not decode(frames.reject(RejectCode.DUPLICATE, "")).head.safe


def test_a_long_message_is_cut() -> None:
    assert decode(frames.reset(ResetCode.LIMIT, "x" * 5000)).head == Reset(code=ResetCode.LIMIT, message="x" * 1024)


def test_a_head_beyond_64_kib_is_refused_before_it_is_sent() -> None:
    with pytest.raises(TooLarge, match="65535"):
        encode(Type.OPEN, head=msgspec.structs.replace(opening("1"), target=b"/" * 70_000))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        HEADER[:15],
        b"\x24" + HEADER[1:],
        b"\x10" + HEADER[1:],
        b"\x1f" + HEADER[1:],
        b"\x14\x00\x00\x01" + HEADER[4:],
        HEADER[:8] + b"\xff" * 8,
        b"\x11" + HEADER[1:],
        b"\x17\x00\x00\x01" + HEADER[4:] + b"\xc1",
        b"\x17\x00\x00\x08" + HEADER[4:] + msgspec.msgpack.encode(["NEWER"])[:8].ljust(8),
        b"\x1a\x00\xff\xff" + HEADER[4:] + b"\x91" * 0xFFFF,
    ],
)
def test_what_is_not_a_frame_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(data)


def test_a_number_that_would_break_a_subject_is_refused() -> None:
    for number in ("", "a.b", "*", "1\n", "G"):
        with pytest.raises(ProtocolError):
            decode(encode(Type.OPEN, head=opening(number)))


def test_unknown_fields_and_needless_heads_are_ignored() -> None:
    head = msgspec.msgpack.encode(["CANCEL", "why", "a newer field"])
    data = b"\x17\x00" + len(head).to_bytes(2, "big") + bytes(12) + head
    assert decode(data).head == Reset(code=ResetCode.CANCEL, message="why")
    assert decode(b"\x14\x00\x00\x01" + bytes(12) + b"\x01body") == Frame(Type.DATA, 0, 0, 0, None, b"body")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_a_protocol_error(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert isinstance(decode(data), Frame)


@given(st.sampled_from(ONE_OF_EACH), st.lists(st.tuples(st.integers(0, 80), st.integers(0, 255)), max_size=6))
def test_damaged_frames_are_a_frame_or_a_protocol_error(data: bytes, damage: list[tuple[int, int]]) -> None:
    damaged = bytearray(data)
    for at, value in damage:
        damaged[at % len(damaged)] = value
    with contextlib.suppress(ProtocolError):
        assert isinstance(decode(bytes(damaged)), Frame)


def test_sequence_numbers_compare_across_the_wrap() -> None:
    assert [ahead(5, 5), ahead(6, 5), ahead(4, 5), ahead(0, 0xFFFFFFFF), ahead(0xFFFFFFFF, 0)] == [0, 1, -1, 1, -1]


def test_an_end_may_have_a_trail_that_peers_of_before_skip() -> None:
    trail = Trail(trailers=((b"x-sum", b"abc"),))
    data = encode(Type.END, seq=3, offset=7, head=trail)
    assert decode(data) == (Type.END, 0, 3, 7, trail, b"")
    assert decode(encode(Type.END, seq=3, offset=7)).head is None
    size = int.from_bytes(data[2:4], "big")
    assert len(data) == HEADER_SIZE + size  # no body: a peer that does not look at the head sees an END of nothing
    with pytest.raises(ProtocolError):
        decode(encode(Type.END, head=Trail(trailers=((b"a", b"b"),) * 65)))
