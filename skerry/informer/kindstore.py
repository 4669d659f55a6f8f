"""Everything that an informer has of one kind: its objects, their order and indexes, what is deleted, the last changes."""

from __future__ import annotations

import heapq
import inspect
import logging
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable

import msgspec

from skerry.api.kinds import Kind
from skerry.api.times import seconds
from skerry.informer.index import Index, IndexFunction, ObjectKey
from skerry.informer.ring import Change, Ring, SharedChange, too_old
from skerry.storage.documents import Item, pack, reduced

log = logging.getLogger("skerry.informer")

EventHandler = Callable[[Change], None]
FailureHandler = Callable[[Kind, Change], None]
Items = list[Item]


class Tombstone(msgspec.Struct, frozen=True, gc=False):
    """A deleted object whose final state, or what a purge left of it, still lies in the bucket."""

    namespace: str
    name: str
    revision: int
    deleted: str
    """Its deletionTimestamp; or when it was purged."""


class KindStore:
    """The objects of one kind by (namespace, name). With `reduced` of each only who it is and to whom it belongs."""

    def __init__(self, kind: Kind, ring: int, *, reduced: bool = False) -> None:
        self.kind = kind
        self.reduced = reduced
        self.items: dict[ObjectKey, Item] = {}
        self.tombstones: dict[ObjectKey, Tombstone] = {}
        self.ring = Ring(ring)
        self._first: Item | None = None
        """By whose body others of the kind are packed."""
        self._order: list[ObjectKey] | None = None
        """Sorted keys, when somebody has listed; kept then, because sorting ten thousand costs a page ten times over."""
        self._ages: list[tuple[float, int, ObjectKey]] = []
        """A heap of (seconds since the epoch, revision, key) that may hold tombstones which are not there any more."""
        self._indexes: dict[str, Index] = {}
        self._handlers: tuple[tuple[EventHandler, FailureHandler], ...] = ()

    # Objects

    def held(self, item: Item) -> Item:
        """An object as it is held: reduced, or packed, if those of the kind are."""
        if item.deleted:
            return item
        if self.reduced:
            return reduced(item)
        if not self.kind.packed:
            return item
        self._first = self._first or item
        return pack(item, self._first)

    def put(self, key: ObjectKey, new: Item) -> None:
        """Place an object."""
        if self._order is not None and key not in self.items:
            insort(self._order, key)
        old = self.items.get(key)
        self.items[key] = new
        for index in self._indexes.values():
            index.put(key, old, new)

    def pop(self, key: ObjectKey) -> Item | None:
        """Take an object away."""
        old = self.items.pop(key, None)
        if old is not None:
            if self._order is not None:
                del self._order[bisect_left(self._order, key)]
            for index in self._indexes.values():
                index.put(key, old, None)
        return old

    def list(self, namespace: str, keys: Iterable[ObjectKey] | None = None) -> Items:
        """Objects in the order of namespace and name; all namespaces for `""`. Of those with `keys`, if they are given."""
        if keys is not None:
            return _ordered({key: self.items[key] for key in keys if key in self.items}, namespace)
        if self._order is None:
            self._order = sorted(self.items)
        order, items = self._order, self.items
        if namespace:
            order = order[bisect_left(order, (namespace, "")) : bisect_left(order, (namespace + "\0", ""))]
        return [items[key] for key in order]

    def snapshot(self, revision: int, namespace: str, keys: Iterable[ObjectKey] | None = None) -> Items:
        """The objects as they were at `revision`: what came later is undone. Gone before the ring's horizon. Of those with
        `keys`, if they are given, and of those that changed since.
        """
        if revision < self.ring.horizon:
            raise too_old(revision, self.ring.horizon)
        later = self.ring.after(revision)
        if not later:
            return self.list(namespace, keys)
        items = dict(self.items) if keys is None else {key: self.items[key] for key in keys if key in self.items}
        for change in reversed(later):
            _undo(items, change)
        return _ordered(items, namespace)

    # Indexes

    def index(self, name: str, function: IndexFunction) -> None:
        """Have `lookup(name, …)`. ValueError if the name means something else already."""
        before = self._indexes.get(name)
        if before is None:
            index = self._indexes[name] = Index(function)
            for key, item in self.items.items():
                index.put(key, None, item)
        elif before.function is not function:
            raise ValueError(f"{self.kind.kind} has an index {name!r} already, by another function")

    def lookup(self, name: str, value: str) -> Items:
        """Objects that have `value` in an index. LookupError if there is no such index."""
        index = self._indexes.get(name)
        if index is None:
            raise LookupError(f"{self.kind.kind} has no index {name!r}")
        return [self.items[key] for key in index.keys(value)]

    # Tombstones

    def bury(self, tombstone: Tombstone) -> None:
        """Note a deleted object."""
        key = tombstone.namespace, tombstone.name
        self.tombstones[key] = tombstone
        heapq.heappush(self._ages, (_seconds(tombstone.deleted), tombstone.revision, key))

    def forget(self, tombstone: Tombstone) -> None:
        """A tombstone that is no longer in the bucket: another entry is on its way, or it went by itself."""
        key = tombstone.namespace, tombstone.name
        if self.tombstones.get(key) == tombstone:
            del self.tombstones[key]

    def buried_before(self, moment: float) -> tuple[Tombstone, ...]:
        """Tombstones from before `moment` (seconds since the epoch), the oldest first: costs as much as there are of them."""
        old: list[tuple[float, int, ObjectKey]] = []
        while self._ages and self._ages[0][0] <= moment:
            age = heapq.heappop(self._ages)
            tombstone = self.tombstones.get(age[2])
            if tombstone is not None and tombstone.revision == age[1]:
                old.append(age)
        for age in old:
            heapq.heappush(self._ages, age)
        return tuple(self.tombstones[key] for _, _, key in old)

    # Changes

    def add_event_handler(self, handler: EventHandler, failed: FailureHandler) -> Callable[[], None]:
        """Call `handler(change)` for every change, and `failed(kind, change)` for the one at which it raises, the last that it hears;
        returns how to stop. TypeError for a coroutine function.
        """
        if inspect.iscoroutinefunction(handler):
            raise TypeError(
                f"an event handler of {self.kind.kind} is called inline and cannot wait: add a key to a queue"
            )
        self._handlers = (*self._handlers, (handler, failed))
        return lambda: self._drop(handler)

    def _drop(self, handler: EventHandler) -> None:
        self._handlers = tuple(each for each in self._handlers if each[0] is not handler)

    def tell(self, change: Change) -> None:
        """Record a change and call the handlers: one that raises is a bug of its own, and its owner's to mend."""
        self.ring.append(change)
        heard = SharedChange(*change)
        for handler, failed in self._handlers:
            try:
                handler(heard)
            except Exception:
                log.exception("an event handler failed", extra={"kind": self.kind.kind, "revision": change.revision})
                self._drop(handler)
                failed(self.kind, change)


def _ordered(items: dict[ObjectKey, Item], namespace: str) -> Items:
    return [items[key] for key in sorted(items) if not namespace or key[0] == namespace]


def _undo(items: dict[ObjectKey, Item], change: Change) -> None:
    after = change.new
    if after is not None:
        items.pop((after.namespace, after.name), None)
    if change.old is not None:
        items[change.old.namespace, change.old.name] = change.old


def _seconds(text: str) -> float:
    try:
        return seconds(text)
    except ValueError:
        return 0.0
