"""Exchanges through the tunnel, over a real nats-server with an account per member."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from skerry.errors import RequestHeaderFieldsTooLarge, TooManyRequests
from skerry.link import LinkSettings, Stream
from skerry.relay import AnswerComplete, OutcomeUnknown, ResetCode, StreamReset
from tests.link.conftest import Ends, get, post, read_all

pytestmark = pytest.mark.integration
BODY = bytes(range(256)) * 4096 * 8


async def test_a_small_get_comes_back_whole(ends: Ends) -> None:
    await ends.acceptor()
    dialer = await ends.dialer()
    with await dialer.open("m1", get(b"/api")) as stream:
        answer = await stream.response()
        assert (answer.status, answer.headers, answer.end) == (200, [(b"x-target", b"/api")], True)
        assert await stream.receive() == b""
        assert await stream.gone() is None
    assert dialer.live == 0


class Recorder:
    """A connection that notes what is published on it."""

    def __init__(self, wire: Any, seen: list[str]) -> None:
        self._wire = wire
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wire, name)

    def publish_now(self, subject: str, payload: bytes, reply: str = "") -> None:
        """Note it, and publish."""
        self._seen.append(subject)
        self._wire.publish_now(subject, payload, reply)


async def test_a_small_exchange_is_two_messages(ends: Ends) -> None:
    seen: list[str] = []
    acceptor, dialer = await ends.acceptor(), await ends.dialer()
    for connection in (*acceptor.connections, *dialer.connections):
        connection.bus = Recorder(connection.bus, seen)
    for _ in range(2):
        with await dialer.open("m1", post(b"small")) as stream:
            await stream.response()
    assert [subject.split(".")[0] for subject in seen] == ["down", "up"] * 2


class Weigher(Recorder):
    """A connection that counts the bytes that are published on it."""

    total = 0

    def publish_now(self, subject: str, payload: bytes, reply: str = "") -> None:
        """Count them, and publish."""
        self.total += len(payload)
        super().publish_now(subject, payload, reply)


async def test_an_answer_travels_packed_and_arrives_as_it_was(ends: Ends) -> None:
    async def listing(stream: Stream) -> None:
        await stream.respond(200, [], body=BODY[:100_000])
        await stream.send(BODY)
        await stream.send_end()

    acceptor, dialer = await ends.acceptor(listing), await ends.dialer()
    weigher = acceptor.connections[1].bus = Weigher(acceptor.connections[1].bus, [])
    with await dialer.open("m1", get(class_="bulk")) as stream:
        answer = await stream.response()
        assert answer.body + await read_all(stream) == BODY[:100_000] + BODY
    assert weigher.total < len(BODY) // 10


async def test_a_large_body_goes_both_ways_byte_exact(ends: Ends) -> None:
    await ends.acceptor()
    dialer = await ends.dialer()

    async def upload(stream: Stream) -> None:
        await stream.send(BODY)
        await stream.send_end()

    with await dialer.open("m1", post(end=False, class_="bulk", long_running=True)) as stream:
        async with asyncio.TaskGroup() as group:
            group.create_task(upload(stream))
            answer = await stream.response()
            received = answer.body + await read_all(stream)
    assert received == BODY


async def test_a_body_beyond_the_inline_limit_follows_the_ack(ends: Ends) -> None:
    async def whole(stream: Stream) -> None:
        body = stream.request.body + await read_all(stream)
        await stream.respond(200, [], body=str(len(body)).encode(), end=True)

    await ends.acceptor(whole)
    dialer = await ends.dialer()
    with await dialer.open("m1", post(BODY[: 1 << 20], class_="bulk")) as stream:
        assert (await stream.response()).body == str(1 << 20).encode()


async def test_many_inline_bodies_at_once_all_arrive(ends: Ends) -> None:
    async def whole(stream: Stream) -> None:
        body = stream.request.body if stream.request.end else await read_all(stream)
        await stream.respond(200, [], body=str(len(body)).encode(), end=True)

    await ends.acceptor(whole)
    dialer = await ends.dialer()

    async def one() -> bytes:
        with await dialer.open("m1", post(BODY[: 256 << 10])) as stream:
            return (await stream.response()).body

    assert await asyncio.gather(*(one() for _ in range(24))) == [b"262144"] * 24


async def test_after_101_both_directions_are_raw_and_end_on_their_own(ends: Ends) -> None:
    async def shell(stream: Stream) -> None:
        await stream.respond(101, [(b"upgrade", b"x")])
        received = await read_all(stream)
        await stream.send(received[::-1])
        await stream.send_end()

    await ends.acceptor(shell)
    dialer = await ends.dialer()
    with await dialer.open("m1", get(end=False, long_running=True)) as stream:
        assert (await stream.response()).status == 101
        await stream.send(b"abc")
        await stream.send_end()
        assert await read_all(stream) == b"cba"
        assert await stream.gone() is None


async def said_and_left(stream: Stream) -> None:
    """A session whose member said something, ended its direction, and left without waiting for the client's end."""
    await stream.respond(101, [(b"upgrade", b"x")])
    await stream.send(b"first")
    await stream.send(b"last")
    await stream.send_end()


async def test_a_slow_reader_gets_all_that_was_said_before_an_end_behind_which_the_stream_broke(ends: Ends) -> None:
    await ends.acceptor(said_and_left)
    dialer = await ends.dialer()
    with await dialer.open("m1", get(end=False, long_running=True)) as stream:
        assert (await stream.response()).status == 101
        assert await stream.gone() is not None
        assert await read_all(stream) == b"firstlast"
        with pytest.raises(StreamReset):
            await stream.send(b"too late")


async def test_a_slow_reader_gets_it_also_when_its_own_connection_is_lost(ends: Ends) -> None:
    waits = asyncio.Event()

    async def waiting(stream: Stream) -> None:
        await said_and_left(stream)
        await waits.wait()

    await ends.acceptor(waiting)
    dialer = await ends.dialer()
    with await dialer.open("m1", get(end=False, long_running=True)) as stream:
        assert (await stream.response()).status == 101
        async with asyncio.timeout(10):
            while not stream.core.in_end:
                await asyncio.sleep(0.01)
        for connection in ends.connections:
            connection.abort("lost by the test")
        assert await stream.gone() is not None
        assert await read_all(stream) == b"firstlast"


async def test_what_we_reset_ourselves_is_not_read_to_its_end(ends: Ends) -> None:
    await ends.acceptor(said_and_left)
    dialer = await ends.dialer()
    with await dialer.open("m1", get(end=False, long_running=True)) as stream:
        assert (await stream.response()).status == 101
        stream.reset(ResetCode.REVOKED, "no more")
        with pytest.raises(StreamReset, match="no more"):
            await stream.receive()


async def test_an_answer_before_the_end_of_the_request_stops_the_request(ends: Ends) -> None:
    async def impatient(stream: Stream) -> None:
        await stream.respond(413, [], body=b"too much", end=True)

    await ends.acceptor(impatient)
    dialer = await ends.dialer()
    with await dialer.open("m1", post(end=False, class_="bulk")) as stream:
        with pytest.raises(AnswerComplete):
            await stream.send(BODY)
        assert (await stream.response()).body == b"too much"


async def test_a_reader_that_takes_nothing_holds_one_window_and_slows_nobody(ends: Ends) -> None:
    sent = 0

    async def firehose(stream: Stream) -> None:
        nonlocal sent
        if stream.request.target != b"/big":
            await stream.respond(200, [], body=b"v", end=True)
            return
        await stream.respond(200, [])
        for _ in range(1000):
            await stream.send(BODY[:65536])
            sent += 65536

    await ends.acceptor(firehose)
    dialer = await ends.dialer()
    with await dialer.open("m1", get(b"/big", class_="bulk")) as stalled:
        await stalled.response()
        for _ in range(50):
            with await dialer.open("m1", get(class_="bulk")) as stream:
                await stream.response()
        assert sent <= 256 << 10
        assert len(await stalled.receive()) <= 256 << 10


async def test_a_reader_that_stalls_for_too_long_is_cut(ends: Ends) -> None:
    async def firehose(stream: Stream) -> None:
        await stream.respond(200, [])
        await stream.send(BODY)

    await ends.acceptor(firehose)
    dialer = await ends.dialer(LinkSettings(stall_s=0.3, tick_s=0.05))
    with await dialer.open("m1", get()) as stream:
        await stream.response()
        async with asyncio.timeout(5):
            reset = await stream.gone()
    assert reset is not None
    assert reset.code is ResetCode.LIMIT


async def test_a_reader_may_stall_for_long_only_while_there_is_budget(ends: Ends) -> None:
    async def firehose(stream: Stream) -> None:
        await stream.respond(200, [])
        await stream.send(BODY)

    await ends.acceptor(firehose)
    dialer = await ends.dialer(LinkSettings(budget=256 << 10, stall_s=600.0, pressed_stall_s=0.3, tick_s=0.05))
    broken: list[StreamReset] = []
    with await dialer.open("m1", get()) as first:
        await first.response()
        with await dialer.open("m1", get()) as second:
            await second.response()
            for connection in dialer.connections:
                connection.tick(asyncio.get_running_loop().time() + 100.0, 1.0)
            assert not first.finished
            with await dialer.open("m1", get()) as third:
                first.when_broken = broken.append
                await third.response()
                async with asyncio.timeout(5):
                    reset = await first.gone()
    assert reset is not None
    assert (reset.code, broken) == (ResetCode.LIMIT, [reset])


async def test_a_bug_in_a_handler_resets_its_stream_only(ends: Ends, caplog: pytest.LogCaptureFixture) -> None:
    async def buggy(stream: Stream) -> None:
        if stream.request.target == b"/bug":
            raise ZeroDivisionError
        await stream.respond(200, [], end=True)

    await ends.acceptor(buggy)
    dialer = await ends.dialer()
    with await dialer.open("m1", get(b"/fine")) as stream:
        await stream.response()
    with (
        await dialer.open("m1", get(b"/bug", long_running=True)) as stream,
        pytest.raises(StreamReset, match="UPSTREAM: internal error"),
    ):
        await stream.response()
    with await dialer.open("m1", get(b"/fine")) as stream:
        assert (await stream.response()).status == 200
    assert "ZeroDivisionError" in caplog.text


async def test_a_handler_that_returns_early_never_looks_like_an_end(ends: Ends) -> None:
    async def early(stream: Stream) -> None:
        await stream.respond(200, [], body=b"half")

    await ends.acceptor(early)
    dialer = await ends.dialer()
    with await dialer.open("m1", get()) as stream:
        reset = await stream.gone()
    assert reset is not None
    assert reset.code is ResetCode.UPSTREAM


async def test_a_client_that_leaves_cancels_the_handler(ends: Ends) -> None:
    cancelled = asyncio.Event()

    async def watch(stream: Stream) -> None:
        try:
            await stream.respond(200, [])
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    acceptor = await ends.acceptor(watch)
    dialer = await ends.dialer()
    with await dialer.open("m1", get(long_running=True)) as stream:
        await stream.response()
    async with asyncio.timeout(1):
        await cancelled.wait()
        while acceptor.live:
            await asyncio.sleep(0.01)
    assert acceptor.connections[0].budget.used == 0


async def test_the_deadline_of_the_head_is_kept(ends: Ends) -> None:
    async def slow(stream: Stream) -> None:
        await asyncio.Event().wait()

    await ends.acceptor(slow)
    dialer = await ends.dialer()
    begin = time.monotonic()
    with (
        await dialer.open("m1", post(deadline_s=0.3)) as stream,
        pytest.raises(OutcomeUnknown, match="outcome unknown"),
    ):
        await stream.response()
    assert time.monotonic() - begin < 2


async def test_an_exhausted_budget_is_a_429_that_says_so(ends: Ends) -> None:
    await ends.acceptor()
    dialer = await ends.dialer(LinkSettings(budget=100))
    with pytest.raises(TooManyRequests, match="granted"):
        await dialer.open("m1", get())
    assert dialer.live == 0


async def test_too_many_streams_are_a_429_that_says_so(ends: Ends) -> None:
    dialer = await ends.dialer(LinkSettings(streams=0))
    with pytest.raises(TooManyRequests, match="streams open"):
        await dialer.open("m1", get())


async def test_a_full_agent_is_a_429_that_names_it(ends: Ends) -> None:
    await ends.acceptor(settings=LinkSettings(streams=0))
    dialer = await ends.dialer()
    with pytest.raises(TooManyRequests, match="cluster m1: its agent has 0 streams open; nothing was executed") as full:
        await dialer.open("m1", post())
    assert full.value.details.retry_after_seconds == 1


async def test_a_head_that_does_not_fit_is_a_431(ends: Ends) -> None:
    dialer = await ends.dialer()
    with pytest.raises(RequestHeaderFieldsTooLarge):
        await dialer.open("m1", get(b"/" + b"x" * 1_200_000))
    assert dialer.connections[0].budget.used == 0
