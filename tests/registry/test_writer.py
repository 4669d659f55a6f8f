"""What members say costs the host few writes, whatever and however often they say it; and one registry writes at a time."""

from __future__ import annotations

import asyncio
import contextlib
import time

import msgspec
import pytest

from skerry.api.kinds import CLUSTER
from skerry.api.messages import Inventory
from skerry.api.v1alpha1 import APIVersions, Platform
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

        async with asyncio.timeout(3 * DEADLINE_S):
            while not await last():
                await asyncio.sleep(0.05)


async def test_what_a_member_says_it_has_is_kept_as_far_as_it_can_be(nats_host: NatsHost, client: Client) -> None:
    agent = Agent(nats_host, "boastful")
    answer = await agent.join(await client.token("boastful"))
    said = Inventory(
        platform=Platform(provider="aws\x1b[2J" + "x" * 1000, arch=["amd64"] * 99),
        nodes=-1,
        nodes_ready=2,
        capacity={"memory": "1e30", "cpu": "4", "a b": "1", **{f"example.com/{n}": "1" for n in range(99)}},
        used={"cpu": "NaN"},
        api_versions=APIVersions(count=3, digest="x", extra=["g/v1", "\n"]),
    )
    async with nats_host.connection(agent.credentials(answer)) as connection:
        await agent.beat(connection, nodes=None, inventory=said)
        await client.ready("boastful", "True")
        found = await client.cluster("boastful")
    assert found is not None
    status = found["status"]
    assert (status["platform"]["provider"][:7], len(status["platform"]["provider"])) == ("aws [2J", 100)
    assert len(status["platform"]["arch"]) == 8
    assert ("nodes" in status, status["nodesReady"]) == (False, 2)
    assert (len(status["capacity"]), status["capacity"]["cpu"]) == (24, "4")
    assert {"memory", "a b"}.isdisjoint(status["capacity"])
    assert (status["used"], status["apiVersions"]) == ({}, {"count": 3, "extra": ["g/v1"]})


async def test_a_member_whose_inventory_stays_is_written_no_more(nats_host: NatsHost, client: Client) -> None:
    agent = Agent(nats_host, "settled")
    answer = await agent.join(await client.token("settled"))
    room = {"cpu": "100", "memory": "1000Mi"}
    async with nats_host.connection(agent.credentials(answer)) as connection:
        said = Inventory(nodes=3, nodes_ready=3, allocatable=room, requested={"cpu": "50", "memory": "500Mi"})
        await agent.beat(connection, inventory=said)
        await client.ready("settled", "True")
        await eventually_quiet(client, "settled")
        before = await stored(client, "settled")
        for number in range(10):
            requested = {"cpu": f"{50_000 + 99 * number}m", "memory": f"{500 + number}Mi"}
            await agent.beat(connection, inventory=msgspec.structs.replace(said, requested=requested))
            await asyncio.sleep(0.15)
        assert await stored(client, "settled") == before


async def eventually_quiet(client: Client, name: str) -> None:
    """Until a Cluster was not written for a second."""
    last, quiet = await stored(client, name), 0
    async with asyncio.timeout(3 * DEADLINE_S):
        while quiet < 10:
            await asyncio.sleep(0.1)
            now = await stored(client, name)
            last, quiet = now, quiet + 1 if now == last else 0


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
