"""Room for packages on a real bus: what nobody can read any more goes by itself."""

from __future__ import annotations

import asyncio

import pytest

from services.appstore.catalogue import sweeping
from skerry import subjects
from tests.appstore.world import world
from tests.fixtures.nats import NatsHost

pytestmark = pytest.mark.integration


async def test_the_service_sweeps_what_a_killed_writer_left(
    fresh_nats_host: NatsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.appstore.packages.GRACE_S", -1.0)
    monkeypatch.setattr(sweeping, "CHUNKS_EVERY_S", 0.1)
    async with world(fresh_nats_host) as running:
        objects = await running.process.bus.objects(subjects.PACKAGES)
        await objects._publish(objects._chunks("orphan"), b"left")
        async with asyncio.timeout(10):
            while (await objects.info())["state"]["messages"]:
                await asyncio.sleep(0.05)
