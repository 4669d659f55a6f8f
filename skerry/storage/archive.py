"""A backup of the control plane: every resource and every sealed secret in one file, and the way back into new buckets.

The file is portable and can be read by people: lines of JSON, a header first, a digest of everything last, so that a file
that was cut or changed is refused before anything is touched. Secrets are in it as they lie in the store, encrypted; their
key, and the keys of the bus, are not. A restore makes new buckets and must not move revisions backwards, or clients would
believe that what they have is newer: the header records the last revision, and a new bucket begins above everything that
can have been written since, at the highest rate that a store has. Clients then get 410 and list again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime

import msgspec

from skerry import __version__, subjects
from skerry.api.times import rfc3339, seconds
from skerry.bus import Bucket, BucketConfig, Bus, Entry, Filled, Resync
from skerry.errors import BadRequest, Conflict, NotFound, ServiceUnavailable
from skerry.identity.services import CONTENTS, REVISIONS
from skerry.storage.buckets import KEPT_S

FORMAT = 1
WRITES_PER_SECOND = 10_000
"""More than one bucket can take, with an fsync each."""
MARGIN = 100_000
"""Revisions left out in any case: for clocks that are not quite right."""
ATTEMPTS = 5


class ArchivedBucket(msgspec.Struct, frozen=True, kw_only=True):
    """One bucket, as the header describes it."""

    name: str
    revision: int
    """Of the last write when the backup was taken."""
    entries: int
    replicas: int = 1


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line."""

    format: int = FORMAT
    version: str = __version__
    host: str
    """UID of the host."""
    account: str
    """Public key of the host's account on the bus: its keys belong to it."""
    taken: str
    buckets: list[ArchivedBucket]


class ArchiveLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry: `value` as JSON where it is JSON, else `data` in base64."""

    bucket: str
    key: str
    value: msgspec.Raw = msgspec.Raw(b"")
    data: bytes = b""

    @property
    def content(self) -> bytes:
        """The bytes for the store."""
        return bytes(self.value) if bytes(self.value) else self.data


class _End(msgspec.Struct, frozen=True, kw_only=True):
    sha256: str


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """A backup in memory."""

    header: Header
    lines: list[ArchiveLine]


_encode = msgspec.json.Encoder().encode


def encode(archive: Archive) -> bytes:
    """The file's content."""
    body = b"".join(_encode(line) + b"\n" for line in (archive.header, *archive.lines))
    return body + _encode(_End(sha256=hashlib.sha256(body).hexdigest())) + b"\n"


def decode(data: bytes) -> Archive:
    """The Archive in a file's content. BadRequest: it is none, or not all of it. Conflict: of a newer format."""
    body, _, last = data.rstrip(b"\n").rpartition(b"\n")
    try:
        end = msgspec.json.decode(last, type=_End)
        first, *rest = body.split(b"\n")
        head = msgspec.json.decode(first, type=dict[str, msgspec.Raw])
        if msgspec.json.decode(head.get("format", b"0"), type=int) > FORMAT:
            raise Conflict(f"this backup has a newer format than {FORMAT}, which this skerry knows: upgrade it")
        header = msgspec.json.decode(first, type=Header)
        lines = [msgspec.json.decode(line, type=ArchiveLine) for line in rest]
    except msgspec.DecodeError as error:
        raise BadRequest(f"this is not a backup, or not all of one: {error}") from error
    if hashlib.sha256(body + b"\n").hexdigest() != end.sha256:
        raise BadRequest("this backup was changed since it was taken: its digest is another one")
    if len(lines) != sum(bucket.entries for bucket in header.buckets):
        raise BadRequest("this backup does not have as many entries as it says")
    return Archive(header=header, lines=lines)


async def take(bus: Bus, host: str, account: str, now: datetime) -> Archive:
    """The store as it is now: what the service table says. Resources and what services keep beside them belong together: a
    cut between two writes of the latter is found.

    ServiceUnavailable if there is none; StatusError of the bus.
    """
    beside = [await bus.bucket(name) for name in CONTENTS if name != subjects.RESOURCES]
    resources = await bus.bucket(subjects.RESOURCES)
    for _ in range(ATTEMPTS):
        before = [await _contents(bucket) for bucket in beside]
        contents = [*before, await _contents(resources)]
        if [await bucket.last_revision() for bucket in beside] == [each.revision for each, _ in before]:
            break
    else:
        raise ServiceUnavailable("members join or leave all the time, so no whole backup could be taken: try again")
    header = [description for description, _ in contents] + [await _revision(bus, name) for name in REVISIONS]
    lines = [line for _, lines in contents for line in lines]
    return Archive(header=Header(host=host, account=account, taken=rfc3339(now), buckets=header), lines=lines)


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
    lines = [_line(bucket.name, entry.key, entry.value) for entry in ordered if entry.value is not None]
    described = await _described(bucket, len(lines))
    return msgspec.structs.replace(described, revision=revision), lines


async def _described(bucket: Bucket, entries: int) -> ArchivedBucket:
    info = await bucket.info()
    replicas = int(info["config"]["num_replicas"])
    return ArchivedBucket(name=bucket.name, revision=int(info["state"]["last_seq"]), entries=entries, replicas=replicas)


def _line(bucket: str, key: str, value: bytes) -> ArchiveLine:
    try:
        msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ArchiveLine(bucket=bucket, key=key, data=value)
    if b"\n" in value:
        return ArchiveLine(bucket=bucket, key=key, data=value)
    return ArchiveLine(bucket=bucket, key=key, value=msgspec.Raw(value))


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
    for described in archive.header.buckets:
        bucket = await _emptied(bus, described, archive.header.taken, now)
        for line in _of(archive, described.name):
            await bucket.create(line.key, line.content)
            done += 1
            progress(done, len(archive.lines))
        entries = int((await bucket.info())["state"]["messages"])
        if entries != described.entries:
            raise Conflict(
                f"bucket {described.name} has {entries} entries, not {described.entries}: somebody writes to it"
            )
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
    ttl_s = KEPT_S if described.name == subjects.EVENTS else 0
    first = first_revision(described, last, taken, now)
    return await bus.bucket(
        described.name, create=BucketConfig(replicas=described.replicas, ttl_s=ttl_s, first_revision=first)
    )
