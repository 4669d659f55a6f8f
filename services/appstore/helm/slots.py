"""How many operations run at once, and whose turn it is: fair among workspaces, within the memory that there is.

A container of Kubernetes 1.28 or later that uses up its memory loses *every* process (cgroup v2, memory.oom.group), ours too:
so an operation starts only while its whole allowance is free. Who sits in a hook for more than a minute gives its slot back and
runs on: two releases of one workspace whose hooks never end hold up nobody else.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

SITS_S = 60.0
"""After so long an operation is one that waits for a hook."""
YOUNG_S = 2.0
"""For so long what a new process will need cannot be seen yet."""
POLL_S = 1.0
"""Memory that is given back, and a hook that has sat, are no events."""


@dataclass(frozen=True)
class _Waiter:
    workspace: str
    need: int


@dataclass(frozen=True)
class _Holder(_Waiter):
    since: float


@dataclass
class SlotTable:
    """Who runs and who waits. Pure: times are seconds of one monotonic clock."""

    workers: int
    holders: dict[int, _Holder] = field(default_factory=dict)
    waiting: dict[int, _Waiter] = field(default_factory=dict)
    """In the order of arrival."""

    def wait(self, ticket: int, workspace: str, need: int) -> None:
        """Queue up, for an operation that starts while so many bytes of memory are free."""
        self.waiting[ticket] = _Waiter(workspace, need)

    def leave(self, ticket: int) -> None:
        """Be done, or wait no longer."""
        self.waiting.pop(ticket, None)
        self.holders.pop(ticket, None)

    def grant(self, now: float, room: int | None) -> list[int]:
        """Start those whose turn it is, with `room` bytes free (None: no limit); their tickets."""
        started: list[int] = []
        while (ticket := self._next(now)) is not None and self._fits(self.waiting[ticket], now, room):
            waiter = self.waiting.pop(ticket)
            self.holders[ticket] = _Holder(waiter.workspace, waiter.need, now)
            started.append(ticket)
        return started

    def why_waiting(self, now: float, room: int | None, workspace: str = "") -> str:
        """Why the next in the queue, or one of a workspace, does not run, for people; empty if none waits."""
        if not any(workspace in ("", each.workspace) for each in self.waiting.values()):
            return ""
        sitting, held = self._sitting(now)[workspace], self._held()[workspace]
        if workspace and sitting and held >= self.workers:
            beside = f", and {held - sitting} more run" if held > sitting else ""
            return (
                f"{sitting} operations of workspace {workspace} sit in hooks{beside}, as many as may: it begins when one of these hooks "
                "ends, at its timeout at the latest, or when such a release is deleted"
            )
        ticket = self._next(now)
        if ticket is None:
            return f"{self._busy(now).total()} operations run, of {self.workers} at most"
        free, need = (room or 0) >> 20, self.waiting[ticket].need >> 20
        return f"{free} MiB of memory are free, and an operation needs {need}: raise the limit"

    def _next(self, now: float) -> int | None:
        busy = self._busy(now)
        if busy.total() >= self.workers:
            return None
        held = self._held()  # whoever runs may come to sit
        ready = {ticket: each.workspace for ticket, each in self.waiting.items() if held[each.workspace] < self.workers}
        others = len(set(ready.values())) > 1
        share = (self.workers + 1) // 2 if others else self.workers
        return next((ticket for ticket, workspace in ready.items() if busy[workspace] < share), None)

    def _busy(self, now: float) -> Counter[str]:
        """Slots that workspaces hold: who sits in a hook holds none."""
        return Counter(holder.workspace for holder in self.holders.values() if now - holder.since <= SITS_S)

    def _sitting(self, now: float) -> Counter[str]:
        """Operations of workspaces that sit in a hook."""
        return Counter(holder.workspace for holder in self.holders.values() if now - holder.since > SITS_S)

    def _held(self) -> Counter[str]:
        """Operations of workspaces, whether they sit or not."""
        return Counter(holder.workspace for holder in self.holders.values())

    def _fits(self, waiter: _Waiter, now: float, room: int | None) -> bool:
        young = sum(holder.need for holder in self.holders.values() if now - holder.since < YOUNG_S)
        return room is None or room >= waiter.need + young


class Slots:
    """Slots for operations. `workers`: at once. `room`: bytes of memory that are free (`memory.memory_room`), None where there
    is no limit.
    """

    def __init__(
        self, workers: int, room: Callable[[], int | None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._table = SlotTable(workers)
        self._room, self._clock = room, clock
        self._tickets = count()
        self._turns: dict[int, asyncio.Event] = {}

    @asynccontextmanager
    async def slot(self, workspace: str, need: int) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the end. `need`: bytes of memory that the operation may take (`Engine.data`)."""
        ticket, turn = next(self._tickets), asyncio.Event()
        self._table.wait(ticket, workspace, need)
        self._turns[ticket] = turn
        try:
            self._look()
            while not turn.is_set():
                try:
                    async with asyncio.timeout(POLL_S):
                        await turn.wait()
                except TimeoutError:
                    self._look()
            yield
        finally:
            self._table.leave(ticket)
            del self._turns[ticket]
            self._look()

    def why_waiting(self, workspace: str = "") -> str:
        """Why operations wait, or those of a workspace, for people; empty if none does."""
        return self._table.why_waiting(self._clock(), self._room(), workspace)

    def _look(self) -> None:
        if self._table.waiting:
            for ticket in self._table.grant(self._clock(), self._room()):
                self._turns[ticket].set()
