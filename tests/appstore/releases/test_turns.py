"""Turns at work on a member."""

from __future__ import annotations

import asyncio

from services.appstore.releases.turns import MemberTurns


async def test_two_work_on_a_member_and_others_wait_for_them_alone() -> None:
    turns, working = MemberTurns(), asyncio.Semaphore(0)
    release = asyncio.Event()

    async def work(member: str) -> None:
        async with turns.turn(member):
            working.release()
            await release.wait()

    async with asyncio.TaskGroup() as group:
        for member in ("m1", "m1", "m1", "m2"):
            group.create_task(work(member))
        for _ in range(3):
            await working.acquire()
        await asyncio.sleep(0)
        assert working.locked(), "a third one works on m1"
        release.set()


async def test_who_takes_long_makes_room_and_gives_no_more_than_one_turn_back() -> None:
    turns = MemberTurns(per_member=1, long_s=0.01)
    release = asyncio.Event()

    async def stuck() -> None:
        async with turns.turn("m1"):
            await release.wait()

    async with asyncio.TaskGroup() as group:
        first = group.create_task(stuck())
        await asyncio.sleep(0)
        async with turns.turn("m1"):
            release.set()
            await first
            second = group.create_task(stuck())
            await asyncio.sleep(0)
            assert not second.done() or second.result() is None
