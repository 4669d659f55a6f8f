"""Records that wait for the log, in memory up to a limit; beyond it the oldest become a number, which the log tells."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from skerry.audit.batch import MOST_BYTES, MOST_RECORDS, Batch
from skerry.audit.marks import Mark
from skerry.errors import ServiceUnavailable

log = logging.getLogger("skerry.proxy")

QUEUE_BYTES = 16 * 1024 * 1024
"""Of records that wait."""
GATHER_S = 0.1
"""How long a record waits for others."""
UNWRITABLE = (
    "this request has to be recorded before it is executed, and the audit log cannot be written now: nothing was executed, "
    "try again in a moment"
)


class Group(Batch):
    """Records that travel together, and who waits for them."""

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[asyncio.Future[None]] = []

    def stored(self) -> None:
        """Who waits is told that it is."""
        for each in self.waiting:
            if not each.done():
                each.set_result(None)

    def lost(self) -> None:
        """Who waits is told that it never will be."""
        for each in self.waiting:
            if not each.done():
                each.set_exception(ServiceUnavailable(UNWRITABLE, retry_after_s=1))


class RecordQueue:
    """The queue of one writer. Used on one event loop."""

    def __init__(self, lost: Callable[[int], None] = lambda records: None) -> None:
        """`lost` is told how many records were given up."""
        self._tell_lost = lost
        self._open, self._full = Group(), deque[Group]()
        self._due = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self.bytes = 0
        """Of what waits, and of what is on its way."""
        self.gap: Mark | None = None
        """What was given up since `take_gap`."""

    def add(self, line: bytes, at: str, user: str = "", cluster: str = "") -> None:
        """One record, as of a batch. Never waits."""
        group = self._open
        group.add(line, at, user, cluster)
        self.bytes += len(line)
        if group.records >= MOST_RECORDS or len(group.body) >= MOST_BYTES:
            self._close()
            self._due.set()
            if self.bytes > QUEUE_BYTES and len(self._full) > 1:
                self._drop(self._full.popleft())
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self._due.set)

    def required(self, line: bytes, at: str, user: str, cluster: str) -> asyncio.Future[None]:
        """One record, at once; done when it is stored. ServiceUnavailable if it was given up."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._open.waiting.append(stored)
        self.add(line, at, user, cluster)
        self._due.set()
        return stored

    async def due(self, within_s: float) -> bool:
        """Wait until something should be written; False if nothing came in that time."""
        try:
            async with asyncio.timeout(within_s):
                await self._due.wait()
        except TimeoutError:
            return False
        return True

    def take(self) -> Group | None:
        """The next group to write; None if nothing waits. Its bytes count until `written`."""
        if not self._full:
            self._due.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if not self._open.records:
                return None
            self._close()
        return self._full.popleft()

    def written(self, group: Group) -> None:
        """A group that was taken is stored."""
        self.bytes -= len(group.body)
        group.stored()

    def take_gap(self) -> Mark | None:
        """What was given up since the last call."""
        gap, self.gap = self.gap, None
        return gap

    def _close(self) -> None:
        self._full.append(self._open)
        self._open = Group()

    def _drop(self, group: Group) -> None:
        self.bytes -= len(group.body)
        records = group.records + (self.gap.records if self.gap else 0)
        since = self.gap.since if self.gap else group.since
        self.gap = Mark(type="Gap", at=group.until, records=records, since=since, reason="the log could not be written")
        group.lost()
        self._tell_lost(group.records)
        log.warning("records of the audit log are lost", extra={"records": group.records})
