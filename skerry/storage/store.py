"""The owning service's side: create, update and delete with compare-and-set, and the rules every kind shares.

A write carries a write id inside its value. When the bus loses an acknowledgement the write is repeated with the same
expected revision; a conflict is then checked against the stored value, because it may be a conflict with oneself. A
delete is a compare-and-set put of the final object marked deleted, so that watchers everywhere get its body; the key is
purged later.
"""

from __future__ import annotations

import contextlib
import secrets
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime

from skerry import subjects
from skerry.api.kinds import Kind
from skerry.api.meta import Document
from skerry.api.times import rfc3339
from skerry.bus import Bucket
from skerry.errors import AlreadyExists, Conflict, GatewayTimeout, NotFound, ServiceUnavailable, StatusError
from skerry.storage import origin
from skerry.storage.documents import KEPT_WRITE_IDS, Item, item, seal, unseal, utc_now

ATTEMPTS = 3
"""A write whose outcome is unknown is repeated this often in all."""


UpdateFunction = Callable[[Document], Document | None]
"""Takes the current document (its own copy) and returns the wanted one; None leaves the object as it is."""


def new_write_id() -> str:
    """A write id: 64 random bits are enough to tell apart the writes of one key."""
    return secrets.token_urlsafe(8)


class Store:
    """Objects of one kind, for the service that owns it. Every method answers with what is stored."""

    def __init__(
        self,
        bucket: Bucket,
        kind: Kind,
        *,
        clock: Callable[[], datetime] = utc_now,
        guard: Callable[[], None] | None = None,
    ) -> None:
        """`guard` is asked right in front of each write, and raises a StatusError where none may follow: a lease's `check`."""
        self.kind = kind
        self._bucket = bucket
        self._clock = clock
        self._guard = guard

    def key(self, name: str, namespace: str = "") -> str:
        """The object's key in the bucket."""
        return subjects.key(self.kind.group, self.kind.kind, namespace, name)

    async def find(self, name: str, namespace: str = "", *, write_id: str = "") -> Item | None:
        """The object as the bucket has it now, or None; the final state of one that the write `write_id` ended."""
        item = await self._read(self.key(name, namespace))
        if item is None or (item.deleted and not (write_id and write_id in item.writes)):
            return None
        return item

    async def get(self, name: str, namespace: str = "", *, write_id: str = "") -> Item:
        """As `find`. NotFound."""
        item = await self.find(name, namespace, write_id=write_id)
        if item is None:
            raise self.not_found(name)
        return item

    async def create(self, document: Document, *, write_id: str = "") -> Item:
        """Store a new object: uid, creationTimestamp and generation 1 are set here. AlreadyExists.

        The uid of the document is kept if there is one. `document` needs metadata.name. The writes of a deleted object of that
        name are remembered further: one that comes again is not done to its successor. Conflict if this one made it.
        """
        new = self.stamped(document)
        name, namespace = new["metadata"]["name"], new["metadata"].get("namespace", "")
        key, write_id = self.key(name, namespace), write_id or new_write_id()
        before = await self._read(key)
        if before is not None and not before.deleted:
            if write_id in before.writes:
                return before
            raise self.already_exists(name, before)
        earlier = () if before is None else before.writes
        if write_id in earlier:
            raise self._refused(name, "this request created it before, and it was deleted since")
        try:
            return await self._put(key, new, 0 if before is None else before.revision, (write_id, *earlier))
        except Conflict as error:
            raise self.already_exists(name) from error

    def stamped(self, document: Document) -> Document:
        """`document` as create would store it now."""
        metadata = {k: v for k, v in document.get("metadata", {}).items() if k != "resourceVersion"}
        metadata.setdefault("uid", str(uuid.uuid4()))
        metadata |= {"creationTimestamp": rfc3339(self._clock()), "generation": 1}
        head = {"apiVersion": self.kind.api_version, "kind": self.kind.kind}
        return {**document, **head, "metadata": metadata}

    async def update(self, before: Item, document: Document, *, write_id: str = "") -> Item:
        """Replace `before` by `document`. Conflict if it changed meanwhile.

        Status is the caller's to keep or to change; uid and creationTimestamp stay; generation moves with everything
        but metadata and status. Nothing is written when nothing changed. An object that waits for deletion goes with
        its last finalizer, in the same write: the answer's `deleted` says so.
        """
        new = replaced(before, document)
        over = is_over(new)
        if new == before.document() and not over:
            return before
        write_id = write_id or new_write_id()
        key = self.key(before.name, before.namespace)
        return await self._put(key, new, before.revision, (write_id, *before.writes), deleted=over)

    async def modify(self, name: str, change: UpdateFunction, namespace: str = "") -> Item:
        """Read, change, write, and again if somebody else was faster. NotFound."""
        while True:
            before = await self.get(name, namespace)
            document = change(before.document())
            if document is None:
                return before
            try:
                return await self.update(before, document)
            except Conflict:
                continue

    async def delete(
        self,
        name: str,
        namespace: str = "",
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        write_id: str = "",
        policy: str = "",
        finalizers: tuple[str, ...] = (),
    ) -> Item:
        """Delete, or only mark with deletionTimestamp while finalizers are left.

        `policy` is metav1's propagationPolicy: Foreground and Orphan put the garbage collector's finalizer on it. `finalizers` are
        put on it if it does not wait already.
        NotFound; Conflict when a precondition (`uid`, `resource_version`) does not hold. The answer's `deleted` says
        whether the object is gone.
        """
        while True:
            before = await self._read(self.key(name, namespace))
            if before is not None and before.deleted and write_id and write_id in before.writes:
                return before
            if before is None or before.deleted:
                raise self.not_found(name)
            if write_id and write_id in before.writes:  # it marked this one, or ended an earlier one of the name
                if "deletionTimestamp" in before.document()["metadata"]:
                    return before
                raise self.not_found(name)
            self.check_deletable(before, uid, resource_version)
            try:
                document = self.marked(before, policy, finalizers)
                return await self._delete(before, document, write_id or new_write_id())
            except Conflict:
                continue

    async def _delete(self, before: Item, document: Document, write_id: str) -> Item:
        over = is_over(document)
        if document == before.document() and not over:
            return before
        writes = (write_id, *before.writes)
        return await self._put(self.key(before.name, before.namespace), document, before.revision, writes, deleted=over)

    def marked(self, before: Item, policy: str = "", more: tuple[str, ...] = ()) -> Document:
        """The item that a delete of `before` would store now; it is gone if no finalizers are in it.

        An object that waits already changes only if the policy changes what it waits for; one that does not gets `more`
        finalizers.
        """
        document = before.document()
        metadata = document["metadata"]
        finalizers = _finalizers(metadata.get("finalizers") or [], policy)
        if "deletionTimestamp" not in metadata:
            finalizers += [each for each in more if each not in finalizers]
        if finalizers:
            metadata["finalizers"] = finalizers
        else:
            metadata.pop("finalizers", None)
        if "deletionTimestamp" not in metadata:
            metadata["deletionTimestamp"] = rfc3339(self._clock())
            metadata["deletionGracePeriodSeconds"] = 0
            metadata["generation"] = metadata.get("generation", 1) + 1
        return document

    async def finalize(self, name: str, uid: str, finalizer: str, namespace: str = "") -> None:
        """Take `finalizer` off the object with that uid; one that waited for deletion and has none left is deleted.

        Idempotent: if the object is gone, or another one has its name, nothing happens.
        """

        def without(document: Document) -> Document | None:
            metadata = document["metadata"]
            held = metadata.get("finalizers") or []
            if metadata.get("uid") != uid or (finalizer not in held and "deletionTimestamp" not in metadata):
                return None
            return {**document, "metadata": {**metadata, "finalizers": [each for each in held if each != finalizer]}}

        with contextlib.suppress(NotFound):
            await self.modify(name, without, namespace)

    async def purge(self, name: str, revision: int, namespace: str = "") -> bool:
        """Forget a deleted object for good, if `revision` is still its last; whether that was so."""
        try:
            await self._bucket.purge(self.key(name, namespace), revision)
        except Conflict:
            return False
        return True

    # Reading and writing the bucket

    async def _read(self, key: str) -> Item | None:
        entry = await self._bucket.get(key)
        return None if entry is None or entry.value is None else unseal(entry.value, entry.revision)

    async def _put(
        self, key: str, document: Document, revision: int, writes: tuple[str, ...], *, deleted: bool = False
    ) -> Item:
        """One compare-and-set; `revision` 0 means that the key must not exist. Conflict, or the error of the bus."""
        value = seal(document, writes=writes, deleted=deleted)
        for attempt in range(1, ATTEMPTS + 1):
            if self._guard is not None:
                self._guard()
            try:
                stored = await self._write(key, value, revision)
            except (Conflict, AlreadyExists) as error:
                return await self._own(key, document, writes, error, unsure=attempt > 1)
            except (ServiceUnavailable, GatewayTimeout) as error:
                if attempt == ATTEMPTS:
                    raise self._unknown(error) from error
                continue
            return item(document, stored, writes=writes, deleted=deleted)
        raise AssertionError("unreachable")

    def _write(self, key: str, value: bytes, revision: int) -> Awaitable[int]:
        headers = origin.current(self.kind.owner).headers()
        if revision:
            return self._bucket.update(key, value, revision, headers=headers)
        return self._bucket.create(key, value, headers=headers)

    async def _own(
        self, key: str, document: Document, writes: tuple[str, ...], error: StatusError, *, unsure: bool
    ) -> Item:
        """What is stored, if it carries our write id: the conflict was with ourselves.

        `unsure`: an earlier attempt was not answered, and may have been done where what is stored does not tell: neither ours
        nor the write before it is remembered any more, or the object is gone or another one. Then GatewayTimeout, since who
        takes it for a Conflict does it twice, to somebody else's object.
        """
        stored = await self._read(key)
        if stored is None:
            raise self._unknown(error) if unsure else self.conflict(key) from error
        known = set(stored.writes)
        if writes[0] in known:
            return stored
        forgotten = len(stored.writes) >= KEPT_WRITE_IDS and not known & set(writes[1:2])
        if unsure and (forgotten or stored.uid != document["metadata"]["uid"]):
            raise self._unknown(error) from error
        raise self.conflict(key) from error

    def check(self, before: Item, uid: str) -> None:
        """Conflict unless the object is the one with that uid; an empty one always is."""
        if uid and uid != before.uid:
            raise self._refused(
                before.name, f"Precondition failed: UID in precondition: {uid}, UID in object meta: {before.uid}"
            )

    def check_deletable(self, before: Item, uid: str | None, resource_version: str | None) -> None:
        """Conflict unless the preconditions of a delete hold; None always does, an empty one never."""
        if uid is not None and uid != before.uid:
            why = "The object might have been deleted and then recreated"
            raise self._mismatch(
                before.name, f"UID in the precondition ({uid}) does not match the UID", before.uid, why
            )
        if resource_version is not None and resource_version != str(before.revision):
            what = f"ResourceVersion in the precondition ({resource_version}) does not match the ResourceVersion"
            raise self._mismatch(before.name, what, str(before.revision), "The object might have been modified")

    # Errors, worded as the API server words them

    def not_found(self, name: str) -> NotFound:
        """404 for an object of this kind."""
        return NotFound(f'{self._resource} "{name}" not found', kind=self.kind.plural, group=self.kind.group, name=name)

    def already_exists(self, name: str, there: Item | None = None) -> AlreadyExists:
        """409 for an object of this kind; `there` is who has the name, as far as it is known."""
        going = there is not None and "deletionTimestamp" in there.document()["metadata"]
        text = f'{"object is being deleted: " if going else ""}{self._resource} "{name}" already exists'
        return AlreadyExists(text, kind=self.kind.plural, group=self.kind.group, name=name)

    def conflict(self, key: str) -> Conflict:
        """409: somebody else was faster."""
        name = subjects.parse_key(key)[3]
        return Conflict(
            f'Operation cannot be fulfilled on {self._resource} "{name}": the object has been modified; please apply '
            "your changes to the latest version and try again",
            kind=self.kind.plural,
            group=self.kind.group,
            name=name,
        )

    def _refused(self, name: str, why: str) -> Conflict:
        return Conflict(
            f'Operation cannot be fulfilled on {self._resource} "{name}": {why}',
            kind=self.kind.plural,
            group=self.kind.group,
            name=name,
        )

    def _mismatch(self, name: str, what: str, record: str, why: str) -> Conflict:
        """The API server names the kind here, not the resource."""
        return Conflict(
            f'Operation cannot be fulfilled on {self.kind.kind}.{self.kind.group} "{name}": the {what} in record '
            f"({record}). {why}",
            kind=self.kind.kind,
            group=self.kind.group,
            name=name,
        )

    def _unknown(self, error: StatusError) -> GatewayTimeout:
        return GatewayTimeout(
            f"the store did not confirm the write of a {self.kind.kind}, which may or may not have happened: read it "
            f"back before you repeat it ({error.message})"
        )

    @property
    def _resource(self) -> str:
        return f"{self.kind.plural}.{self.kind.group}" if self.kind.group else self.kind.plural


_FIXED = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def replaced(before: Item, document: Document) -> Document:
    """The item that an update of `before` by `document` stores, with the resourceVersion of `before`."""
    old = before.document()
    new = {**document, "apiVersion": old["apiVersion"], "kind": old["kind"]}
    fixed = {key: old["metadata"][key] for key in _FIXED if key in old["metadata"]}
    generation = old["metadata"].get("generation", 1) + (_spec(old) != _spec(new))
    version = {"generation": generation, "resourceVersion": str(before.revision)}
    new["metadata"] = {**document.get("metadata", {}), **fixed, **version}
    return new


def is_over(document: Document) -> bool:
    """True if an object was deleted and waits for nothing: it is not to be stored as one that is there."""
    metadata = document["metadata"]
    return "deletionTimestamp" in metadata and not metadata.get("finalizers")


ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
"""Finalizers of the garbage collector (skerry/controller/garbage.py), named as in Kubernetes."""


def _finalizers(held: list[str], policy: str) -> list[str]:
    """Finalizers after a delete with `policy`; without one, what an earlier delete asked for stays."""
    of_policy = {"Orphan": [ORPHAN], "Foreground": [FOREGROUND], "Background": []}.get(policy)
    if of_policy is None:
        return held
    return [each for each in held if each not in (ORPHAN, FOREGROUND) or each in of_policy] + [
        each for each in of_policy if each not in held
    ]


def _spec(document: Document) -> Document:
    return {k: v for k, v in document.items() if k not in ("metadata", "status", "apiVersion", "kind")}
