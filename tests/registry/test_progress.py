"""The condition DesiredApplied of members, on a real bus: an owner, a registry, and agents that report."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from services.registry import applied, progress
from skerry import subjects
from skerry.api.conditions import DESIRED_APPLIED, Verdict, condition_of
from skerry.api.desired import Problem, Report, State
from skerry.api.messages import Progress
from skerry.bus import Connection
from skerry.desired.client import DesiredClient, Want
from tests.fixtures.nats import NatsHost
from tests.registry.conftest import Agent, Client, Running, client_of

pytestmark = pytest.mark.integration
NAME = "m1"
SPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members are looked at sooner than in production."""
    monkeypatch.setattr(progress, "START_S", 0.2)
    monkeypatch.setattr(progress, "SOON_S", 0.05)
    monkeypatch.setattr(progress, "EVERY_S", 0.05)


class Told:
    """A member with an agent, the owner tenancy, and what the Cluster says."""

    def __init__(self, client: Client, agent: Agent, connection: Connection, desired: DesiredClient) -> None:
        self.client, self.agent, self.connection, self.desired = client, agent, connection, desired
        self.epoch = ""

    async def report(self, applied: int, *problems: Problem, **states: int) -> None:
        """What the agent says."""
        report = Report(epoch=self.epoch, applied=applied, counts={"tenancy": states}, problems=problems)
        subject = subjects.desired_report(NAME)
        await self.connection.request(subject, msgspec.json.encode(report), timeout_s=10)

    async def beat(self, **more: Any) -> None:
        """A heartbeat of one that knows desired state."""
        await self.agent.beat(self.connection, **more)

    async def condition(self, reason: str) -> tuple[Verdict, dict[str, int]]:
        """Wait for a reason; the condition, and the figures."""
        async with asyncio.timeout(20):
            while True:
                document = await self.client.cluster(NAME) or {}
                found = condition_of(document, DESIRED_APPLIED)
                if found.reason == reason:
                    return found, document["status"]["desired"]
                await asyncio.sleep(0.05)


@pytest.fixture
async def told(fresh_nats_host: NatsHost) -> AsyncIterator[Told]:
    host = fresh_nats_host
    async with Running(host).running(), client_of(host) as client, host.bus("tenancy") as bus:
        agent = Agent(host, NAME)
        answer = await agent.join(await client.token(NAME))
        desired = DesiredClient(bus, await bus.bucket(subjects.DESIRED_STATUS), "tenancy")
        async with host.connection(agent.credentials(answer)) as connection:
            made = Told(client, agent, connection, desired)
            made.epoch = (await desired.keys(NAME)).epoch
            yield made


async def test_a_cluster_says_how_far_it_is_with_what_it_should_have(told: Told) -> None:
    await told.beat(desired=Progress(epoch=told.epoch, applied=0))
    await told.report(0)
    assert (await told.condition("Applied"))[1] == {"entries": 0, "applied": 0, "problems": 0}
    result = await told.desired.put(NAME, Want(SPACE))
    verdict, figures = await told.condition("Applying")
    assert (verdict.status, figures) == ("False", {"entries": 1, "applied": 0, "problems": 0})
    problem = Problem(key=result.key, revision=result.revision, state=State.EXISTS, message="x")
    await told.report(result.revision, problem, Exists=1)
    verdict, figures = await told.condition("Problems")
    assert (verdict.status, figures) == ("False", {"entries": 1, "applied": 0, "problems": 1})
    await told.report(result.revision, Applied=1)
    verdict, figures = await told.condition("Applied")
    assert (verdict.status, figures) == ("True", {"entries": 1, "applied": 1, "problems": 0})


async def test_what_changes_while_a_member_is_away_waits_for_it(told: Told) -> None:
    await told.beat(desired=Progress(epoch=told.epoch, applied=0))
    await told.report(0)
    await told.condition("Applied")
    await told.beat(desired=Progress(epoch=told.epoch, applied=0), leaving=True)
    await told.client.ready(NAME, "False")
    await told.desired.put(NAME, Want(SPACE))
    assert (await told.condition("Behind"))[1]["entries"] == 1


async def test_an_agent_without_the_channel_is_said_to_be_too_old(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applied, "MUTE_S", 0.3)
    await told.beat()
    verdict, _ = await told.condition("NotSupported")
    assert verdict.status == "Unknown"
    assert "update the agent" in verdict.message


async def test_a_quiet_member_writes_nothing(told: Told) -> None:
    await told.beat(desired=Progress(epoch=told.epoch, applied=0))
    await told.report(0)
    await told.condition("Applied")
    bucket = await told.client.bus.bucket(subjects.RESOURCES)
    before = await bucket.last_revision()
    for applied_to in range(5):
        await told.beat(desired=Progress(epoch=told.epoch, applied=applied_to))
        await told.report(0)
    await asyncio.sleep(0.5)
    assert await bucket.last_revision() == before
