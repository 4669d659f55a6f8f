"""WebSocket frames: whatever was framed comes out whatever way it was cut, and every rule of RFC 6455 has its close code."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.errors import BadRequest
from skerry.httpwire.head import Headers, RequestHead, ResponseHead
from skerry.httpwire.websocket import (
    NOT_UTF8,
    PROTOCOL_ERROR,
    TOO_BIG,
    Close,
    Opcode,
    Ping,
    Pong,
    Receiver,
    WebSocketError,
    WebSocketEvent,
    WebSocketMessage,
    accept_key,
    accepted,
    asking,
    check_accepted,
    close,
    frame,
    offered,
    xor,
)

LIMIT = 100_000
MASK = b"\x01\x02\x03\x04"
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
"""The sample nonce of RFC 6455, 1.3."""

masks = st.one_of(st.none(), st.binary(min_size=4, max_size=4))
controls = st.one_of(
    st.binary(max_size=125).map(Ping),
    st.binary(max_size=125).map(Pong),
)
messages = st.one_of(
    st.text(max_size=300).map(lambda text: WebSocketMessage(text.encode(), text=True)),
    st.binary(max_size=300).map(lambda data: WebSocketMessage(data, text=False)),
    st.integers(min_value=65_530, max_value=65_550).map(lambda size: WebSocketMessage(b"x" * size, text=False)),
)


def _cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


def _received(pieces: list[bytes], *, from_client: bool, limit: int = LIMIT) -> list[WebSocketEvent]:
    receiver = Receiver(from_client=from_client, limit=limit)
    return [event for piece in pieces for event in receiver.feed(piece)]


def _framed(
    message: WebSocketMessage, parts: list[bytes], between: list[WebSocketEvent], mask: bytes | None
) -> tuple[bytes, list[WebSocketEvent]]:
    """A message in fragments, with control frames between them; its bytes and what a receiver must tell."""
    raw, told = b"", list[WebSocketEvent]()
    for number, part in enumerate(parts):
        kind = Opcode.CONTINUATION if number else Opcode.TEXT if message.text else Opcode.BINARY
        raw += frame(kind, part, mask, last=number == len(parts) - 1)
        if number < len(parts) - 1:
            for control in between:
                raw += frame(Opcode.PING if isinstance(control, Ping) else Opcode.PONG, control[0], mask)  # type: ignore[arg-type]
                told.append(control)
    return raw, [*told, message]


@given(
    st.lists(
        st.tuples(messages, st.lists(st.integers(0, 1 << 20), max_size=3), st.lists(controls, max_size=2)), max_size=4
    ),
    masks,
    st.lists(st.integers(0, 1 << 20), max_size=12),
)
def test_messages_arrive_however_they_were_fragmented_and_cut(
    sent: list[tuple[WebSocketMessage, list[int], list[WebSocketEvent]]], mask: bytes | None, cuts: list[int]
) -> None:
    raw, told = b"", list[WebSocketEvent]()
    for message, fragments, between in sent:
        more, expected = _framed(message, _cut(message.data, fragments), between, mask)
        raw, told = raw + more, told + expected
    raw += close(1000, "done", mask)
    assert _received(_cut(raw, cuts), from_client=mask is not None) == [*told, Close(1000, "done")]


def test_a_byte_at_a_time_is_the_same() -> None:
    raw = frame(Opcode.TEXT, b"x" * 200, MASK) + frame(Opcode.PING, b"?", MASK)
    pieces = [raw[at : at + 1] for at in range(len(raw))]
    assert _received(pieces, from_client=True) == [WebSocketMessage(b"x" * 200, text=True), Ping(b"?")]


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=6), st.booleans())
def test_rubbish_is_read_or_refused_and_never_costs_more_than_it_says(
    data: bytes, cuts: list[int], from_client: bool
) -> None:
    try:
        events = _received(_cut(data, cuts), from_client=from_client, limit=100)
    except WebSocketError as error:
        code = error.code
    else:
        code = 0
        assert all(len(event.data) <= 125 for event in events if not isinstance(event, Close))
    assert code in (0, PROTOCOL_ERROR, NOT_UTF8, TOO_BIG)


@given(st.binary(max_size=70), st.binary(min_size=4, max_size=4))
def test_masking_twice_is_nothing(data: bytes, mask: bytes) -> None:
    assert xor(data, mask) == bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
    assert xor(xor(data, mask), mask) == data


FAULTS = {
    "a reserved bit": (b"\xc1\x80" + MASK, PROTOCOL_ERROR),
    "an unknown opcode": (b"\x83\x80" + MASK, PROTOCOL_ERROR),
    "an unknown control opcode": (b"\x8b\x80" + MASK, PROTOCOL_ERROR),
    "no mask": (frame(Opcode.TEXT, b"x"), PROTOCOL_ERROR),
    "a fragmented control frame": (b"\x09\x80" + MASK, PROTOCOL_ERROR),
    "a long control frame": (b"\x89\xfe\x00\x7e" + MASK, PROTOCOL_ERROR),
    "16 bits for a short length": (b"\x82\xfe\x00\x7d" + MASK, PROTOCOL_ERROR),
    "64 bits for a middling length": (b"\x82\xff" + struct.pack(">Q", 0xFFFF) + MASK, PROTOCOL_ERROR),
    "a negative length": (b"\x82\xff" + b"\xff" * 8 + MASK, PROTOCOL_ERROR),
    "a message too big, announced": (b"\x82\xff" + struct.pack(">Q", LIMIT + 1) + MASK, TOO_BIG),
    "a continuation of nothing": (frame(Opcode.CONTINUATION, b"x", MASK), PROTOCOL_ERROR),
    "a message within a message": (frame(Opcode.TEXT, b"x", MASK, last=False) + frame(Opcode.TEXT, b"y", MASK), PROTOCOL_ERROR),
    "a text that is not UTF-8": (frame(Opcode.TEXT, b"\xff", MASK), NOT_UTF8),
    "a surrogate": (frame(Opcode.TEXT, b"\xed\xa0\x80", MASK), NOT_UTF8),
    "half a close code": (frame(Opcode.CLOSE, b"\x03", MASK), PROTOCOL_ERROR),
    "a close code that is never sent": (close(1006, mask=MASK), PROTOCOL_ERROR),
    "a close code beyond": (close(5000, mask=MASK), PROTOCOL_ERROR),
    "a close reason that is not UTF-8": (frame(Opcode.CLOSE, b"\x03\xe8\xff", MASK), NOT_UTF8),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_rule_has_its_close_code(name: str) -> None:
    raw, code = FAULTS[name]
    with pytest.raises(WebSocketError) as caught:
        _received([raw], from_client=True)
    assert caught.value.code == code


def test_a_server_that_masks_is_refused_too() -> None:
    with pytest.raises(WebSocketError):
        _received([frame(Opcode.TEXT, b"x", MASK)], from_client=False)


def test_fragments_together_are_bounded_like_one() -> None:
    raw = frame(Opcode.BINARY, b"x" * LIMIT, MASK, last=False)
    receiver = Receiver(from_client=True, limit=LIMIT)
    assert receiver.feed(raw) == []
    for _ in range(1000):
        assert receiver.feed(frame(Opcode.CONTINUATION, b"", MASK, last=False)) == []
    with pytest.raises(WebSocketError) as caught:
        receiver.feed(frame(Opcode.CONTINUATION, b"x", MASK))
    assert caught.value.code == TOO_BIG


def test_after_a_close_nothing_is_read() -> None:
    receiver = Receiver(from_client=True, limit=LIMIT)
    assert receiver.feed(close(1001, "bye", MASK) + frame(Opcode.TEXT, b"x", MASK)) == [Close(1001, "bye")]
    assert receiver.closed
    assert receiver.feed(b"\xff" * 10) == []
    assert _received([frame(Opcode.CLOSE, b"", MASK)], from_client=True) == [Close(1005, "")]


def test_a_reason_is_cut_to_what_fits() -> None:
    [event] = _received([close(1011, "ü" * 100)], from_client=False)
    assert event == Close(1011, "ü" * 61)


# Handshakes


def _request(*more: tuple[bytes, bytes], drop: bytes = b"", upgrade: bytes | None = b"websocket") -> RequestHead:
    headers: Headers = [(b"sec-websocket-version", b"13"), (b"sec-websocket-key", KEY)]
    headers = [pair for pair in headers if pair[0] != drop] + list(more)
    return RequestHead(method=b"GET", target=b"/", headers=headers, upgrade=upgrade)


def test_the_sample_of_the_specification() -> None:
    assert accept_key(KEY) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert accepted(_request(), b"chat").headers == [
        (b"upgrade", b"websocket"),
        (b"sec-websocket-accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        (b"sec-websocket-protocol", b"chat"),
    ]


@pytest.mark.parametrize(
    "head",
    [
        _request(upgrade=None),
        _request(upgrade=b"SPDY/3.1"),
        _request(drop=b"sec-websocket-version"),
        _request((b"sec-websocket-version", b"8"), drop=b"sec-websocket-version"),
        _request(drop=b"sec-websocket-key"),
        _request((b"sec-websocket-key", KEY)),
        _request((b"sec-websocket-key", b"short"), drop=b"sec-websocket-key"),
        _request((b"sec-websocket-key", b"!" * 24), drop=b"sec-websocket-key"),
    ],
)
def test_a_handshake_that_is_none_is_400(head: RequestHead) -> None:
    with pytest.raises(BadRequest):
        accepted(head, None)


def test_a_token_is_never_among_the_protocols_that_are_offered() -> None:
    bearer = b"base64url.bearer.authorization.k8s.io.c2Vj"
    headers = [
        (b"sec-websocket-protocol", b"a, " + bearer + b" ,b,,"),
        (b"sec-websocket-protocol", bearer.upper() + b",c d"),
    ]
    assert offered(headers) == [b"a", b"b"]


def test_both_ends_agree() -> None:
    nonce = bytes(range(16))
    head = RequestHead(method=b"GET", target=b"/", headers=asking(nonce, [b"a", b"b"]), upgrade=b"websocket")
    answer = accepted(head, offered(head.headers)[1])
    assert check_accepted(answer, nonce, [b"a", b"b"]) == b"b"
    for wrong in (
        ResponseHead(status=101, headers=[]),
        ResponseHead(status=101, headers=[*answer.headers, (b"sec-websocket-extensions", b"permessage-deflate")]),
        accepted(head, b"c"),
    ):
        with pytest.raises(WebSocketError):
            check_accepted(wrong, nonce, [b"a", b"b"])
