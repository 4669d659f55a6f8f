"""Fleets of two towers and two agents, on a bus that a test may kill."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.fleet import Fleet
from tests.fixtures.nats import NatsHost
from tests.member.apiserver import ApiServer


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiServer]:
    """The member's API server."""
    async with ApiServer(tmp_path / "api") as made:
        yield made


@pytest.fixture
async def fleet(fresh_nats_host: NatsHost, api: ApiServer) -> AsyncIterator[Fleet]:
    """Two towers, two agents of one member, nothing broken yet."""
    async with Fleet(fresh_nats_host, api).running(towers=2, agents=2) as made:
        yield made


@pytest.fixture
async def single(fresh_nats_host: NatsHost, api: ApiServer) -> AsyncIterator[Fleet]:
    """One tower, one agent."""
    async with Fleet(fresh_nats_host, api).running() as made:
        yield made
