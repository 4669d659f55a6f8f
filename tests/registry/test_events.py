"""What people are told about Clusters and join tokens: from documents before and after, and on a real bus."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.registry.events import of_cluster, of_token
from skerry import subjects
from skerry.api.builtin import EVENT
from skerry.api.kinds import CLUSTER
from skerry.controller.news import News
from skerry.informer import Cache
from tests.fixtures.nats import NatsHost
from tests.registry.conftest import DEADLINE_S, Agent, Client

Document = dict[str, Any]


def member(ready: str, reason: str = "", message: str = "", **metadata: Any) -> Document:
    condition = {"type": "Ready", "status": ready, "reason": reason, "message": message}
    spec = {"role": "member", "connection": {"mode": "agent"}}
    return {"metadata": {"name": "m1", **metadata}, "spec": spec, "status": {"conditions": [condition]}}


def reasons(old: Document, new: Document) -> list[str]:
    return [news.reason for news in of_cluster(old, new)]


def test_a_new_member_has_joined() -> None:
    assert reasons({}, member("Unknown", "Joined")) == ["Joined"]
    assert reasons({}, member("True")) == ["Joined", "Ready"]


def test_readiness_is_told_when_it_changes() -> None:
    assert reasons(member("Unknown"), member("True")) == ["Ready"]
    assert reasons(member("True"), member("True", message="another")) == []
    lost = list(of_cluster(member("True"), member("False", "AgentSilent", "no heartbeat for 40 s")))
    assert lost == [News("NotReady", "AgentSilent: no heartbeat for 40 s", warning=True)]
    assert reasons(member("False"), member("Unknown")) == []


def test_removal_is_told_when_it_begins_and_ends() -> None:
    leaving = member("True", deletionTimestamp="2026-01-01T00:00:00Z")
    assert reasons(member("True"), leaving) == ["Removing"]
    assert reasons(leaving, leaving) == []
    assert reasons(leaving, {}) == ["Removed"]


def test_a_join_token_tells_its_use() -> None:
    new: Document = {"spec": {"clusterName": "m1"}, "status": {"used": True}}
    unused: Document = {"spec": {"clusterName": "m1"}, "status": {"used": False}}
    assert [news.message for news in of_token(unused, new)] == ["cluster m1 joined with it"]
    assert list(of_token(new, new)) == []
    assert list(of_token(new, {})) == []


@pytest.mark.integration
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


def said(events: Cache) -> set[tuple[str, str]]:
    """(reason, name of the object) of every Event."""
    documents = [item.document() for item in events.list(EVENT)]
    return {(document["reason"], document["involvedObject"]["name"]) for document in documents}


@contextlib.asynccontextmanager
async def events_of(client: Client) -> AsyncIterator[Cache]:
    """What a proxy sees of the Events."""
    cache = Cache((EVENT,))
    async with asyncio.TaskGroup() as tasks:
        feeding = tasks.create_task(cache.feed(await client.bus.bucket(subjects.EVENTS)))
        async with asyncio.timeout(DEADLINE_S):
            await cache.filled.wait()
        yield cache
        feeding.cancel()
