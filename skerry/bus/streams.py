"""JetStream streams of messages that are kept for a time: publish with an acknowledgement, read by sequence or time.

Reading takes DIRECT.GET, without a consumer: any replica answers, and nothing is made on the server for who reads. Who has to see
each message once, whatever happens to it, uses a durable consumer (`skerry.bus.consumers`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from skerry.bus.delivery import Message
from skerry.bus.headers import STATUS, decode_headers
from skerry.bus.jetstream import (
    PENDING,
    TIMEOUT_S,
    NoMessage,
    NoStream,
    answering,
    api,
    batch_from,
    checked,
    direct,
    seconds_of,
)
from skerry.bus.watch import Link
from skerry.errors import AlreadyExists

MESSAGE_ID = "Nats-Msg-Id"
"""A message with an id that the stream was given within its `duplicates_s` is not stored again."""


class StreamConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How a stream is created when it does not exist. Messages go after `max_age_s`, the oldest first beyond `max_bytes`."""

    subjects: tuple[str, ...]
    replicas: int = 1
    max_age_s: int = 0
    max_bytes: int = -1
    duplicates_s: int = 120
    deny_delete: bool = False
    """No message can be deleted. This cannot be taken back."""
    deny_purge: bool = False
    description: str = ""


class PubAck(NamedTuple):
    """The stream has a message."""

    sequence: int
    duplicate: bool
    """It had it already."""


class StoredMessage(NamedTuple):
    """A message as the stream has it. `created`: seconds since the epoch, server time."""

    subject: str
    sequence: int
    created: float
    headers: dict[str, str]
    data: bytes


class Page(NamedTuple):
    """Some messages of a stream, in order. Ask again after the last one's sequence while there is `more`."""

    messages: tuple[StoredMessage, ...]
    more: bool


class Stream:
    """One stream. Every call raises NotFound if there is none, and StatusError of the bus."""

    def __init__(self, link: Link, name: str) -> None:
        self.name = name
        self._link = link

    async def publish(
        self, subject: str, data: bytes, *, message_id: str = "", headers: Mapping[str, str] | None = None
    ) -> PubAck:
        """Store a message. GatewayTimeout: whether it is stored is unknown; with a `message_id` it may be published again."""
        given = {**(headers or {}), **({MESSAGE_ID: message_id} if message_id else {})}
        connection = await self._link.connection(TIMEOUT_S)
        answer = await connection.request(subject, data, timeout_s=TIMEOUT_S, headers=given or None)
        acknowledged = checked(answer.data, f"{subject} in stream {self.name}")
        return PubAck(int(acknowledged["seq"]), bool(acknowledged.get("duplicate")))

    async def read(
        self,
        subject: str = ">",
        *,
        after: int = 0,
        since: float | None = None,
        limit: int = 500,
        max_bytes: int = 256 * 1024,
    ) -> Page:
        """Messages with a subject (`a.>`), behind a sequence or from a time (seconds since the epoch) on: at most `limit`, or as
        many as `max_bytes` take (one at least)."""
        begin: dict[str, Any] = {"seq": after + 1} if since is None else {"start_time": _time(since)}
        connection = await self._link.connection(TIMEOUT_S)
        answers = await batch_from(connection, self.name, subject, begin, limit=limit, max_bytes=max_bytes)
        *messages, end = answers
        return Page(tuple(map(_direct, messages)), bool(messages) and int(end.headers.get(PENDING, "0")) > 0)

    async def at(self, sequence: int) -> StoredMessage | None:
        """The message with that sequence; None if it is gone. A replica that lags is not believed: the leader is asked then."""
        message = await direct(await self._link.connection(TIMEOUT_S), self.name, sequence)
        if STATUS not in message.headers:
            return _direct(message)
        return await self._asked({"seq": sequence})

    async def last(self, subject: str) -> StoredMessage | None:
        """The last message with that subject, asked from the stream's leader; None if there is none."""
        return await self._asked({"last_by_subj": subject})

    async def info(self, subject: str = "") -> dict[str, Any]:
        """Configuration and state; with a subject (`a.>`) the state has `subjects`: how many messages each of them has, of 100,000
        at most."""
        body = json.dumps({"subjects_filter": subject}).encode() if subject else b""
        return await api(await self._link.connection(TIMEOUT_S), f"STREAM.INFO.{self.name}", body)

    async def _asked(self, question: dict[str, Any]) -> StoredMessage | None:
        body, subject = json.dumps(question).encode(), f"STREAM.MSG.GET.{self.name}"
        try:
            message = (await api(await self._link.connection(TIMEOUT_S), subject, body))["message"]
        except NoMessage:
            return None
        return StoredMessage(
            str(message["subject"]),
            int(message["seq"]),
            seconds_of(str(message["time"])),
            decode_headers(base64.b64decode(message.get("hdrs") or "")),
            base64.b64decode(message.get("data") or ""),
        )


async def open_stream(link: Link, name: str, create: StreamConfig | None) -> Stream:
    """The stream `name`, made if it does not exist and `create` says how. NotFound otherwise."""
    stream = Stream(link, name)

    async def opened() -> None:
        try:
            await stream.info()
        except NoStream:
            if create is None:
                raise
            await _create(link, name, create)

    await answering(opened)
    return stream


async def _create(link: Link, name: str, config: StreamConfig) -> None:
    stream: dict[str, Any] = {
        "name": name,
        "description": config.description,
        "subjects": list(config.subjects),
        "max_age": config.max_age_s * 1_000_000_000,
        "max_bytes": config.max_bytes,
        "num_replicas": config.replicas,
        "storage": "file",
        "compression": "s2",
        "discard": "old",
        "allow_direct": True,
        "deny_delete": config.deny_delete,
        "deny_purge": config.deny_purge,
        "duplicate_window": config.duplicates_s * 1_000_000_000,
    }
    try:
        await api(await link.connection(TIMEOUT_S), f"STREAM.CREATE.{name}", json.dumps(stream).encode())
    except AlreadyExists:
        return  # by another process, meanwhile


def _direct(message: Message) -> StoredMessage:
    """A message as DIRECT.GET gives it: what was stored, and where it was in headers."""
    headers = message.headers
    return StoredMessage(
        headers["Nats-Subject"],
        int(headers["Nats-Sequence"]),
        seconds_of(headers["Nats-Time-Stamp"]),
        headers,
        message.data,
    )


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
