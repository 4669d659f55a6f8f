"""Object stores on JetStream: bytes of any length under a name, in chunks, with a digest.

The layout is that of NATS (ADR-20 of nats-architecture-and-design), so `nats object` and every client library read what is
written here, and the reverse: a stream OBJ_<store>, chunks on `$O.<store>.C.<nuid>`, and of each object one message on
`$O.<store>.M.<name in base64>` that says which chunks are its. That message is written last, compare-and-set, so an object
is there as a whole or not at all, and whoever replaces one takes the chunks of before away.

Chunks are read with DIRECT.GET, a request per part, not through a consumer: a reader that stalls costs the server nothing,
and needs no right to make anything. Whatever the length, reading and writing take less than a megabyte of memory.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import hashlib
import json
import logging
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import msgspec

from skerry.api.decode import decoder
from skerry.bus.chunks import CHUNK_BYTES, store_chunks
from skerry.bus.delivery import Message
from skerry.bus.jetstream import TIMEOUT_S, NoMessage, NoStream, answering, api, batch, checked, seconds_of
from skerry.bus.objectinfo import ObjectInfo, digest_text
from skerry.bus.watch import Link
from skerry.errors import (
    AlreadyExists,
    GatewayTimeout,
    InternalError,
    NotFound,
    ServiceUnavailable,
    StatusError,
)

log = logging.getLogger(__name__)

PART_BYTES = 512 * 1024
"""One read gives at most so much, or one chunk."""
LAG_S = 2.0
"""A replica may lack the chunks of an object for so long after it was written: another one is asked."""
_LAG_LOOK_S = 0.02
_LISTED_AT_ONCE, _LISTED_BYTES = 500, 256 * 1024
_EXPECTED = "Nats-Expected-Last-Subject-Sequence"
_ROLLUP = {"Nats-Rollup": "sub"}


class StoreConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How a store is created when it does not exist. With `ttl_s` objects go so long after they were written. Beyond
    `max_bytes`, counted over all objects, nothing more is taken; -1: as much as the account has.
    """

    replicas: int = 1
    ttl_s: int = 0
    max_bytes: int = -1
    description: str = ""


class Part(NamedTuple):
    """Bytes of an object, and the sequence after which the next part begins."""

    data: bytes
    after: int


class StoredObject(NamedTuple):
    """What a store has under a name, deleted or not, and the revision of that."""

    info: ObjectInfo | None
    revision: int


class DigestMismatch(InternalError):
    """500: what the store gave is not what was stored."""


_decode = decoder(ObjectInfo)
_encode = msgspec.json.Encoder().encode


class ObjectStore:
    """One object store. Every call raises NotFound if there is no such store, and StatusError of the bus."""

    def __init__(self, link: Link, name: str) -> None:
        self.name = name
        self._link = link
        self._stream = f"OBJ_{name}"

    async def put(
        self,
        name: str,
        content: AsyncIterable[bytes],
        *,
        max_bytes: int,
        deadline_s: float,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        """Store `content` as the object `name`, in the place of one that is there.

        Nothing of it stays if this fails: RequestEntityTooLarge beyond `max_bytes`, GatewayTimeout if it is not all there after
        `deadline_s`, AlreadyExists if somebody else wrote that name meanwhile, ServiceUnavailable if the store is full, and what
        `content` raises.
        """
        before = await self._listed(name)
        nuid = secrets.token_hex(11)
        deadline = asyncio.timeout(deadline_s)
        try:
            async with deadline:
                put = partial(self._publish, self._chunks(nuid))
                stored = await store_chunks(content, put, max_bytes)
                info = ObjectInfo(
                    name=name,
                    bucket=self.name,
                    nuid=nuid,
                    size=stored.size,
                    chunks=stored.chunks,
                    digest=digest_text(stored.digest),
                    mtime=_now(),
                    metadata=dict(metadata or {}),
                    options={"max_chunk_size": CHUNK_BYTES},
                )
                await self._point(info, before.revision)
        except BaseException as error:
            await self._drop(nuid)
            if isinstance(error, TimeoutError) and deadline.expired():
                raise GatewayTimeout(
                    f"{name[:80]!r} was not complete within {deadline_s:g} s: nothing of it was stored"
                ) from error
            raise
        if before.info is not None and before.info.chunks:
            await self._drop(before.info.nuid)
        return info

    async def mark(self, name: str, metadata: Mapping[str, str]) -> ObjectInfo:
        """Give an object that is there this metadata and the present time, and leave its bytes alone: who reads it reads on.

        NotFound; AlreadyExists if somebody else wrote that name meanwhile.
        """
        before = await self._listed(name)
        info = self._there(name, before.info)
        info = msgspec.structs.replace(info, metadata=dict(metadata), mtime=_now())
        await self._point(info, before.revision)
        return info

    async def stat(self, name: str) -> ObjectInfo:
        """The object without its bytes, asked from the store's leader. NotFound."""
        return self._there(name, (await self._listed(name)).info)

    async def read(self, info: ObjectInfo) -> AsyncGenerator[bytes]:
        """The bytes of an object, in parts. DigestMismatch before the last of them if they are not those that were stored;
        NotFound if it is deleted or replaced meanwhile.
        """
        sha256, size, after = hashlib.sha256(), 0, 0
        while size < info.size:
            part = await self.part(info, after)
            sha256.update(part.data)
            size, after = size + len(part.data), part.after
            if size >= info.size and (size > info.size or not info.matches(sha256.digest())):
                raise DigestMismatch(f"the object {info.name[:80]!r} of the store {self.name} is not what was stored")
            yield part.data

    async def part(self, info: ObjectInfo, after: int = 0) -> Part:
        """The bytes of an object behind the sequence `after`, PART_BYTES of them or what is left. Whoever reads by parts counts, and
        checks the digest. NotFound if there are none: the object was deleted or replaced.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAG_S):
                while True:
                    messages = await self._batch(self._chunks(info.nuid), after, PART_BYTES // CHUNK_BYTES, PART_BYTES)
                    if messages:
                        data = b"".join(each.data for each in messages)
                        return Part(data, int(messages[-1].headers["Nats-Sequence"]))
                    await asyncio.sleep(_LAG_LOOK_S)
        raise NotFound(
            f"the object {info.name[:80]!r} of the store {self.name} was deleted or replaced while it was read"
        )

    async def objects(self) -> AsyncIterator[ObjectInfo]:
        """Every object, the longest unchanged first."""
        after = 0
        while True:
            messages = await self._batch(f"$O.{self.name}.M.>", after, _LISTED_AT_ONCE, _LISTED_BYTES)
            if not messages:
                return
            for message in messages:
                after = int(message.headers["Nats-Sequence"])
                info = self._decoded(message.data)
                if info is not None and not info.deleted:
                    yield info

    async def delete(self, name: str, only: ObjectInfo | None = None) -> None:
        """Take an object away: first it is not there any more, then its chunks go. `only`: if it is still as it was seen then.

        NotFound; AlreadyExists if somebody else wrote that name meanwhile.
        """
        before = await self._listed(name)
        info = self._there(name, before.info)
        if only not in (None, info):
            raise self._overtaken()
        gone = msgspec.structs.replace(info, size=0, chunks=0, digest="", deleted=True, mtime=_now(), metadata={})
        await self._point(gone, before.revision)
        await self._drop(info.nuid)

    async def sweep(self, older_s: float) -> int:
        """Take away chunks that no object has and that are older than `older_s`: what a writer that was killed left. How many
        objects they were of.
        """
        info = await api(
            await self._link.connection(TIMEOUT_S),
            f"STREAM.INFO.{self._stream}",
            json.dumps({"subjects_filter": f"$O.{self.name}.C.>"}).encode(),
        )
        needed = {self._chunks(each.nuid) async for each in self.objects()}
        swept = 0
        for subject in sorted((info["state"].get("subjects") or {}).keys() - needed):
            with contextlib.suppress(NoMessage):
                last = await self._last(subject)
                if seconds_of(str(last["time"])) < time.time() - older_s:
                    await self._purge(subject)
                    swept += 1
        return swept

    async def info(self) -> dict[str, Any]:
        """The stream's configuration and state."""
        return await api(await self._link.connection(TIMEOUT_S), f"STREAM.INFO.{self._stream}")

    async def destroy(self) -> None:
        """Delete the store with everything in it."""
        await api(await self._link.connection(TIMEOUT_S), f"STREAM.DELETE.{self._stream}")

    # Writing

    async def _point(self, info: ObjectInfo, revision: int) -> None:
        """Make the object's name mean these chunks, if it means what it meant at `revision`."""
        try:
            await self._publish(self._meta(info.name), _encode(info), _ROLLUP | {_EXPECTED: str(revision)})
        except GatewayTimeout:
            stored = (await self._listed(info.name)).info
            if stored != info:
                raise

    async def _publish(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        connection = await self._link.connection(TIMEOUT_S)
        try:
            answer = await connection.request(subject, data, timeout_s=TIMEOUT_S, headers=headers)
            checked(answer.data, f"the store {self.name}")
        except StatusError as error:
            if error.code == 409:
                raise self._overtaken() from error
            if "maximum bytes exceeded" in error.message:
                raise ServiceUnavailable(
                    f"the store {self.name} is full: nothing was stored; try again when something of it is gone"
                ) from error
            raise

    def _overtaken(self) -> AlreadyExists:
        return AlreadyExists(
            f"somebody else wrote the same object of the store {self.name} meanwhile: look at it, then try again"
        )

    async def _drop(self, nuid: str) -> None:
        """Take chunks away, if that can be done now."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._purge(self._chunks(nuid))
        except (StatusError, TimeoutError) as error:
            log.warning("chunks of an object are left behind", extra={"store": self.name, "error": str(error)})

    async def _purge(self, subject: str) -> None:
        connection = await self._link.connection(TIMEOUT_S)
        await api(connection, f"STREAM.PURGE.{self._stream}", json.dumps({"filter": subject}).encode())

    # Reading

    async def _batch(self, subject: str, after: int, limit: int, max_bytes: int) -> list[Message]:
        connection = await self._link.connection(TIMEOUT_S)
        *messages, _ = await batch(connection, self._stream, subject, after, limit=limit, max_bytes=max_bytes)
        return messages

    async def _listed(self, name: str) -> StoredObject:
        try:
            message = await self._last(self._meta(name))
        except NoMessage:
            return StoredObject(None, 0)
        return StoredObject(self._decoded(base64.b64decode(message.get("data") or "")), int(message["seq"]))

    async def _last(self, subject: str) -> dict[str, Any]:
        body = json.dumps({"last_by_subj": subject}).encode()
        answer = await api(await self._link.connection(TIMEOUT_S), f"STREAM.MSG.GET.{self._stream}", body)
        message: dict[str, Any] = answer["message"]
        return message

    def _there(self, name: str, info: ObjectInfo | None) -> ObjectInfo:
        if info is None or info.deleted:
            raise NotFound(f"there is no object {name[:80]!r} in the store {self.name}")
        return info

    def _decoded(self, data: bytes) -> ObjectInfo | None:
        """What anybody with a NATS client may have written; None, and a line in the log, if it is no object."""
        try:
            info = _decode(data)
        except msgspec.DecodeError as error:
            log.warning("an object cannot be read", extra={"store": self.name, "error": str(error)})
            return None
        # a link has no bytes of its own, and leads to where this user may read nothing
        return None if "link" in info.options or not info.nuid.isalnum() else info

    def _chunks(self, nuid: str) -> str:
        return f"$O.{self.name}.C.{nuid}"

    def _meta(self, name: str) -> str:
        return f"$O.{self.name}.M.{base64.urlsafe_b64encode(name.encode()).decode()}"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")


async def open_store(link: Link, name: str, create: StoreConfig | None) -> ObjectStore:
    """The object store `name`, made if it does not exist and `create` says how. NotFound otherwise."""
    store = ObjectStore(link, name)

    async def opened() -> None:
        try:
            await store.info()
        except NoStream:
            if create is None:
                raise
            await _create(link, name, create)

    await answering(opened)
    return store


async def _create(link: Link, name: str, config: StoreConfig) -> None:
    stream: dict[str, Any] = {
        "name": f"OBJ_{name}",
        "description": config.description,
        "subjects": [f"$O.{name}.C.>", f"$O.{name}.M.>"],
        "max_bytes": config.max_bytes,
        "num_replicas": config.replicas,
        "storage": "file",
        "discard": "new",
        "allow_rollup_hdrs": True,
        "allow_direct": True,
    }
    if config.ttl_s:
        stream["max_age"] = config.ttl_s * 1_000_000_000
        stream["duplicate_window"] = min(stream["max_age"], 120_000_000_000)
    try:
        await api(await link.connection(TIMEOUT_S), f"STREAM.CREATE.OBJ_{name}", json.dumps(stream).encode())
    except AlreadyExists:
        log.debug("the object store %s was created by another process meanwhile", name)
