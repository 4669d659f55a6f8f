"""What the registry's side of desired state does, in memory: for tests of appliers alone."""

from __future__ import annotations

from typing import Any

import msgspec

from skerry.api.desired import Options, SyncAnswer, SyncEntry, SyncRequest
from skerry.desired.applier import Applier
from skerry.desired.entry import Entry, signed
from skerry.errors import ServiceUnavailable
from skerry.identity import nkey
from skerry.subjects import DesiredKey, complete_key

NAME, HOST, CLUSTER = "m1", "host-uid", "cluster-uid"


def key_of(owner: str, document: dict[str, Any]) -> str:
    """The key of an object."""
    metadata = document["metadata"]
    group = document["apiVersion"].rpartition("/")[0]
    parts = group, document["kind"].lower(), metadata.get("namespace", ""), metadata["name"]
    return str(DesiredKey(NAME, owner, *parts))


class Bucket:
    """Entries of one member. `away` makes syncs fail; live changes reach `appliers` unless `silent`."""

    def __init__(self) -> None:
        self.root = nkey.create(nkey.KeyType.ACCOUNT)
        self.epoch, self.last = "e1", 0
        self.entries: dict[str, tuple[int, bytes | None]] = {}
        self.appliers: list[Applier] = []
        self.silent = self.away = False
        self.syncs = 0

    def verify(self, data: bytes, signature: bytes) -> bool:
        """By the trust root."""
        return nkey.verify(self.root.public, data, signature)

    def put(self, owner: str, document: dict[str, Any], **options: Any) -> str:
        """Have an object wanted; its key."""
        key = key_of(owner, document)
        self._put(key, owner, document, Options(**options))
        return key

    def complete(self, owner: str) -> None:
        """Say that everything of an owner is there."""
        self._put(complete_key(NAME, owner), owner, {}, Options())

    def _put(self, key: str, owner: str, document: dict[str, Any], options: Options) -> None:
        entry = Entry(
            cluster=CLUSTER,
            owner=owner,
            epoch=self.epoch,
            previous=self.entries.get(key, (0, None))[0],
            object=msgspec.Raw(msgspec.json.encode(document)),
            options=options,
        )
        self._store(key, signed(key, entry, self.root.sign))

    def withdraw(self, key: str) -> None:
        """Have an entry withdrawn."""
        self._store(key, None)

    def _store(self, key: str, data: bytes | None) -> None:
        self.last += 1
        self.entries[key] = (self.last, data)
        if not self.silent:
            for applier in self.appliers:
                applier.feed.heard(key, self.last, data)

    def made_anew(self, epoch: str) -> None:
        """The bucket was lost: another one is there, empty."""
        self.epoch, self.last = epoch, 0
        self.entries.clear()

    async def sync(self, request: SyncRequest) -> SyncAnswer:
        """As the registry answers."""
        self.syncs += 1
        if self.away:
            raise ServiceUnavailable("the registry is away")
        full = request.epoch != self.epoch or request.after <= 0
        after = 0 if request.epoch != self.epoch else request.after
        changed = sorted((revision, key, data) for key, (revision, data) in self.entries.items() if revision > after)
        page = changed[: request.limit]
        return SyncAnswer(
            epoch=self.epoch,
            cluster=CLUSTER,
            full=full,
            entries=tuple(
                SyncEntry(key=key, revision=rev, entry=data.decode() if data else None) for rev, key, data in page
            ),
            next=page[-1][0] if len(changed) > len(page) else None,
            last=self.last,
        )
