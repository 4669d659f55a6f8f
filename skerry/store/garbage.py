"""Garbage collection for the service that owns the dependents: an object goes when all its owners are gone.

As in Kubernetes: `Background` deletes dependents after the owner, `Foreground` before it (the owner waits under a
finalizer), `Orphan` takes the reference off them. Owners can be of any kind of this API, dependents are the kinds of
one service, because a bucket's keys are written by the service that owns their kind; both sides see each other's
progress in the cache alone. Level-triggered: what fails is tried again in the next round.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from skerry.api.kinds import Kind
from skerry.api.messages import Caller, WriteRequest
from skerry.errors import Conflict, Forbidden, NotFound, StatusError
from skerry.store.cache import Cache
from skerry.store.documents import Document, Item
from skerry.store.ring import Change
from skerry.store.store import FOREGROUND, ORPHAN, Store
from skerry.store.writes import Rules

log = logging.getLogger("skerry.store")

ROUND_S = 30.0
"""Between two looks at everything; changes are looked at when they come."""
_REFERS = b'"ownerReferences"'
_DELETED = b'"deletionTimestamp"'
_CALLER = Caller(user="skerry:garbage-collector")


class Place(NamedTuple):
    """Where an object is."""

    group: str
    kind: str
    namespace: str
    name: str


class Garbage:
    """Collects the dependents of the kinds in `stores`; `cache` holds the kinds that owners can have.

    A service's `Rules.before_delete` is asked as for any other delete: what may not be deleted stays.
    """

    def __init__(self, cache: Cache, stores: Mapping[Store, Rules]) -> None:
        self._cache = cache
        self._rules = {(store.kind.group, store.kind.kind): (store, rules) for store, rules in stores.items()}
        self._kinds = {(kind.group, kind.kind): kind for kind in cache.kinds}
        self._owners: dict[Place, list[Document]] = {}
        self._counts: Counter[str] = Counter()
        """Dependents by the uid of the owner."""
        self._waiting: set[Place] = set()
        self._work = asyncio.Event()
        for kind in cache.kinds:
            for item in cache.list(kind):
                self._note(kind, Change(item.revision, None, item))
            cache.on_change(kind, self._listener(kind))

    def _listener(self, kind: Kind) -> Any:
        return lambda change: self._note(kind, change)

    def _note(self, kind: Kind, change: Change) -> None:
        """Keep the index; wake up if there can be something to do."""
        found = change.new or change.old
        if found is None:
            return
        place = Place(kind.group, kind.kind, found.namespace, found.name)
        before = self._owners.pop(place, [])
        self._counts.subtract(str(owner.get("uid")) for owner in before)
        self._waiting.discard(place)
        if change.new is not None:
            self._index(place, change.new)
        going = change.new is None or _DELETED in change.new.body
        linked = self._owners.get(place, []) != before
        if linked or place in self._waiting or (going and self._counts[found.uid] > 0):
            self._work.set()

    def _index(self, place: Place, item: Item) -> None:
        metadata = item.document()["metadata"] if _REFERS in item.body or _DELETED in item.body else {}
        owners = metadata.get("ownerReferences") or []
        if owners:
            self._owners[place] = owners
            self._counts.update(str(owner.get("uid")) for owner in owners)
        if "deletionTimestamp" in metadata and {ORPHAN, FOREGROUND} & set(metadata.get("finalizers") or ()):
            self._waiting.add(place)

    async def run(self) -> None:
        """Collect until cancelled."""
        while True:
            self._work.clear()
            try:
                await self.round()
            except StatusError as error:
                log.warning("garbage collection could not finish its round", extra={"error": error.message})
            try:
                async with asyncio.timeout(ROUND_S):
                    await self._work.wait()
            except TimeoutError:
                continue

    async def round(self) -> None:
        """Look at every dependent and at everything that waits for dependents. StatusError."""
        if not self._owners and not self._waiting:
            return
        await self._cache.current()
        for place in sorted(self._owners):
            if (place.group, place.kind) in self._rules:
                await self._dependent(place)
        for place in sorted(self._waiting):
            if (place.group, place.kind) in self._rules:
                await self._owner(place)

    # A dependent

    async def _dependent(self, place: Place) -> None:
        item = self._item(place)
        owners = self._owners.get(place, [])
        if item is None:
            return
        states = [self._state(place, owner) for owner in owners]
        gone = [owner["uid"] for owner, state in zip(owners, states, strict=True) if state != "solid"]
        try:
            if "orphaning" in states or (gone and "solid" in states):
                await self._unlink(place, item.uid, gone)
            elif gone:
                await self._collect(place, item, foreground="waiting" in states and self._counts[item.uid] > 0)
        except (NotFound, Conflict, Forbidden) as error:
            log.debug("a dependent stays for now", extra={"object": place.name, "error": error.message})

    def _state(self, place: Place, owner: Document) -> str:
        """solid, gone, waiting (for its dependents) or orphaning; an owner of a kind that is not known here is solid."""
        group = str(owner.get("apiVersion", "")).rpartition("/")[0]
        kind = self._kinds.get((group, str(owner.get("kind", ""))))
        if kind is None:
            return "solid"
        found = self._cache.get(kind, str(owner.get("name", "")), place.namespace if kind.namespaced else "")
        if found is None or found.uid != owner.get("uid"):
            return "gone"
        metadata = found.document()["metadata"]
        finalizers = (metadata.get("finalizers") or ()) if "deletionTimestamp" in metadata else ()
        if ORPHAN in finalizers:
            return "orphaning"
        return "waiting" if FOREGROUND in finalizers else "solid"

    async def _unlink(self, place: Place, uid: str, gone: list[str]) -> None:
        def without(document: Document) -> Document | None:
            metadata = document["metadata"]
            if metadata.get("uid") != uid:
                return None
            left = [owner for owner in metadata.get("ownerReferences") or () if owner.get("uid") not in gone]
            rest = {key: value for key, value in metadata.items() if key != "ownerReferences"}
            return {**document, "metadata": {**rest, "ownerReferences": left} if left else rest}

        store, _ = self._rules[place.group, place.kind]
        await store.modify(place.name, without, place.namespace)

    async def _collect(self, place: Place, item: Item, *, foreground: bool) -> None:
        store, rules = self._rules[place.group, place.kind]
        request = WriteRequest(request_id="", caller=_CALLER, namespace=place.namespace, name=place.name)
        await rules.before_delete(item, request)
        policy = "Foreground" if foreground else ""
        after = await store.delete(place.name, place.namespace, uid=item.uid, policy=policy)
        log.info("collected: all its owners are gone", extra={"kind": place.kind, "object": place.name})
        if not after.deleted:
            await rules.after_delete(after, request)

    # An owner that waits

    async def _owner(self, place: Place) -> None:
        item = self._item(place)
        if item is None:
            return
        store, _ = self._rules[place.group, place.kind]
        finalizers = item.document()["metadata"].get("finalizers") or ()
        links = [owner for owners in self._owners.values() for owner in owners if owner.get("uid") == item.uid]
        if ORPHAN in finalizers and not links:
            await store.finalize(place.name, item.uid, ORPHAN, place.namespace)
        if FOREGROUND in finalizers and not any(owner.get("blockOwnerDeletion") for owner in links):
            await store.finalize(place.name, item.uid, FOREGROUND, place.namespace)

    def _item(self, place: Place) -> Item | None:
        return self._cache.get(self._kinds[place.group, place.kind], place.name, place.namespace)
