"""What a service sees of its process's informer: the kinds that it names, and no others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import NoReturn

from skerry.api.kinds import Kind
from skerry.errors import InternalError
from skerry.informer.index import IndexFunction, ObjectKey
from skerry.informer.kindstore import EventHandler, Items, KindStore, Tombstone
from skerry.informer.progress import CURRENT_S, RevisionProgress
from skerry.informer.ring import Change, Convert, RingCursor, too_old
from skerry.storage.documents import Item


class NotNeeded(LookupError):
    """A service read a kind that it did not name: a bug, told with the kind and the service."""


class View:
    """Some kinds of an informer, for the reader called `name`. Reading another kind raises NotNeeded."""

    def __init__(self, name: str, stores: Iterable[KindStore], progress: RevisionProgress) -> None:
        self.name = name
        self._stores = {(store.kind.group, store.kind.kind.lower()): store for store in stores}
        self._progress = progress
        self._failed = asyncio.Event()
        self.failure = ""
        """Why what its event handlers keep cannot be trusted any more, for people; empty if it can."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Whose objects can be read here."""
        return tuple(store.kind for store in self._stores.values())

    def _store(self, kind: Kind) -> KindStore:
        store = self._stores.get((kind.group, kind.kind.lower()))
        if store is None:
            raise self._not_needed(kind)
        return store

    def _not_needed(self, kind: Kind) -> NotNeeded:
        return NotNeeded(f"{self.name} reads {kind.kind}, which is neither its own nor in its `needs`: name it there")

    # Objects

    def get(self, kind: Kind, name: str, namespace: str = "") -> Item | None:
        """The object, or None."""
        return self._store(kind).items.get((namespace, name))

    def list(self, kind: Kind, namespace: str = "", keys: Iterable[ObjectKey] | None = None) -> Items:
        """Objects of a kind in the order of namespace and name; all namespaces for `""`. With `keys` those of them that
        there are, which costs as much as there are keys.
        """
        return self._store(kind).list(namespace, keys)

    def snapshot(
        self, kind: Kind, revision: int, namespace: str = "", keys: Iterable[ObjectKey] | None = None
    ) -> Items:
        """The objects of a kind as they were at `revision`, which has been reached: what came later is undone. With `keys`
        those alone, and what changed since.

        Gone if the ring does not reach back so far, or not all was seen of what was there then. Costs nothing but the
        changes since, and keeps nothing.
        """
        if not self._progress.knows(revision):
            raise too_old(revision, self.revision)
        return self._store(kind).snapshot(revision, namespace, keys)

    def index(self, kind: Kind, name: str, function: IndexFunction) -> None:
        """Have `lookup(kind, name, value)` find the objects for which `function` gives `value`, in constant time.

        Who asks for the same index again shares it. ValueError if the name stands for another function.
        """
        self._store(kind).index(name, function)

    def lookup(self, kind: Kind, name: str, value: str) -> Items:
        """The objects of a kind that have `value` in the index `name`, in no order. LookupError without such an index."""
        return self._store(kind).lookup(name, value)

    # Changes

    def watch(self, kind: Kind, since: int | None = None, convert: Convert | None = None) -> RingCursor:
        """Changes of a kind after revision `since` (default: from now). Gone if that is before the horizon, or not all was
        seen of what was there then: an object could be ADDED that the client knows.

        With `convert` the objects are shown as it makes them, for a second view of the same objects.
        """
        store = self._store(kind)
        if since is not None and not self._progress.knows(since):
            raise too_old(since, self.revision)
        return RingCursor(store.ring, self.revision if since is None else since, convert)

    def add_event_handler(self, kind: Kind, handler: EventHandler) -> Callable[[], None]:
        """Call `handler(change)` inline for every change of a kind, the first fill included; returns how to stop.

        A handler must be quick: it holds up everything. One that raises is logged and hears nothing more, the others do; its
        reader has failed then: see `fails`.
        """
        return self._store(kind).add_event_handler(handler, self._fail)

    def _fail(self, kind: Kind, change: Change) -> None:
        item = change.new or change.old
        if item is None or self.failure:
            return
        where = f"{item.namespace}/{item.name}" if item.namespace else item.name
        self.failure = (
            f"{self.name} could not take a change of {kind.kind} {where} (revision {change.revision}): what it knows is out of date; "
            "the log has the error"
        )
        self._failed.set()

    async def fails(self) -> NoReturn:
        """Wait until an event handler has raised. InternalError then: what it keeps is not what is stored any more, such as rights that
        were taken away, so its reader has to end and begin anew.
        """
        await self._failed.wait()
        raise InternalError(self.failure)

    # What is deleted

    def tombstones(self, kind: Kind, before: float | None = None) -> tuple[Tombstone, ...]:
        """Deleted objects of a kind that lie in the bucket; those from before a moment (seconds since the epoch), or all."""
        store = self._store(kind)
        return tuple(store.tombstones.values()) if before is None else store.buried_before(before)

    def forget(self, kind: Kind, tombstone: Tombstone) -> None:
        """A tombstone that is no longer in the bucket: another entry is on its way, or it went by itself."""
        self._store(kind).forget(tombstone)

    # How far

    @property
    def revision(self) -> int:
        """Everything up to this revision of the bucket is here."""
        return self._progress.revision

    @property
    def filled(self) -> asyncio.Event:
        """Until it is set the informer is empty and must not be believed."""
        return self._progress.filled

    async def current(self, timeout_s: float = CURRENT_S) -> int:
        """Wait until everything is here that was stored before this call; the revision asked of the leader.

        Concurrent calls share a question, but none shares one that was asked before it. GatewayTimeout,
        ServiceUnavailable.
        """
        return await self._progress.current(timeout_s)

    async def reached(self, revision: int) -> None:
        """Wait, without a limit, until the informer is at `revision` and filled."""
        await self._progress.reached(revision)
