"""Conditions beside Ready on a real bus: clocks that are off, members that come and go, versions."""

from __future__ import annotations

import time
from email.utils import formatdate

import msgspec
import pytest

from skerry.http.exchange import Exchange
from tests.fixtures.nats import NatsHost
from tests.member.apiserver import JSON, ApiServer
from tests.registry.conftest import Agent, Client, connect
from tests.registry.test_direct import api, condition, given

pytestmark = pytest.mark.integration
__all__ = ["api"]


async def test_an_agent_whose_clock_is_off_is_told_of_and_stays_ready(nats_host: NatsHost, client: Client) -> None:
    agent = Agent(nats_host, "late")
    answer = await agent.join(await client.token("late"))
    async with nats_host.connection(agent.credentials(answer)) as connection:
        await agent.beat(connection, clock_s=0.1)
        await condition(client, "late", "ClockSynced", "InSync")
        await agent.beat(connection, clock_s=-3700.0)
        found = await condition(client, "late", "ClockSynced", "Behind")
        assert "more than an hour behind" in found["message"]
        assert (await client.ready("late", "True"))["reason"] == "AgentConnected"
        await agent.beat(connection, clock_s=3.0)
        await condition(client, "late", "ClockSynced", "InSync")
        for kind, reason in (
            ("VersionSupported", "Supported"), ("CertificateValid", "NoCertificate"),
        ):  # fmt: skip
            await condition(client, "late", kind, reason)
        await agent.beat(connection, expires=int(time.time()) + 3600)
        await condition(client, "late", "CredentialsValid", "ExpiresSoon")
        await agent.beat(connection, server_certificate=time.time() - 5, client_certificate=time.time() + 3600)
        await condition(client, "late", "CertificateValid", "Expired")
        await client.ready("late", "True")
        await agent.beat(connection, server_certificate=1e300, client_certificate=time.time() + 3600)
        await condition(client, "late", "CertificateValid", "ExpiresSoon")


async def test_a_direct_member_whose_clock_is_off_is_told_of_and_stays_ready(client: Client, api: ApiServer) -> None:
    async def version(exchange: Exchange) -> None:
        headers = [*JSON, (b"date", formatdate(time.time() + 3700, usegmt=True).encode())]
        await exchange.respond(200, headers, msgspec.json.encode({"gitVersion": "v1.29.0"}))

    api.routes["/version"] = version
    await connect(client, "create", "early", given(api))
    await condition(client, "early", "ClockSynced", "Ahead")
    await condition(client, "early", "VersionSupported", "KubernetesTooOld")
    await condition(client, "early", "CertificateValid", "Valid")
    await client.ready("early", "True")


async def test_a_member_that_comes_and_goes_is_flapping_and_ready_stays_true_to_the_moment(
    nats_host: NatsHost, client: Client
) -> None:
    agent = Agent(nats_host, "restive")
    answer = await agent.join(await client.token("restive"))
    async with nats_host.connection(agent.credentials(answer)) as connection:
        for _ in range(2):
            await agent.beat(connection)
            await client.ready("restive", "True")
            await agent.beat(connection, healthy=False, message="down")
            await client.ready("restive", "False")
        found = await condition(client, "restive", "Flapping", "ReadyChanges")
        assert (found["status"], "changed 4 times" in found["message"]) == ("True", True)
        await agent.beat(connection)
        await client.ready("restive", "True")
