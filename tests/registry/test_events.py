"""What happens to Clusters and join tokens is stored as Events, on a real bus."""

from __future__ import annotations

import asyncio

import pytest

from skerry.api.kinds import CLUSTER, EVENT
from skerry.informer import Informer
from tests.fixtures.nats import NatsHost
from tests.registry.conftest import DEADLINE_S, Agent, Client, events_of

pytestmark = pytest.mark.integration


async def test_a_members_history_is_stored(nats_host: NatsHost, client: Client) -> None:
    agent = Agent(nats_host, "told")
    answer = await agent.join(await client.token("told"))
    async with nats_host.connection(agent.credentials(answer)) as connection:
        await agent.beat(connection)
        await client.ready("told", "True")
        await client.write(CLUSTER, "delete", "told")
    wanted = {"Joined", "Ready", "Removing", "Removed"}
    async with events_of(client) as events:
        async with asyncio.timeout(DEADLINE_S):
            watch = events.watch(EVENT)
            while not wanted <= {reason for reason, name in said(events) if name == "told"}:
                watch.take()
                await watch.wait(0.5)
        assert ("Used", "told") in {(reason, name.partition("-")[0]) for reason, name in said(events)}


def said(events: Informer) -> set[tuple[str, str]]:
    """(reason, name of the object) of every Event."""
    documents = [item.document() for item in events.list(EVENT)]
    return {(document["reason"], document["involvedObject"]["name"]) for document in documents}
