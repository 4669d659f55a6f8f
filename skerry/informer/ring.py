"""The last changes of one kind, so that a watch can start in the past and be told the truth about what it missed.

A key-value watch is not a Kubernetes watch: it has a history of one and its deletes have no body. A ring keeps
(revision, old, new) for the changes that this process saw; whether a watcher sees ADDED, MODIFIED or DELETED follows
from old and new under its own selector. What lies before the horizon cannot be told: 410, and the client lists again.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from skerry.api.meta import Document
from skerry.errors import Gone
from skerry.storage.documents import Item


class Change(NamedTuple):
    """One change of one object: `old` is None for a creation, `new` is None for a deletion.

    `final` is a deleted object as it was before its deletion, at the revision of the deletion: what an API server tells
    of it, finalizers included. None where nobody saw the deletion itself.
    """

    revision: int
    old: Item | None
    new: Item | None
    final: Item | None = None

    def before(self) -> Document:
        """The object before the change; empty if there was none. Not to be changed: see SharedChange."""
        return {} if self.old is None else self.old.document()

    def after(self) -> Document:
        """The object after the change; empty if there is none any more. Not to be changed: see SharedChange."""
        return {} if self.new is None else self.new.document()

    def shown(self, convert: Convert) -> Change:
        """The same change of a second view of the object."""
        old, new, final = (None if item is None else convert(item) for item in (self.old, self.new, self.final))
        return Change(self.revision, old, new, final)


class SharedChange(Change):
    """A change as those hear of it that are told inline, one after the other: what one has decoded, the next one reads. The
    ring keeps Changes without documents, which would be ten times their bytes.
    """

    def before(self) -> Document:
        """The object before the change, decoded once."""
        known: Document | None = self.__dict__.get("_before")
        if known is None:
            known = self.__dict__["_before"] = super().before()
        return known

    def after(self) -> Document:
        """The object after the change, decoded once."""
        known: Document | None = self.__dict__.get("_after")
        if known is None:
            known = self.__dict__["_after"] = super().after()
        return known


Convert = Callable[[Item], Item]


class Ring:
    """Changes of one kind in the order of their revisions, at most `size` of them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._revisions: list[int] = []
        self._changes: list[Change] = []
        self._waiting: set[asyncio.Future[None]] = set()
        self.horizon = 0
        """The oldest revision after which this ring knows every change."""
        self.dropped = 0
        """The last revision that was cut off for want of room: a running watch before it has missed something."""
        self.broken = 0
        """Moves when running watches must end: they could have missed something."""

    def append(self, change: Change) -> None:
        """Record a change and wake the watchers."""
        self._revisions.append(change.revision)
        self._changes.append(change)
        if len(self._changes) > self._size * 2:  # a cut moves the list: one of many is cheap
            self._trim()
        self.wake()

    def _trim(self) -> None:
        cut = len(self._changes) - self._size
        self.dropped = self._revisions[cut - 1]
        self.horizon = max(self.horizon, self.dropped)
        del self._revisions[:cut]
        del self._changes[:cut]

    def reset(self, horizon: int, *, expire: bool) -> None:
        """From now on watches start at `horizon` or later; with `expire` those that run end with 410 too."""
        self.horizon = horizon
        if expire:  # by a count: a watch at the last revision may have missed something too
            self.broken += 1
            self._revisions.clear()
            self._changes.clear()
        self.wake()

    def wake(self) -> None:
        """Let every watcher look again."""
        if self._waiting:
            waiting, self._waiting = self._waiting, set()
            for each in waiting:
                if not each.done():
                    each.set_result(None)

    async def arrival(self, arrived: asyncio.Future[None], timeout_s: float | None) -> bool:
        """Until the next `wake`, or until somebody else ends `arrived`; False after `timeout_s`."""
        self._waiting.add(arrived)
        try:
            async with asyncio.timeout(timeout_s):
                await arrived
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(arrived)
        return True

    def after(self, revision: int) -> list[Change]:
        """Changes beyond `revision`."""
        return self._changes[bisect_right(self._revisions, revision) :]


class RingCursor:
    """A position in a ring. Iterate it for changes; it ends by raising Gone, or when its task is cancelled.

    A watcher that is slower than the ring is long gets 410: memory per watcher is one integer.
    """

    def __init__(self, ring: Ring, since: int, convert: Convert | None = None) -> None:
        if since < ring.horizon:
            raise too_old(since, ring.horizon)
        self._ring = ring
        self._broken = ring.broken
        self._convert = convert
        self._nudged = False
        self._arrived: asyncio.Future[None] | None = None
        self.revision = since

    def take(self) -> list[Change]:
        """The changes since the last call, without waiting. Gone if the ring has moved past this watch."""
        changes = self.pending()
        self._nudged = False
        if changes:
            self.revision = changes[-1].revision
        return changes

    def pending(self) -> list[Change]:
        """The changes that `take` would give."""
        ring, convert = self._ring, self._convert
        if ring.broken != self._broken or self._lost():
            raise too_old(self.revision, ring.horizon)
        changes = ring.after(self.revision)
        return changes if convert is None else [change.shown(convert) for change in changes]

    def nudge(self) -> None:
        """End `wait`, or the next one: something else than the objects has changed for this watch."""
        self._nudged = True
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def _lost(self) -> bool:
        return self._ring.dropped > self.revision

    def advance(self, revision: int) -> None:
        """The informer is at `revision`: if nothing waits here, this watch is there too."""
        if not self._ring.after(self.revision):
            self.revision = max(self.revision, revision)

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Until something may have happened; False after `timeout_s`."""
        if self._nudged or self._ring.after(self.revision) or self._ring.broken != self._broken:
            return True
        self._arrived = asyncio.get_running_loop().create_future()
        return await self._ring.arrival(self._arrived, timeout_s)

    async def __aiter__(self) -> AsyncIterator[Change]:
        while True:
            for change in self.take():
                yield change
            await self.wait()


def too_old(since: int, horizon: int) -> Gone:
    """410 as the API server words it."""
    return Gone(f"too old resource version: {since} ({horizon})")
