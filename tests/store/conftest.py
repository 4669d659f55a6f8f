"""A bucket on a real nats-server, opened with the registry's rights."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from skerry import subjects
from skerry.api.kinds import CLUSTER, KINDS, Kind
from skerry.bus import Bucket, BucketConfig
from skerry.store import Cache, Store
from tests.fixtures.nats import NatsHost


def cluster(name: str, **changes: Any) -> dict[str, Any]:
    """A small Cluster document."""
    return {
        "metadata": {"name": name},
        "spec": {"role": "member", "connection": {"mode": "agent"}},
        **changes,
    }


@contextlib.asynccontextmanager
async def feeding(cache: Cache, bucket: Bucket) -> AsyncIterator[Cache]:
    """`cache`, filled and fed inside."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(cache.feed(bucket))
        async with asyncio.timeout(10):
            await cache.filled.wait()
        yield cache
        task.cancel()


@pytest.fixture
async def bucket(nats_host: NatsHost) -> AsyncIterator[Bucket]:
    """The bucket `resources`."""
    async with nats_host.bus("registry") as bus:
        yield await bus.bucket(subjects.RESOURCES, create=BucketConfig())


@pytest.fixture
def store(bucket: Bucket) -> Store:
    """Clusters."""
    return Store(bucket, CLUSTER)


def kinds() -> Iterable[Kind]:
    """All kinds."""
    return KINDS
