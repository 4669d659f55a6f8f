"""Garbage collection for the service that owns the dependents: an object goes when all its owners are gone.

As in Kubernetes: `Background` deletes dependents after the owner, `Foreground` before it (the owner waits under a
finalizer), `Orphan` takes the reference off them. Owners can be of any kind of this API, dependents are the kinds of
one service, because a bucket's keys are written by the service that owns their kind; both sides see each other's
progress in the cache alone. Level-triggered: what fails is tried again in the next round.

A change is looked at when it comes, with what it concerns alone; a round looks at everything, with room for others to
run in between. An object that was deleted and waits for nothing (a host of before could be cut between the last
finalizer and the object) goes as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from skerry.admission.writes import Rules
from skerry.api.kinds import Kind
from skerry.api.messages import Caller, WriteRequest
from skerry.controller.recorder import Recorder
from skerry.errors import Conflict, Forbidden, NotFound, StatusError
from skerry.informer import Cache
from skerry.informer.ring import Change
from skerry.storage.documents import Document, Item
from skerry.storage.store import FOREGROUND, ORPHAN, Store

log = logging.getLogger("skerry.controller")

ROUND_S = 30.0
"""Between two looks at everything, however many changes come meanwhile; those are looked at when they come."""
BATCH = 50
"""Objects that are looked at before others may run."""
_REFERS = b'"ownerReferences"'
_DELETED = b'"deletionTimestamp"'
_OURS = frozenset((ORPHAN, FOREGROUND))


class Place(NamedTuple):
    """Where an object is."""

    group: str
    kind: str
    namespace: str
    name: str


class Garbage:
    """Collects the dependents of the kinds in `stores`; `cache` holds the kinds that owners can have.

    A service's `Rules.before_delete` is asked as for any other delete: what may not be deleted stays. The caller is the
    service itself, by a name that no user can have.
    """

    def __init__(
        self, cache: Cache, stores: Mapping[Store, Rules], recorder: Recorder, *, round_s: float = ROUND_S
    ) -> None:
        self._cache = cache
        self._round_s = round_s
        self._rules = {(store.kind.group, store.kind.kind): (store, rules) for store, rules in stores.items()}
        self._recorder = recorder
        self._kinds = {(kind.group, kind.kind): kind for kind in cache.kinds}
        self._owners: dict[Place, list[Document]] = {}
        """What each dependent refers to."""
        self._dependents: defaultdict[str, set[Place]] = defaultdict(set)
        """By the uid of the owner."""
        self._waiting: dict[str, Place] = {}
        """Deleted objects that wait for nothing but this collector, by uid."""
        self._changed: set[Place] = set()
        self._work = asyncio.Event()
        self._stops = [cache.on_change(kind, self._listener(kind)) for kind in cache.kinds]
        for kind in cache.kinds:
            for item in cache.list(kind):
                self._note(kind, Change(item.revision, None, item))

    def stop(self) -> None:
        """Hear of no more changes."""
        for each in self._stops:
            each()

    def _listener(self, kind: Kind) -> Callable[[Change], None]:
        return lambda change: self._note(kind, change)

    # What refers to what

    def _note(self, kind: Kind, change: Change) -> None:
        """Keep the index, and what the change can give to do."""
        found = change.new or change.old
        if found is None:
            return
        place = Place(kind.group, kind.kind, found.namespace, found.name)
        before = self._forget(place, found.uid)
        if change.new is not None:
            self._index(place, change.new)
        after = self._owners.get(place, [])
        concerned: set[Place] = set()
        if after != before:
            linked = _uids(before) | _uids(after)
            concerned |= {self._waiting[uid] for uid in linked & self._waiting.keys()}
        if change.new is None or _DELETED in change.new.body:
            concerned |= self._dependents.get(found.uid, set())
        if change.new is not None and (after != before or found.uid in self._waiting):
            concerned.add(place)
        if change.new is not None and after != before:
            self._tell_of_unresolvable(place, change.new)
        self._look_at(concerned)

    def _forget(self, place: Place, uid: str) -> list[Document]:
        """Take an object out of the index; the references that it had."""
        self._waiting.pop(uid, None)
        owners = self._owners.pop(place, [])
        for each in _uids(owners):
            self._dependents[each].discard(place)
            if not self._dependents[each]:
                del self._dependents[each]
        return owners

    def _index(self, place: Place, item: Item) -> None:
        metadata = item.document()["metadata"] if _REFERS in item.body or _DELETED in item.body else {}
        owners = metadata.get("ownerReferences") or []
        if owners:
            self._owners[place] = owners
            for uid in _uids(owners):
                self._dependents[uid].add(place)
        finalizers = set(metadata.get("finalizers") or ())
        if "deletionTimestamp" in metadata and (finalizers & _OURS or not finalizers):
            self._waiting[item.uid] = place

    def _look_at(self, places: set[Place]) -> None:
        ours = {place for place in places if (place.group, place.kind) in self._rules}
        if ours:
            self._changed |= ours
            self._work.set()

    # When to look

    async def run(self) -> None:
        """Collect until cancelled."""
        loop = asyncio.get_running_loop()
        round_at = loop.time()
        while True:
            self._work.clear()
            due = loop.time() >= round_at
            if due:
                round_at = loop.time() + self._round_s
            try:
                await (self.round() if due else self.turn())
            except StatusError as error:
                log.warning("garbage collection could not finish its round", extra={"error": error.message})
            except Exception:
                log.exception("garbage collection could not finish its round")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(round_at):
                    await self._work.wait()

    async def round(self) -> int:
        """Look at every dependent and at everything that waits for dependents; how many those are. StatusError."""
        self._changed |= {place for place in self._owners if (place.group, place.kind) in self._rules}
        self._changed |= {place for place in self._waiting.values() if (place.group, place.kind) in self._rules}
        return await self.turn()

    async def turn(self) -> int:
        """Look at what the changes since the last time concern; how much that is. StatusError."""
        if not self._changed:
            return 0
        places, self._changed = self._changed, set()
        try:
            await self._cache.current()
            await self._look(places)
        except StatusError:
            self._changed |= places
            raise
        return len(places)

    async def _look(self, places: Collection[Place]) -> None:
        for number, place in enumerate(places, 1):
            item = self._cache.get(self._kinds[place.group, place.kind], place.name, place.namespace)
            if item is not None and place in self._owners:
                await self._dependent(place, item)
            if item is not None and item.uid in self._waiting:
                await self._owner(place, item)
            if number % BATCH == 0:
                await asyncio.sleep(0)

    # A dependent

    async def _dependent(self, place: Place, item: Item) -> None:
        owners = self._owners[place]
        if any(self._unresolvable(place, owner) for owner in owners):
            return
        states = [self._state(place, owner) for owner in owners]
        gone = [owner["uid"] for owner, state in zip(owners, states, strict=True) if state != "solid"]
        try:
            if "orphaning" in states or (gone and "solid" in states):
                await self._unlink(place, item.uid, gone)
            elif gone:
                await self._collect(place, item, foreground="waiting" in states and item.uid in self._dependents)
        except (NotFound, Conflict, Forbidden) as error:
            log.debug("a dependent stays for now", extra={"object": place.name, "error": error.message})

    def _unresolvable(self, place: Place, owner: Document) -> bool:
        """Whether a cluster-scoped object names a namespaced owner: nobody can say in which namespace to look."""
        kind = self._kind_of(owner)
        return kind is not None and kind.namespaced and not place.namespace

    def _tell_of_unresolvable(self, place: Place, item: Item) -> None:
        """The Event that kube-controller-manager tells then, in its words; once, by the owner of the kind."""
        if (place.group, place.kind) not in self._rules:
            return
        for owner in self._owners.get(place, []):
            if self._unresolvable(place, owner):
                named = f"{owner.get('apiVersion')}/{owner.get('kind')}, namespace: , name: {owner.get('name')}"
                text = f'ownerRef [{named}, uid: {owner.get("uid")}] does not exist in namespace ""'
                self._recorder.warning(item.document(), "OwnerRefInvalidNamespace", text)

    def _kind_of(self, owner: Document) -> Kind | None:
        """None for a kind that is not known here."""
        group = str(owner.get("apiVersion", "")).rpartition("/")[0]
        return self._kinds.get((group, str(owner.get("kind", ""))))

    def _state(self, place: Place, owner: Document) -> str:
        """solid, gone, waiting (for its dependents) or orphaning; an owner of a kind that is not known here is solid."""
        kind = self._kind_of(owner)
        if kind is None:
            return "solid"
        found = self._cache.get(kind, str(owner.get("name", "")), place.namespace if kind.namespaced else "")
        if found is None or found.uid != owner.get("uid"):
            return "gone"
        metadata = found.document()["metadata"] if _DELETED in found.body else {}
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
        caller = Caller(user=f"skerry:{store.kind.owner}")
        request = WriteRequest(request_id="", caller=caller, namespace=place.namespace, name=place.name)
        await rules.before_delete(item, request)
        policy = "Foreground" if foreground else ""
        after = await store.delete(place.name, place.namespace, uid=item.uid, policy=policy)
        log.info("collected: all its owners are gone", extra={"kind": place.kind, "object": place.name})
        if not after.deleted:
            await rules.after_delete(after, request)

    # An owner that waits

    async def _owner(self, place: Place, item: Item) -> None:
        store, _ = self._rules[place.group, place.kind]
        finalizers = item.document()["metadata"].get("finalizers") or ()
        links = [owner for each in self._dependents.get(item.uid, ()) for owner in self._owners[each]]
        links = [owner for owner in links if owner.get("uid") == item.uid]
        if not finalizers:
            with contextlib.suppress(NotFound, Conflict):
                await store.delete(place.name, place.namespace, uid=item.uid)
        if ORPHAN in finalizers and not links:
            await store.finalize(place.name, item.uid, ORPHAN, place.namespace)
        if FOREGROUND in finalizers and not any(owner.get("blockOwnerDeletion") for owner in links):
            await store.finalize(place.name, item.uid, FOREGROUND, place.namespace)


def _uids(owners: list[Document]) -> set[str]:
    return {str(owner.get("uid")) for owner in owners}
