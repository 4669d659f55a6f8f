"""Every object of some kinds in memory, fed by one watch of the bucket.

Reads and watches of the host API, authentication and presence all come from here, so any replica answers them without
asking anybody; `current` is for reads that must not be older than the store. After a lost connection the watch fills
again: running watches get the difference, new ones that start before it get 410, because what happened in between is
known in its result only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import msgspec

from skerry import subjects
from skerry.api.kinds import Kind
from skerry.bus import Bucket, Entry, Filled, Resync
from skerry.errors import GatewayTimeout, ServiceUnavailable
from skerry.informer.ring import Change, Convert, Ring, Watch, too_old
from skerry.storage.documents import Item, item, rfc3339, unseal

log = logging.getLogger("skerry.informer")

RING = 1024
"""Changes kept per kind at least; a watch that is further behind lists again."""
LEFT = 5000
"""Beyond so many tombstones of a kind, what purges left is not noted: memory."""
CURRENT_S = 3.0
"""How long a consistent read waits for the cache (as the API server does for ResourceVersionTooLarge)."""


Listener = Callable[[Change], None]
Items = list[Item]


class Tombstone(msgspec.Struct, frozen=True, gc=False):
    """A deleted object whose final state, or what a purge left of it, still lies in the bucket."""

    namespace: str
    name: str
    revision: int
    deleted: str
    """Its deletionTimestamp; or when it was purged."""


class _Shelf:
    """All that the cache has of one kind. Keys are (namespace, name)."""

    def __init__(self, size: int) -> None:
        self.items: dict[tuple[str, str], Item] = {}
        self._order: list[tuple[str, str]] | None = None
        self.tombstones: dict[tuple[str, str], Tombstone] = {}
        self.ring = Ring(size)
        self.listeners: list[Listener] = []

    def put(self, key: tuple[str, str], new: Item) -> None:
        """Place an object, and forget the order if it is a new one."""
        if key not in self.items:
            self._order = None
        self.items[key] = new

    def pop(self, key: tuple[str, str]) -> Item | None:
        """Take an object away."""
        self._order = None
        return self.items.pop(key, None)

    def sorted(self) -> list[Item]:
        """All objects in the order of namespace and name; sorting ten thousand for each page would cost most of it."""
        if self._order is None:
            self._order = sorted(self.items)
        return [self.items[key] for key in self._order]


class Cache:
    """The objects of `kinds`, as of `revision`.

    A task must run `feed`; until `filled` is set the cache is empty and must not be believed.
    """

    def __init__(self, kinds: Iterable[Kind], *, ring: int = RING) -> None:
        self.kinds = tuple(kinds)
        self._shelves = {(kind.group, kind.kind.lower()): _Shelf(ring) for kind in self.kinds}
        self.revision = 0
        """Everything up to this revision of the bucket is in the cache."""
        self.filled = asyncio.Event()
        self._moved = asyncio.Event()
        self._leader: Bucket | None = None
        self._asking: asyncio.Future[int] | None = None
        self._staged: dict[str, Entry] | None = {}

    def _shelf(self, kind: Kind) -> _Shelf:
        return self._shelves[kind.group, kind.kind.lower()]

    # Reading

    def get(self, kind: Kind, name: str, namespace: str = "") -> Item | None:
        """The object, or None."""
        return self._shelf(kind).items.get((namespace, name))

    def list(self, kind: Kind, namespace: str = "") -> list[Item]:
        """Objects of a kind in the order of namespace and name; all namespaces for `""`."""
        found = self._shelf(kind).sorted()
        return [item for item in found if item.namespace == namespace] if namespace else found

    def snapshot(self, kind: Kind, revision: int, namespace: str = "") -> Items:
        """The objects of a kind as they were at `revision`, which has been reached: what came later is undone.

        Gone if the ring does not reach back so far. Costs nothing but the changes since, and keeps nothing.
        """
        shelf = self._shelf(kind)
        if revision < shelf.ring.horizon:
            raise too_old(revision, shelf.ring.horizon)
        later = shelf.ring.after(revision)
        if not later:
            return self.list(kind, namespace)
        items = dict(shelf.items)
        for change in reversed(later):
            _undo(items, change)
        return [items[key] for key in sorted(items) if not namespace or key[0] == namespace]

    def watch(self, kind: Kind, since: int | None = None, convert: Convert | None = None) -> Watch:
        """Changes of a kind after revision `since` (default: from now). Gone if that is before the horizon.

        With `convert` the objects are shown as it makes them, for a second view of the same objects.
        """
        return Watch(self._shelf(kind).ring, self.revision if since is None else since, convert)

    def on_change(self, kind: Kind, listener: Listener) -> Callable[[], None]:
        """Call `listener(change)` inline for every change of a kind, the first fill included; returns how to stop.

        A listener must be quick and must not raise.
        """
        listeners = self._shelf(kind).listeners
        listeners.append(listener)
        return lambda: listeners.remove(listener)

    def tombstones(self, kind: Kind) -> tuple[Tombstone, ...]:
        """Deleted objects of a kind whose final state has not been purged."""
        return tuple(self._shelf(kind).tombstones.values())

    def forget(self, kind: Kind, tombstone: Tombstone) -> None:
        """A tombstone that is no longer in the bucket: another entry is on its way, or it went by itself."""
        shelf, key = self._shelf(kind), (tombstone.namespace, tombstone.name)
        if shelf.tombstones.get(key) == tombstone:
            del shelf.tombstones[key]

    async def current(self, timeout_s: float = CURRENT_S) -> int:
        """Wait until the cache holds everything that was stored before this call; the revision asked of the leader.

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

    async def reached(self, revision: int) -> None:
        """Wait, without a limit, until the cache is at `revision` and filled."""
        await self.filled.wait()
        while self.revision < revision:
            moved = self._moved
            await moved.wait()

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
        if self._leader is None:
            raise ServiceUnavailable("the store is not connected yet: try again in a moment", retry_after_s=1)
        return await self._leader.last_revision()

    # Feeding

    async def feed(self, bucket: Bucket) -> None:
        """Keep the cache in step with the bucket until cancelled; the watch survives lost connections by itself."""
        self._leader = bucket
        async with bucket.watch() as watch:
            async for event in watch:
                self.take(event)

    def take(self, event: Entry | Filled | Resync) -> None:
        """One event of the bucket's watch.

        A first fill, and one after a Resync, is staged and takes effect as a whole: readers never see half of it.
        """
        if isinstance(event, Entry):
            if self._staged is None:
                self._apply(event)
            else:
                self._staged[event.key] = event
        elif isinstance(event, Filled):
            self._complete(event.revision)
        else:
            log.warning("the watch of the store starts over", extra={"reason": event.reason})
            self._staged = {}

    def _apply(self, entry: Entry) -> None:
        if entry.revision <= self.revision:
            return
        try:
            self._place(entry)
        except (ValueError, msgspec.DecodeError):
            log.exception("unreadable entry in the store", extra={"key": entry.key, "revision": entry.revision})
        self._move(entry.revision)

    def _place(self, entry: Entry) -> None:
        group, kind, namespace, name = subjects.parse_key(entry.key)
        shelf = self._shelves.get((group, kind))
        if shelf is None:
            return
        key = namespace, name
        old = shelf.items.get(key)
        new = None if entry.value is None else unseal(entry.value, entry.revision)
        if new is None or new.deleted:
            self._remove(shelf, key, entry.revision, new)
            return
        shelf.tombstones.pop(key, None)
        if old is not None and old.uid != new.uid:
            self._replaced(shelf, key, entry.revision)
            old = None
        shelf.put(key, new)
        self._tell(shelf, Change(entry.revision, old, new))

    def _left(self, entry: Entry) -> None:
        """What a purge left, as a fill shows it: older purges gave it no end. Of very many the rest waits for the next fill."""
        try:
            group, kind, namespace, name = subjects.parse_key(entry.key)
        except ValueError:
            return
        shelf = self._shelves.get((group, kind))
        if shelf is not None and len(shelf.tombstones) < LEFT:
            purged = rfc3339(datetime.fromtimestamp(entry.created, UTC))
            shelf.tombstones[namespace, name] = Tombstone(namespace, name, entry.revision, purged)

    def _replaced(self, shelf: _Shelf, key: tuple[str, str], revision: int) -> None:
        """Another object has the name, and the deletion in between was not seen: the bucket keeps the last entry only.

        The deletion needs a revision of its own, or a watch that ends between it and the creation resumes after both. The
        one before is free if it was nobody else's; else running watches end with 410.
        """
        free = revision - 1 > self.revision
        self._remove(shelf, key, revision - 1 if free else revision, None)
        if not free:
            shelf.ring.reset(revision, expire=True)

    def _remove(self, shelf: _Shelf, key: tuple[str, str], revision: int, final: Item | None) -> None:
        if final is None:
            shelf.tombstones.pop(key, None)
        else:
            deleted = str(final.document()["metadata"].get("deletionTimestamp", ""))
            shelf.tombstones[key] = Tombstone(*key, revision, deleted)
        old = shelf.pop(key)
        if old is not None:
            last = None if final is None else item(old.document(), revision)
            self._tell(shelf, Change(revision, old, None, last))

    def _tell(self, shelf: _Shelf, change: Change) -> None:
        shelf.ring.append(change)
        for listener in shelf.listeners:
            listener(change)

    def _move(self, revision: int) -> None:
        if revision > self.revision:
            self.revision = revision
            moved, self._moved = self._moved, asyncio.Event()
            moved.set()

    def _complete(self, revision: int) -> None:
        """A fill or a resume is done. New watches start here; running ones go on unless they missed a deletion."""
        staged, self._staged = self._staged, None
        expire = False
        if staged is not None:
            expire = self._restart(revision) | self._forget_absent(staged, revision)
            for entry in sorted(staged.values(), key=lambda entry: entry.revision):
                self._apply(entry)
                if entry.value is None:
                    self._left(entry)
        self._move(revision)
        for shelf in self._shelves.values():
            shelf.ring.reset(self.revision, expire=expire)
        self.filled.set()

    def _restart(self, revision: int) -> bool:
        """Whether the bucket is another one than before, with lower revisions: then everything starts over."""
        if revision >= self.revision:
            return False
        log.error("the store's revisions went back", extra={"revision": revision, "before": self.revision})
        for shelf in self._shelves.values():
            for key in list(shelf.items):
                self._remove(shelf, key, self.revision, None)
            shelf.tombstones.clear()
        self.revision = 0
        return True

    def _forget_absent(self, staged: dict[str, Entry], revision: int) -> bool:
        """Remove what the fill does not show: it was purged while nobody looked. Whether there was any."""
        found = False
        for (group, kind), shelf in self._shelves.items():
            for key in [k for k in shelf.items if subjects.key(group, kind, *k) not in staged]:
                self._remove(shelf, key, revision, None)
                found = True
            for key in [k for k in shelf.tombstones if subjects.key(group, kind, *k) not in staged]:
                del shelf.tombstones[key]
        return found


def _undo(items: dict[tuple[str, str], Item], change: Change) -> None:
    after = change.new
    if after is not None:
        items.pop((after.namespace, after.name), None)
    if change.old is not None:
        items[change.old.namespace, change.old.name] = change.old


def _heard(asked: asyncio.Future[int]) -> None:
    """An error belongs to those who wait; when nobody does any more it is no news."""
    if not asked.cancelled():
        asked.exception()
