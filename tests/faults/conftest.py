"""Fleets of two towers and two agents, on a bus that a test may restart: one for each module, whole again for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults.fleet import Fleet
from tests.fixtures.nats import NatsHost
from tests.member.apiserver import ApiServer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def federation(nats_host: NatsHost, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """A controller-manager and a member's API server; the rest as a test wants it."""
    async with (
        ApiServer(tmp_path_factory.mktemp("member") / "api") as api,
        Fleet(nats_host, api).running(towers=0, agents=0) as made,
    ):
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def fleet(federation: Fleet) -> Fleet:
    """Two towers, two agents of one member, nothing broken."""
    await federation.whole(towers=2, agents=2)
    return federation


@pytest_asyncio.fixture(loop_scope="module")
async def single(federation: Fleet) -> Fleet:
    """One tower, one agent."""
    await federation.whole(towers=1, agents=1)
    return federation
