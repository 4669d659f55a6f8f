"""The registry's readiness is what is true now: a round that fails is seen, and so is the one that does not any more."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from services.registry import controller, service
from services.registry.model import Now
from services.registry.settings import RegistrySettings
from skerry.bus import Bus
from tests.fixtures.nats import NatsHost, eventually
from tests.registry.conftest import HOST_UID, client_of

pytestmark = pytest.mark.integration


async def test_a_round_that_fails_is_not_ready_until_one_succeeds(
    fresh_nats_host: NatsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller, "ROUND_S", 0.2)
    host, stop, said, later_s = fresh_nats_host, asyncio.Event(), list[str](), 0.0
    settings = RegistrySettings(
        keys_dir=host.keys_dir, host_uid=HOST_UID, host_name="isle", bus_public=list(host.servers)
    )
    system = Bus(host.settings("system"), host.system)
    async with host.bus("registry") as bus, system, asyncio.TaskGroup() as tasks:
        tasks.create_task(
            service.run(
                bus, system, settings, host.authority, host.ca_pem, said.append, stop,
                clock=lambda: Now(time.monotonic(), time.time() + later_s),
            )
        )  # fmt: skip
        await eventually(lambda: said[-1:] == [""])
        async with client_of(host) as client:
            await client.token("late")
            os.kill(host.pid, signal.SIGSTOP)
            later_s = 7 * 24 * 3600.0
            try:
                await eventually(lambda: said[-1] != "", 20)
            finally:
                os.kill(host.pid, signal.SIGCONT)
            await eventually(lambda: said[-1] == "", 20)
        stop.set()
    assert said[-1] == "stopping"
