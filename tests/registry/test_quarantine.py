"""Members that flood: a proxy's report and too many heartbeats become a condition, which lifts itself."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec
import pytest

from services.registry import clusters
from services.registry.handlers import PENDING, SYNCS
from services.registry.quarantine import HEARTBEATS, HOLD_S
from skerry import subjects
from skerry.api.conditions import QUARANTINED, condition_of
from skerry.api.kinds import CLUSTER
from skerry.api.messages import Heartbeat
from skerry.api.meta import Document
from skerry.api.proxyreports import FloodReport
from skerry.bus import ConnectionLost
from skerry.errors import StatusError, TooManyRequests
from skerry.heartbeats import FLOOD_BEATS
from skerry.identity.creds import Credentials
from skerry.storage import Store
from tests.fixtures.nats import NatsHost, eventually
from tests.registry.conftest import DEADLINE_S, Agent, Client, Running, client_of
from tests.registry.test_restarts import Clock

pytestmark = pytest.mark.integration

SYNCS_AT_ONCE = int(SYNCS[1])


async def joined(host: NatsHost, client: Client, name: str) -> Credentials:
    """A member that has joined."""
    agent = Agent(host, name)
    return agent.credentials(await agent.join(await client.token(name)))


async def quarantined(client: Client, name: str) -> dict[str, Any]:
    """The condition, when it holds."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            for found in ((await client.cluster(name)) or {})["status"]["conditions"]:
                if (found["type"], found["status"]) == (QUARANTINED, "True"):
                    return dict(found)
            await asyncio.sleep(0.02)


async def test_a_proxys_report_becomes_a_condition_that_says_why(nats_host: NatsHost, client: Client) -> None:
    await joined(nats_host, client, "loud")
    await client.bus.publish(subjects.quarantine("loud"), b"")
    found = await quarantined(client, "loud")
    assert found["reason"] == "TunnelFlood"
    assert "frames that belong to nothing" in found["message"]


async def test_a_proxys_report_says_of_what_the_flood_was(nats_host: NatsHost, client: Client) -> None:
    reports = {"beating": FloodReport(of="heartbeats"), "framing": FloodReport(), "newer": FloodReport(of="x")}
    for name, report in reports.items():
        await joined(nats_host, client, name)
        await client.bus.publish(subjects.quarantine(name), msgspec.json.encode(report))
    await joined(nats_host, client, "odd")
    await client.bus.publish(subjects.quarantine("odd"), b"\xff")
    reasons = {name: (await quarantined(client, name))["reason"] for name in (*reports, "odd")}
    assert reasons.pop("beating") == "HeartbeatFlood"
    assert set(reasons.values()) == {"TunnelFlood"}


async def test_a_flood_of_heartbeats_becomes_one_too(nats_host: NatsHost, client: Client) -> None:
    credentials = await joined(nats_host, client, "drumming")
    beat = msgspec.json.encode(Heartbeat(agent="U1", epoch="1", version="0.1.0"))
    async with nats_host.connection(credentials) as connection:
        for _ in range(FLOOD_BEATS + 50):
            await connection.publish(subjects.heartbeat("drumming"), beat)
        assert (await quarantined(client, "drumming"))["reason"] == "HeartbeatFlood"


async def test_a_flood_of_requests_becomes_one_and_holds_up_nobody_elses_heartbeat(
    nats_host: NatsHost, client: Client
) -> None:
    """As fast as one connection goes, at each thing that a member may ask."""
    floods, beats = Agent(nats_host, "asking"), Agent(nats_host, "beating-on")
    flooding = floods.credentials(await floods.join(await client.token("asking")))
    beating = beats.credentials(await beats.join(await client.token("beating-on")))
    asked = (subjects.renewal("asking"), subjects.desired_sync("asking"), subjects.desired_report("asking"))
    payloads = (b'{"nkey":"U","challenge":"c","signature":"s"}', b'{"epoch":"e"}', b'{"epoch":"e","applied":1}')
    async with nats_host.connection(flooding) as connection, nats_host.connection(beating) as other:
        for subject, payload in zip(asked, payloads, strict=True):
            for _ in range(SYNCS_AT_ONCE + FLOOD_BEATS + 100):
                await connection.publish(subject, payload, reply=connection.inbox())
            await beats.beat(other)
        assert (await quarantined(client, "asking"))["reason"] == "RequestFlood"
        conditions = ((await client.cluster("beating-on")) or {})["status"]["conditions"]
        assert QUARANTINED not in {each["type"] for each in conditions}


async def test_rubbish_instead_of_heartbeats_counts_as_well(nats_host: NatsHost, client: Client) -> None:
    credentials = await joined(nats_host, client, "rubbish")
    async with nats_host.connection(credentials) as connection:
        for _ in range(FLOOD_BEATS + 50):
            await connection.publish(subjects.heartbeat("rubbish"), b"\xff" * 100)
        assert (await quarantined(client, "rubbish"))["reason"] == "HeartbeatFlood"


async def test_a_member_cannot_ask_for_the_quarantine_of_another(nats_host: NatsHost, client: Client) -> None:
    credentials = await joined(nats_host, client, "jealous")
    await joined(nats_host, client, "victim")
    async with nats_host.connection(credentials) as connection:
        await connection.publish(subjects.quarantine("victim"), b"")
        await client.bus.publish(subjects.quarantine("jealous"), b"")
        await quarantined(client, "jealous")
    conditions = ((await client.cluster("victim")) or {})["status"]["conditions"]
    assert QUARANTINED not in {each["type"] for each in conditions}


@pytest.mark.parametrize("what", ["hb", "svc.desired"])
async def test_the_bus_takes_no_connection_of_who_floods_until_it_is_over_also_by_another_process(
    fresh_nats_host: NatsHost, what: str
) -> None:
    host, clock = fresh_nats_host, Clock()
    async with Running(host).running(), client_of(host) as client:
        floods, beats = await joined(host, client, "floods"), Agent(host, "beats-on")
        beating = beats.credentials(await beats.join(await client.token("beats-on")))
        async with host.connection(floods) as connection, host.connection(beating) as other:
            async with asyncio.timeout(DEADLINE_S):
                while not connection.lost.done():
                    with contextlib.suppress(ConnectionLost):
                        for _ in range(50):
                            connection.publish_now(f"up.floods.{what}", b"{}", connection.inbox())
                        await asyncio.sleep(0.01)
            assert "connections exceeded" in connection.reason
            await beats.beat(other)
        await quarantined(client, "floods")
    async with Running(host, clock=clock, timers=clock).running():
        with pytest.raises(StatusError):
            async with host.connection(floods):
                pass
        clock.ahead = HOLD_S + 1
        async with asyncio.timeout(DEADLINE_S):
            while True:
                with contextlib.suppress(StatusError):
                    async with host.connection(floods):
                        break


async def test_it_lifts_itself_also_when_the_process_that_imposed_it_is_gone(fresh_nats_host: NatsHost) -> None:
    host, clock = fresh_nats_host, Clock()
    async with Running(host).running(), client_of(host) as client:
        await joined(host, client, "left")
        await client.bus.publish(subjects.quarantine("left"), b"")
        await quarantined(client, "left")
    async with Running(host, clock=clock, timers=clock).running() as process, client_of(host) as client:

        def conditions() -> set[tuple[str, str]]:
            item = process.informer.get(CLUSTER, "left")
            assert item is not None
            return {(each["status"], each["reason"]) for each in item.document()["status"]["conditions"]}

        assert ("True", "TunnelFlood") in conditions()
        clock.ahead = HOLD_S + 1
        await eventually(lambda: ("False", "Lifted") in conditions())


async def test_a_flood_counts_whichever_replica_answers_it(fresh_nats_host: NatsHost) -> None:
    """Requests go to one of them, and one of them writes."""
    host, replicas = fresh_nats_host, {"left": Running(fresh_nats_host), "right": Running(fresh_nats_host)}
    async with replicas["left"].running(), replicas["right"].running(), client_of(host) as client:
        for name in replicas:
            await joined(host, client, name)
        for name, replica in replicas.items():
            for _ in range(SYNCS_AT_ONCE + FLOOD_BEATS + 100):
                with contextlib.suppress(TooManyRequests):
                    replica.parts.handlers.may_ask(name, "syncs")
        for name in replicas:
            assert (await quarantined(client, name))["reason"] == "RequestFlood"


async def test_who_has_more_under_way_than_agents_have_is_refused_and_floods(fresh_nats_host: NatsHost) -> None:
    replica = Running(fresh_nats_host)
    async with replica.running(), client_of(fresh_nats_host) as client:
        await joined(fresh_nats_host, client, "hasty")
        may_ask = replica.parts.handlers.may_ask
        for _ in range(FLOOD_BEATS):
            with pytest.raises(TooManyRequests):
                may_ask("hasty", "syncs", pending=PENDING)
        assert (await quarantined(client, "hasty"))["reason"] == "RequestFlood"


async def test_what_is_stored_is_lifted_by_who_never_heard_why(fresh_nats_host: NatsHost) -> None:
    host, clock = fresh_nats_host, Clock()
    async with Running(host, clock=clock, timers=clock).running() as process, client_of(host) as client:
        await joined(host, client, "unheard")
        condition = clusters.condition(QUARANTINED, HEARTBEATS, clock())

        def imposed(document: Document) -> Document:
            return {**document, "status": {**document["status"], "conditions": [condition]}}

        await Store(await process.bus.bucket(subjects.RESOURCES), CLUSTER).modify("unheard", imposed)
        assert (await quarantined(client, "unheard"))["reason"] == "HeartbeatFlood"
        clock.ahead = HOLD_S + 1
        async with asyncio.timeout(DEADLINE_S):
            while condition_of(await client.cluster("unheard") or {}, QUARANTINED).reason != "Lifted":
                await asyncio.sleep(0.02)
