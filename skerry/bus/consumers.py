"""Durable pull consumers: the server remembers what was acknowledged, so each message is handled, whoever dies meanwhile.

A consumer delivers again what was not acknowledged within `ack_wait_s`, behind newer messages: who needs the order of a stream
begins with `reset`, after which everything that is not acknowledged comes again, oldest first (nats-server 2.14 or newer).
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

import msgspec

from skerry.bus.delivery import Message
from skerry.bus.headers import STATUS
from skerry.bus.jetstream import TIMEOUT_S, NoStream, api
from skerry.bus.watch import Link
from skerry.errors import GatewayTimeout, NotFound, ServiceUnavailable

MAX_BYTES = 4 * 1024 * 1024
"""Of the messages of one fetch."""
LATE_S = 5.0
"""A fetch waits for the server so much longer than the server waits for messages."""


class ConsumerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How a durable consumer is made. One that is there keeps all but `subjects`."""

    subjects: tuple[str, ...]
    """Which messages it is about: filters of subjects."""
    after: int = 0
    """A new one begins behind this sequence."""
    since: str = ""
    """Instead: with what was stored at this time (RFC 3339) or later."""
    exact: bool = False
    """Whether one that is there is about nothing else from then on."""
    ack_wait_s: float = 30.0
    max_ack_pending: int = 1000
    """So many messages are delivered and not acknowledged at most."""
    description: str = ""


class ConsumerState(NamedTuple):
    """Sequences in the stream: everything up to `acknowledged` was acknowledged, everything up to `delivered` delivered at least
    once; so many messages wait."""

    acknowledged: int
    delivered: int
    unacknowledged: int
    pending: int


class Delivery:
    """One message of a consumer; to be acknowledged. `created`: seconds since the epoch, server time; `deliveries`: how many times
    it was delivered, with this one."""

    __slots__ = ("_message", "created", "deliveries", "sequence", "subject")

    def __init__(self, message: Message) -> None:
        self._message = message
        self.subject = message.subject
        parts = message.reply.split(".")
        offset = 2 if len(parts) == 9 else 4
        deliveries, sequence, _, nanoseconds = (int(part) for part in parts[offset + 2 : offset + 6])
        self.deliveries, self.sequence, self.created = deliveries, sequence, nanoseconds // 1000 / 1e6

    @property
    def data(self) -> bytes:
        """The payload."""
        return self._message.data

    @property
    def headers(self) -> dict[str, str]:
        """NATS headers."""
        return self._message.headers

    def acknowledge(self) -> None:
        """It is done: it does not come again, if the server hears this. ConnectionLost."""
        self._message.respond_now(b"+ACK")

    def again(self, delay_s: float = 0.0) -> None:
        """It is to come again, after a while. ConnectionLost."""
        self._message.respond_now(f'-NAK {{"delay": {int(delay_s * 1e9)}}}'.encode())

    def working(self) -> None:
        """It needs more time: `ack_wait_s` begin anew. ConnectionLost."""
        self._message.respond_now(b"+WPI")


class Consumer:
    """One durable consumer of a stream. Every call raises NotFound if there is none, and StatusError of the bus."""

    def __init__(self, link: Link, stream: str, name: str) -> None:
        self.stream, self.name = stream, name
        self._link = link

    async def fetch(self, batch: int, *, wait_s: float = 0.0) -> list[Delivery]:
        """At most `batch` messages, as many as there are now; the first within `wait_s`, none if there is none until then."""
        deliveries = await self._fetch(batch, 0.0)
        return deliveries or (await self._fetch(1, wait_s) if wait_s else [])

    async def _fetch(self, batch: int, wait_s: float) -> list[Delivery]:
        connection = await self._link.connection(TIMEOUT_S)
        deliveries: list[Delivery] = []
        ended: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()

        def take(message: Message) -> None:
            if not message.reply.startswith("$JS.ACK."):
                headers = message.headers
                if headers.get(STATUS) != "100" and not ended.done():
                    ended.set_result(headers)
                return
            deliveries.append(Delivery(message))
            if len(deliveries) == batch and not ended.done():
                ended.set_result({})

        inbox = connection.inbox()
        subscription = connection.subscribe_now(inbox, take)
        limit: dict[str, Any] = {"expires": int(wait_s * 1e9)} if wait_s else {"no_wait": True}
        asked = json.dumps({"batch": batch, "max_bytes": MAX_BYTES, **limit}).encode()
        try:
            connection.publish_now(f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{self.name}", asked, inbox)
            await asyncio.wait((ended, connection.lost), timeout=wait_s + LATE_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            subscription.unsubscribe()
        if deliveries:
            return deliveries
        if not ended.done():
            if connection.lost.done():
                raise ServiceUnavailable(f"the connection to the bus is lost: {connection.reason}")
            raise GatewayTimeout(f"consumer {self.name} of stream {self.stream} did not answer")
        self._check(ended.result())
        return []

    def _check(self, headers: dict[str, str]) -> None:
        """Whether an end without a message is one of those that there are when there is no message."""
        status, description = headers.get(STATUS, ""), headers.get("Description", "")
        if status == "503" or "deleted" in description.lower():
            raise NotFound(f"there is no consumer {self.name} of stream {self.stream}")
        if status not in ("404", "408"):
            raise ServiceUnavailable(f"consumer {self.name} of stream {self.stream}: {status} {description}")

    async def state(self) -> ConsumerState:
        """Where it is."""
        connection = await self._link.connection(TIMEOUT_S)
        info = await api(connection, f"CONSUMER.INFO.{self.stream}.{self.name}")
        return _state(info)

    async def reset(self) -> None:
        """Have everything that is not acknowledged delivered again, oldest first, before anything newer."""
        connection = await self._link.connection(TIMEOUT_S)
        await api(connection, f"CONSUMER.RESET.{self.stream}.{self.name}")

    async def delete(self) -> None:
        """Take it away: nobody remembers what was acknowledged."""
        connection = await self._link.connection(TIMEOUT_S)
        await api(connection, f"CONSUMER.DELETE.{self.stream}.{self.name}")


async def open_consumer(link: Link, stream: str, name: str, config: ConsumerConfig) -> Consumer:
    """The durable consumer `name`, made if there is none. One that is there is about what `config` says besides what it was about
    already, unless `exact`: an older replica does not take away what a newer one added. NotFound if there is no such stream."""
    connection = await link.connection(TIMEOUT_S)
    try:
        known = (await api(connection, f"CONSUMER.INFO.{stream}.{name}"))["config"]
    except NoStream:
        raise
    except NotFound:
        wanted = _config(name, config)
    else:
        before = _filters(known)
        subjects = config.subjects if config.exact else tuple(dict.fromkeys((*before, *config.subjects)))
        if set(subjects) == set(before):
            return Consumer(link, stream, name)
        wanted = {**known, "filter_subjects": list(subjects)}
        wanted.pop("filter_subject", None)
    body = json.dumps({"stream_name": stream, "config": wanted, "action": ""}).encode()
    await api(connection, f"CONSUMER.CREATE.{stream}.{name}", body)
    return Consumer(link, stream, name)


def _config(name: str, config: ConsumerConfig) -> dict[str, Any]:
    return {
        "durable_name": name,
        "name": name,
        "description": config.description,
        **_start(config),
        "ack_policy": "explicit",
        "ack_wait": int(config.ack_wait_s * 1e9),
        "max_ack_pending": config.max_ack_pending,
        "max_deliver": -1,
        "filter_subjects": list(config.subjects),
    }


def _start(config: ConsumerConfig) -> dict[str, Any]:
    if config.since:
        return {"deliver_policy": "by_start_time", "opt_start_time": config.since}
    return {"deliver_policy": "by_start_sequence", "opt_start_seq": config.after + 1}


def _filters(config: dict[str, Any]) -> tuple[str, ...]:
    single = config.get("filter_subject")
    return (single,) if single else tuple(config.get("filter_subjects") or ())


def _state(info: dict[str, Any]) -> ConsumerState:
    return ConsumerState(
        int(info["ack_floor"]["stream_seq"]),
        int(info["delivered"]["stream_seq"]),
        int(info["num_ack_pending"]),
        int(info["num_pending"]),
    )
