"""Finding an agent, losing one, leaving, and floods: times and answers as specified."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pytest

from skerry import subjects
from skerry.errors import GatewayTimeout, ServiceUnavailable
from skerry.link import LinkSettings, Stream
from skerry.relay import AgentAway, OutcomeUnknown, ResetCode, StreamReset
from tests.fixtures.nats import NatsHost
from tests.link.conftest import Ends, ends_on, get, post

pytestmark = pytest.mark.integration


async def forever(stream: Stream) -> None:
    """A watch: a head, and no end."""
    await stream.respond(200, [])
    await asyncio.Event().wait()


async def mute(ends: Ends, opened: list[bytes]) -> None:
    """An agent that gets OPENs and says nothing."""
    wire, _ = await ends.pair(ends.agent_credentials, "mute")
    await wire.subscribe(
        subjects.open_any("m1", "i"), lambda message: opened.append(message.data), queue=subjects.AGENTS
    )


async def gone(wire: Any, *agents: str) -> None:
    """Wait until the server knows that these connections of an agent of m1 are over: an OPEN to one that it does not know of
    yet would rightly be of unknown outcome."""
    for agent in agents:
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(GatewayTimeout):
                    if (await wire.ask(subjects.to_agent("m1", agent, "x", "-"), timeout_s=0.1)).no_responders:
                        break


async def test_nobody_there_is_told_at_once_and_nothing_was_executed(ends: Ends) -> None:
    dialer = await ends.dialer()
    begin = time.monotonic()
    with pytest.raises(AgentAway, match="nothing was executed"):
        await dialer.open("m1", post(b"x"))
    assert time.monotonic() - begin < 0.5
    assert dialer.live == 0


async def test_a_get_to_a_silent_agent_is_repeated_once_and_then_503(ends: Ends) -> None:
    opened: list[bytes] = []
    await mute(ends, opened)
    dialer = await ends.dialer(LinkSettings(ack_s=0.2))
    with pytest.raises(AgentAway, match="did not answer in time"):
        await dialer.open("m1", get())
    assert len(opened) == 2


async def test_a_get_to_a_silent_agent_is_answered_by_one_that_was_never_heard_but_by_its_heartbeats(
    ends: Ends,
) -> None:
    """The queue may have the silent one only, or give it to that one again."""
    there = await ends.acceptor()
    for connection in there.connections:
        assert connection._queue is not None
        await connection._queue.drain()
    opened: list[bytes] = []
    await mute(ends, opened)
    ids = [connection.id for connection in there.connections]
    dialer = await ends.dialer(
        LinkSettings(ack_s=0.2), beating=lambda member, kind: [each for each in ids if each.endswith(kind)]
    )
    with await dialer.open("m1", get()) as stream:
        assert (await stream.response()).status == 200
    assert len(opened) == 1


async def test_a_mutation_to_a_silent_agent_is_504_outcome_unknown(ends: Ends) -> None:
    opened: list[bytes] = []
    await mute(ends, opened)
    dialer = await ends.dialer(LinkSettings(ack_s=0.2))
    with pytest.raises(OutcomeUnknown, match="outcome unknown"):
        await dialer.open("m1", post())
    assert len(opened) == 1


async def test_after_an_agent_died_the_next_request_goes_to_another(ends: Ends) -> None:
    first = await ends.acceptor()
    dialer = await ends.dialer()
    with await dialer.open("m1", get()) as stream:
        await stream.response()
    await ends.acceptor()
    for connection in first.connections:
        connection.bus.abort()
    await gone(dialer.connections[0].bus, *(connection.id for connection in first.connections))
    with await dialer.open("m1", post(b"x")) as stream:
        assert (await stream.response()).body == b"x"


async def test_streams_of_a_killed_agent_are_reset_within_three_seconds(ends: Ends) -> None:
    acceptor = await ends.acceptor(forever)
    dialer = await ends.dialer()
    with await dialer.open("m1", get(long_running=True)) as stream:
        await stream.response()
        for connection in acceptor.connections:
            connection.bus.abort()
        async with asyncio.timeout(3):
            with pytest.raises(StreamReset, match="PEER_LOST"):
                await stream.receive()


async def test_streams_of_a_lost_proxy_connection_are_reset_at_once_on_our_side(ends: Ends) -> None:
    await ends.acceptor(forever)
    dialer = await ends.dialer()
    with await dialer.open("m1", get(long_running=True)) as stream:
        await stream.response()
        dialer.connections[0].bus.abort("cut")
        async with asyncio.timeout(1):
            with pytest.raises(StreamReset, match="PEER_LOST: cut"):
                await stream.receive()
        async with asyncio.timeout(3):
            assert await ends.tasks[-1] == "cut"
    with pytest.raises(ServiceUnavailable, match="no connection to the bus"):
        await dialer.open("m1", get())


async def test_a_mutation_whose_tunnel_breaks_before_the_head_is_outcome_unknown(ends: Ends) -> None:
    async def stuck(stream: Stream) -> None:
        await asyncio.Event().wait()

    await ends.acceptor(stuck)
    dialer = await ends.dialer()
    with await dialer.open("m1", post()) as stream:
        dialer.connections[0].bus.abort("cut")
        with pytest.raises(OutcomeUnknown, match="outcome unknown"):
            await stream.response()


async def test_a_leaving_agent_finishes_what_it_has_and_takes_nothing_new(ends: Ends) -> None:
    release = asyncio.Event()

    async def patient(stream: Stream) -> None:
        await stream.respond(200, [])
        await release.wait()
        await stream.send(b"done")
        await stream.send_end()

    acceptor = await ends.acceptor(patient)
    dialer = await ends.dialer()
    with await dialer.open("m1", get(long_running=True)) as stream:
        await stream.response()
        draining = asyncio.create_task(acceptor.drain(5.0))
        async with asyncio.timeout(2):
            while not all(connection.leaving for connection in acceptor.connections):
                await asyncio.sleep(0.01)
        with pytest.raises(AgentAway):
            await dialer.open("m1", post())
        release.set()
        assert await stream.receive() == b"done"
        assert await stream.receive() == b""
        await draining


async def test_when_the_grace_is_over_the_rest_is_told_goaway(ends: Ends) -> None:
    acceptor = await ends.acceptor(forever)
    dialer = await ends.dialer()
    with await dialer.open("m1", get(long_running=True)) as stream:
        await stream.response()
        await acceptor.drain(0.1)
        async with asyncio.timeout(1):
            reset = await stream.gone()
    assert reset is not None
    assert reset.code is ResetCode.GOAWAY


async def test_no_request_is_lost_while_agents_take_over(ends: Ends) -> None:
    first = await ends.acceptor()
    dialer = await ends.dialer()

    async def client() -> int:
        done = 0
        for _ in range(60):
            with await dialer.open("m1", post(b"x")) as stream:
                done += (await stream.response()).status == 200
        return done

    clients = [asyncio.create_task(client()) for _ in range(8)]
    await ends.acceptor()
    await first.drain(5.0)
    assert await asyncio.gather(*clients) == [60] * 8


async def test_a_draining_proxy_refuses_new_streams(ends: Ends) -> None:
    dialer = await ends.dialer()
    await dialer.drain(0.1)
    with pytest.raises(ServiceUnavailable, match="leaving"):
        await dialer.open("m1", get())


async def test_streams_of_a_revoked_member_are_reset(ends: Ends) -> None:
    await ends.acceptor(forever)
    dialer = await ends.dialer()
    with await dialer.open("m1", get(long_running=True)) as stream:
        await stream.response()
        assert dialer.reset_member("m1", ResetCode.REVOKED, "the cluster was removed") == 1
        with pytest.raises(StreamReset, match="REVOKED: the cluster was removed"):
            await stream.receive()


async def test_an_open_that_arrives_twice_is_executed_once(ends: Ends) -> None:
    opened: list[bytes] = []
    spy, _ = await ends.pair(ends.agent_credentials, "spy")
    await spy.subscribe(subjects.open_any("m1", "i"), lambda message: opened.append(message.data))
    executed = []

    async def count(stream: Stream) -> None:
        executed.append(stream.number)
        await stream.respond(200, [], end=True)

    await ends.acceptor(count)
    dialer = await ends.dialer()
    with await dialer.open("m1", post()) as stream:
        await stream.response()
    dialer.connections[0].bus.publish_now(subjects.open_any("m1", "i"), opened[0])
    with await dialer.open("m1", post()) as stream:
        await stream.response()
    assert len(opened) >= 2
    assert len(executed) == 2


async def test_a_flooding_member_is_cut_off_alone(nats_host: NatsHost) -> None:
    flooded: list[str] = []
    async with ends_on(nats_host, "noisy") as noisy, ends_on(nats_host, "quiet") as quiet:
        agent = await noisy.acceptor()
        await quiet.acceptor()
        dialer = await noisy.dialer(on_flood=flooded.append)
        with await dialer.open("noisy", get()) as stream:
            await stream.response()
        wire, connection = agent.connections[0].bus, dialer.connections[0]
        for n in range(2000):
            wire.publish_now(subjects.to_proxy("noisy", connection.id, "evil", f"{n + 100:x}"), b"rubbish")
        async with asyncio.timeout(5):
            while not flooded:
                await asyncio.sleep(0.01)
        with pytest.raises(ServiceUnavailable, match="cut off"):
            await dialer.open("noisy", get())
        with await dialer.open("quiet", get()) as stream:
            assert (await stream.response()).status == 200
    assert flooded == ["noisy"]
