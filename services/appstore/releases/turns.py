"""Turns at work on a member: two operations at a time. Who takes long waits for a hook, and makes room for the next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PER_MEMBER = 2
LONG_S = 60.0
"""Who is at work for so long holds up nobody any more."""


class MemberTurns:
    """Two turns on each member."""

    def __init__(self, per_member: int = PER_MEMBER, long_s: float = LONG_S) -> None:
        self._per_member, self._long_s = per_member, long_s
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._users: dict[str, int] = {}

    @asynccontextmanager
    async def turn(self, member: str) -> AsyncIterator[None]:
        """A turn on a member, waited for."""
        semaphore = self._turns.setdefault(member, asyncio.Semaphore(self._per_member))
        self._users[member] = self._users.get(member, 0) + 1
        try:
            async with _freed_early(semaphore, self._long_s):
                yield
        finally:
            self._users[member] -= 1
            if not self._users[member]:
                del self._users[member], self._turns[member]


@asynccontextmanager
async def _freed_early(semaphore: asyncio.Semaphore, long_s: float) -> AsyncIterator[None]:
    """Hold one of a semaphore, for so long at most."""
    held = True

    def free() -> None:
        nonlocal held
        if held:
            held = False
            semaphore.release()

    await semaphore.acquire()
    timer = asyncio.get_running_loop().call_later(long_s, free)
    try:
        yield
    finally:
        timer.cancel()
        free()
