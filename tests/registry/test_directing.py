"""What agents are told of desired state: how far the bucket is, and which of them applies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from services.registry.directing import SURE_S, Directions
from services.registry.model import LOST_S, Now, PresenceTable
from skerry.api.messages import Heartbeat
from skerry.controller.controller import Controller
from skerry.errors import ServiceUnavailable

EPOCH = "1"


class Bucket:
    """How far it is for each member, and how often it was asked."""

    epoch = "e1"

    def __init__(self) -> None:
        self.last: dict[str, int] = {}
        self.asked: list[str] = []
        self.away = False

    def exists(self, member: str) -> bool:
        """Whether it is a member: of any name."""
        return True

    async def last_revision(self, member: str) -> int:
        """As the registry's part answers."""
        self.asked.append(member)
        if self.away:
            raise ServiceUnavailable("the bus is away")
        return self.last.get(member, 0)


class Directed:
    """Directions of a registry with member m1, and a clock that a test moves."""

    def __init__(self) -> None:
        self.bucket, self.presence, self.seconds = Bucket(), PresenceTable(), 0.0
        self.presence.know("m1", "o1", "u1", self.now(), fresh=True)
        context: Any = SimpleNamespace(controller=lambda name, look, workers: Controller(name, look, workers=workers))
        self.directions = Directions(context, self.bucket, self.presence, self.now)  # type: ignore[arg-type]

    def now(self) -> Now:
        """Both clocks."""
        return Now(1000.0 + self.seconds, 1_800_000_000.0 + self.seconds)

    def beat(self, agent: str, epoch: str = EPOCH, **more: Any) -> None:
        """An agent is heard."""
        beat = Heartbeat(agent=agent, epoch=epoch, version="0.1.0", cluster_uid="u1", **more)
        self.presence.heartbeat("m1", beat, self.now())

    def changed(self, revision: str, member: str = "m1") -> None:
        """A change was published again."""
        message: Any = SimpleNamespace(subject=f"down.{member}.desired.x", headers={"Nats-Sequence": revision})
        self.directions.heard(message)

    async def until(self, last: int) -> None:
        """Wait until the last revision is known."""
        async with asyncio.timeout(5):
            while self.directions.of("m1", "UA", EPOCH).last != last:
                await asyncio.sleep(0)


@pytest.fixture
async def directed() -> AsyncIterator[Directed]:
    made = Directed()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(made.directions.controller.run())
        yield made
        task.cancel()


async def test_one_agent_leads_and_of_several_the_one_with_the_smallest_key(directed: Directed) -> None:
    assert directed.directions.of("m1", "UB", EPOCH).lead
    directed.beat("UB")
    directed.beat("UA")
    assert [directed.directions.of("m1", agent, EPOCH).lead for agent in ("UA", "UB")] == [True, False]


async def test_of_two_replicas_with_one_key_one_leads(directed: Directed) -> None:
    for epoch in ("2", "1", "2"):
        directed.beat("UA", epoch)
    assert [directed.directions.of("m1", "UA", epoch).lead for epoch in ("1", "2")] == [True, False]
    directed.beat("UA", "1", leaving=True)
    assert directed.directions.of("m1", "UA", "2").lead


async def test_an_agent_that_left_or_fell_silent_leads_no_more(directed: Directed) -> None:
    directed.beat("UA", leaving=True)
    directed.beat("UB")
    assert directed.directions.of("m1", "UB", EPOCH).lead
    directed.beat("UA")
    directed.seconds = LOST_S + 1
    directed.beat("UB")
    assert directed.directions.of("m1", "UB", EPOCH).lead


async def test_the_last_revision_is_asked_for_once_and_then_heard(directed: Directed) -> None:
    directed.bucket.last["m1"] = 7
    first = directed.directions.of("m1", "UA", EPOCH)
    assert (first.epoch, first.last) == ("e1", 0)
    await directed.until(7)
    directed.changed("9")
    directed.changed("8")
    directed.changed("nonsense")
    directed.changed("99", member="m2")
    assert directed.directions.of("m1", "UA", EPOCH).last == 9
    assert directed.bucket.asked == ["m1"]


async def test_what_may_have_been_missed_is_asked_for_again(directed: Directed) -> None:
    await directed.until(0)
    async with asyncio.timeout(5):
        while not directed.bucket.asked:
            await asyncio.sleep(0)
    directed.bucket.last["m1"] = 12
    directed.seconds = SURE_S + 1
    await directed.until(12)


async def test_a_bucket_that_does_not_answer_is_asked_at_the_next_heartbeat(directed: Directed) -> None:
    directed.bucket.away = True
    directed.directions.of("m1", "UA", EPOCH)
    async with asyncio.timeout(5):
        while not directed.bucket.asked:
            await asyncio.sleep(0)
    directed.bucket.away = False
    directed.bucket.last["m1"] = 3
    await directed.until(3)
