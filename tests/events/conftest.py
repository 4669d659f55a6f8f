"""What tests of webhooks share."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from skerry.api.kinds import EVENT_SINK
from tests.events.receiver import Receiver, receiver
from tests.events.world import World, world
from tests.fixtures.nats import NatsHost


@pytest.fixture
def clock() -> Callable[[], float]:
    """The service's."""
    return time.time


@pytest.fixture
async def one(nats_host: NatsHost, clock: Callable[[], float], to: Receiver) -> AsyncIterator[World]:
    """A service whose sinks are gone at the end, before what they are sent to."""
    async with world(nats_host, clock) as made:
        yield made
        for each in list(made.process.informer.list(EVENT_SINK)):
            await made.write("delete", each.name)
            await made.gone(each.name)


@pytest.fixture
async def to(tmp_path: Path) -> AsyncIterator[Receiver]:
    """Who is sent to."""
    async with receiver(tmp_path / "receiver") as made:
        yield made
