"""Fixtures of the agent's suite: a member's API server and a host, both real on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from skerry.member import kubeconfig
from skerry.member.credentials import source
from skerry.member.upstream import Upstream
from tests.agent.standin import Host
from tests.fixtures.nats import NatsHost
from tests.member.apiserver import ApiServer


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiServer]:
    """A member's API server."""
    async with ApiServer(tmp_path / "api") as server:
        yield server


@pytest.fixture
async def upstream(api: ApiServer) -> AsyncIterator[Upstream]:
    """The agent's way to it."""
    target = kubeconfig.load(str(api.kubeconfig()))
    made = Upstream(target, source(target))
    yield made
    await made.close()


@pytest.fixture
async def host(nats_host: NatsHost) -> AsyncIterator[Host]:
    """A host with a registry of its own for each test."""
    async with Host(nats_host) as started:
        yield started
