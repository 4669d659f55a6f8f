"""Time as controllers use it: the running loop in production, a clock of its own in a test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol


class Cancellable(Protocol):
    """An appointment that can be called off."""

    def cancel(self) -> None:
        """Call it off."""
        ...


class Timers(Protocol):
    """The two methods of an event loop that controllers need. `asyncio.get_running_loop()` is one."""

    def time(self) -> float:
        """Seconds of a monotonic clock."""
        ...

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any) -> Cancellable:
        """Call back at `when`, in seconds of `time`."""
        ...


async def sleep(timers: Timers, seconds: float) -> None:
    """`asyncio.sleep` on the clock of `timers`."""
    woken = asyncio.get_running_loop().create_future()
    handle = timers.call_at(timers.time() + seconds, _wake, woken)
    try:
        await woken
    finally:
        handle.cancel()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
