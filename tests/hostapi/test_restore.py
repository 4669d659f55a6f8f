"""The store is lost and restored into a new bucket while a client-go informer runs: it resumes, and is told the truth."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from skerry import subjects
from skerry.api.kinds import CLUSTER
from skerry.bus import BucketConfig
from skerry.storage.documents import seal
from tests.fixtures.nats import NatsHost
from tests.hostapi.conftest import DEADLINE_S, World
from tests.hostapi.test_clients import informer, said

pytestmark = pytest.mark.integration

ABOVE = 1000
"""Between the last revision that was given out and the first one of the new bucket."""


@pytest.fixture
def nats_host(fresh_nats_host: NatsHost) -> NatsHost:
    """A server of this test's own: it loses its disk."""
    return fresh_nats_host


async def test_an_informer_resumes_on_a_restored_store(world: World, nats_host: NatsHost, tmp_path: Path) -> None:
    last = 0
    for name in ("a", "b"):
        last = await world.made(name)
    kept = [item.document() for item in world.cache.list(CLUSTER)]
    async with informer(world, tmp_path, "clusters") as lines:
        assert sorted(await said(lines, 3)) == ["add a", "add b", "synced"]
        nats_host.kill()
        shutil.rmtree(nats_host.directory / "store")
        nats_host.start()
        async with nats_host.bus("registry") as bus:
            bucket = await bus.bucket(subjects.RESOURCES, create=BucketConfig(first_revision=last + ABOVE))
            for document in kept[:1]:
                key = subjects.key(CLUSTER.group, CLUSTER.kind, "", document["metadata"]["name"])
                await bucket.create(key, seal(document, writes=("restored",)))
            async with asyncio.timeout(DEADLINE_S):
                await world.cache.reached(last + ABOVE)
            assert sorted(await said(lines, 2)) == ["delete b", "update a"]
            await world.made("c")
            assert await said(lines, 1) == ["add c"]
