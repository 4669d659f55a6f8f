"""The registry's readiness is what is true now: what cannot be done is seen, and so is that it is done."""

from __future__ import annotations

import os
import signal

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
