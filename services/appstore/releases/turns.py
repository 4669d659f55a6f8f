"""Turns at work on a member: two operations at a time, of which a workspace has one while another waits.

Who sits in a hook makes room for the next, and a workspace has only so many that sit (`Slots`): however many releases of one
tenant have hooks that never end, another's wait for a minute at most.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from services.appstore.helm.slots import Slots

PER_MEMBER = 2


class MemberTurns:
    """Two turns on each member. `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turns: dict[str, Slots] = {}
        self._users: dict[str, int] = {}

    def why_waiting(self, member: str, workspace: str) -> str:
        """Why an operation of a workspace waits for its turn on a member, for people; empty if none does."""
        turns = self._turns.get(member)
        return f"on {member} {why}" if turns and (why := turns.why_waiting(workspace)) else ""

    @asynccontextmanager
    async def turn(self, member: str, workspace: str) -> AsyncIterator[None]:
        """A turn of a workspace on a member, waited for."""
        turns = self._turns.setdefault(member, Slots(PER_MEMBER, lambda: None, clock=self._clock))
        self._users[member] = self._users.get(member, 0) + 1
        try:
            async with turns.slot(workspace, 0):
                yield
        finally:
            self._users[member] -= 1
            if not self._users[member]:
                del self._users[member], self._turns[member]
