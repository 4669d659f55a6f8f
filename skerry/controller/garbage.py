"""Garbage collection for the service that owns the dependents: an object goes when all its owners are gone.

As in Kubernetes: `Background` deletes dependents after the owner, `Foreground` before it (the owner waits under a
finalizer), `Orphan` takes the reference off them. Owners can be of any kind of this API, dependents are the kinds of
one service, because a bucket's keys are written by the service that owns their kind; both sides see each other's
progress in the informer alone.

A key is an object's place. It is looked at when it changes, when an owner of it does, and when what it waits for does; all
are once at the start. What stays although it should go is looked at again after a while. Nothing looks at everything: who
refers to whom is an index. An object that was deleted and waits for nothing (a host of before could be cut between the
last finalizer and the object) goes as well.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from skerry.admission.writes import Rules
from skerry.api.kinds import Kind
from skerry.api.messages import Caller, WriteRequest
from skerry.api.meta import Document
from skerry.api.names import PREFIX
from skerry.controller.controller import After, Controller, Reconcile
from skerry.controller.recorder import Recorder
from skerry.errors import Conflict, Forbidden, NotFound
from skerry.informer import Change, View
from skerry.storage.documents import Item
from skerry.storage.store import FOREGROUND, ORPHAN, Store

log = logging.getLogger("skerry.controller")

AT_ONCE = 16
"""Objects that are looked at together: they share the question how far the store is."""
AGAIN_S = 30.0
"""Until another look at what could not go."""
_REFERS = b'"ownerReferences"'
_DELETED = b'"deletionTimestamp"'
_OURS = frozenset((ORPHAN, FOREGROUND))
OWNER, WAITING = "owner", "waiting"
"""Indexes: by the uids of owners; by its own uid what is deleted and waits for nothing but a collector."""


def collector(kind: Kind) -> Caller:
    """Who collects objects of a kind: the service that owns it, by a name that no user can have."""
    return Caller(user=PREFIX + kind.owner)


async def collect(store: Store, rules: Rules, item: Item, *, policy: str = "") -> Item:
    """Delete an object as its collector, if its rules let that happen; what is left of it. NotFound, Conflict, Forbidden."""
    request = WriteRequest(request_id="", caller=collector(store.kind), namespace=item.namespace, name=item.name)
    await rules.before_delete(item, request)
    finalizers = await rules.holds(item, request)
    after = await store.delete(item.name, item.namespace, uid=item.uid, policy=policy, finalizers=finalizers)
    if not after.deleted:
        await rules.after_delete(after, request)
    return after


class ObjectPlace(NamedTuple):
    """Where an object is."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}{'/' * bool(self.namespace)}{self.name}"


class Garbage:
    """Collects the dependents of the kinds in `stores`; `informer` holds the kinds that owners can have.

    A service's `Rules.before_delete` is asked as for any other delete: what may not be deleted stays. The caller is the
    service itself, by a name that no user can have. `controller` makes the controller of a reconcile.
    """

    def __init__(
        self,
        informer: View,
        stores: Mapping[Store, Rules],
        recorder: Recorder,
        controller: Callable[[Reconcile[ObjectPlace]], Controller[ObjectPlace]],
        *,
        again_s: float = AGAIN_S,
    ) -> None:
        self._informer = informer
        self._again_s = again_s
        self._rules = {(store.kind.group, store.kind.kind): (store, rules) for store, rules in stores.items()}
        self._recorder = recorder
        self._kinds = {(kind.group, kind.kind): kind for kind in informer.kinds}
        self.controller = controller(self.reconcile)
        self._stops = [informer.add_event_handler(kind, self._handler(kind)) for kind in informer.kinds]
        for kind in informer.kinds:
            informer.index(kind, OWNER, owner_uids)
            informer.index(kind, WAITING, waiting_uid)
        for group, name in self._rules:
            kind = self._kinds[group, name]
            for item in informer.list(kind):
                self._note(kind, Change(item.revision, None, item))

    def stop(self) -> None:
        """Hear of no more changes."""
        for each in self._stops:
            each()

    # When to look

    def _handler(self, kind: Kind) -> Callable[[Change], None]:
        return lambda change: self._note(kind, change)

    def _note(self, kind: Kind, change: Change) -> None:
        """Have looked at what the change concerns. Most are of objects that nothing is tied to, and concern nobody."""
        old, new = change.old, change.new
        item = new or old
        if item is None or not (new is None or new.tied or (old is not None and old.tied)):
            return
        before, after = owners_of(old), owners_of(new)
        going = new is None or _DELETED in new.body
        if after != before:
            for uid in _uids(before) | _uids(after):
                self._add(self._with(WAITING, uid))
        if going:
            self._add(self._with(OWNER, item.uid))
        if new is not None and (after != before or waiting_uid(new)):
            place = _place(kind, new)
            self._add((place,))
            if after != before:
                self._tell_of_unresolvable(place, new, after)

    def _with(self, index: str, uid: str) -> Iterator[ObjectPlace]:
        for kind in self._kinds.values():
            for item in self._informer.lookup(kind, index, uid):
                yield _place(kind, item)

    def _add(self, places: Iterable[ObjectPlace]) -> None:
        for place in places:
            if (place.group, place.kind) in self._rules:
                self.controller.add(place)

    # Looking

    async def reconcile(self, place: ObjectPlace) -> After | None:
        """Collect the object at `place` if its owners are gone, and end its own waiting if it need not wait. StatusError."""
        item = self._get(place)
        if item is None or not (waiting_uid(item) or self._ownerless(place, item)):
            return None
        await self._informer.current()
        item = self._get(place)
        if item is None:
            return None
        stays = await self._dependent(place, item)
        if waiting_uid(item):
            await self._owner(place, item)
            stays = True
        return After(self._again_s) if stays else None

    def _get(self, place: ObjectPlace) -> Item | None:
        return self._informer.get(self._kinds[place.group, place.kind], place.name, place.namespace)

    # A dependent

    def _ownerless(self, place: ObjectPlace, item: Item) -> bool:
        """True if any of its owners is not there as it should be."""
        return any(self._state(place, owner) != "solid" for owner in owners_of(item))

    async def _dependent(self, place: ObjectPlace, item: Item) -> bool:
        """True if it stays although it should go."""
        owners = owners_of(item)
        if any(self._unresolvable(place, owner) for owner in owners):
            return False
        states = [self._state(place, owner) for owner in owners]
        gone = [owner["uid"] for owner, state in zip(owners, states, strict=True) if state != "solid"]
        try:
            if "orphaning" in states or (gone and "solid" in states):
                await self._unlink(place, item.uid, gone)
            elif gone:
                depended_on = any(self._with(OWNER, item.uid))
                await self._collect(place, item, foreground="waiting" in states and depended_on)
        except (NotFound, Conflict, Forbidden) as error:
            log.debug("a dependent stays for now", extra={"object": place.name, "error": error.message})
            return True
        return False

    def _unresolvable(self, place: ObjectPlace, owner: Document) -> bool:
        """True if a cluster-scoped object names a namespaced owner: nobody can say in which namespace to look."""
        kind = self._kind_of(owner)
        return kind is not None and kind.namespaced and not place.namespace

    def _tell_of_unresolvable(self, place: ObjectPlace, item: Item, owners: list[Document]) -> None:
        """The Event that kube-controller-manager tells then, in its words; once, by the owner of the kind."""
        if (place.group, place.kind) not in self._rules:
            return
        for owner in owners:
            if self._unresolvable(place, owner):
                named = f"{owner.get('apiVersion')}/{owner.get('kind')}, namespace: , name: {owner.get('name')}"
                text = f'ownerRef [{named}, uid: {owner.get("uid")}] does not exist in namespace ""'
                self._recorder.warning(item.document(), "OwnerRefInvalidNamespace", text)

    def _kind_of(self, owner: Document) -> Kind | None:
        """None for a kind that is not known here."""
        group = str(owner.get("apiVersion", "")).rpartition("/")[0]
        return self._kinds.get((group, str(owner.get("kind", ""))))

    def _state(self, place: ObjectPlace, owner: Document) -> str:
        """solid, gone, waiting (for its dependents) or orphaning; an owner of a kind that is not known here is solid."""
        kind = self._kind_of(owner)
        if kind is None:
            return "solid"
        item = self._informer.get(kind, str(owner.get("name", "")), place.namespace if kind.namespaced else "")
        if item is None or item.uid != owner.get("uid"):
            return "gone"
        metadata = item.document()["metadata"] if _DELETED in item.body else {}
        finalizers = (metadata.get("finalizers") or ()) if "deletionTimestamp" in metadata else ()
        if ORPHAN in finalizers:
            return "orphaning"
        return "waiting" if FOREGROUND in finalizers else "solid"

    async def _unlink(self, place: ObjectPlace, uid: str, gone: list[str]) -> None:
        def without(document: Document) -> Document | None:
            metadata = document["metadata"]
            if metadata.get("uid") != uid:
                return None
            left = [owner for owner in metadata.get("ownerReferences") or () if owner.get("uid") not in gone]
            rest = {key: value for key, value in metadata.items() if key != "ownerReferences"}
            return {**document, "metadata": {**rest, "ownerReferences": left} if left else rest}

        store, _ = self._rules[place.group, place.kind]
        await store.modify(place.name, without, place.namespace)

    async def _collect(self, place: ObjectPlace, item: Item, *, foreground: bool) -> None:
        store, rules = self._rules[place.group, place.kind]
        await collect(store, rules, item, policy="Foreground" if foreground else "")
        log.info("collected: all its owners are gone", extra={"kind": place.kind, "object": place.name})

    # An owner that waits

    async def _owner(self, place: ObjectPlace, item: Item) -> None:
        store, _ = self._rules[place.group, place.kind]
        finalizers = item.document()["metadata"].get("finalizers") or ()
        dependents = (each for kind in self._kinds.values() for each in self._informer.lookup(kind, OWNER, item.uid))
        links = [owner for each in dependents for owner in owners_of(each) if owner.get("uid") == item.uid]
        if not finalizers:
            with contextlib.suppress(NotFound, Conflict):
                await store.delete(place.name, place.namespace, uid=item.uid)
        if ORPHAN in finalizers and not links:
            await store.finalize(place.name, item.uid, ORPHAN, place.namespace)
        if FOREGROUND in finalizers and not any(owner.get("blockOwnerDeletion") for owner in links):
            await store.finalize(place.name, item.uid, FOREGROUND, place.namespace)


def owners_of(item: Item | None) -> list[Document]:
    """The references of an object to its owners."""
    if item is None or not item.tied or _REFERS not in item.body:
        return []
    return item.document()["metadata"].get("ownerReferences") or []


def owner_uids(item: Item) -> Iterable[str]:
    """The index OWNER."""
    return _uids(owners_of(item))


def waiting_uid(item: Item) -> tuple[str, ...]:
    """The index WAITING."""
    if not item.tied or _DELETED not in item.body:
        return ()
    metadata = item.document()["metadata"]
    finalizers = set(metadata.get("finalizers") or ())
    return (item.uid,) if "deletionTimestamp" in metadata and (finalizers & _OURS or not finalizers) else ()


def _uids(owners: list[Document]) -> set[str]:
    return {str(owner.get("uid")) for owner in owners}


def _place(kind: Kind, item: Item) -> ObjectPlace:
    return ObjectPlace(kind.group, kind.kind, item.namespace, item.name)
