"""One leader at a time, on clocks that the test moves; and the same on a real bucket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry.bus import BucketConfig
from skerry.controller.lease import HELD_S, RENEW_S, Lease
from skerry.errors import AlreadyExists, Conflict, GatewayTimeout, ServiceUnavailable
from tests.controller.clock import Clock, settle
from tests.fixtures.nats import NatsHost


class Stored:
    """An entry of the bucket in memory."""

    def __init__(self, value: bytes | None, revision: int) -> None:
        self.value, self.revision = value, revision


class Memory:
    """A bucket in memory, held against the real one by `test_the_bucket_in_memory_behaves_like_a_real_one`."""

    def __init__(self) -> None:
        self.entries: dict[str, Stored] = {}
        self.revision = 0
        self.away = False
        self.loses_answers = False
        self.breaks = False

    def _reach(self) -> None:
        if self.breaks:
            raise RuntimeError("a bug")
        if self.away:
            raise GatewayTimeout("no answer")

    def _put(self, key: str, value: bytes | None) -> int:
        self.revision += 1
        self.entries[key] = Stored(value, self.revision)
        if self.loses_answers:
            raise GatewayTimeout("the answer was lost")
        return self.revision

    async def get(self, key: str) -> Stored | None:
        self._reach()
        entry = self.entries.get(key)
        return None if entry is None or entry.value is None else entry

    async def create(self, key: str, value: bytes) -> int:
        self._reach()
        if await self.get(key) is not None:
            raise AlreadyExists(key)
        return self._put(key, value)

    async def update(self, key: str, value: bytes, revision: int) -> int:
        self._reach()
        entry = self.entries.get(key)
        if entry is None or entry.revision != revision:
            raise Conflict(key)
        return self._put(key, value)

    async def delete(self, key: str, revision: int) -> int:
        self._reach()
        entry = self.entries.get(key)
        if entry is None or entry.revision != revision:
            raise Conflict(key)
        return self._put(key, None)


class Replica:
    """A process with a lease and a clock of its own, whose way to the bucket can be cut."""

    def __init__(self, bucket: Memory, name: str) -> None:
        self.clock = Clock()
        self.way = Way(bucket)
        self.lease = Lease(self.way, "registry", name, clock=self.clock.time, timers=self.clock)
        self.task = asyncio.ensure_future(self.lease.run())


class Way(Memory):
    """One process's way to a bucket: it can be cut, or lose answers, for that process alone."""

    def __init__(self, bucket: Memory) -> None:
        super().__init__()
        self.bucket = bucket
        self.asked = 0

    async def get(self, key: str) -> Stored | None:
        self.asked += 1
        self._reach()
        return await self.bucket.get(key)

    async def create(self, key: str, value: bytes) -> int:
        self._reach()
        return self._answered(await self.bucket.create(key, value))

    async def update(self, key: str, value: bytes, revision: int) -> int:
        self._reach()
        return self._answered(await self.bucket.update(key, value, revision))

    async def delete(self, key: str, revision: int) -> int:
        self._reach()
        return self._answered(await self.bucket.delete(key, revision))

    def _answered(self, revision: int) -> int:
        if self.loses_answers:
            raise GatewayTimeout("the answer was lost")
        return revision


@contextlib.asynccontextmanager
async def replicas(count: int) -> AsyncIterator[list[Replica]]:
    bucket = Memory()
    made = [Replica(bucket, f"r{number}") for number in range(count)]
    await settle()
    yield made
    for replica in made:
        replica.task.cancel()
    await asyncio.wait([replica.task for replica in made])


async def pass_(group: list[Replica], seconds: float, step: float = 0.25) -> None:
    """Time passes for all of them."""
    for _ in range(round(seconds / step)):
        for replica in group:
            await replica.clock.pass_(step)


def leaders(group: list[Replica]) -> list[int]:
    return [number for number, replica in enumerate(group) if replica.lease.held]


async def test_one_of_three_leads_and_goes_on_leading() -> None:
    async with replicas(3) as group:
        await pass_(group, 60)
        assert leaders(group) == [0]
        assert {replica.lease.leader for replica in group} == {"r0"}


@pytest.mark.parametrize("when", [10.0, 10.5, 11.0, 11.5, 11.9])
async def test_a_dead_leader_is_followed_within_five_seconds_whenever_it_dies(when: float) -> None:
    async with replicas(3) as group:
        await pass_(group, when, 0.1)
        group[0].task.cancel()
        await settle()
        await pass_(group[1:], 5.0, 0.1)
        assert len(leaders(group[1:])) == 1


async def test_who_waits_asks_for_little() -> None:
    async with replicas(2) as group:
        await pass_(group, 10)
        before = group[1].way.asked
        await pass_(group, 60)
        assert group[1].way.asked - before <= 3 * 60 / RENEW_S


async def test_who_gives_it_up_is_followed_at_the_next_look() -> None:
    async with replicas(2) as group:
        await pass_(group, 10)
        group[0].task.cancel()
        await settle()
        await group[0].lease.release()
        await pass_(group[1:], RENEW_S + 0.25)
        assert group[1].lease.held


async def test_a_leader_that_was_stopped_knows_it_at_once_when_it_wakes_and_writes_nothing() -> None:
    async with replicas(2) as group:
        await pass_(group, 10)
        group[0].clock.now += 60
        with pytest.raises(ServiceUnavailable, match="does not lead registry any more"):
            group[0].lease.check()
        await pass_(group[1:], 60)
        await pass_(group, 20)
        assert leaders(group) == [1]


async def test_a_leader_that_is_cut_off_stops_before_another_may_begin() -> None:
    async with replicas(2) as group:
        await pass_(group, 10)
        group[0].way.away = True
        for _ in range(40):
            await pass_(group, 0.25)
            assert len(leaders(group)) <= 1
        assert leaders(group) == [1]
        group[0].way.away = False
        await pass_(group, 20)
        assert leaders(group) == [1]


async def test_a_lost_answer_does_not_end_a_leadership() -> None:
    async with replicas(2) as group:
        await pass_(group, 10)
        for _ in range(5):
            group[0].way.loses_answers = True
            await pass_(group, RENEW_S)
            group[0].way.loses_answers = False
            await pass_(group, RENEW_S)
            assert leaders(group) == [0]


async def test_who_waits_for_a_change_is_told_of_both_directions() -> None:
    async with replicas(1) as group:
        lease = group[0].lease
        assert lease.held
        change = asyncio.ensure_future(lease.changed())
        group[0].way.away = True
        await group[0].clock.pass_(HELD_S + 0.1)
        assert change.done()
        assert not lease.held
        change = asyncio.ensure_future(lease.changed())
        group[0].way.away = False
        await group[0].clock.pass_(RENEW_S + 0.1)
        assert change.done()
        assert lease.held


async def test_a_bug_in_a_look_is_logged_and_the_next_look_comes(caplog: pytest.LogCaptureFixture) -> None:
    async with replicas(1) as group:
        group[0].way.breaks = True
        await group[0].clock.pass_(3 * RENEW_S)
        assert not group[0].lease.held
        group[0].way.breaks = False
        await group[0].clock.pass_(RENEW_S)
        assert group[0].lease.held
    assert {record.getMessage() for record in caplog.records} >= {"a look at the lease failed by a bug"}


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["cut", "heal", "lose", "stop", "pass"]), st.integers(1, 12)),
        max_size=25,
    )
)
async def test_there_are_never_two(steps: list[tuple[int, str, int]]) -> None:
    async with replicas(3) as group:
        for who, what, quarters in steps:
            replica = group[who]
            replica.way.away = {"cut": True, "heal": False}.get(what, replica.way.away)
            replica.way.loses_answers = {"lose": True, "heal": False}.get(what, replica.way.loses_answers)
            others = [each for each in group if what != "stop" or each is not replica]
            for _ in range(quarters):
                await pass_(others, 0.25)
                if what == "stop":
                    replica.clock.now += 0.25
                assert len(leaders(group)) <= 1
        for replica in group:
            replica.way.away = replica.way.loses_answers = False
        await pass_(group, 15)
        assert len(leaders(group)) == 1


@pytest.mark.integration
class TestOnARealBucket:
    async def test_the_bucket_in_memory_behaves_like_a_real_one(self, nats_host: NatsHost) -> None:
        async with nats_host.bus("registry") as bus:
            real = await bus.bucket("registry", create=BucketConfig())
            for bucket in (Memory(), real):
                assert await bucket.get("lease-contract") is None
                revision = await bucket.create("lease-contract", b"1")
                with pytest.raises(AlreadyExists):
                    await bucket.create("lease-contract", b"2")
                with pytest.raises(Conflict):
                    await bucket.update("lease-contract", b"2", revision + 1)
                revision = await bucket.update("lease-contract", b"2", revision)
                entry = await bucket.get("lease-contract")
                assert entry is not None
                assert (entry.value, entry.revision) == (b"2", revision)
                with pytest.raises(Conflict):
                    await bucket.delete("lease-contract", revision + 1)
                await bucket.delete("lease-contract", revision)
                assert await bucket.get("lease-contract") is None

    async def test_two_processes_one_leader_and_the_other_when_it_ends(self, nats_host: NatsHost) -> None:
        async with nats_host.bus("registry") as bus, asyncio.TaskGroup() as group:
            bucket = await bus.bucket("registry", create=BucketConfig())
            first, second = (Lease(bucket, "lease-two", name) for name in ("first", "second"))
            running = group.create_task(first.run())
            async with asyncio.timeout(10):
                while not first.held:
                    await first.changed()
                waiting = group.create_task(second.run())
                running.cancel()
                await asyncio.wait([running])
                await first.release()
                while not second.held:
                    await second.changed()
            assert not first.held
            waiting.cancel()
