"""KV buckets and watches. Signatures first; filled in next."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec


class BucketConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How a bucket is created when it does not exist."""

    replicas: int = 1
    history: int = 1
    max_value_bytes: int = -1
    description: str = ""


class Entry(msgspec.Struct, frozen=True):
    """A key at a revision; `value` None = deleted or purged. `created`: seconds since the epoch, server time."""

    key: str
    value: bytes | None
    revision: int
    created: float


class Filled(msgspec.Struct, frozen=True):
    """The reader has seen everything up to `revision`. Comes after the initial fill and after each resume."""

    revision: int


class Resync(msgspec.Struct, frozen=True):
    """Changes may have been missed: forget everything; the whole content follows, then Filled."""

    reason: str


class Watch:
    """Async iterator of Entry, Filled and Resync; survives reconnects. Close it with `async with` or `stop()`."""

    @property
    def age_s(self) -> float:
        """Seconds since the server was heard on this watch (idle heartbeats come every 5 s)."""
        raise NotImplementedError

    def __aiter__(self) -> AsyncIterator[Entry | Filled | Resync]:
        raise NotImplementedError

    async def __aenter__(self) -> Watch:
        raise NotImplementedError

    async def __aexit__(self, *exc: object) -> None:
        raise NotImplementedError


class Bucket:
    """One KV bucket. All writes are compare-and-set. GatewayTimeout from a write: outcome unknown, read back."""

    name: str

    async def get(self, key: str) -> Entry | None:
        """The latest entry (from the leader), None if there is none or it is deleted."""
        raise NotImplementedError

    async def create(self, key: str, value: bytes) -> int:
        """Revision of the new entry. AlreadyExists if the key lives."""
        raise NotImplementedError

    async def update(self, key: str, value: bytes, revision: int) -> int:
        """Revision of the new entry. Conflict if `revision` is not the latest of this key."""
        raise NotImplementedError

    async def delete(self, key: str, revision: int) -> int:
        """Leave a tombstone. Conflict as for update."""
        raise NotImplementedError

    async def purge(self, key: str, revision: int, *, ttl_s: int = 0) -> int:
        """Like delete, and forget the key's history; with `ttl_s` the tombstone itself goes after that time."""
        raise NotImplementedError

    async def last_revision(self) -> int:
        """Sequence of the bucket's last write, asked from the stream's leader."""
        raise NotImplementedError

    def watch(self, prefix: str = ">", *, include_history: bool = False) -> Watch:
        """Everything that is, then everything that happens to keys that match `prefix` (a subject filter)."""
        raise NotImplementedError
