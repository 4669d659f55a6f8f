"""Turns at work on a member."""

from __future__ import annotations

import asyncio

from services.appstore.helm.slots import SITS_S
from services.appstore.releases.turns import MemberTurns


class Work:
    """Operations that end when they are let go, on a clock of their own."""

    def __init__(self) -> None:
        self.time, self.begun = 0.0, list[str]()
        self.turns, self.over = MemberTurns(lambda: self.time), asyncio.Event()

    async def operation(self, member: str, workspace: str) -> None:
        async with self.turns.turn(member, workspace):
            self.begun.append(f"{workspace} on {member}")
            await self.over.wait()

    async def begin(self, group: asyncio.TaskGroup, member: str, workspace: str, count: int = 1) -> None:
        for _ in range(count):
            group.create_task(self.operation(member, workspace))
        for _ in range(5):
            await asyncio.sleep(0)


async def test_two_work_on_a_member_and_others_wait_for_them_alone() -> None:
    work = Work()
    async with asyncio.TaskGroup() as group:
        await work.begin(group, "m1", "shop", 3)
        await work.begin(group, "m2", "shop")
        assert work.begun == ["shop on m1", "shop on m1", "shop on m2"]
        assert work.turns.why_waiting("m1", "shop") == "on m1 2 operations run, of 2 at most"
        assert [work.turns.why_waiting(*each) for each in (("m2", "shop"), ("m3", "shop"))] == ["", ""]
        work.over.set()
    assert len(work.begun) == 4
    assert not work.turns._turns, "a member on which nothing is done is forgotten"


async def test_however_many_hooks_of_one_workspace_never_end_another_waits_a_minute_at_most() -> None:
    work = Work()
    async with asyncio.TaskGroup() as group:
        await work.begin(group, "m1", "shop", 10)
        await work.begin(group, "m1", "lab")
        assert work.begun == ["shop on m1"] * 2
        work.time = SITS_S + 1
        await work.begin(group, "m1", "lab")
        assert work.begun == ["shop on m1", "shop on m1", "lab on m1", "lab on m1"], "of shop enough sit in their hooks"
        work.over.set()
