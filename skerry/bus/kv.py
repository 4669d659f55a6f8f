"""Key-value buckets on JetStream: compare-and-set writes and leader reads (watches: `skerry.bus.watch`).

Spoken directly in JetStream's own subjects rather than through nats-py's KeyValue, whose errors hide an unknown
outcome; the layout is the same, so `nats kv` reads these buckets.

A lost acknowledgement leaves the outcome unknown (GatewayTimeout): whoever writes puts a write id into the value,
reads back and compares before it says Conflict (see `skerry.storage`).
"""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from skerry.bus.connection import Connection
from skerry.bus.delivery import Message
from skerry.bus.headers import decode_headers
from skerry.bus.jetstream import PENDING, TIMEOUT_S, NoMessage, NoStream, answering, api, batch, checked, seconds_of
from skerry.bus.watch import RESUME_WITHIN_S, Entry, Link, Watch, is_deletion
from skerry.errors import AlreadyExists, BadRequest, Conflict

log = logging.getLogger(__name__)

_KEY = re.compile(r"[-/_=.a-zA-Z0-9]+\Z")
_EXPECTED = "Nats-Expected-Last-Subject-Sequence"
_OPERATION = "KV-Operation"
_LIFE = "Nats-TTL"
MARKER_S = 2 * int(RESUME_WITHIN_S)
"""What is left of a removed key goes after so long, or it would be read again at each fill for ever. Twice the time after
which a reader that was away starts over: one that resumes still finds it."""


class BucketConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How a bucket is created when it does not exist. `max_value_bytes` -1: the server's max_payload.

    With `ttl_s` an entry goes so long after it was written, and leaves a marker for so long again, so that watches see it go.
    """

    replicas: int = 1
    history: int = 1
    max_value_bytes: int = -1
    ttl_s: int = 0
    first_revision: int = 2
    """Of the first entry: above every revision that was ever given out under this name. At least 2: a bucket without an entry
    then stands at revision 1, and a list of nothing has a resourceVersion to watch from (0 is none in Kubernetes)."""
    republish: tuple[str, str] | None = None
    """A filter of subjects in the bucket, and where each change that was stored is published again, e.g.
    (`$KV.desired.*.>`, `down.{{wildcard(1)}}.desired.>`). Headers Nats-Sequence and Nats-Last-Sequence tell revisions."""
    description: str = ""


class Changes(NamedTuple):
    """The entries that a range of revisions left. Ask again after `entries[-1].revision` while there is `more`."""

    entries: tuple[Entry, ...]
    """Deletions too, in order of revision."""
    more: bool


class Bucket:
    """One KV bucket. All writes are compare-and-set. GatewayTimeout from a write: outcome unknown, read back."""

    def __init__(self, link: Link, name: str) -> None:
        self.name = name
        self._link = link
        self._stream = f"KV_{name}"

    async def get(self, key: str) -> Entry | None:
        """The latest entry, asked from the stream's leader; None if there is none or it is deleted."""
        entry = await self.last(key)
        return entry if entry is not None and entry.value is not None else None

    async def last(self, key: str) -> Entry | None:
        """The latest entry, or what is left of one that was deleted (`value` None); None if there is neither."""
        body = json.dumps({"last_by_subj": f"$KV.{self.name}.{_valid(key)}"}).encode()
        try:
            answer = await api(await self._link.connection(TIMEOUT_S), f"STREAM.MSG.GET.{self._stream}", body)
        except NoMessage:
            return None
        return _stored(key, answer["message"])

    async def create(self, key: str, value: bytes, *, headers: Mapping[str, str] | None = None) -> int:
        """Revision of the new entry. AlreadyExists if the key lives; a tombstone is no obstacle. `headers` are kept with it."""
        try:
            return await self._put(key, value, 0, headers)
        except Conflict:
            last = await self.last(key)
        if last is not None and last.value is not None:
            raise AlreadyExists(f"{key} exists in bucket {self.name}")
        try:
            return await self._put(key, value, last.revision if last else 0, headers)
        except Conflict as e:
            raise AlreadyExists(f"{key} exists in bucket {self.name}") from e

    async def update(self, key: str, value: bytes, revision: int, *, headers: Mapping[str, str] | None = None) -> int:
        """Revision of the new entry. Conflict if `revision` is not the latest of this key. `headers` are kept with it."""
        return await self._put(key, value, revision, headers)

    async def delete(self, key: str, revision: int) -> int:
        """Leave a marker that goes by itself after MARKER_S; its revision. Conflict as for update."""
        return await self._put(key, b"", revision, {_OPERATION: "DEL", _LIFE: f"{MARKER_S}s"})

    async def purge(self, key: str, revision: int, *, marker_s: int = 0) -> int:
        """Like delete, and forget the key's history; the marker stays for `marker_s` seconds, MARKER_S if unsaid."""
        headers = {_OPERATION: "PURGE", "Nats-Rollup": "sub", _LIFE: f"{marker_s or MARKER_S}s"}
        return await self._put(key, b"", revision, headers)

    async def last_of(self, prefix: str) -> int:
        """Revision of the last change of any key under `prefix` (`a.>`), deletions too; 0 if there is none."""
        body = json.dumps({"last_by_subj": f"$KV.{self.name}.{prefix}"}).encode()
        try:
            answer = await api(await self._link.connection(TIMEOUT_S), f"STREAM.MSG.GET.{self._stream}", body)
        except NoMessage:
            return 0
        return int(answer["message"]["seq"])

    async def changes(self, prefix: str, after: int, *, limit: int = 500, max_bytes: int = 256 << 10) -> Changes:
        """The entries under `prefix` after a revision: at most `limit` entries, or as many as `max_bytes` take (one at
        least). Answered by any replica, without a consumer. Each key comes as often as the bucket's history has it.
        """
        subject = f"$KV.{self.name}.{prefix}"
        connection = await self._link.connection(TIMEOUT_S)
        answers = await batch(connection, self._stream, subject, after, limit=limit, max_bytes=max_bytes)
        *messages, end = answers
        strip = len(f"$KV.{self.name}.")
        entries = tuple(_direct(message, strip) for message in messages)
        return Changes(entries, bool(entries) and int(end.headers.get(PENDING, "0")) > 0)

    async def last_revision(self) -> int:
        """Sequence of the bucket's last write, asked from the stream's leader."""
        return int((await self.info())["state"]["last_seq"])

    async def info(self) -> dict[str, Any]:
        """The stream's configuration and state. NotFound if there is no such bucket."""
        return await api(await self._link.connection(TIMEOUT_S), f"STREAM.INFO.{self._stream}")

    async def destroy(self) -> None:
        """Delete the bucket with everything in it. NotFound if there is none; watches wait for a new one and start over."""
        await api(await self._link.connection(TIMEOUT_S), f"STREAM.DELETE.{self._stream}")

    def watch(self, prefix: str = ">", *, include_history: bool = False) -> Watch:
        """Everything that is, then everything that happens to keys that match `prefix` (`>`, `a.b.>`, `a.*.c`).

        Entries come once each and in order of revision. Use it with `async with`, or end it with `stop()`.
        """
        return Watch(self._link, self.name, prefix, include_history=include_history)

    async def _put(self, key: str, value: bytes, revision: int, headers: Mapping[str, str] | None = None) -> int:
        subject = f"$KV.{self.name}.{_valid(key)}"
        expected = {**(headers or {}), _EXPECTED: str(revision)}
        connection = await self._link.connection(TIMEOUT_S)
        answer = await connection.request(subject, value, timeout_s=TIMEOUT_S, headers=expected)
        return int(checked(answer.data, f"{key} in bucket {self.name}")["seq"])


async def open_bucket(link: Link, name: str, create: BucketConfig | None) -> Bucket:
    """The bucket `name`, made if it does not exist and `create` says how. NotFound otherwise.

    What a server cannot do for a moment is tried again (`answering`). One that is there with a shorter history than `create` says
    is given the longer one, in place.
    """
    bucket = Bucket(link, name)

    async def opened() -> None:
        try:
            config = (await bucket.info())["config"]
        except NoStream:
            if create is None:
                raise
            await _create(await link.connection(TIMEOUT_S), name, create)
            return
        if create is not None and 0 < config["max_msgs_per_subject"] < create.history:
            config = json.dumps({**config, "max_msgs_per_subject": create.history}).encode()
            await api(await link.connection(TIMEOUT_S), f"STREAM.UPDATE.KV_{name}", config)

    await answering(opened)
    return bucket


async def _create(connection: Connection, name: str, config: BucketConfig) -> None:
    stream: dict[str, Any] = {
        "name": f"KV_{name}",
        "description": config.description,
        "subjects": [f"$KV.{name}.>"],
        "max_msgs_per_subject": config.history,
        "max_msg_size": config.max_value_bytes,
        "num_replicas": config.replicas,
        "storage": "file",
        "discard": "new",
        "deny_delete": True,
        "allow_rollup_hdrs": True,
        "allow_direct": True,
        "allow_msg_ttl": True,
        "duplicate_window": 120_000_000_000,
        "first_seq": config.first_revision,
    }
    if config.republish is not None:
        stream["republish"] = {"src": config.republish[0], "dest": config.republish[1]}
    if config.ttl_s:
        lifetime = config.ttl_s * 1_000_000_000
        stream |= {"max_age": lifetime, "subject_delete_marker_ttl": lifetime}
        stream["duplicate_window"] = min(lifetime, stream["duplicate_window"])
    try:
        await api(connection, f"STREAM.CREATE.KV_{name}", json.dumps(stream).encode())
    except AlreadyExists:
        log.debug("bucket %s was created by another process meanwhile", name)


def _valid(key: str) -> str:
    if not _KEY.match(key) or key.startswith(".") or key.endswith(".") or ".." in key:
        raise BadRequest(f"{key[:80]!r} is not a key of a bucket")
    return key


def _stored(key: str, message: dict[str, Any]) -> Entry:
    headers = decode_headers(base64.b64decode(message.get("hdrs") or ""))
    created = seconds_of(str(message["time"]))
    value = base64.b64decode(message.get("data") or "")
    deleted = not value and is_deletion(headers)
    return Entry(key, None if deleted else value, int(message["seq"]), created)


def _direct(message: Message, strip: int) -> Entry:
    """An entry as DIRECT.GET gives it: the stored message, and where it was in headers."""
    headers = message.headers
    created = seconds_of(headers["Nats-Time-Stamp"])
    deleted = not message.data and is_deletion(headers)
    key = headers["Nats-Subject"][strip:]
    return Entry(key, None if deleted else message.data, int(headers["Nats-Sequence"]), created)
