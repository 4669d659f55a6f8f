"""A subscription without a bus: who is told what of messages that run and wait."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from skerry.bus.delivery import HandlerLimits, Message, Subscription


@pytest.mark.parametrize(("subject", "pending"), [("up.*.ask", [0, 1, 2, 0, 0]), ("up.m1.ask", [0, 0, 0, 0, 0])])
async def test_a_gate_is_told_how_many_of_its_subject_run_and_wait(subject: str, pending: list[int]) -> None:
    origin: Any = None
    free, told = asyncio.Event(), []

    async def handle(message: Message) -> None:
        await free.wait()

    def gate(message: Message, already: int) -> bool:
        told.append(already)
        return True

    subscription = Subscription(origin, 1, subject, handle, HandlerLimits(concurrency=2, backlog=8), gate)
    for member in ("m1", "m1", "m1", "m2"):
        subscription.deliver(Message(origin, f"up.{member}.ask", "", b"", None))
    free.set()
    while subscription.busy:
        await asyncio.sleep(0)
    subscription.deliver(Message(origin, "up.m1.ask", "", b"", None))
    assert told == pending
