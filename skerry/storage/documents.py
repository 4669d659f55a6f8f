"""How an object lies in the bucket, and how it is held in memory.

A value is an envelope: the raw document without its resourceVersion, the ids of the last writes (so that a write whose
acknowledgement was lost is recognised as one's own, not as a conflict), and whether this is the final state of a
deleted object. In memory an object is its JSON bytes plus a small index, not a tree of dictionaries: ten thousand
decoded documents would cost the garbage collector 100 ms pauses.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import lz4.block
import msgspec

from skerry.api.decode import decoded
from skerry.api.meta import Document
from skerry.errors import BadRequest, RequestEntityTooLarge

LIMIT_BYTES = 1_500_000
"""An object may have this many bytes; with its envelope it must fit the bus's 2 MiB."""
KEPT_WRITE_IDS = 3
"""A write is recognised as one's own while at most this many writes minus one came after it."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Envelope(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The value of one key of the bucket."""

    writes: tuple[str, ...] = ()
    deleted: bool = False
    object: msgspec.Raw


_decode_envelope = msgspec.json.Decoder(Envelope).decode


class Item(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One object at one revision: JSON bytes with its resourceVersion in place, and what selectors ask about."""

    namespace: str
    name: str
    uid: str
    revision: int
    labels: dict[str, str]
    """Shared with other objects: not to be changed."""
    content: bytes
    """The body, or what `pack` made of it."""
    writes: tuple[str, ...] = ()
    deleted: bool = False
    tied: bool = False
    """It has owners, or waits for its deletion: what garbage collection asks of every change of every object."""
    like: bytes = b""
    """The body of another object, by which the content is compressed; empty if it is not. Shared with other objects."""

    @property
    def body(self) -> bytes:
        """Its JSON."""
        return lz4.block.decompress(self.content, dict=self.like) if self.like else self.content

    def document(self) -> Document:
        """A new decoded document, free to be changed."""
        return _decode(self.body)


def item(document: Document, revision: int, *, writes: tuple[str, ...] = (), deleted: bool = False) -> Item:
    """The Item of a document; sets `metadata.resourceVersion` in it."""
    metadata = document.setdefault("metadata", {})
    metadata["resourceVersion"] = str(revision)
    return Item(
        namespace=metadata.get("namespace", ""),
        name=metadata.get("name", ""),
        uid=metadata.get("uid", ""),
        revision=revision,
        labels=metadata.get("labels") or {},
        content=_encode(document),
        writes=writes,
        deleted=deleted,
        tied="ownerReferences" in metadata or "deletionTimestamp" in metadata,
    )


def pack(item: Item, like: Item) -> Item:
    """The item with its body compressed by that of another one of its kind, which has the same fields and often the same words:
    of AppVersions a sixth is left. It takes a few microseconds, and as long whenever it is read.
    """
    content = lz4.block.compress(item.body, dict=like.body)
    return msgspec.structs.replace(item, content=content, like=like.body)


def seal(document: Document, *, writes: tuple[str, ...], deleted: bool = False) -> bytes:
    """The value for the bucket. RequestEntityTooLarge beyond LIMIT_BYTES."""
    metadata = {k: v for k, v in document.get("metadata", {}).items() if k != "resourceVersion"}
    raw = _encode({**document, "metadata": metadata})
    if len(raw) > LIMIT_BYTES:
        raise RequestEntityTooLarge(
            f"{document.get('kind', 'object')} {metadata.get('name', '')!r} has {len(raw)} bytes; the limit is "
            f"{LIMIT_BYTES}: store less in it",
            kind=str(document.get("kind", "")),
            name=str(metadata.get("name", "")),
        )
    return _encode(Envelope(writes=writes[:KEPT_WRITE_IDS], deleted=deleted, object=msgspec.Raw(raw)))


class _IndexedMetadata(msgspec.Struct, gc=False):
    """What the index of an Item needs of an object's metadata."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    labels: msgspec.Raw = msgspec.Raw(b"{}")
    owner_references: msgspec.Raw = msgspec.field(name="ownerReferences", default=msgspec.Raw())
    deletion_timestamp: msgspec.Raw = msgspec.field(name="deletionTimestamp", default=msgspec.Raw())


_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_metadata = msgspec.json.Decoder(_IndexedMetadata).decode
_labels = msgspec.json.Decoder(dict[str, str]).decode
_same_labels = lru_cache(maxsize=1024)(_labels)
SHARED_BYTES = 256
"""Labels up to this size are one dictionary for all objects that have the same: each of its own would be a seventh of what a
Cluster takes in memory. Longer ones are rarely the same, and a thousand of them are not kept for that."""


def unseal(value: bytes, revision: int, *, with_writes: bool = True) -> Item:
    """The Item in a bucket value; `deleted` says that it is a final state. msgspec.DecodeError if it is no envelope.
    Who only reads does without the ids of the writes.

    Nothing but the metadata is decoded: the rest is copied, and the resourceVersion is put in at the end of the metadata,
    where `item` would have it.
    """
    envelope = _decode_envelope(value)
    writes = envelope.writes if with_writes else ()
    parts = _parts(envelope.object)
    try:
        raw = bytes(parts["metadata"])
        index = _metadata(raw)
        labels = bytes(index.labels)
        label_map = _same_labels(labels) if len(labels) <= SHARED_BYTES else _labels(labels)
    except (KeyError, msgspec.ValidationError):
        return item(_decode(envelope.object), revision, writes=writes, deleted=envelope.deleted)
    between = b"" if len(raw) <= 2 else b","
    parts["metadata"] = msgspec.Raw(b'%b%b"resourceVersion":"%d"}' % (raw[:-1], between, revision))
    return Item(
        namespace=index.namespace,
        name=index.name,
        uid=index.uid,
        revision=revision,
        labels=label_map,
        content=bytes(memoryview(_encode(parts))),  # a copy of its own size: what an encoder returns has room for more
        writes=writes,
        deleted=envelope.deleted,
        tied=bool(bytes(index.owner_references) or bytes(index.deletion_timestamp)),
    )


_IDENTITY = ("name", "namespace", "uid", "resourceVersion", "ownerReferences", "finalizers", "deletionTimestamp")


def reduced(whole: Item) -> Item:
    """An Item that knows who the object is and to whom it belongs, and nothing else."""
    document = whole.document()
    metadata = {key: value for key, value in document["metadata"].items() if key in _IDENTITY}
    head = {key: value for key, value in document.items() if key in ("apiVersion", "kind")}
    return item(head | {"metadata": metadata}, whole.revision)


def decode_document(body: bytes) -> Document:
    """A JSON object. BadRequest names the place of the error."""
    try:
        return decoded(body, Document)
    except msgspec.DecodeError as error:
        raise BadRequest(f"the body is not a JSON object: {error}") from error


def encode_document(document: Document) -> bytes:
    """Compact JSON."""
    return _encode(document)


def utc_now() -> datetime:
    """Now, aware, in UTC."""
    return datetime.now(UTC)
