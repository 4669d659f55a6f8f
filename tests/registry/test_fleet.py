"""Registries of many members, and beside each other: what is as it was stored is not written again, by nobody."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from services.registry import clusters
from services.registry.conditions import derived
from services.registry.model import LOST_S
from services.registry.writer import Observe, StatusWriter
from skerry import subjects
from skerry.api.conditions import DESIRED_APPLIED, Verdict, condition_of
from skerry.api.kinds import CLUSTER
from skerry.api.messages import JoinRequest
from skerry.bus import BucketConfig
from skerry.errors import ServiceUnavailable
from skerry.identity.federation import AGENT_TTL_S
from skerry.service import Process
from skerry.storage import Store
from tests.fixtures.nats import NatsHost, eventually
from tests.member.apiserver import ApiServer
from tests.registry.conftest import Agent, Client, Running, client_of, connect
from tests.registry.test_direct import given
from tests.registry.test_model import T0
from tests.registry.test_restarts import Clock

pytestmark = pytest.mark.integration
MEMBERS = 300


def figure(process: Process, controller: str, name: str) -> int:
    """Of one controller now."""
    return int(next((getattr(each, name) for each in process.metrics() if each.controller == controller), 0))


async def stored(host: NatsHost, count: int) -> None:
    """So many members with agents, ready, as an earlier registry left them."""
    ready = Verdict("True", "AgentConnected", "its agent is connected and its API server answers")
    async with host.bus("registry") as bus:
        store = Store(await bus.bucket(subjects.RESOURCES, create=BucketConfig()), CLUSTER)
        requests = [
            JoinRequest(nkey="U", name=f"m-{each}", cluster_uid=f"u-{each}", kubernetes_version="", agent_version="")
            for each in range(count)
        ]
        members = [derived(clusters.member(request, ready, T0), T0, AGENT_TTL_S) for request in requests]
        await asyncio.gather(*(store.create(member) for member in members))


async def settled(client: Client, *names: str) -> bool:
    """Whether each of these Clusters says how it is with desired state, which comes last."""
    clusters_now = [await client.cluster(name) or {} for name in names]
    return all(condition_of(each, DESIRED_APPLIED).reason for each in clusters_now)


async def test_a_registry_that_starts_looks_at_all_members_and_writes_none(fresh_nats_host: NatsHost) -> None:
    await stored(fresh_nats_host, MEMBERS)
    async with Running(fresh_nats_host).running():
        pass  # the host's own Cluster is there
    async with Running(fresh_nats_host).running() as process:
        before = process.informer.revision
        await eventually(lambda: figure(process, "registry/clusters", "reconciles") >= MEMBERS)
        await process.informer.current()
        assert process.informer.revision == before


async def test_two_registries_beside_each_other_agree_and_one_of_them_probes(
    fresh_nats_host: NatsHost, tmp_path: Path
) -> None:
    host, clock = fresh_nats_host, Clock()
    async with (
        ApiServer(tmp_path / "api", uid="direct-uid", token="the-hosts-token") as api,
        Running(host, clock=clock, timers=clock).running() as one,
        Running(host, clock=clock, timers=clock).running() as other,
        client_of(host) as client,
    ):
        both = (one, other)

        def looks() -> int:
            return sum(figure(each, "registry/prober", "reconciles") for each in both)

        await connect(client, "create", "near", given(api))
        agent = Agent(host, "far")
        answer = await agent.join(await client.token("far"))
        async with host.connection(agent.credentials(answer)) as connection:

            async def looked(times: int) -> None:
                """Let time pass, with a heartbeat each second, until direct members were looked at so many times."""
                end = looks() + times
                while looks() < end:
                    clock.ahead += 1.0
                    await agent.beat(connection)

            await agent.beat(connection)
            await client.ready("far", "True")
            await client.ready("near", "True")
            await looked(4)
            while not await settled(client, "far", "near"):  # an agent that says nothing of desired state is given 25 s
                await looked(1)
            await one.informer.current()
            before = one.informer.revision
            await looked(8)
            await one.informer.current()
        assert one.informer.revision == before
        assert sorted(figure(each, "registry/prober", "reconciles") > 0 for each in both) == [False, True]


async def test_members_of_which_nothing_new_is_heard_are_not_made_up_again_and_news_are_written_all_the_same(
    fresh_nats_host: NatsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, clock, looks = fresh_nats_host, Clock(), list[str]()
    write = StatusWriter.write

    async def counted(writer: StatusWriter, name: str, uid: str, observe: Observe) -> float | None:
        looks.append(name)
        return await write(writer, name, uid, observe)

    monkeypatch.setattr(StatusWriter, "write", counted)
    async with Running(host, clock=clock, timers=clock).running() as process, client_of(host) as client:
        agent = Agent(host, "far")
        answer = await agent.join(await client.token("far"))
        async with host.connection(agent.credentials(answer)) as connection:

            async def due(times: int) -> None:
                """Let time pass, with a heartbeat every other second, until the member was due so many times."""
                end = figure(process, "registry/clusters", "reconciles") + times
                while figure(process, "registry/clusters", "reconciles") < end:
                    clock.ahead += 2.0
                    await agent.beat(connection)

            await agent.beat(connection)
            await client.ready("far", "True")
            await due(4)
            settled = len(looks)
            await due(6)
            assert len(looks) == settled
            await agent.beat(connection, healthy=False, message="it is down")
            assert "it is down" in (await client.ready("far", "False"))["message"]
            await agent.beat(connection)
            await client.ready("far", "True")
            await due(4)
            settled = len(looks)
            await due(2)
            assert len(looks) == settled
            clock.ahead += LOST_S
            assert (await client.ready("far", "False"))["reason"] == "HeartbeatLost"


async def test_a_status_that_could_not_be_written_is_written_later_though_nothing_new_is_heard(
    fresh_nats_host: NatsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, failures = StatusWriter.write, [0]

    async def failing(writer: StatusWriter, name: str, uid: str, observe: Observe) -> float | None:
        if failures[0] < 2:
            failures[0] += 1
            raise ServiceUnavailable("the store is away")
        return await write(writer, name, uid, observe)

    monkeypatch.setattr(StatusWriter, "write", failing)
    async with Running(fresh_nats_host).running(), client_of(fresh_nats_host) as client:
        agent = Agent(fresh_nats_host, "far")
        answer = await agent.join(await client.token("far"))
        async with fresh_nats_host.connection(agent.credentials(answer)) as connection:
            await agent.beat(connection)
            await client.ready("far", "True")
            assert failures == [2]
