"""What tests of appliers share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from skerry.member.credentials import source
from skerry.member.kubeconfig import load
from skerry.member.upstream import Upstream
from tests.desired.cluster import Cluster
from tests.kube.member import Member


@pytest.fixture
async def cluster(plain_cluster: Member) -> AsyncIterator[Cluster]:
    target = load(str(plain_cluster.kubeconfig))
    upstream = Upstream(target, source(target))
    made = Cluster(upstream)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(made.applier.run())
        yield made
        task.cancel()
    await made.ask("DELETE", f"/api/v1/namespaces/{made.namespace}")
    await upstream.close()
