"""A registry that starts beside agents that are connected already: it asks the bus for their connections. On a real bus."""

from __future__ import annotations

import asyncio

import pytest

from services.registry.model import SUSPECT_S, UNCOUNTED_SUSPECT_S
from skerry.identity import resolver
from skerry.service import Process
from tests.fixtures.nats import NatsHost
from tests.registry.conftest import Client, Running, client_of
from tests.registry.test_fleet import figure
from tests.registry.test_restarts import Clock, Shore, shore

pytestmark = pytest.mark.integration
__all__ = ["shore"]

CONTROLLER = "registry/connections"
ROUNDS = 3
"""It is seen that listening began anew, asked, and there is nothing more to ask."""


async def asked(process: Process, clock: Clock, since: int = 0) -> None:
    """Let time pass, a little, until the bus was asked."""
    while figure(process, CONTROLLER, "reconciles") < since + ROUNDS:
        clock.ahead += 0.05
        await asyncio.sleep(0.01)


async def away(client: Client, name: str, clock: Clock, within_s: float) -> str:
    """The reason for which a member is not ready any more; fails if so much time was not enough."""
    end = clock().mono + within_s
    while clock().mono < end:
        clock.ahead += 0.1
        for each in ((await client.cluster(name)) or {}).get("status", {}).get("conditions", []):
            if (each["type"], each["status"]) == ("Ready", "False"):
                return str(each["reason"])
    raise AssertionError(f"{name} is ready after {within_s} s")


async def test_an_agent_that_was_there_before_the_registry_is_missed_as_soon_as_one_that_came_later(
    fresh_nats_host: NatsHost, shore: Shore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "PAGE", 3)
    monkeypatch.setattr(resolver, "OVERLAP", 1)
    clock = Clock()
    async with Running(fresh_nats_host).running(), client_of(fresh_nats_host) as client:
        for number in range(5):
            await shore.join(client, f"m{number}")
        await shore.join(client, "m4")
    async with (
        Running(fresh_nats_host, clock=clock, timers=clock).running() as process,
        client_of(fresh_nats_host) as client,
    ):
        await asked(process, clock)
        await shore.beat(*range(6))
        for agent, connection, _ in shore.agents[:5]:
            connection.abort()
            if agent.name != "m4":
                assert await away(client, agent.name, clock, UNCOUNTED_SUSPECT_S - SUSPECT_S) == "AgentDisconnected"
        assert (await client.ready("m4", "True"))["reason"] == "AgentConnected"
        shore.agents[5][1].abort()
        assert await away(client, "m4", clock, UNCOUNTED_SUSPECT_S - SUSPECT_S) == "AgentDisconnected"


async def test_a_service_of_the_host_is_no_connection_of_a_member_that_has_its_name(
    fresh_nats_host: NatsHost, shore: Shore
) -> None:
    clock = Clock()
    async with Running(fresh_nats_host).running(), client_of(fresh_nats_host) as client:
        await shore.join(client, "proxy")
    async with (
        client_of(fresh_nats_host) as client,
        Running(fresh_nats_host, clock=clock, timers=clock).running() as process,
        fresh_nats_host.bus("proxy") as another,
    ):
        await another.ready()
        await asked(process, clock)
        await shore.beat(0)
        shore.agents[0][1].abort()
        assert await away(client, "proxy", clock, UNCOUNTED_SUSPECT_S - SUSPECT_S) == "AgentDisconnected"
