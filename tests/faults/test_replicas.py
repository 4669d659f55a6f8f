"""Several towers and several agents of one member: any serves, none is needed, and leaving loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time

import pytest

from skerry.errors import StatusError
from skerry.http import Cut, HttpError, Response
from tests.faults.fleet import EXEC, PODS, WATCH, Fleet, Strait, Tower, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]


PAUSE_S = 0.01
"""Between two requests of a client: while processes start, six that never rest would cost more than they show."""


async def watching(tower: Tower) -> Response:
    """A watch that has delivered its first event."""
    response = await tower.open(WATCH)
    assert await response.read() == b'{"type":"BOOKMARK"}\n'
    return response


async def cut_within(response: Response, seconds: float) -> float:
    """The response must break, never end; how long that took."""
    started = time.monotonic()
    with pytest.raises(Cut):
        await asyncio.wait_for(_whole(response), seconds)
    return time.monotonic() - started


async def _whole(response: Response) -> None:
    while await response.read():
        pass


class Load:
    """Clients that change things through any tower, as kubectl behind a load balancer does.

    A connection that is refused, and a 503 that says with Retry-After that nothing was executed, go elsewhere, as
    client-go does; anything else that is not a success is a loss.
    """

    def __init__(self, fleet: Fleet, clients: int = 6) -> None:
        self._fleet, self._clients = fleet, clients
        self._stop = asyncio.Event()
        self.done = 0
        self.losses: list[str] = []

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(self._clients)]
        await until(lambda: self.done > 20, "a load")
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def more(self, count: int = 50) -> None:
        """Wait for so many more successes."""
        wanted = self.done + count
        await until(lambda: self.done >= wanted or self.losses, f"{count} more requests")

    async def _client(self, number: int) -> None:
        turn = number
        while not self._stop.is_set():
            turn += 1
            await asyncio.sleep(PAUSE_S)
            name = b"%d-%d" % (number, turn)
            await self._until_executed(turn, name)

    async def _until_executed(self, turn: int, name: bytes) -> None:
        for attempt in range(100):
            towers = [tower for tower in self._fleet.towers if tower.alive]
            tower = towers[(turn + attempt) % len(towers)]
            try:
                answer = await tower.ask(PODS, b"POST", name)
            except ConnectionRefusedError:
                continue
            except HttpError as error:
                if "connect" not in str(error).lower():
                    self.losses.append(f"{name!r}: {error!r}")
                    return
                continue
            if answer.status == 200:
                self.done += 1
                return
            if answer.status != 503 or not answer.says_retry:
                self.losses.append(f"{name!r}: {answer.status} {answer.text}")
                return
        self.losses.append(f"{name!r}: no tower took it")


async def longest(tower: Tower) -> float:
    """Of ten requests the one that took the longest, in seconds."""
    times = []
    for _ in range(10):
        started = time.monotonic()
        assert (await tower.ask_again(PODS)).status == 200
        times.append(time.monotonic() - started)
    return max(times)


async def test_any_tower_reaches_the_member_through_any_agent(fleet: Fleet) -> None:
    for agent in fleet.agents:
        agent.signal(signal.SIGSTOP)
        for tower in fleet.towers:
            await fleet.working(tower, 5)
        agent.signal(signal.SIGCONT)
        for tower in fleet.towers:
            await fleet.working(tower, 5)


async def test_streams_of_a_killed_agent_are_reset_within_three_seconds_and_the_next_request_works(
    fleet: Fleet,
) -> None:
    watches = [await watching(tower) for tower in fleet.towers for _ in range(4)]
    await fleet.agents[0].kill()
    started = time.monotonic()
    for tower in fleet.towers:
        for method in (b"GET", b"POST"):
            assert (await tower.ask(PODS, method, b"x" if method == b"POST" else None)).status == 200
    assert time.monotonic() - started < 3
    assert await until(lambda: fleet.member.left, "the dead agent's connections are closed") <= len(watches)
    await fleet.agents[1].kill()
    await asyncio.gather(*(cut_within(response, 3) for response in watches))


async def test_without_any_agent_the_answer_is_503_at_once_and_says_that_nothing_was_executed(fleet: Fleet) -> None:
    for agent in fleet.agents:
        await agent.kill()
    for tower in fleet.towers:
        started = time.monotonic()
        answer = await tower.ask(PODS, b"POST", b"x")
        assert (answer.status, "is away" in answer.text, "nothing was executed" in answer.text) == (503, True, True)
        assert time.monotonic() - started < 2
    assert fleet.member.executed == []


async def test_streams_of_a_killed_tower_end_at_the_member_and_the_other_tower_serves(fleet: Fleet) -> None:
    first, second = fleet.towers
    watches = [await watching(first) for _ in range(4)]
    other = await watching(second)
    await first.kill()
    assert (await second.ask(PODS)).status == 200
    for response in watches:
        with pytest.raises(HttpError):
            async with asyncio.timeout(3):
                await response.read()
    await until(lambda: fleet.member.left == 4, "the watches are let go of at the member", 4)
    assert fleet.member.watching == 5
    other.abort()


async def test_a_rolling_restart_of_agents_loses_no_request(fleet: Fleet) -> None:
    async with Load(fleet) as load:
        for old in list(fleet.agents):
            await fleet.agent()
            assert await old.stop() == 0
            await load.more()
    assert load.losses == []
    assert len(fleet.member.executed) == len(set(fleet.member.executed))


async def test_a_rolling_restart_of_towers_loses_no_request(fleet: Fleet) -> None:
    async with Load(fleet) as load:
        for old in list(fleet.towers):
            await fleet.tower()
            assert await old.stop() == 0
            fleet.towers.remove(old)
            await old.client.close()
            await load.more()
    assert load.losses == []
    assert len(fleet.member.executed) == len(set(fleet.member.executed))


async def test_the_bus_restarts_and_all_recover_alone_within_ten_seconds(fleet: Fleet) -> None:
    watch = await watching(fleet.towers[0])
    fleet.nats.restart()
    started = time.monotonic()
    await cut_within(watch, 3)
    for tower in fleet.towers:
        await fleet.working(tower, 10)
    for agent in fleet.agents:
        agent.signal(signal.SIGSTOP)
        await fleet.working(fleet.towers[0], 10)
        agent.signal(signal.SIGCONT)
    assert time.monotonic() - started < 10


async def test_a_stopped_agent_never_makes_a_request_wait_beyond_its_times(fleet: Fleet) -> None:
    tower = fleet.towers[0]
    fleet.agents[0].signal(signal.SIGSTOP)
    try:
        times = []
        for _ in range(12):
            started = time.monotonic()
            assert (await tower.ask(PODS)).status == 200
            times.append(time.monotonic() - started)
    finally:
        fleet.agents[0].signal(signal.SIGCONT)
    assert max(times) < 2.5, times
    assert sorted(times)[len(times) // 2] < 0.5, times


async def test_a_tower_that_is_stopped_leaves_nothing_behind_at_the_member(fleet: Fleet) -> None:
    first, second = fleet.towers
    response = await watching(first)
    first.signal(signal.SIGSTOP)
    try:
        await until(lambda: fleet.member.left == 1, "its watch is let go of", 8)
        assert (await second.ask(PODS)).status == 200
    finally:
        first.signal(signal.SIGCONT)
    with contextlib.suppress(HttpError, StatusError):
        async with asyncio.timeout(8):
            while await response.read():
                pass
    await fleet.working(first, 10)


async def test_the_controller_manager_may_be_away_while_requests_flow(fleet: Fleet) -> None:
    assert fleet.manager is not None
    await fleet.manager.kill()
    for tower in fleet.towers:
        assert (await tower.ask(PODS, b"POST", b"without it")).status == 200
    await fleet.controller()
    assert all(process.alive for process in (*fleet.towers, *fleet.agents))


async def test_an_exec_in_progress_has_its_grace_when_its_agent_leaves(single: Fleet) -> None:
    (tower,) = single.towers
    response = await tower.open(EXEC, upgrade=b"websocket")
    assert response.raw is not None
    await response.raw.write(b"before")
    assert await response.raw.read() == b"before"
    single.agents[0].signal(signal.SIGTERM)
    await single.agents[0].logged("stopping")
    await response.raw.write(b"after")
    assert await response.raw.read() == b"after"
    await response.raw.write_eof()
    assert await response.raw.read() == b""
    assert await single.agents[0].ended() == 0


async def test_a_change_that_a_stopped_agent_got_is_504_and_is_not_executed_when_it_wakes(single: Fleet) -> None:
    (tower,), (agent,) = single.towers, single.agents
    agent.signal(signal.SIGSTOP)
    started = time.monotonic()
    answer = await tower.ask(PODS, b"POST", b"too late")
    assert (answer.status, "outcome unknown" in answer.text) == (504, True)
    assert time.monotonic() - started < 2.5
    assert not answer.says_retry
    assert (await tower.ask(b"/clusters/m1/version")).status == 503  # behind the word that nobody waits for the change
    agent.signal(signal.SIGCONT)
    await single.working(tower, 10)
    assert single.member.executed == []


async def test_watches_of_a_stopped_agent_are_reset_when_it_misses_its_pings(single: Fleet) -> None:
    response = await watching(single.towers[0])
    single.agents[0].signal(signal.SIGSTOP)
    try:
        await cut_within(response, 6)
    finally:
        single.agents[0].signal(signal.SIGCONT)
    await until(lambda: single.member.left == 1, "the watch ends at the member too", 10)


async def test_an_agent_behind_a_half_open_connection_delays_nobody_and_returns_alone(single: Fleet) -> None:
    tower = single.towers[0]
    async with Strait(single.nats.port) as strait:
        far = await single.agent(port=strait.port)
        await single.warm()
        before = await longest(tower)
        strait.freeze()
        assert await longest(tower) < 2.5 + 10 * before
        strait.thaw()
        await single.agents[0].stop()
        await single.working(tower, 20)
        assert far.alive
