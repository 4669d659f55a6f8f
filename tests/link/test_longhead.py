"""Heads beyond 64 KiB through the tunnel: both ways, within room, and refused clearly by who does not know them."""

from __future__ import annotations

import asyncio

import pytest

from skerry import subjects
from skerry.bus import Message
from skerry.errors import RequestHeaderFieldsTooLarge, TooManyRequests
from skerry.httpwire.room import Room
from skerry.link import Dialer, LinkSettings, Stream
from skerry.relay import ResetCode, StreamReset
from skerry.tunnel import frames
from skerry.tunnel.frames import Open, Type
from tests.link.conftest import Ends, get, post, read_all

TARGET = b"/exec?command=" + b"s" * 900_000
HEADERS = [(b"x-%d" % number, b"v" * 30) for number in range(2000)]


async def echo(stream: Stream) -> None:
    """The request's head and body as the answer's."""
    request = stream.request
    assert request.assertion == b"a"
    body = request.body if request.end else request.body + await read_all(stream)
    headers = [(b"target", request.target), (b"whole", b"%d" % request.end), *request.headers]
    await stream.respond(200, headers, length=len(body), body=body, end=True, reason=b"Fine")


@pytest.mark.parametrize("class_", ["interactive", "bulk"])
@pytest.mark.parametrize("body", [b"", b"b" * 200_000])
async def test_heads_of_1_mib_go_both_ways_with_their_bodies(ends: Ends, class_: str, body: bytes) -> None:
    acceptor = await ends.acceptor(echo)
    dialer = await ends.dialer()
    request = post(body, target=TARGET, headers=HEADERS, class_=class_)
    async with asyncio.timeout(20):
        with await dialer.open("m1", request) as stream:
            answer = await stream.response()
            rest = b"" if answer.end else await read_all(stream)
    assert answer.headers == [(b"target", TARGET), (b"whole", b"1"), *HEADERS]
    assert (answer.status, answer.reason, answer.length, answer.body + rest) == (200, b"Fine", len(body), body)
    for pair in (dialer, acceptor):
        assert [connection.room.used for connection in pair.connections] == [0, 0]


async def test_an_upgrade_with_a_long_head_goes_on_raw(ends: Ends) -> None:
    async def raw(stream: Stream) -> None:
        await stream.respond(101, [(b"x-long", b"l" * 100_000), (b"target", stream.request.target)])
        while data := await stream.receive():
            await stream.send(data)
            stream.consumed(len(data))
        await stream.send_end()

    await ends.acceptor(raw)
    dialer = await ends.dialer()
    async with asyncio.timeout(20):
        with await dialer.open("m1", get(TARGET, end=False, long_running=True)) as stream:
            answer = await stream.response()
            await stream.send(b"hello")
            await stream.send_end()
            assert answer.body + await read_all(stream) == b"hello"
    assert (answer.status, dict(answer.headers)[b"target"]) == (101, TARGET)


async def test_a_long_head_without_a_body_ends_with_its_head(ends: Ends) -> None:
    async def bodiless(stream: Stream) -> None:
        await stream.respond(304, [(b"x-long", b"l" * 100_000)], end=True)

    await ends.acceptor(bodiless)
    dialer = await ends.dialer()
    async with asyncio.timeout(20):
        with await dialer.open("m1", get()) as stream:
            answer = await stream.response()
            assert answer.body + (b"" if answer.end else await read_all(stream)) == b""
    assert len(dict(answer.headers)[b"x-long"]) == 100_000


async def test_an_agent_of_before_executes_nothing_and_the_client_is_told(ends: Ends) -> None:
    """It does not know `rest`: it sees a GET of `/` in nobody's name, and its ACK says nothing of long heads."""
    opened: list[Open] = []
    connection, _ = await ends.pair(ends.agent_credentials, "agent")

    def on_open(message: Message) -> None:
        head = frames.decode(message.data).head
        opened.append(head)
        reply = subjects.to_proxy("m1", head.proxy, connection.id + "i", head.number)
        connection.publish_now(reply, frames.encode(Type.ACK, offset=65536))

    await connection.subscribe(subjects.open_any("m1", subjects.INTERACTIVE), on_open, queue=subjects.AGENTS)
    dialer = await ends.dialer()
    with pytest.raises(RequestHeaderFieldsTooLarge, match="older version; nothing was executed"):
        await dialer.open("m1", get(TARGET))
    assert [(head.target, head.headers, head.assertion) for head in opened] == [(b"/", (), b"")]
    assert dialer.live == 0


async def test_an_answer_to_a_proxy_of_before_is_a_reset_that_says_why(ends: Ends) -> None:
    async def long(stream: Stream) -> None:
        stream.core.long = False
        await stream.respond(200, [(b"x-long", b"l" * 100_000)], end=True)

    await ends.acceptor(long)
    dialer = await ends.dialer()
    with await dialer.open("m1", get(long_running=True)) as stream, pytest.raises(StreamReset) as caught:
        await stream.response()
    assert caught.value.code is ResetCode.UPSTREAM


async def test_an_agent_without_room_refuses_before_it_reads(ends: Ends) -> None:
    acceptor = await ends.acceptor(echo)
    for connection in acceptor.connections:
        connection.room.total = 100_000
    dialer = await ends.dialer()
    with pytest.raises(TooManyRequests, match="too many large request heads"):
        await dialer.open("m1", get(TARGET))
    with await dialer.open("m1", get()) as stream:
        assert (await stream.response()).status == 200


async def test_a_proxy_without_room_resets_the_answer_and_goes_on(ends: Ends) -> None:
    async def long(stream: Stream) -> None:
        await stream.respond(200, [(b"x-long", b"l" * 100_000)] if stream.request.target == b"/long" else [], end=True)

    await ends.acceptor(long)
    dialer: Dialer = await ends.dialer(LinkSettings(), room=Room(50_000))
    with await dialer.open("m1", get(b"/long")) as stream, pytest.raises(StreamReset) as caught:
        await stream.response()
    assert caught.value.code is ResetCode.LIMIT
    with await dialer.open("m1", get()) as stream:
        assert (await stream.response()).status == 200
    assert dialer.connections[0].room.used == 0


@pytest.mark.parametrize(
    ("rest", "body", "end"),
    [
        (10, b"", True),
        (10, b"\xc1" * 10, True),
        (10, b"\x92\xa0" * 5, True),
        (2 << 20, b"x", False),
        (3, b"\x92\xc4\x00\x90more", False),
    ],
)
async def test_a_rest_that_cannot_be_read_breaks_its_stream_alone(
    ends: Ends, rest: int, body: bytes, end: bool
) -> None:
    async def hostile(stream: Stream) -> None:
        if stream.request.target == b"/good":
            await stream.respond(200, [], end=True)
            return
        head = frames.Resp(status=200, reason=b"", headers=(), length=None, rest=rest)
        stream._publish(stream.core.respond(head, body, end=end))
        await stream.gone()

    await ends.acceptor(hostile)
    dialer = await ends.dialer()
    async with asyncio.timeout(10):
        with await dialer.open("m1", get()) as stream, pytest.raises(StreamReset):
            await stream.response()
        with await dialer.open("m1", get(b"/good")) as stream:
            assert (await stream.response()).status == 200
    assert dialer.connections[0].room.used == 0
