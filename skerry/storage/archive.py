"""A backup of the control plane: every resource and every sealed secret in one file, and the way back into new buckets.

The file (`archivefile`) is portable and can be read by people. Secrets are in it as they lie in the store, encrypted; their
key, and the keys of the bus, are not. A restore makes new buckets and must not move revisions backwards, or clients would
believe that what they have is newer: the header records the last revision, and a new bucket begins above everything that
can have been written since, at the highest rate that a store has. Clients then get 410 and list again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

import msgspec

from skerry import subjects
from skerry.api.times import rfc3339, seconds
from skerry.bus import Bucket, Bus, Entry, Filled, Resync
from skerry.errors import Conflict, NotFound, ServiceUnavailable
from skerry.identity.services import CONTENTS, REVISIONS
from skerry.storage import archivedobjects
from skerry.storage.archivefile import (
    FIRST_FORMAT,
    FORMAT,
    Archive,
    ArchivedBucket,
    ArchiveLine,
    Header,
    decode,
    encode,
)
from skerry.storage.buckets import bucket_config

WRITES_PER_SECOND = 10_000
"""More than one bucket can take, with an fsync each."""
MARGIN = 100_000
"""Revisions left out in any case: for clocks that are not quite right."""
ATTEMPTS = 5

__all__ = [
    "Archive",
    "ArchiveLine",
    "ArchivedBucket",
    "Header",
    "decode",
    "encode",
    "first_revision",
    "restore",
    "take",
]


async def take(bus: Bus, host: str, account: str, now: datetime) -> Archive:
    """The store as it is now: what the service table says. Resources and what services keep beside them belong together: a
    cut between two writes of the latter is found.

    ServiceUnavailable if there is none; StatusError of the bus.
    """
    for _ in range(ATTEMPTS):
        cut = await _cut(bus)
        if cut is not None:
            break
    else:
        raise ServiceUnavailable(
            "members join or leave, or packages come and go, all the time, so no whole backup could be taken: try again"
        )
    contents, objects = cut
    buckets = [description for description, _ in contents] + [await _revision(bus, name) for name in REVISIONS]
    header = Header(
        format=FORMAT if objects else FIRST_FORMAT,
        host=host,
        account=account,
        taken=rfc3339(now),
        buckets=buckets,
        objects=[description for description, _ in objects],
    )
    return Archive(header=header, lines=[line for _, lines in (*contents, *objects) for line in lines])


_Contents = list[tuple[ArchivedBucket, list[ArchiveLine]]]


async def _cut(bus: Bus) -> tuple[_Contents, _Contents] | None:
    """Buckets and object stores as they were at one time; None if some of it changed meanwhile."""
    beside = [bucket for name in CONTENTS if name != subjects.RESOURCES and (bucket := await _made(bus, name))]
    stores = await archivedobjects.snapshots(bus)
    before = [await _contents(bucket) for bucket in beside]
    contents = [*before, await _contents(await bus.bucket(subjects.RESOURCES))]
    if [await bucket.last_revision() for bucket in beside] != [each.revision for each, _ in before]:
        return None
    try:
        objects = [await archivedobjects.archived(bus, each) for each in stores]
    except NotFound:
        return None
    return (contents, objects) if await archivedobjects.snapshots(bus) == stores else None


async def _made(bus: Bus, name: str) -> Bucket | None:
    """None for the bucket of a service that does not run here."""
    try:
        return await bus.bucket(name)
    except NotFound:
        return None


async def _revision(bus: Bus, name: str) -> ArchivedBucket:
    try:
        return await _described(await bus.bucket(name), 0)
    except NotFound:
        return ArchivedBucket(name=name, revision=1, entries=0)


async def _contents(bucket: Bucket) -> tuple[ArchivedBucket, list[ArchiveLine]]:
    """Everything of a bucket as of one revision."""
    entries: dict[str, Entry] = {}
    revision = 0
    async with bucket.watch() as watch:
        async for event in watch:
            if isinstance(event, Entry):
                entries[event.key] = event
            elif isinstance(event, Resync):
                entries.clear()
            elif isinstance(event, Filled):
                revision = event.revision
                break
    ordered = sorted(entries.values(), key=lambda entry: entry.revision)
    lines = [ArchiveLine.of(bucket.name, entry.key, entry.value) for entry in ordered if entry.value is not None]
    described = await _described(bucket, len(lines))
    return msgspec.structs.replace(described, revision=revision), lines


async def _described(bucket: Bucket, entries: int) -> ArchivedBucket:
    info = await bucket.info()
    replicas = int(info["config"]["num_replicas"])
    return ArchivedBucket(name=bucket.name, revision=int(info["state"]["last_seq"]), entries=entries, replicas=replicas)


def first_revision(bucket: ArchivedBucket, last: int, taken: str, now: datetime) -> int:
    """Where a new bucket begins: above every revision that was ever given out under its name.

    `last` is the revision of the bucket that is there now, 0 if there is none.
    """
    since_s = max(0.0, now.timestamp() - seconds(taken))
    return max(bucket.revision + int(since_s * WRITES_PER_SECOND), last) + MARGIN


async def restore(bus: Bus, archive: Archive, now: datetime, progress: Callable[[int, int], None]) -> int:
    """Put a backup in the place of what is there; how many entries. Nobody else may write meanwhile.

    Repeat it if it fails half-way: it begins anew. StatusError of the bus.
    """
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        progress(done, len(archive.lines))

    for described in archive.header.buckets:
        bucket = await _emptied(bus, described, archive.header.taken, now)
        for line in _of(archive, described.name):
            await bucket.create(line.key, line.content)
            advance()
        entries = int((await bucket.info())["state"]["messages"])
        if entries != described.entries:
            raise Conflict(
                f"bucket {described.name} has {entries} entries, not {described.entries}: somebody writes to it"
            )
    for described in archive.header.objects:
        lines = _of(archive, archivedobjects.stream_of(described.name))
        await archivedobjects.restore(bus, described, lines, advance)
    return done


def _of(archive: Archive, bucket: str) -> Iterator[ArchiveLine]:
    return (line for line in archive.lines if line.bucket == bucket)


async def _emptied(bus: Bus, described: ArchivedBucket, taken: str, now: datetime) -> Bucket:
    try:
        before = await bus.bucket(described.name)
        last = await before.last_revision()
        await before.destroy()
    except NotFound:
        last = 0
    first = first_revision(described, last, taken, now)
    config = bucket_config(described.name, described.replicas)
    return await bus.bucket(described.name, create=msgspec.structs.replace(config, first_revision=first))
