"""A registry restarts, or is cut off: what it stored of members stands until it knows better. On a real bus."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from services.registry.clock import wall_and_mono
from services.registry.model import BEAT_S, LOST_S, Now
from skerry import heartbeats, subjects
from skerry.bus import Bus, Connection
from skerry.errors import StatusError
from skerry.service import Process
from tests.fixtures.nats import NatsHost, eventually
from tests.registry.conftest import DEADLINE_S, Agent, Client, Running, client_of, events_of
from tests.registry.test_events import said

pytestmark = pytest.mark.integration


class Appointment:
    """One call, on the loop until it comes."""

    def __init__(self, when: float, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.when, self._callback, self._args = when, callback, args
        self._handle: asyncio.TimerHandle | None = None
        self.done = False

    def arm(self, ahead: float) -> None:
        """Wait on the loop's own clock, which is so far behind."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle = asyncio.get_running_loop().call_at(self.when - ahead, self._call)

    def _call(self) -> None:
        self.done = True
        self._callback(*self._args)

    def cancel(self) -> None:
        """Call it off."""
        self.done = True
        if self._handle is not None:
            self._handle.cancel()


class Clock:
    """The process's clocks and timers, and what a test adds to all of them."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._appointments: list[Appointment] = []

    def __call__(self) -> Now:
        now = wall_and_mono()
        return Now(now.mono + self.ahead, now.wall + self.ahead)

    @property
    def ahead(self) -> float:
        """In seconds."""
        return self._ahead

    @ahead.setter
    def ahead(self, seconds: float) -> None:
        self._ahead = seconds
        self._appointments = [each for each in self._appointments if not each.done]
        for each in self._appointments:
            each.arm(seconds)

    def time(self) -> float:
        """Of timers."""
        return asyncio.get_running_loop().time() + self._ahead

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any) -> Appointment:
        """Call when it is that late."""
        made = Appointment(when, callback, args)
        made.arm(self._ahead)
        self._appointments.append(made)
        return made

    async def hurry(self) -> None:
        """Run far too fast, until cancelled."""
        while True:
            self.ahead += 0.5
            await asyncio.sleep(0.02)


class Shore:
    """Members that have joined, each with its agents and their connections, which outlive registries."""

    def __init__(self, host: NatsHost, stack: contextlib.AsyncExitStack) -> None:
        self._host, self._stack = host, stack
        self.agents: list[tuple[Agent, Connection, dict[str, Any]]] = []
        self.barriers = 0

    async def join(self, client: Client, name: str, **facts: Any) -> None:
        """One more agent; Ready when this returns."""
        first = next((agent for agent, *_ in self.agents if agent.name == name), None)
        agent = Agent(self._host, name, first.cluster_uid if first else "")
        answer = await agent.join(await client.token(name, replica=first is not None))
        connection = await self._stack.enter_async_context(self._host.connection(agent.credentials(answer)))
        self.agents.append((agent, connection, facts))
        await agent.beat(connection, **facts)
        await client.ready(name, "True")

    async def beat(self, *which: int) -> None:
        """One heartbeat of each of these agents, as they joined."""
        for agent, connection, facts in (self.agents[each] for each in which):
            await agent.beat_until_answered(connection, **facts)


@pytest.fixture
async def shore(fresh_nats_host: NatsHost) -> AsyncIterator[Shore]:
    """No member yet."""
    async with contextlib.AsyncExitStack() as stack:
        yield Shore(fresh_nats_host, stack)


async def all_settled(shore: Shore, client: Client) -> None:
    """Everything that was heard before is written: the writer takes it in turn, and a member that joins comes last."""
    shore.barriers += 1
    await shore.join(client, f"zz-{shore.barriers}")
    shore.agents.pop()


async def members(client: Client, *names: str) -> list[Any]:
    """The stored Clusters."""
    return [await client.cluster(name) for name in names]


async def replicas(client: Client, name: str, count: int) -> None:
    """Wait until so many agents are counted."""
    async with asyncio.timeout(DEADLINE_S):
        while ((await client.cluster(name)) or {})["status"]["agent"]["replicas"] != count:
            await asyncio.sleep(0.02)


async def answering(client: Client) -> None:
    """Wait until a registry is there again."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            with contextlib.suppress(StatusError):
                await client.token("probe")
                return
            await asyncio.sleep(0.02)


async def told(client: Client) -> set[tuple[str, str]]:
    """(reason, name) of all Events."""
    async with events_of(client) as events:
        return said(events)


async def test_members_that_go_on_beating_do_not_notice_a_restart(fresh_nats_host: NatsHost, shore: Shore) -> None:
    host, names = fresh_nats_host, ("one", "two")
    async with Running(host).running(), client_of(host) as client:
        await shore.join(client, "one")
        await shore.join(client, "two", expires=2_000_000_000)
        await shore.join(client, "two", expires=1_900_000_000)
        await replicas(client, "two", 2)
        await client.bus.publish(subjects.quarantine("one"), b"")
        async with asyncio.timeout(DEADLINE_S):
            while len(((await client.cluster("one")) or {})["status"]["conditions"]) < 4:
                await asyncio.sleep(0.02)
        await all_settled(shore, client)
        before = await members(client, *names)
    clock = Clock()
    async with Running(host, clock=clock, timers=clock).running(), client_of(host) as client:
        assert await members(client, *names) == before
        for first_heard in (0, 2, 1):
            await shore.beat(first_heard)
            await all_settled(shore, client)
            assert await members(client, *names) == before
        clock.ahead = 20.0
        await shore.beat(0, 1, 2)
        clock.ahead = LOST_S + 5
        await client.ready("zz-2", "False")
        assert await members(client, *names) == before
        assert ("NotReady", "one") not in await told(client)
        assert ("NotReady", "two") not in await told(client)


async def test_a_member_that_died_during_a_restart_is_lost_in_time(fresh_nats_host: NatsHost, shore: Shore) -> None:
    host = fresh_nats_host
    async with Running(host).running(), client_of(host) as client:
        for name in ("dead", "alive"):
            await shore.join(client, name)
    dead = shore.agents[0][1]
    dead.abort("killed")
    await dead.closed()
    clock = Clock()
    async with Running(host, clock=clock, timers=clock).running(), client_of(host) as client:
        await all_settled(shore, client)
        await client.ready("dead", "True")
        for _ in range(int(LOST_S / BEAT_S)):
            clock.ahead += BEAT_S
            await shore.beat(1)
        await client.ready("dead", "True")
        clock.ahead = LOST_S + 1
        condition = await client.ready("dead", "False")
        assert condition["reason"] == "HeartbeatLost"
        await client.ready("alive", "True")
        async with asyncio.timeout(DEADLINE_S):
            while ("NotReady", "dead") not in await told(client):
                await asyncio.sleep(0.05)
        assert ("NotReady", "alive") not in await told(client)


async def test_a_member_that_was_away_is_not_back_because_the_registry_lost_its_own_connection(
    fresh_nats_host: NatsHost, shore: Shore
) -> None:
    host, clock = fresh_nats_host, Clock()
    async with Running(host, clock=clock, timers=clock).running(), client_of(host) as client:
        await shore.join(client, "gone")
        shore.agents[0][1].abort("killed")
        await client.ready("gone", "False")
        before = await client.cluster("gone")
        host.restart()
        await answering(client)
        await shore.join(client, "later")
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
            hurrying = tasks.create_task(clock.hurry())
            await client.ready("later", "False")  # all members were looked at, before and after
            hurrying.cancel()
        assert await client.cluster("gone") == before
        assert {name for reason, name in await told(client) if reason == "NotReady"} == {"gone", "later"}


async def test_a_registry_that_stood_still_does_not_take_its_own_silence_for_that_of_members(
    fresh_nats_host: NatsHost, shore: Shore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped, asleep or starved: nobody could be heard meanwhile."""
    monkeypatch.setattr(heartbeats, "STILL_S", 0.5)
    clock = Clock()
    async with Running(fresh_nats_host, clock=clock, timers=clock).running(), client_of(fresh_nats_host) as client:
        await shore.join(client, "one")
        clock.ahead = 10 * LOST_S
        time.sleep(1.0)
        await all_settled(shore, client)
        assert {reason for reason, name in await told(client) if name == "one"} == {"Joined", "Ready"}


class Count:
    """How far each bucket that the registry writes is: one more is one write."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def __call__(self) -> dict[str, int]:
        names = (subjects.RESOURCES, subjects.EVENTS, subjects.DESIRED, subjects.DESIRED_STATUS, "secrets")
        return {name: await (await self._bus.bucket(name)).last_revision() for name in names}


def looked(process: Process) -> dict[str, tuple[int, int]]:
    """Controller -> keys that wait, and reconciles."""
    return {each.controller: (each.depth, each.reconciles) for each in process.metrics()}


async def test_a_restart_with_members_that_beat_writes_nothing_at_all(fresh_nats_host: NatsHost, shore: Shore) -> None:
    """Not a status, an Event, a secret or an entry, from the start until silence would have counted."""
    host, names = fresh_nats_host, [f"m{number:02}" for number in range(12)]
    async with Running(host).running(), client_of(host) as client:
        for name in names:
            await shore.join(client, name)
    async with host.open_bus("test") as bus:
        count, clock = Count(bus), Clock()
        before = await count()
        async with Running(host, clock=clock, timers=clock).running() as process:
            everybody = range(len(names))
            for _ in range(int(LOST_S / BEAT_S) + 2):
                await shore.beat(*everybody)
                clock.ahead += BEAT_S
            await eventually(lambda: looked(process)["registry/clusters"][1] >= len(names))
            await eventually(lambda: all(depth == 0 for depth, _ in looked(process).values()))
            assert process.problem == ""
            assert await count() == before
