"""What members say costs the host few writes, whatever and however often they say it; and one registry writes at a time."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from skerry.api.kinds import CLUSTER
from skerry.service import Process
from tests.fixtures.nats import NatsHost
from tests.registry.conftest import DEADLINE_S, Agent, Client, Running, client_of

pytestmark = pytest.mark.integration


async def test_48_beats_with_a_changing_text_are_few_writes(nats_host: NatsHost, client: Client) -> None:
    agent = Agent(nats_host, "wordy")
    answer = await agent.join(await client.token("wordy"))
    async with nats_host.connection(agent.credentials(answer)) as connection:
        await agent.beat(connection, healthy=False, message="why: the first of all reasons")
        await client.ready("wordy", "False")
        seen = await stored(client, "wordy")
        for number in range(48):
            why = f"why: {chr(97 + number // 26)}{chr(97 + number % 26)}"
            await agent.beat(connection, healthy=False, message=why)
            seen |= await stored(client, "wordy")
            await asyncio.sleep(0.1)  # the rate that is admitted
    assert len(seen) <= 3


async def test_facts_that_change_with_each_beat_are_a_write_a_second(nats_host: NatsHost, client: Client) -> None:
    agent = Agent(nats_host, "restless")
    answer = await agent.join(await client.token("restless"))
    async with nats_host.connection(agent.credentials(answer)) as connection:
        await agent.beat(connection)
        await client.ready("restless", "True")
        started, seen = time.monotonic(), await stored(client, "restless")
        for number in range(40):
            await agent.beat(connection, nodes=number, healthy=number % 2 == 0)
            seen |= await stored(client, "restless")
            await asyncio.sleep(0.1)
        assert len(seen) <= time.monotonic() - started + 3
        await agent.beat(connection, nodes=77)

        async def last() -> bool:
            found = await client.cluster("restless")
            return found is not None and found["status"].get("nodes") == 77

        async with asyncio.timeout(DEADLINE_S):
            while not await last():
                await asyncio.sleep(0.05)


async def test_what_a_member_says_of_itself_at_joining_prints(nats_host: NatsHost, client: Client) -> None:
    agent = Agent(nats_host, "painted")
    await agent.join(
        await client.token("painted"), kubernetes_version="v1\x1b]0;owned\x07", agent_version="0.1\x1b[2J\n"
    )
    found = await client.cluster("painted")
    assert found is not None
    assert found["status"]["kubernetesVersion"].isprintable()
    assert found["status"]["agent"]["version"].isprintable()


async def test_one_of_two_registries_writes_and_the_other_when_it_ends(fresh_nats_host: NatsHost) -> None:
    host = fresh_nats_host
    async with contextlib.AsyncExitStack() as first, Running(host).running() as two, client_of(host) as client:
        one = await first.enter_async_context(Running(host).running())
        agent = Agent(host, "led")
        answer = await agent.join(await client.token("led"))
        async with host.connection(agent.credentials(answer)) as connection:
            await agent.beat(connection)
            await client.ready("led", "True")
            assert sorted(reconciles(each) > 0 for each in (one, two)) == [False, True]
            await first.aclose()
            await agent.beat(connection, healthy=False)
            await client.ready("led", "False")
        assert reconciles(two) > 0


def reconciles(process: Process) -> int:
    """Of the controller that writes statuses."""
    return next((each.reconciles for each in process.metrics() if each.controller == "registry/clusters"), 0)


async def stored(client: Client, name: str) -> set[int]:
    """The revision of a Cluster now."""
    await client.cache.current()
    item = client.cache.get(CLUSTER, name)
    return set() if item is None else {item.revision}
