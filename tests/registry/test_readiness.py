"""The registry's readiness is what is true now: what cannot be done is seen, and so is that it is done."""

from __future__ import annotations

import os
import signal

import msgspec
import pytest

from skerry.api.kinds import JOIN_TOKEN
from tests.fixtures.nats import NatsHost, eventually
from tests.registry.conftest import Running, client_of
from tests.registry.test_restarts import Clock

pytestmark = pytest.mark.integration


async def test_while_the_store_does_not_answer_it_is_not_ready_and_what_waits_is_done_afterwards(
    fresh_nats_host: NatsHost,
) -> None:
    host, clock = fresh_nats_host, Clock()
    async with Running(host, clock=clock, timers=clock).running() as process, client_of(host) as client:
        await client.token("late")
        await eventually(lambda: process.informer.list(JOIN_TOKEN))
        os.kill(host.pid, signal.SIGSTOP)
        clock.ahead = 7 * 24 * 3600.0
        try:
            await eventually(lambda: process.problem != "", 30)
        finally:
            os.kill(host.pid, signal.SIGCONT)
        await eventually(lambda: not process.problem and not process.informer.list(JOIN_TOKEN), 30)


async def test_what_an_action_answers_is_what_discovery_shows_of_it(fresh_nats_host: NatsHost) -> None:
    async with Running(fresh_nats_host).running() as process, fresh_nats_host.open_bus("asking") as bus:
        assert not process.problem
        info = msgspec.json.decode((await bus.request("$SRV.INFO.registry")).data)
    answers = {
        each["subject"]: msgspec.json.decode(each["metadata"]["answer"])["$ref"].rpartition("/")[2]
        for each in info["endpoints"]
        if each["subject"].startswith("registry.clusters.")
    }
    assert answers == {
        "registry.clusters.update": "WriteAnswer",
        "registry.clusters.patch": "WriteAnswer",
        "registry.clusters.delete": "WriteAnswer",
        "registry.clusters.connection-create": "Cluster",
        "registry.clusters.connection-update": "Cluster",
        "registry.clusters.desired-get": "DesiredEntryList",
        "registry.clusters.agents-get": "ClusterAgentList",
        "registry.clusters.approve-create": "Cluster",
        "registry.clusters.deny-create": "Cluster",
        "registry.clusters.rekey-create": "Cluster",
        "registry.clusters.revoke-agent-create": "Cluster",
    }
