"""Presence on a real bus: what people see when agents come, go, and when our own parts die."""

from __future__ import annotations

import contextlib

import pytest

from tests.fixtures.nats import NatsHost, eventually
from tests.registry.conftest import Agent, Client, Running, client_of

pytestmark = pytest.mark.integration


async def test_a_cut_agent_is_not_ready_within_seconds_and_ready_again_at_once(
    nats_host: NatsHost, client: Client
) -> None:
    agent = Agent(nats_host, "cut")
    answer = await agent.join(await client.token("cut"))
    async with nats_host.connection(agent.credentials(answer)) as connection:
        await agent.beat(connection)
        await client.ready("cut", "True")
    condition = await client.ready("cut", "False")
    assert condition["reason"] == "AgentDisconnected"
    async with nats_host.connection(agent.credentials(answer)) as connection:
        await agent.beat(connection)
        await client.ready("cut", "True")


async def test_who_was_killed_and_started_again_is_believed_when_it_says_goodbye(
    nats_host: NatsHost, client: Client
) -> None:
    """Though its connection stays: what vanished before is no replica that may still be there."""
    agent = Agent(nats_host, "killed")
    own = agent.credentials(await agent.join(await client.token("killed")))
    async with nats_host.connection(own, f"{own.public}/interactive/1") as connection:
        await agent.beat(connection, epoch="1")
        await client.ready("killed", "True")
    async with nats_host.connection(own, f"{own.public}/interactive/2") as connection:
        await agent.beat(connection, epoch="2")
        await agent.beat(connection, epoch="2", leaving=True)
        assert (await client.ready("killed", "False"))["reason"] == "AgentStopped"


async def test_a_member_cannot_speak_for_another(nats_host: NatsHost, client: Client) -> None:
    first, second = Agent(nats_host, "first"), Agent(nats_host, "second")
    answer = await first.join(await client.token("first"))
    await second.join(await client.token("second"))
    liar = Agent(nats_host, "second", second.cluster_uid, first.key)
    async with nats_host.connection(first.credentials(answer)) as connection:
        with contextlib.suppress(Exception):
            await connection.request("up.second.hb", b"{}", timeout_s=0.2)
        assert liar.name == "second"
        await first.beat(connection)
        await client.ready("first", "True")
    found = await client.cluster("second")
    assert found is not None
    assert found["status"]["conditions"][1]["status"] == "Unknown"


async def test_a_rubbish_heartbeat_is_ignored(nats_host: NatsHost, client: Client) -> None:
    agent = Agent(nats_host, "rubbish")
    answer = await agent.join(await client.token("rubbish"))
    async with nats_host.connection(agent.credentials(answer)) as connection:
        for data in (b"", b"[]", b"\xff", b'{"agent": 1}', b'{"agent":"A","epoch":"\xff","version":"1"}'):
            await connection.publish("up.rubbish.hb", data)
        await agent.beat(connection)
        await client.ready("rubbish", "True")


async def test_members_survive_a_restart_of_the_registry(fresh_nats_host: NatsHost) -> None:
    host = fresh_nats_host
    async with contextlib.AsyncExitStack() as stack:
        async with Running(host).running(), client_of(host) as client:
            agent = Agent(host, "kept")
            answer = await agent.join(await client.token("kept"))
            connection = await stack.enter_async_context(host.connection(agent.credentials(answer)))
            await agent.beat(connection)
            await client.ready("kept", "True")
        async with Running(host).running(), client_of(host) as client:
            await agent.beat(connection)
            await client.ready("kept", "True")
            assert (await agent.renew(answer)).user_jwt


async def test_everything_comes_back_after_the_bus_was_killed(fresh_nats_host: NatsHost) -> None:
    host = fresh_nats_host
    async with Running(host).running(), client_of(host) as client:
        agent = Agent(host, "back")
        answer = await agent.join(await client.token("back"))
        host.kill()
        await eventually(lambda: not client.bus.connected)
        host.start()
        await client.bus.ready()
        async with host.connection(agent.credentials(answer)) as connection:
            await agent.beat_until_answered(connection)
            await client.ready("back", "True")
            token = await client.token("another")
            assert (await Agent(host, "another").join(token)).member == "another"
