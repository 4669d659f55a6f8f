"""Time that a test moves: `Timers` and a clock, in seconds."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import Any


class Appointment:
    """One call at one time."""

    def __init__(self, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._callback, self._args = callback, args
        self._cancelled = False

    def cancel(self) -> None:
        """Call it off."""
        self._cancelled = True

    def call(self) -> None:
        """Call, unless it was called off."""
        if not self._cancelled:
            self._callback(*self._args)


class Clock:
    """Stands still until `pass_`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._appointments: list[tuple[float, int, Appointment]] = []
        self._made = 0

    def time(self) -> float:
        """Now."""
        return self.now

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any) -> Appointment:
        """Call when `pass_` gets there."""
        appointment = Appointment(callback, args)
        self._made += 1
        heapq.heappush(self._appointments, (when, self._made, appointment))
        return appointment

    async def pass_(self, seconds: float) -> None:
        """Let so much time pass, and every task do what it can at each appointment."""
        end = self.now + seconds
        await settle()
        while self._appointments and self._appointments[0][0] <= end:
            when, _, appointment = heapq.heappop(self._appointments)
            self.now = max(self.now, when)
            appointment.call()
            await settle()
        self.now = end
        await settle()

    async def jump(self, seconds: float) -> None:
        """The process is stopped for so long: everything that was due happens afterwards, late."""
        self.now += seconds
        await self.pass_(0)


async def settle() -> None:
    """Let every task run until it waits for something that will not come by itself."""
    for _ in range(12):
        await asyncio.sleep(0)
