"""How far an informer is, and reads that must not be older than the store."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from skerry.errors import GatewayTimeout, ServiceUnavailable

CURRENT_S = 3.0
"""How long a consistent read waits for the informer (as the API server does for ResourceVersionTooLarge)."""
GAPS = 256
"""So many are remembered; before the end of one that is forgotten nothing is known for sure."""


class Leader(Protocol):
    """Who knows the last revision: the bucket, asked of its leader."""

    async def last_revision(self) -> int:
        """Of anything in it. StatusError."""
        ...


class RevisionProgress:
    """The revision that an informer has reached. One of a process's informer, shared by all its views."""

    def __init__(self) -> None:
        self.revision = 0
        self.filled = asyncio.Event()
        self.leader: Leader | None = None
        self._waiting: set[asyncio.Future[None]] = set()
        self._asking: asyncio.Future[int] | None = None
        self._gaps: deque[tuple[int, int]] = deque(maxlen=GAPS)
        self._known_from = 0

    def skip(self, since: int, until: int) -> None:
        """From revision `since` to before `until` something was written over before it was seen."""
        if len(self._gaps) == GAPS:
            self._known_from = self._gaps[0][1]
        self._gaps.append((since, until))

    def knows(self, revision: int) -> bool:
        """True if everything that was stored up to `revision` was seen, also what was written over later."""
        return revision >= self._known_from and not any(since <= revision < until for since, until in self._gaps)

    def move(self, revision: int) -> None:
        """Everything up to `revision` is there."""
        if revision > self.revision:
            self.revision = revision
            if self._waiting:
                self._wake()

    def restart(self) -> None:
        """The bucket is another one, with lower revisions."""
        self.revision = self._known_from = 0
        self._gaps.clear()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for each in waiting:
            if not each.done():
                each.set_result(None)

    async def reached(self, revision: int) -> None:
        """Wait, without a limit, until it is at `revision` and filled."""
        await self.filled.wait()
        while self.revision < revision:
            moved = asyncio.get_running_loop().create_future()
            self._waiting.add(moved)
            try:
                await moved
            finally:
                self._waiting.discard(moved)

    async def current(self, timeout_s: float) -> int:
        """Wait until everything is there that was stored before this call; the revision asked of the leader.

        Concurrent calls share a question, but none shares one that was asked before it. GatewayTimeout,
        ServiceUnavailable.
        """
        try:
            async with asyncio.timeout(timeout_s):
                revision = await self._last_revision()
                await self.reached(revision)
        except TimeoutError:
            raise GatewayTimeout(
                "the store did not answer in time, so this read cannot be shown to be current: try again in a moment"
            ) from None
        return revision

    async def _last_revision(self) -> int:
        """Coalesced: one question is on its way, and everybody who came meanwhile shares the next one."""
        before = self._asking
        if before is not None:
            await asyncio.wait([before])
        if self._asking is before or self._asking is None:
            self._asking = asyncio.ensure_future(self._ask())
            self._asking.add_done_callback(_heard)
        return await asyncio.shield(self._asking)

    async def _ask(self) -> int:
        if self.leader is None:
            raise ServiceUnavailable("the store is not connected yet: try again in a moment", retry_after_s=1)
        return await self.leader.last_revision()


def _heard(answer: asyncio.Future[int]) -> None:
    """An error belongs to those who wait; when nobody does any more it is no news."""
    if not answer.cancelled():
        answer.exception()
