"""Many members that come and go within seconds, against a registry: what it writes of them, how often, and what it costs."""

from __future__ import annotations

import asyncio
import itertools
import random
import time

import pytest

from services.registry.flapping import OFTEN
from services.registry.model import SUSPECT_S
from services.registry.pace import WRITE_S
from skerry import subjects
from tests.faults.agents import BareAgent, Statuses, closest_s, wrongly
from tests.fixtures.nats import NatsHost, eventually
from tests.registry.conftest import Agent, Client

pytestmark = pytest.mark.integration

RESTIVE, BLINKING, STEADY = 12, 6, 6
"""Members that say goodbye or stay away for long enough to be missed; that drop and are back at once; that stay."""
DEADLINE_S = 90.0
LAG_S = 5.0
"""Between what happens and its write, on a busy machine."""
BURST_S = 0.5
"""Of CPU of the loop's thread between two of its turns. All agents of this test are in it too."""


async def joined(host: NatsHost, client: Client, name: str) -> BareAgent:
    agent = Agent(host, name)
    answer = await agent.join(await client.token(name))
    return BareAgent(host.settings(name), agent.credentials(answer), name, agent.cluster_uid)


async def restive(agent: BareAgent, chance: random.Random) -> None:
    """For ever: there for a moment, away for a moment, mostly with a goodbye."""
    while True:
        await agent.come()
        await asyncio.sleep(chance.uniform(1.0, 1.4))
        goodbye = chance.random() < 0.8
        await agent.go(goodbye=goodbye)
        await asyncio.sleep(chance.uniform(1.0, 2 * SUSPECT_S) if goodbye else chance.uniform(0.2, 2 * SUSPECT_S))


async def blinking(agent: BareAgent, chance: random.Random) -> None:
    """For ever: a connection that is cut, and another one at once."""
    while True:
        await agent.come()
        await asyncio.sleep(chance.uniform(0.2, 1.0))
        await agent.go()


async def turns(longest: list[float]) -> None:
    """Put down the most CPU that this thread spent between two turns of its loop, for ever."""
    before = time.thread_time()
    while True:
        await asyncio.sleep(0.005)
        now = time.thread_time()
        longest[0], before = max(longest[0], now - before), now


@pytest.mark.timeout(300)
async def test_members_that_come_and_go_are_written_once_a_second_and_nobody_alive_is_called_dead(
    nats_host: NatsHost, client: Client
) -> None:
    names = [f"member-{number:02}" for number in range(RESTIVE + BLINKING + STEADY)]
    agents = [await joined(nats_host, client, name) for name in names]
    away, blinks, stays = agents[:RESTIVE], agents[RESTIVE:-STEADY], agents[-STEADY:]
    statuses, longest = Statuses(), [0.0]
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(statuses.follow(await client.bus.bucket(subjects.RESOURCES))),
                *(tasks.create_task(agent.serve(1.0)) for agent in stays),
            ]
            await statuses.filled.wait()
            await eventually(lambda: all(statuses.ready(agent.name) for agent in stays), DEADLINE_S)
            running.append(tasks.create_task(turns(longest)))
            coming = [tasks.create_task(restive(agent, random.Random(agent.name))) for agent in away]
            coming += [tasks.create_task(blinking(agent, random.Random(agent.name))) for agent in blinks]
            await eventually(
                lambda: all(statuses.of[agent.name][-1].flapping.status == "True" for agent in away), DEADLINE_S
            )
            for task in coming:
                task.cancel()
            await asyncio.wait(coming)
            running += [tasks.create_task(agent.serve(1.0)) for agent in (*away, *blinks)]
            await eventually(lambda: all(statuses.ready(name) for name in names), DEADLINE_S)
            for task in running:
                task.cancel()
    finally:
        for agent in agents:
            await agent.go()
    assert min(closest_s(statuses.of[name]) for name in names) >= WRITE_S
    assert [each for agent in agents for each in wrongly(statuses.of[agent.name], agent.absences, LAG_S)] == []
    assert [each for agent in stays for each in statuses.of[agent.name] if each.ready.status == "False"] == []
    for agent in away:
        said = statuses.of[agent.name][-1].flapping
        count = int(said.message.removeprefix("Ready changed ").split()[0])
        assert (said.reason, OFTEN <= count <= _changes(statuses, agent.name)) == ("ReadyChanges", True)
    assert longest[0] < BURST_S


def _changes(statuses: Statuses, name: str) -> int:
    """How often a member became ready or stopped to be; the text of its condition may be half a minute old."""
    ready = [each.ready.status == "True" for each in statuses.of[name]]
    return sum(one is not other for one, other in itertools.pairwise(ready))
