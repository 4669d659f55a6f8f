"""Removal and the one host, on a real bus."""

from __future__ import annotations

import asyncio

import pytest

from services.registry.secrets import BUCKET
from skerry.api.kinds import CLUSTER
from skerry.bus import kv
from skerry.errors import Forbidden, NotFound, ServiceUnavailable, Unauthorized
from tests.fixtures.nats import NatsHost, eventually
from tests.registry.conftest import HOST_UID, Agent, Client, Running, client_of

pytestmark = pytest.mark.integration


async def test_a_removed_member_is_cut_and_cannot_return(nats_host: NatsHost, client: Client) -> None:
    agent = Agent(nats_host, "evicted")
    answer = await agent.join(await client.token("evicted"))
    async with nats_host.connection(agent.credentials(answer)) as connection:
        await agent.beat(connection)
        gone = await client.write(CLUSTER, "delete", "evicted")
        assert "finalizers" not in gone["metadata"]
        async with asyncio.timeout(2):
            await connection.lost
    assert await client.cluster("evicted") is None
    with pytest.raises((Unauthorized, ServiceUnavailable)):
        async with nats_host.connection(agent.credentials(answer)):
            pass


async def test_its_name_and_its_cluster_are_free_at_once(nats_host: NatsHost, client: Client) -> None:
    agent = Agent(nats_host, "again")
    await agent.join(await client.token("again"))
    before = await client.cluster("again")
    await client.write(CLUSTER, "delete", "again")
    answer = await Agent(nats_host, "again", agent.cluster_uid, agent.key).join(await client.token("again"))
    after = await client.cluster("again")
    assert before is not None
    assert after is not None
    assert before["metadata"]["uid"] != after["metadata"]["uid"]
    async with nats_host.connection(agent.credentials(answer)) as connection:
        await agent.beat(connection)
        await client.ready("again", "True")


async def test_a_removed_member_leaves_its_tombstone_and_the_proof_for_its_agent_and_nothing_else(
    nats_host: NatsHost, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kv, "MARKER_S", 1)
    async with nats_host.bus("registry") as bus:
        secrets = await bus.bucket(BUCKET)

        async def kept() -> int:
            return int((await secrets.info())["state"]["messages"])

        before = await kept()
        await Agent(nats_host, "traceless").join(await client.token("traceless"))
        assert await kept() == before + 2
        await client.write(CLUSTER, "delete", "traceless")
        async with asyncio.timeout(10):
            while await kept() > before + 2:
                await asyncio.sleep(0.05)


async def test_removal_outlives_a_restart_of_the_bus(fresh_nats_host: NatsHost) -> None:
    host = fresh_nats_host
    async with Running(host).running(), client_of(host) as client:
        agent = Agent(host, "stays-out")
        answer = await agent.join(await client.token("stays-out"))
        await client.write(CLUSTER, "delete", "stays-out")
        host.restart()
        await client.bus.ready()
        with pytest.raises((Unauthorized, ServiceUnavailable)):
            async with host.connection(agent.credentials(answer)):
                pass
        assert await client.cluster("stays-out") is None


async def test_removing_what_is_not_there_is_not_found(client: Client) -> None:
    with pytest.raises(NotFound, match=r'clusters\.skerry\.dev "nobody" not found'):
        await client.write(CLUSTER, "delete", "nobody")


async def test_the_host_is_a_cluster_that_cannot_be_deleted(client: Client) -> None:
    found = await client.cluster("host")
    assert found is not None
    assert (found["spec"]["role"], found["status"]["uid"]) == ("host", HOST_UID)
    with pytest.raises(Forbidden, match="the host itself"):
        await client.write(CLUSTER, "delete", "host")


async def test_a_second_host_is_refused_naming_the_first(nats_host: NatsHost, client: Client) -> None:
    second = Running(nats_host, uid="22222222-0000-0000-0000-000000000002", name="islet")
    async with second.started() as process:
        await eventually(lambda: "already has a host, 'isle'" in process.problem)
        assert HOST_UID in process.problem
    assert (await client.cluster("islet")) is None
