"""Heartbeats beyond measure, on the bus: the proxy keeps little of them, and asks for quarantine."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from services.proxy.members.heartbeats import MAX_AGENTS
from skerry import subjects
from skerry.api.messages import Heartbeat
from skerry.api.proxyreports import FloodReport
from skerry.bus import Message
from skerry.heartbeats import FLOOD_BEATS
from tests.fixtures.nats import eventually
from tests.proxy.conftest import World

pytestmark = pytest.mark.integration


def beat(agent: str) -> bytes:
    return msgspec.json.encode(Heartbeat(agent=agent, epoch="1", version="0.1.0"))


async def test_a_flood_of_heartbeats_is_counted_and_quarantine_asked_for(host: World) -> None:
    _, credentials = await host.nats.member("loud")
    await host.cluster("loud")
    reports: list[Message] = []
    async with host.nats.bus("registry") as registry, host.nats.connection(credentials) as agent:
        registry.subscribe(subjects.QUARANTINES, reports.append)
        await registry.ready()
        for number in range(16):
            await agent.publish(subjects.heartbeat("loud"), beat(f"{number}" + "x" * 1_900_000))
        for number in range(FLOOD_BEATS + 50):
            await agent.publish(subjects.heartbeat("loud"), beat(f"U{number}"))
        await eventually(lambda: bool(reports))
        assert subjects.member_of(reports[0].subject) == "loud"
        assert msgspec.json.decode(reports[0].data, type=FloodReport).of == "heartbeats"
        assert len(host.proxy.heartbeats._beats.get("loud", {})) <= MAX_AGENTS
        assert len((await host.ask(b"/clusters/m1/version")).body) > 0


async def test_after_its_own_outage_a_proxy_says_nothing_of_how_long_members_are_silent(host: World) -> None:
    _, credentials = await host.nats.member("quiet")
    await host.cluster("quiet")
    async with host.nats.connection(credentials) as agent:
        await agent.publish(subjects.heartbeat("quiet"), beat("UA"))
        await eventually(lambda: bool(host.proxy.heartbeats.live("quiet")))
        (await host.proxy._bus.connection(5)).abort("cut by the test")
        await eventually(lambda: not host.proxy.heartbeats.live("quiet"))
        async with asyncio.timeout(10):
            while not host.proxy.heartbeats.live("quiet"):
                await agent.publish(subjects.heartbeat("quiet"), beat("UA"))
                await asyncio.sleep(0.05)
