"""A connection that is behind, and what it does when frames come late, and when members are not in use."""

from __future__ import annotations

import asyncio

import pytest

from skerry import subjects
from skerry.errors import BadRequest, ServiceUnavailable
from skerry.link import Dialer, LinkSettings, Stream
from skerry.link.acceptor import _WAKING_S
from skerry.relay import StreamReset
from skerry.tunnel import frames
from skerry.tunnel.codes import RejectCode
from skerry.tunnel.frames import Sent, Sync, Type, decode, encode
from tests.link.conftest import Ends, get, post, read_all
from tests.tunnel.pair import answering

pytestmark = pytest.mark.integration
BODY = bytes(range(256)) * 4096 * 4


async def test_streams_take_turns_when_the_connection_is_behind_and_stay_exact(ends: Ends) -> None:
    async def big(stream: Stream) -> None:
        await stream.respond(200, [], body=BODY, end=True)

    await ends.acceptor(big)
    dialer = await ends.dialer()

    async def one() -> bool:
        with await dialer.open("m1", get(class_="bulk")) as stream:
            return (await stream.response()).body + await read_all(stream) == BODY

    assert all(await asyncio.gather(*(one() for _ in range(24))))


async def agent_that(ends: Ends, dialer: Dialer, answers: list[bytes]) -> list[bytes]:
    """An agent that answers the next OPEN with these frames and notes what it is sent."""
    wire, _ = await ends.pair(ends.agent_credentials, "hand-made")
    got: list[bytes] = []

    def on_open(message: object) -> None:
        head = decode(message.data).head  # type: ignore[attr-defined]
        for frame in answers:
            wire.publish_now(subjects.to_proxy("m1", head.proxy, "hand", head.number), frame)

    await wire.subscribe(subjects.agent_inbox("m1", "hand"), lambda message: got.append(message.data))
    await wire.subscribe(subjects.open_any("m1", "i"), on_open, queue=subjects.AGENTS)
    return got


async def until(condition: object, deadline_s: float = 3.0) -> None:
    assert callable(condition)
    async with asyncio.timeout(deadline_s):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_frame_lost_within_an_answer_is_a_gap_and_never_an_end(ends: Ends) -> None:
    dialer = await ends.dialer()
    got = await agent_that(
        ends,
        dialer,
        [encode(Type.RESP, head=answering(), body=b"ab"), encode(Type.END, seq=2, offset=4)],
    )
    with await dialer.open("m1", get()) as stream, pytest.raises(StreamReset, match="GAP"):
        await stream.receive()
    await until(lambda: [decode(frame).type for frame in got] == [Type.RESET])


async def test_an_answer_that_comes_too_late_is_told_to_stop(ends: Ends) -> None:
    dialer = await ends.dialer()
    got = await agent_that(ends, dialer, [])
    connection = dialer.connections[0]
    with pytest.raises(ServiceUnavailable):
        await asyncio.wait_for(dialer.open("m1", get()), 5)
    late = ends.connections[-2]
    late.publish_now(subjects.to_proxy("m1", connection.id, "hand", "1"), encode(Type.RESP, head=answering()))
    await until(lambda: [decode(frame).type for frame in got] == [Type.RESET])


async def test_a_stranger_learns_that_its_streams_are_unknown(ends: Ends) -> None:
    await ends.acceptor()
    dialer = await ends.dialer()
    with await dialer.open("m1", get()) as stream:
        await stream.response()
    got = await agent_that(ends, dialer, [])
    sync = encode(Type.SYNC, head=Sync(streams=(Sent(number="9", seq=1, offset=0, credit=0),)))
    ends.connections[-2].publish_now(subjects.to_proxy("m1", dialer.connections[0].id, "hand", "-"), sync)
    await until(lambda: [decode(frame).type for frame in got] == [Type.RESET])


async def test_a_refusal_that_is_safe_is_repeated_elsewhere_whatever_the_method(ends: Ends) -> None:
    dialer = await ends.dialer()
    await agent_that(ends, dialer, [frames.reject(RejectCode.GOAWAY, "leaving")])
    with pytest.raises(ServiceUnavailable, match="leaving"):
        await dialer.open("m1", post())
    assert dialer.connections[0]._numbers == 4


async def test_an_agent_that_has_just_woken_takes_a_change_a_moment_later(ends: Ends) -> None:
    """It refuses what waited in its sockets while it was stopped; what is asked after that is not told to go away."""
    acceptor = await ends.acceptor()
    dialer = await ends.dialer()
    for connection in acceptor.connections:
        connection._awake = connection.loop.time() + _WAKING_S
    with await dialer.open("m1", post(b"x")) as stream:
        assert (await stream.response()).body == b"x"
    assert dialer.connections[0]._numbers > 1


async def test_what_one_agent_refused_goes_to_another_that_was_heard_and_not_to_the_queue_which_may_be_the_first(
    ends: Ends,
) -> None:
    first = await ends.acceptor()
    dialer = await ends.dialer(LinkSettings(heard_s=0.0))
    with await dialer.open("m1", get()) as stream:
        await stream.response()
    for connection in first.connections:
        assert connection._queue is not None
        await connection._queue.drain()  # it takes only what is addressed to it: the queue has the other
    await agent_that(ends, dialer, [frames.reject(RejectCode.LIMIT, "full")])
    with await dialer.open("m1", post(b"x")) as stream:
        assert (await stream.response()).body == b"x"
    assert dialer.connections[0]._numbers == 3


async def test_a_member_out_of_use_is_left_and_found_again(ends: Ends) -> None:
    await ends.acceptor()
    dialer = await ends.dialer(LinkSettings(idle_s=0.05, tick_s=0.02))
    for _ in range(2):
        with await dialer.open("m1", get()) as stream:
            await stream.response()
        await until(lambda: not dialer.connections[0]._members)


async def test_concurrent_first_requests_share_one_interest(ends: Ends) -> None:
    await ends.acceptor()
    dialer = await ends.dialer()

    async def one() -> int:
        with await dialer.open("m1", get()) as stream:
            return (await stream.response()).status

    assert await asyncio.gather(*(one() for _ in range(20))) == [200] * 20
    assert len(dialer.connections[0]._members) == 1


async def test_a_name_that_is_no_member_is_refused(ends: Ends) -> None:
    dialer = await ends.dialer()
    with pytest.raises(BadRequest, match="DNS label"):
        await dialer.open("*", get())


async def test_a_lost_bus_before_the_first_request_is_a_503(ends: Ends) -> None:
    dialer = await ends.dialer()
    dialer.connections[0].bus.abort("cut")
    with pytest.raises(ServiceUnavailable, match="nothing was sent"):
        await dialer.open("m1", get())


async def test_a_request_that_is_cancelled_while_it_opens_leaves_nothing(ends: Ends) -> None:
    dialer = await ends.dialer()
    await agent_that(ends, dialer, [])
    opening = asyncio.create_task(dialer.open("m1", get()))
    await until(lambda: dialer.live == 1)
    opening.cancel()
    await asyncio.wait([opening])
    assert (dialer.live, dialer.connections[0].budget.used) == (0, 0)


async def test_rubbish_and_foreign_frames_harm_an_agent_not_at_all(ends: Ends) -> None:
    acceptor = await ends.acceptor()
    dialer = await ends.dialer()
    wire, connection = dialer.connections[0].bus, acceptor.connections[0]
    for subject in (subjects.open_any("m1", "i"), subjects.to_agent("m1", connection.id, "px", "1")):
        wire.publish_now(subject, b"rubbish")
        wire.publish_now(subject, encode(Type.DATA, body=b"x"))
    wire.publish_now(subjects.to_agent("m1", connection.id, "px", "-"), encode(Type.PING))
    with await dialer.open("m1", get()) as stream:
        assert (await stream.response()).status == 200
    assert connection.strays == 5
