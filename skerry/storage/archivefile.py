"""The file of a backup: lines of JSON that people can read, a header first, a digest of everything last.

So a file that was cut or changed is refused before anything is touched.
"""

from __future__ import annotations

import hashlib

import msgspec

from skerry import __version__
from skerry.errors import BadRequest, Conflict

FIRST_FORMAT, FORMAT = 1, 2
"""A backup without objects can be read by who knows the first alone."""


class ArchivedBucket(msgspec.Struct, frozen=True, kw_only=True):
    """One bucket, as the header describes it."""

    name: str
    revision: int
    """Of the last write when the backup was taken."""
    entries: int
    replicas: int = 1


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line."""

    format: int = FIRST_FORMAT
    version: str = __version__
    host: str
    """UID of the host."""
    account: str
    """Public key of the host's account on the bus: its keys belong to it."""
    taken: str
    buckets: list[ArchivedBucket]
    objects: list[ArchivedBucket] = []
    """Object stores; their entries are lines."""


class ArchiveLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry: `value` as JSON where it is JSON, else `data` in base64. Of an object the first line describes it, the others are
    its bytes."""

    bucket: str
    key: str
    value: msgspec.Raw = msgspec.Raw(b"")
    data: bytes = b""

    @classmethod
    def of(cls, bucket: str, key: str, value: bytes) -> ArchiveLine:
        """An entry of a bucket."""
        try:
            msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return cls(bucket=bucket, key=key, data=value)
        if b"\n" in value:
            return cls(bucket=bucket, key=key, data=value)
        return cls(bucket=bucket, key=key, value=msgspec.Raw(value))

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
    if len(lines) != sum(bucket.entries for bucket in (*header.buckets, *header.objects)):
        raise BadRequest("this backup does not have as many entries as it says")
    return Archive(header=header, lines=lines)
