"""Whose turn it is, with a clock of our own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.appstore.helm.slots import SITS_S, YOUNG_S, Slots, SlotTable

MIB = 1 << 20
NEED = 192 * MIB


def table(workers: int, *workspaces: str) -> SlotTable:
    slots = SlotTable(workers)
    for ticket, workspace in enumerate(workspaces):
        slots.wait(ticket, workspace, NEED)
    return slots


def test_as_many_run_as_there_are_slots_in_the_order_of_arrival() -> None:
    slots = table(2, "a", "a", "a")
    assert slots.grant(0, None) == [0, 1]
    assert slots.grant(1, None) == []
    assert slots.why_waiting(1, None) == "2 operations run, of 2 at most"
    slots.leave(0)
    assert slots.grant(1, None) == [2]
    assert slots.why_waiting(1, None) == ""


def test_a_workspace_holds_half_of_them_while_another_waits() -> None:
    slots = table(4, "a", "a", "a", "a", "b", "b", "b")
    assert slots.grant(0, None) == [0, 1, 4, 5]
    slots.leave(4)
    assert slots.grant(0, None) == [6]
    slots.leave(5)
    assert slots.grant(0, None) == [2], "nobody else waits"


@pytest.mark.parametrize(("workers", "first"), [(1, [0]), (2, [0, 2]), (3, [0, 1, 2])])
def test_no_slot_is_left_free_for_the_sake_of_it(workers: int, first: list[int]) -> None:
    assert table(workers, "a", "a", "b").grant(0, None) == first


def test_who_sits_in_a_hook_holds_no_slot() -> None:
    slots = table(2, "a", "a", "b")
    slots.grant(0, None)
    slots.wait(3, "c", NEED)
    assert slots.grant(SITS_S, None) == []
    assert slots.grant(SITS_S + 1, None) == [1, 3]


def test_a_workspace_does_not_sit_without_end() -> None:
    slots = table(2, *"aaaaaa")
    for turn in range(4):
        slots.grant(turn * (SITS_S + 1), None)
    assert len(slots.holders) == 2, "as many as there are slots sit in hooks, and no more of that workspace start"
    why = slots.why_waiting(1000, None, "a")
    assert why.startswith(
        "2 operations of workspace a sit in hooks, as many as may: it begins when one of these hooks ends"
    )
    assert slots.why_waiting(1000, None, "b") == "", "none of it waits"
    slots.wait(9, "b", NEED)
    assert slots.grant(1000, None) == [9]


def test_no_third_one_sits_where_others_begin_to_sit_one_after_the_other() -> None:
    slots = table(2, "a")
    slots.grant(0, None)
    slots.wait(2, "a", NEED)
    slots.grant(5, None)
    slots.wait(3, "a", NEED)
    slots.wait(4, "b", NEED)
    assert slots.grant(SITS_S + 1, None) == [4]
    slots.leave(4)
    assert slots.grant(SITS_S + 2, None) == [], "the second one does not sit yet, and will"
    assert slots.why_waiting(SITS_S + 2, None, "a").startswith(
        "1 operations of workspace a sit in hooks, and 1 more run, as many as may"
    )
    slots.leave(2)
    assert slots.grant(SITS_S + 3, None) == [3]


def test_one_starts_while_its_memory_is_free_and_a_new_one_counts_as_what_it_may_take() -> None:
    slots = table(3, "a", "b", "c")
    assert slots.grant(0, 191 * MIB) == []
    assert slots.why_waiting(0, 191 * MIB) == (
        "191 MiB of memory are free, and an operation needs 192: raise the limit"
    )
    assert slots.grant(0, 200 * MIB) == [0]
    assert slots.grant(1, 200 * MIB) == []
    assert slots.grant(YOUNG_S, 200 * MIB) == [1]
    assert slots.grant(YOUNG_S, 400 * MIB) == [2]


def test_each_waits_for_the_memory_that_its_own_engine_may_take() -> None:
    slots = SlotTable(3)
    for ticket, need in enumerate((320 * MIB, 192 * MIB)):
        slots.wait(ticket, "a", need)
    assert slots.grant(0, 319 * MIB) == []
    assert "an operation needs 320" in slots.why_waiting(0, 319 * MIB)
    assert slots.grant(0, 500 * MIB) == [0]
    assert slots.grant(1, 512 * MIB) == [1]


def test_who_waits_no_longer_is_not_started() -> None:
    slots = table(1, "a", "b")
    slots.leave(0)
    assert slots.grant(0, None) == [1]


@given(st.lists(st.sampled_from("abc"), max_size=12), st.integers(1, 5))
def test_all_run_in_the_end_and_never_too_many(workspaces: list[str], workers: int) -> None:
    slots = table(workers, *workspaces)
    done: list[int] = []
    while slots.waiting or slots.holders:
        slots.grant(0, None)
        assert 1 <= len(slots.holders) <= workers
        ticket = next(iter(slots.holders))
        slots.leave(ticket)
        done.append(ticket)
    assert sorted(done) == list(range(len(workspaces)))


async def test_slots_are_waited_for_and_given_on() -> None:
    slots = Slots(1, lambda: None)
    order: list[str] = []

    async def one(name: str) -> None:
        async with slots.slot(name, NEED):
            order.append(name)
            await asyncio.sleep(0)

    async with slots.slot("first", NEED):
        tasks = [asyncio.create_task(one(name)) for name in "ab"]
        while slots.why_waiting() == "":
            await asyncio.sleep(0)
        tasks[0].cancel()
        assert order == []
    with suppress(asyncio.CancelledError):
        await tasks[0]
    await tasks[1]
    assert order == ["b"]
    assert slots.why_waiting() == ""


async def test_memory_that_comes_free_is_noticed() -> None:
    rooms: Iterator[int] = iter((0, 0))
    slots = Slots(1, lambda: next(rooms, 1 << 40))
    async with slots.slot("a", NEED):
        assert next(rooms, None) is None
