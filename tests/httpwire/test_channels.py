"""The channels of a session, read from beside: the same whatever way the bytes were cut, and never what was typed."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.httpwire.channels import Channel, ChannelReader, Piece, readable
from skerry.httpwire.websocket import Opcode, WebSocketError, close, frame

Message = tuple[int, bytes]
CHANNELS = (0, 1, 2, 3, 4, 255)

masks = st.binary(min_size=4, max_size=4)
messages = st.lists(st.tuples(st.sampled_from(CHANNELS), st.binary(max_size=200)), max_size=8)
cuts = st.lists(st.integers(0, 1 << 20), max_size=12)


def _cut(data: bytes, places: list[int]) -> list[bytes]:
    ordered = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(ordered)]


def _framed(message: Message, parts: int, mask: bytes | None) -> bytes:
    """A message in so many frames, with a PING and an empty frame between them."""
    whole = bytes((message[0],)) + message[1]
    step = len(whole) // parts + 1
    pieces = [whole[start : start + step] for start in range(0, len(whole), step)]
    raw = frame(Opcode.BINARY, b"", mask, last=False)
    for piece in pieces[:-1]:
        raw += frame(Opcode.CONTINUATION, piece, mask, last=False) + frame(Opcode.PING, b"\x01ping", mask)
    return raw + frame(Opcode.CONTINUATION, pieces[-1], mask)


def _whole(pieces: list[Piece]) -> list[Message]:
    """The messages of pieces."""
    result, open_ = list[Message](), b""
    for piece in pieces:
        open_ += piece.data
        if piece.last:
            result.append((piece.channel, open_))
            open_ = b""
    assert not open_
    return result


@given(messages, st.integers(1, 5), st.one_of(st.none(), masks), cuts, st.sets(st.sampled_from(CHANNELS)))
def test_what_is_wanted_comes_out_whatever_way_the_bytes_were_cut(
    sent: list[Message], parts: int, mask: bytes | None, places: list[int], wanted: set[int]
) -> None:
    raw = b"".join(_framed(each, parts, mask) for each in sent)
    reader = ChannelReader(from_client=mask is not None, wanted=wanted)
    pieces = [piece for data in _cut(raw, places) for piece in reader.feed(data)]
    assert _whole(pieces) == [each for each in sent if each[0] in wanted]
    assert reader.between


@given(st.binary(min_size=1, max_size=300), masks, cuts)
def test_what_is_typed_is_in_no_piece(typed: bytes, mask: bytes, places: list[int]) -> None:
    raw = frame(Opcode.BINARY, b"\x00" + typed, mask) + frame(Opcode.BINARY, b"\x04{}", mask)
    reader = ChannelReader(from_client=True, wanted=(Channel.RESIZE,))
    pieces = [piece for data in _cut(raw, places) for piece in reader.feed(data)]
    assert _whole(pieces) == [(4, b"{}")]


@given(st.lists(st.binary(max_size=60), max_size=10), st.booleans())
def test_any_bytes_are_pieces_or_an_error(pieces: list[bytes], from_client: bool) -> None:
    reader = ChannelReader(from_client=from_client, wanted=CHANNELS)
    try:
        for piece in pieces:
            reader.feed(piece)
    except WebSocketError:
        return


def test_a_large_message_is_not_held() -> None:
    reader = ChannelReader(from_client=False, wanted=(1,))
    raw = frame(Opcode.BINARY, b"\x01" + bytes(1 << 20))
    sizes = [sum(len(piece.data) for piece in reader.feed(raw[at : at + 1000])) for at in range(0, len(raw), 1000)]
    assert max(sizes) == 1000
    assert sum(sizes) == 1 << 20


def test_nothing_follows_a_close() -> None:
    reader = ChannelReader(from_client=False, wanted=(1,))
    assert reader.feed(close(1000) + frame(Opcode.BINARY, b"\x01late")) == []
    assert reader.closed
    assert not reader.between


@pytest.mark.parametrize(
    "raw",
    [
        frame(Opcode.CONTINUATION, b"\x01"),
        frame(Opcode.BINARY, b"\x01", last=False) + frame(Opcode.BINARY, b"\x01"),
        frame(Opcode.BINARY, b"\x01", b"mask"),
        b"\xc2\x01\x01",
    ],
)
def test_what_is_no_websocket_is_an_error(raw: bytes) -> None:
    with pytest.raises(WebSocketError):
        ChannelReader(from_client=False, wanted=(1,)).feed(raw)


@pytest.mark.parametrize(
    ("raw", "between"),
    [
        (b"", True),
        (frame(Opcode.BINARY, b"\x01ab"), True),
        (frame(Opcode.BINARY, b"\x01ab")[:-1], False),
        (frame(Opcode.BINARY, b"\x01ab")[:1], False),
        (frame(Opcode.BINARY, b"\x01ab", last=False), False),
    ],
)
def test_a_message_of_ours_fits_between_whole_ones(raw: bytes, between: bool) -> None:
    reader = ChannelReader(from_client=False, wanted=())
    reader.feed(raw)
    assert reader.between is between


def test_only_what_can_be_read_is_offered() -> None:
    asked = [
        (b"sec-websocket-protocol", b"base64.channel.k8s.io, v5.channel.k8s.io"),
        (b"sec-websocket-extensions", b"permessage-deflate"),
        (b"sec-websocket-protocol", b"v4.channel.k8s.io,channel.k8s.io"),
        (b"x-other", b"1"),
    ]
    assert readable(asked) == [
        (b"x-other", b"1"),
        (b"sec-websocket-protocol", b"v5.channel.k8s.io, v4.channel.k8s.io"),
    ]


@pytest.mark.parametrize("offer", [b"v4.base64.channel.k8s.io", b"", b"V4.channel.k8s.io"])
def test_without_one_that_can_be_read_nothing_is(offer: bytes) -> None:
    assert readable([(b"sec-websocket-protocol", offer)]) is None
    assert readable([]) is None
