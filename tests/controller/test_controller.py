"""Reconciling by key, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from skerry.controller.controller import After, Controller
from skerry.errors import ServiceUnavailable
from tests.controller.clock import Clock, settle


def widest(low: float, high: float) -> float:
    """No chance: the longest pause."""
    return high


@contextlib.asynccontextmanager
async def running(controller: Controller[str]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(controller.run())
    await settle()
    yield
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


class Work:
    """A reconcile that remembers, and does what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.again: After | None = None

    async def reconcile(self, key: str) -> After | None:
        self.calls.append(key)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
        finally:
            self.at_once -= 1
        if self.error is not None:
            raise self.error
        return self.again


async def test_a_burst_of_one_key_is_two_looks_at_most() -> None:
    clock, work = Clock(), Work()
    work.gate.clear()
    controller = Controller("t/burst", work.reconcile, timers=clock)
    async with running(controller):
        for _ in range(100):
            controller.add("a")
            await asyncio.sleep(0)
        work.gate.set()
        await settle()
    assert work.calls == ["a", "a"]


async def test_workers_take_different_keys_at_once_and_one_key_never_twice() -> None:
    clock, work = Clock(), Work()
    work.gate.clear()
    controller = Controller("t/workers", work.reconcile, workers=3, timers=clock)
    async with running(controller):
        for key in "aabbccdd":
            controller.add(key)
        await settle()
        assert work.calls == ["a", "b", "c"]
        controller.add("a")
        await settle()
        assert work.calls == ["a", "b", "c"]
        work.gate.set()
        await settle()
    assert work.most_at_once == 3
    assert Counter(work.calls) == {"a": 2, "b": 1, "c": 1, "d": 1}


async def test_what_is_due_at_one_time_is_taken_by_as_many_workers_as_there_are() -> None:
    clock, work = Clock(), Work()
    work.gate.clear()
    controller = Controller("t/due", work.reconcile, workers=3, timers=clock)
    async with running(controller):
        for key in "abcd":
            controller.add_after(key, 5.0)
        controller.add_after("e", 2.0)
        await clock.pass_(2.1)
        assert work.calls == ["e"]
        await clock.pass_(3.0)
        assert work.calls == ["e", "a", "b"]
        work.gate.set()
        await settle()
    assert sorted(work.calls) == ["a", "b", "c", "d", "e"]


async def test_one_key_wakes_one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, work, looks = Clock(), Work(), 0
    controller = Controller("t/herd", work.reconcile, workers=16, timers=clock)
    take = controller._queue.take

    def taken(now: float) -> str | None:
        nonlocal looks
        looks += 1
        return take(now)

    monkeypatch.setattr(controller._queue, "take", taken)
    async with running(controller):
        looks = 0
        controller.add("a")
        await settle()
        assert looks == 2, "one that finds it, and then nothing"
        controller.add_after("a", 5.0)
        await clock.pass_(6.0)
        assert looks == 4
    assert work.calls == ["a", "a"]


async def test_a_key_comes_again_when_the_reconcile_says() -> None:
    clock, work = Clock(), Work()
    work.again = After(10.0)
    controller = Controller("t/again", work.reconcile, timers=clock)
    async with running(controller):
        controller.add("a")
        await clock.pass_(9.9)
        assert work.calls == ["a"]
        await clock.pass_(0.2)
        assert work.calls == ["a", "a"]
        work.again = None
        await clock.pass_(100)
        assert work.calls == ["a", "a", "a"]
    assert controller.counts.requeues == 2


async def test_a_failure_is_tried_again_after_pauses_that_grow_to_five_minutes() -> None:
    clock, work = Clock(), Work()
    work.error = ServiceUnavailable("the store is away")
    controller = Controller("t/backoff", work.reconcile, timers=clock, chance=widest)
    times: list[float] = []

    async def reconcile(key: str) -> After | None:
        times.append(clock.time())
        return await work.reconcile(key)

    controller._reconcile = reconcile
    async with running(controller):
        controller.add("a")
        await clock.pass_(2000)
    pauses = [round(b - a) for a, b in itertools.pairwise(times)]
    assert pauses[:10] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]


async def test_an_error_that_says_when_to_come_again_is_obeyed() -> None:
    clock, work = Clock(), Work()
    work.error = ServiceUnavailable("busy", retry_after_s=7)
    controller = Controller("t/retry-after", work.reconcile, timers=clock)
    async with running(controller):
        controller.add("a")
        await clock.pass_(6.9)
        assert len(work.calls) == 1
        await clock.pass_(0.2)
        assert len(work.calls) == 2


async def test_a_failing_key_is_logged_once_per_state_named_and_stops_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, work = Clock(), Work()
    work.error = ServiceUnavailable("the member is away")
    controller = Controller("t/failing", work.reconcile, timers=clock, chance=widest)
    with caplog.at_level(logging.WARNING):
        async with running(controller):
            controller.add("a")
            await clock.pass_(40)
            assert len(caplog.records) == 1
            assert controller.problem == "t/failing: a failed 6 times: the member is away"
            work.error = None
            controller.add("b")
            await settle()
            assert work.calls[-1] == "b"
            controller.add("a")
            await settle()
            assert controller.problem == ""


async def test_a_bug_has_its_traceback_in_the_log_and_the_key_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    clock, work = Clock(), Work()
    work.error = KeyError("spec")
    controller = Controller("t/bug", work.reconcile, timers=clock)
    with caplog.at_level(logging.WARNING):
        async with running(controller):
            controller.add("a")
            await clock.pass_(1.0)
    assert len(work.calls) == 2
    assert [record.exc_info is not None for record in caplog.records] == [True]
    assert "KeyError" not in caplog.records[0].getMessage()
    assert controller.counts.errors == 2


async def test_a_key_that_never_ends_is_named() -> None:
    clock, work = Clock(), Work()
    work.gate.clear()
    controller = Controller("t/stuck", work.reconcile, workers=2, timers=clock)
    async with running(controller):
        controller.add("a")
        await clock.pass_(121)
        assert controller.problem == "t/stuck: a has been worked on for 121 s"


async def test_a_drain_finishes_what_runs_and_takes_nothing_more() -> None:
    clock, work = Clock(), Work()
    work.gate.clear()
    controller = Controller("t/drain", work.reconcile, timers=clock)
    run = asyncio.ensure_future(controller.run())
    controller.add("a")
    controller.add("b")
    await settle()
    drain = asyncio.ensure_future(controller.drain())
    await settle()
    assert not drain.done()
    work.gate.set()
    await asyncio.wait_for(asyncio.gather(drain, run), 5)
    assert work.calls == ["a"]


async def test_events_are_mapped_to_keys() -> None:
    clock, work = Clock(), Work()
    controller = Controller("t/events", work.reconcile, timers=clock)
    handle = controller.by(lambda event: str(event).split(","))
    async with running(controller):
        handle("a,b")
        await settle()
    assert work.calls == ["a", "b"]


class Turn:
    """Leadership that a test gives and takes."""

    def __init__(self) -> None:
        self.held = False
        self._moved = asyncio.Event()

    async def changed(self) -> None:
        await self._moved.wait()

    def give(self, held: bool) -> None:
        self.held = held
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


async def test_only_the_leader_works_and_who_loses_the_lease_stops_at_once() -> None:
    clock, work, turn = Clock(), Work(), Turn()
    work.gate.clear()
    controller = Controller("t/leader", work.reconcile, leader=turn, timers=clock)
    async with running(controller):
        controller.add("a")
        await settle()
        assert work.calls == []
        turn.give(True)
        await settle()
        assert work.calls == ["a"]
        turn.give(False)
        await settle()
        assert work.at_once == 0
        work.gate.set()
        await settle()
        assert work.calls == ["a"]
        turn.give(True)
        await settle()
        assert work.calls == ["a", "a"]
