"""One page of one member at a time, paid for by its size; nothing for who is cut."""

from __future__ import annotations

import asyncio

import pytest

from services.registry.handlers import SYNCS
from services.registry.syncs import ENTRIES, Syncs
from skerry.api.desired import ENTRIES as MOST
from skerry.api.desired import ENTRIES_BYTES, PAGE, PAGE_BYTES, SyncAnswer, SyncEntry, SyncRequest
from skerry.errors import TooManyRequests
from skerry.heartbeats import Admission

REQUEST = SyncRequest(epoch="e")


class World:
    """Pages that are answered when they are let."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.free = asyncio.Semaphore(0)
        self.cut: set[str] = set()
        self.spent: list[tuple[str, str, float]] = []
        self.syncs = Syncs(self.page, self.cut.__contains__, lambda *of: self.spent.append(of))

    async def page(self, member: str, request: SyncRequest) -> SyncAnswer:
        self.asked.append(member)
        await self.free.acquire()
        entries = tuple(SyncEntry(key=f"k{number}", revision=number, entry=None) for number in range(2 * ENTRIES))
        return SyncAnswer(epoch="e", cluster="", full=True, entries=entries, next=None, last=1)

    def ask(self, member: str) -> asyncio.Task[SyncAnswer]:
        return asyncio.create_task(self.syncs.answer(member, REQUEST))


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_member_gets_one_page_after_the_other_and_others_beside_it() -> None:
    world = World()
    pages = [world.ask(member) for member in ("m1", "m1", "m2")]
    await turns()
    assert world.asked == ["m1", "m2"]
    world.free.release()
    await turns()
    assert world.asked == ["m1", "m2", "m1"]
    world.free.release()
    world.free.release()
    await asyncio.gather(*pages)
    assert sorted(world.spent) == [("m1", "syncs", 2.0), ("m1", "syncs", 2.0), ("m2", "syncs", 2.0)]


async def test_what_waits_of_who_is_cut_meanwhile_is_not_read() -> None:
    world = World()
    first, second = world.ask("m1"), world.ask("m1")
    await turns()
    world.cut.add("m1")
    world.free.release()
    assert (await first).full
    with pytest.raises(TooManyRequests, match="cluster 'm1' flood this host"):
        await second
    assert world.asked == ["m1"]


def test_the_largest_desired_state_can_be_asked_for_three_times_at_once() -> None:
    """Otherwise who has it would be refused in the middle, and begin again for ever."""
    admission, pages = Admission(*SYNCS), MOST // PAGE + ENTRIES_BYTES // PAGE_BYTES
    for _ in range(3 * pages):
        assert admission.admits("m", 0.0)
        admission.spend("m", MOST / pages / ENTRIES)
