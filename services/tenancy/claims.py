"""Claims: a namespace of a member has one workspace, whoever asks for it at the same time.

A claim is a key in the bucket `tenancy` that is made before anything else and by whoever is first; a leader that is none any
more can make no second one. It names the Cluster by UID: a later cluster of the name begins without claims.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from skerry import subjects
from skerry.api.decode import decoded
from skerry.api.messages import Message
from skerry.bus import Bucket, Bus, Entry
from skerry.errors import AlreadyExists, Conflict

PAGE = 500


class Claim(Message, frozen=True, kw_only=True):
    """Whose a namespace is."""

    uid: str
    """Of the Workspace."""
    workspace: str
    cluster: str
    """Name of the Cluster."""


class Held(NamedTuple):
    """A claim that is there; None if it cannot be read."""

    namespace: str
    claim: Claim | None
    revision: int


class Claims:
    """See the module. Every method raises StatusError."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._bucket: Bucket | None = None

    async def take(self, cluster: str, namespace: str, claim: Claim) -> Claim | None:
        """Whose the namespace is now: `claim`, unless somebody has it already (None: who, cannot be read). `cluster` is a UID."""
        bucket, key = await self._opened(), subjects.claim(cluster, namespace)
        while True:
            entry = await bucket.get(key)
            if entry is not None:
                return _held(entry).claim
            try:
                await bucket.create(key, msgspec.json.encode(claim))
            except AlreadyExists:
                continue
            return claim

    async def on(self, cluster: str) -> list[Held]:
        """All on the Cluster with this UID."""
        return [_held(entry) for entry in await self._all(subjects.claims_on(cluster))]

    async def clusters(self) -> set[str]:
        """UIDs of Clusters on which there are any."""
        return {entry.key.split(".")[1] for entry in await self._all(subjects.ALL_CLAIMS)}

    async def release(self, cluster: str, held: Held) -> None:
        """It is nobody's. One that changed meanwhile stays."""
        try:
            await (await self._opened()).delete(subjects.claim(cluster, held.namespace), held.revision)
        except Conflict:
            return

    async def _all(self, prefix: str) -> list[Entry]:
        bucket, entries, after, more = await self._opened(), list[Entry](), 0, True
        while more:
            page = await bucket.changes(prefix, after, limit=PAGE)
            entries += [entry for entry in page.entries if entry.value is not None]
            more = page.more
            after = page.entries[-1].revision if page.entries else after
        return entries

    async def _opened(self) -> Bucket:
        if self._bucket is None:
            self._bucket = await self._bus.bucket(subjects.TENANCY)
        return self._bucket


def _held(entry: Entry) -> Held:
    try:
        claim = decoded(entry.value or b"", Claim)
    except msgspec.DecodeError:
        claim = None  # a newer version's: it is somebody's
    return Held(entry.key.split(".")[2], claim, entry.revision)
