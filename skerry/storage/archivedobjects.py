"""Object stores in a backup: those objects that cannot be got again, each a line that describes it and its bytes after that.

Whoever stores one says whether it is to be kept, by a key of its metadata that the service table names: a package that was
uploaded is in the backup, one that lies in somebody's repository is not.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import groupby
from typing import Any, NamedTuple

import msgspec

from skerry.bus import Bus, ObjectInfo
from skerry.errors import BadRequest, Conflict, NotFound
from skerry.identity.services import ARCHIVED_OBJECTS, ObjectBucket
from skerry.storage.archivefile import ArchivedBucket, ArchiveLine
from skerry.storage.buckets import store_config

STORED_S = 60.0
"""What one object may take to be put back."""


class _Described(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of an object."""

    size: int
    digest: str
    metadata: dict[str, str]


class ObjectSnapshot(NamedTuple):
    """What a backup takes along of one store."""

    bucket: ObjectBucket
    objects: tuple[ObjectInfo, ...]


async def snapshots(bus: Bus) -> list[ObjectSnapshot]:
    """Of every store that is archived and was made."""
    each = [await _snapshot(bus, bucket) for bucket in ARCHIVED_OBJECTS]
    return [snapshot for snapshot in each if snapshot is not None]


async def _snapshot(bus: Bus, bucket: ObjectBucket) -> ObjectSnapshot | None:
    try:
        store = await bus.objects(bucket.name)
    except NotFound:
        return None
    objects = [each async for each in store.objects() if not bucket.mark or bucket.mark in each.metadata]
    return ObjectSnapshot(bucket, tuple(sorted(objects, key=lambda each: each.name)))


async def archived(bus: Bus, snapshot: ObjectSnapshot) -> tuple[ArchivedBucket, list[ArchiveLine]]:
    """The store, for the header, and its objects with their bytes. NotFound if one of them is gone meanwhile."""
    store = await bus.objects(snapshot.bucket.name)
    lines: list[ArchiveLine] = []
    for info in snapshot.objects:
        described = _Described(size=info.size, digest=info.digest, metadata=info.metadata)
        lines.append(_line(info, value=msgspec.Raw(msgspec.json.encode(described))))
        lines.extend([_line(info, data=data) async for data in store.read(info)])
    stream = await store.info()
    revision, replicas = int(stream["state"]["last_seq"]), int(stream["config"]["num_replicas"])
    return ArchivedBucket(name=store.name, revision=revision, entries=len(lines), replicas=replicas), lines


def _line(info: ObjectInfo, **content: Any) -> ArchiveLine:
    return ArchiveLine(bucket=stream_of(info.bucket), key=info.name, **content)


async def restore(bus: Bus, saved: ArchivedBucket, lines: Iterator[ArchiveLine], progress: Callable[[], None]) -> None:
    """Make a store anew with what a backup has of it. BadRequest for lines that are no objects; Conflict for one that has become
    another.
    """
    with contextlib.suppress(NotFound):
        await (await bus.objects(saved.name)).destroy()
    store = await bus.objects(saved.name, create=store_config(saved.name, saved.replicas))
    for name, of_object in groupby(lines, key=lambda line: line.key):
        first, *rest = of_object
        try:
            about = msgspec.json.decode(first.value, type=_Described)
        except msgspec.DecodeError as error:
            raise BadRequest(f"{name[:80]!r} in this backup is no object: {error}") from error
        progress()
        info = await store.put(
            name, _content(rest, progress), max_bytes=about.size, deadline_s=STORED_S, metadata=about.metadata
        )
        if info.digest != about.digest:
            raise Conflict(f"the object {name[:80]!r} of the store {saved.name} in this backup is not what was stored")


async def _content(lines: list[ArchiveLine], progress: Callable[[], None]) -> AsyncIterator[bytes]:
    for line in lines:
        yield line.data
        progress()


def stream_of(store: str) -> str:
    """What the lines of a store's objects say in the place of a bucket's name: no bucket has one with a capital."""
    return f"OBJ_{store}"
