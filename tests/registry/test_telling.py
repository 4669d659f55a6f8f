"""What agents tell, and joins that are refused: events, each the word of who tells it, and no more of them than may be."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from skerry import cloudevents, subjects
from skerry.bus import Connection, Stream
from skerry.cloudevents import CloudEvent
from skerry.errors import BadRequest, StatusError, TooManyRequests
from tests.fixtures.nats import NatsHost
from tests.registry.conftest import Agent, Client

pytestmark = pytest.mark.integration


async def tell(connection: Connection, member: str, verb: str, message: str = "") -> None:
    payload = msgspec.json.encode({"message": message})
    await connection.request(f"up.{member}.ev.{verb}", payload, timeout_s=5)


async def flood(connection: Connection, member: str) -> None:
    """Until it is refused."""
    while True:
        await tell(connection, member, "started", "again")


async def told(host: NatsHost, subject: str) -> list[CloudEvent]:
    """The events on a subject, once there is one."""
    async with host.bus("proxy") as bus, asyncio.timeout(15):
        stream = Stream(bus, subjects.EVENT_STREAM)
        while not (messages := (await stream.read(subject)).messages):
            await asyncio.sleep(0.05)
        return [cloudevents.from_message(each.headers, each.data) for each in messages]


async def test_what_an_agent_tells_is_an_event_of_its_member(nats_host: NatsHost, client: Client) -> None:
    agent = Agent(nats_host, "teller")
    answer = await agent.join(await client.token("teller"))
    async with nats_host.connection(agent.credentials(answer)) as connection:
        await tell(connection, "teller", "started", "agent x\x1b[31m")
        (event,) = await told(nats_host, "event.member.teller.started")
        assert (event.type, event.data.cluster) == ("dev.skerry.member.started", "teller")
        assert event.data.message == "agent x [31m"
        for verb, message in (("flooded", ""), ("x" * 200, ""), ("started", "x" * 1025)):
            with pytest.raises(BadRequest, match="agents tell started, stopping"):
                await tell(connection, "teller", verb, message)
        with pytest.raises(TooManyRequests):
            await flood(connection, "teller")


async def test_a_join_that_is_refused_is_told(nats_host: NatsHost, client: Client) -> None:
    agent = Agent(nats_host, "elsewhere")
    with pytest.raises(StatusError):
        await agent.join(await client.token("here"))
    (event,) = await told(nats_host, "event.system.*.joinrefused")
    assert event.data.message.startswith("elsewhere: ")
    assert event.data.type == "Warning"
