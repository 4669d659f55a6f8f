"""Packed pieces of answers: when they are made, that counts stay those of plain bytes, and what a liar gets."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.relay import ResetCode
from skerry.tunnel import packing
from skerry.tunnel.codes import ProtocolError
from skerry.tunnel.frames import PACKED, Resp, Type, decode, encode
from skerry.tunnel.stream import Answered, Broken, Core, Data, StreamEvent
from skerry.tunnel.window import Budget, PeerRate, Window
from tests.tunnel.pair import answering, opening

TEXT = b'{"kind":"Pod","apiVersion":"v1"},' * 500


def asking(*, packed: bool = True) -> Core:
    """A proxy's end after OPEN, with its window of 256 KiB."""
    window = Window(Budget(1 << 20), bulk=True)
    assert window.open()
    core = Core(window, initiator=True, long_running=False)
    core.open(opening("1", bulk=packed), b"", end=True)
    core.bind(PeerRate(), 0.0)
    return core


def answers(*, packed: bool = True) -> Core:
    """An agent's end with credit for 256 KiB."""
    window = Window(Budget(1 << 20), bulk=True)
    assert window.open(more=False)
    core = Core(window, initiator=False, long_running=False)
    core.in_end, core.credit, core.packs = True, 256 << 10, packed
    return core


def got(core: Core, frame: bytes) -> StreamEvent | None:
    return core.receive(decode(frame), 0.0)


def stray(event: StreamEvent | None) -> bool:
    return isinstance(event, Broken) and event.stray and event.code is ResetCode.LIMIT


def answered(core: Core) -> Core:
    assert isinstance(got(core, encode(Type.RESP, head=answering())), Answered)
    return core


def packed_data(body: bytes) -> bytes:
    return encode(Type.DATA, flags=PACKED, seq=1, body=body)


@given(st.binary(max_size=300), st.integers(1, 400))
def test_what_is_packed_comes_back_as_it_was(unit: bytes, times: int) -> None:
    piece = unit * times
    packed = packing.pack(piece)
    if packed is not None:
        assert len(packed) <= len(piece) * 3 / 4
        assert packing.unpack(packed, packing.plain_size(packed)) == piece


def test_an_answer_travels_packed_and_arrives_plain() -> None:
    agent, proxy = answers(), asking()
    head = agent.respond(answering(), TEXT, end=False)
    more = agent.data(memoryview(TEXT))
    assert len(head) + len(more) < len(TEXT)
    assert got(proxy, head) == Answered(answering(), TEXT, False)
    assert got(proxy, more) == Data(TEXT)
    assert proxy.window.received == agent.sent == 2 * len(TEXT)


def test_only_if_the_opener_reads_it() -> None:
    assert not decode(answers(packed=False).respond(answering(), TEXT, end=True)).flags & PACKED


def test_short_pieces_are_left_alone() -> None:
    assert not decode(answers().respond(answering(), TEXT[: packing.LEAST - 1], end=True)).flags & PACKED


def test_an_answer_that_is_encoded_already_is_left_alone() -> None:
    head = Resp(status=200, reason=b"", headers=((b"content-encoding", b"gzip"),), length=None)
    assert not decode(answers().respond(head, TEXT, end=True)).flags & PACKED


def test_an_upgraded_session_is_left_alone() -> None:
    agent = answers()
    agent.respond(answering(101), b"", end=False)
    assert not decode(agent.data(TEXT)).flags & PACKED


def test_after_a_piece_that_does_not_shrink_the_rest_is_left_alone() -> None:
    agent = answers()
    agent.respond(answering(), b"", end=False)
    noise = os.urandom(8192)
    assert decode(agent.data(noise)).body == noise
    assert not decode(agent.data(TEXT)).flags & PACKED


def test_the_rate_of_a_link_is_that_of_the_bytes_that_travelled() -> None:
    rate = PeerRate()
    for tenth in range(11):
        rate.arrived(100_000, 100 + tenth / 10, 10_000)
    assert 90_000 < rate.rate < 130_000


def test_a_packed_piece_that_nobody_asked_for_is_misbehaviour() -> None:
    packed = packing.pack(TEXT)
    assert packed is not None
    assert stray(got(answered(asking(packed=False)), packed_data(packed)))


def test_a_packed_piece_after_an_upgrade_is_misbehaviour() -> None:
    proxy, packed = asking(), packing.pack(TEXT)
    assert packed is not None
    got(proxy, encode(Type.RESP, head=answering(101)))
    assert stray(got(proxy, packed_data(packed)))


def test_a_packed_request_is_misbehaviour() -> None:
    agent, packed = answers(), packing.pack(TEXT)
    assert packed is not None
    agent.in_end = False
    assert stray(got(agent, packed_data(packed)))


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = packing.pack(bytes(64 << 20))
    assert bomb is not None
    assert len(bomb) < 300_000
    assert stray(got(answered(asking()), packed_data(bomb)))


HONEST = packing.pack(TEXT[:8192]) or b""


def liar(says: int) -> bytes:
    """A piece that says `says` bytes and holds 8,192."""
    return says.to_bytes(4, "little") + HONEST[4:]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00\x20\x00\x00",
        b"not packed at all",
        liar(0),
        liar(8191),
        liar(8193),
        liar(250_000),
        HONEST[:-5],
        HONEST * 2,
    ],
    ids=["empty", "size", "text", "none", "fewer", "more", "many", "cut", "twice"],
)
def test_what_is_no_packed_piece_resets_its_stream(body: bytes) -> None:
    assert stray(got(answered(asking()), packed_data(body)))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_piece_or_a_protocol_error(body: bytes) -> None:
    try:
        size = packing.plain_size(body)
        if size < 1 << 20:
            packing.unpack(body, size)
    except ProtocolError:
        pass
