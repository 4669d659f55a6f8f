"""Every object of some kinds in memory, fed by one watch of the bucket: one a process.

Reads and watches of the host API, authentication, presence and controllers all come from here, so any replica answers them
without asking anybody; `current` is for reads that must not be older than the store. After a lost connection the watch
fills again: running watches get the difference, new ones that start before it get 410, because what happened in between is
known in its result only.

An object is its bytes and what indexes know of it. A fill is decoded as it comes, with room for others to run in between,
and takes effect as a whole; of a later one only what is newer is decoded. Kinds that no service of the process names are
held `reduced`: who each object is and to whom it belongs, which is what garbage collection needs of all kinds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from skerry import subjects
from skerry.api.kinds import Kind
from skerry.api.times import rfc3339
from skerry.bus import Bucket, Entry, Filled, Resync
from skerry.informer.index import ObjectKey
from skerry.informer.kindstore import KindStore, Tombstone
from skerry.informer.progress import RevisionProgress
from skerry.informer.ring import Change
from skerry.informer.view import View
from skerry.storage.documents import Item, item, unseal

log = logging.getLogger("skerry.informer")

RING = 1024
"""Changes kept per kind at least; a watch that is further behind lists again."""
LEFT = 5000
"""Beyond so many tombstones of a kind, what purges left is not noted: memory."""
BATCH = 256
"""Entries that are taken before others may run: 10,000 come at once when a process starts."""


class _Read(NamedTuple):
    """An entry, read: where it belongs, and the object; None of what a purge left."""

    store: KindStore
    key: ObjectKey
    item: Item | None
    revision: int
    created: float


class Informer(View):
    """The objects of `kinds`, as of `revision`; of the kinds in `reduced` who they are and to whom they belong.

    A task must run `feed`; until `filled` is set the informer is empty and must not be believed.
    """

    def __init__(
        self, kinds: Iterable[Kind], *, reduced: Iterable[Kind] = (), ring: int = RING, name: str = "this process"
    ) -> None:
        whole = {(kind.group, kind.kind): KindStore(kind, ring) for kind in kinds}
        parts = {(kind.group, kind.kind): KindStore(kind, ring, reduced=True) for kind in reduced}
        stores = parts | whole
        super().__init__(name, stores.values(), RevisionProgress())
        self._staged: dict[str, Entry | _Read] | None = {}

    def view(self, name: str, kinds: Iterable[Kind]) -> View:
        """The view of the service `name`, which may read these kinds. NotNeeded for one that this process does not hold whole."""
        stores = [self._store(kind) for kind in kinds]
        for store in stores:
            if store.reduced:
                raise self._not_needed(store.kind)
        return View(name, stores, self._progress)

    async def feed(self, bucket: Bucket) -> None:
        """Keep in step with the bucket until cancelled; the watch survives lost connections by itself. InternalError if an event handler
        raised: see `fails`.
        """
        self._progress.leader = bucket
        async with bucket.watch() as watch:
            taken = 0
            async for event in watch:
                self.take(event)
                if self.failure:
                    await self.fails()
                taken += 1
                if taken >= BATCH and not (isinstance(event, Entry) and event.more):
                    taken = 0
                    await asyncio.sleep(0)

    def take(self, event: Entry | Filled | Resync) -> None:
        """One event of the bucket's watch.

        A first fill, and one after a Resync, is staged and takes effect as a whole: readers never see half of it.
        """
        if isinstance(event, Entry):
            if self._staged is None:
                self._apply(event)
                if event.gap:
                    self._progress.skip(event.gap, event.revision)
            else:
                self._staged[event.key] = self._read(event) or event if event.revision > self.revision else event
        elif isinstance(event, Filled):
            self._complete(event.revision)
        else:
            log.warning("the watch of the store starts over", extra={"reason": event.reason})
            self._staged = {}

    # One entry

    def _read(self, entry: Entry) -> _Read | None:
        """None for a key of a kind that is not held, and for what cannot be read."""
        try:
            group, kind, namespace, name = subjects.parse_key(entry.key)
            store = self._stores.get((group, kind))
            if store is None:
                return None
            new = None if entry.value is None else unseal(entry.value, entry.revision, with_writes=False)
        except (ValueError, msgspec.DecodeError):
            log.exception("unreadable entry in the store", extra={"key": entry.key, "revision": entry.revision})
            return None
        if new is not None:
            new = store.held(new)
        return _Read(store, *_shared(store, (namespace, name), new), entry.revision, entry.created)

    def _apply(self, event: Entry | _Read) -> None:
        if event.revision <= self.revision:
            return
        change = self._read(event) if isinstance(event, Entry) else event
        if change is not None:
            self._place(change)
        self._progress.move(event.revision)

    def _place(self, change: _Read) -> None:
        store, key, new, revision, _ = change
        if new is None or new.deleted:
            self._remove(store, key, revision, new)
            return
        old = store.items.get(key)
        store.tombstones.pop(key, None)
        if old is not None and old.uid != new.uid:
            self._replaced(store, key, revision)
            old = None
        store.put(key, new)
        store.tell(Change(revision, old, new))

    def _replaced(self, store: KindStore, key: ObjectKey, revision: int) -> None:
        """Another object has the name, and the deletion in between was not seen: the bucket keeps the last entry only.

        The deletion needs a revision of its own, or a watch that ends between it and the creation resumes after both. The
        one before is free if it was nobody else's; else running watches end with 410.
        """
        free = revision - 1 > self.revision
        self._remove(store, key, revision - 1 if free else revision, None)
        if not free:
            store.ring.reset(revision, expire=True)

    def _remove(self, store: KindStore, key: ObjectKey, revision: int, final: Item | None) -> None:
        if final is None:
            store.tombstones.pop(key, None)
        else:
            deleted = str(final.document()["metadata"].get("deletionTimestamp", ""))
            store.bury(Tombstone(*key, revision, deleted))
        old = store.pop(key)
        if old is not None:
            last = None if final is None else item(old.document(), revision)
            store.tell(Change(revision, old, None, last))

    # A fill

    def _complete(self, revision: int) -> None:
        """A fill or a resume is done. New watches start here; running ones go on unless they missed a deletion."""
        staged, self._staged = self._staged, None
        expire = False
        if staged is not None:
            expire = self._restart(revision) | self._forget_absent(staged, revision)
            for event in sorted(staged.values(), key=lambda event: event.revision):
                self._apply(event)
                self._left(event)
        self._progress.move(revision)
        for store in self._stores.values():
            store.ring.reset(self.revision, expire=expire)
        self.filled.set()

    def _left(self, event: Entry | _Read) -> None:
        """What a purge left, as a fill shows it: older purges gave it no end. Of very many the rest waits for the next fill."""
        change = self._read(event) if isinstance(event, Entry) and event.value is None else event
        if isinstance(change, _Read) and change.item is None and len(change.store.tombstones) < LEFT:
            purged = rfc3339(datetime.fromtimestamp(change.created, UTC))
            change.store.bury(Tombstone(*change.key, change.revision, purged))

    def _restart(self, revision: int) -> bool:
        """True if the bucket is another one than before, with lower revisions: then everything starts over."""
        if revision >= self.revision:
            return False
        log.error("the store's revisions went back", extra={"revision": revision, "before": self.revision})
        for store in self._stores.values():
            for key in list(store.items):
                self._remove(store, key, self.revision, None)
            store.tombstones.clear()
        self._progress.restart()
        return True

    def _forget_absent(self, staged: dict[str, Entry | _Read], revision: int) -> bool:
        """Remove what the fill does not show: it was purged while nobody looked. Whether there was any."""
        absent = False
        for (group, kind), store in self._stores.items():
            for key in [key for key in store.items if subjects.key(group, kind, *key) not in staged]:
                self._remove(store, key, revision, None)
                absent = True
            for key in [key for key in store.tombstones if subjects.key(group, kind, *key) not in staged]:
                del store.tombstones[key]
        return absent


def _shared(store: KindStore, key: ObjectKey, new: Item | None) -> tuple[ObjectKey, Item | None]:
    """A key and an item whose names are one text in memory, and the one of the item before, if there is one: of fifty thousand
    small objects these copies were a tenth.
    """
    if new is None or (new.namespace, new.name) != key:
        return key, new
    old = store.items.get(key)
    if old is None or old.uid != new.uid:
        return (new.namespace, new.name), new
    return (old.namespace, old.name), msgspec.structs.replace(new, namespace=old.namespace, name=old.name, uid=old.uid)
