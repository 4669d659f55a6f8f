"""Watches of a bucket that survive anything: reconnects, restarts of the server, lost messages, a new bucket.

A watch is an ephemeral, ordered push consumer with flow control and 5 s idle heartbeats; a gap, a silence or a new
connection makes a new consumer from the next sequence. (nats-py's own KV watch took 19 s to resume after a restart.)
When changes may have been missed for good, the reader is told to start over (`Resync`).

A bucket keeps the last entry of each key, so a consumer that is behind is never given one that was written over meanwhile;
what replaced it comes later. Until it has come, what was given shows a state that never was, the newer write of one key
beside the older one of another. So entries behind such a gap are held until the server has nothing more, and come together.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple, Protocol

import msgspec

from skerry.backoff import Backoff
from skerry.bus.connection import Connection
from skerry.bus.delivery import Message, Subscription
from skerry.bus.jetstream import api
from skerry.errors import InternalError, ServiceUnavailable, StatusError

log = logging.getLogger(__name__)

IDLE_HEARTBEAT_S = 5
SILENT_S = 2.5 * IDLE_HEARTBEAT_S
"""A watch that heard nothing for so long is made anew."""
RESUME_WITHIN_S = 300.0
"""After a longer pause a watch starts over: what was left of removed keys may be gone meanwhile (`kv.MARKER_S`)."""

_OPERATION = "KV-Operation"
_MARKER = "Nats-Marker-Reason"


class Link(Protocol):
    """The part of `Bus` that buckets need."""

    async def connection(self, timeout_s: float) -> Connection:
        """The live connection; ConnectionLost if there is none within `timeout_s`."""


class Entry(msgspec.Struct, frozen=True):
    """A key at a revision; `value` None = deleted or purged. `created`: seconds since the epoch, server time."""

    key: str
    value: bytes | None
    revision: int
    created: float
    gap: int = 0
    """From this revision on something was not seen, because it was written over; with this entry all is known again."""
    more: bool = False
    """Others of the same state follow at once: who stops between them has one that never was."""


class Filled(msgspec.Struct, frozen=True):
    """The reader has seen everything up to `revision`. Comes after the initial fill and after each resume."""

    revision: int


class Resync(msgspec.Struct, frozen=True):
    """Changes may have been missed: forget everything; the whole content follows, then Filled."""

    reason: str


WatchEvent = Entry | Filled | Resync


class Watch:
    """Async iterator of Entry, Filled and Resync; ends when it is stopped. One reader."""

    def __init__(self, link: Link, bucket: str, prefix: str, *, include_history: bool) -> None:
        self._link = link
        self._stream = f"KV_{bucket}"
        self._strip = len(f"$KV.{bucket}.")
        self._filter = f"$KV.{bucket}.{prefix}"
        self._history = include_history
        self._events: deque[WatchEvent] = deque()
        self._held: dict[str, Entry] = {}
        """What came behind a gap, by key."""
        self._gap = 0
        self._filling = True
        self._wake = asyncio.Event()
        self._stopped = False
        self._task: asyncio.Task[None] | None = None
        self._heard, self._heard_wall = time.monotonic(), time.time()
        self._away_s = 0.0
        self._since: str | None = None
        self._backoff = Backoff(0.02, 2.0)
        self.revision = 0
        self.restarts = 0

    @property
    def age_s(self) -> float:
        """Seconds since the server was heard on this watch (idle heartbeats come every 5 s).

        By the clock on the wall too: the monotonic one stands still while a machine sleeps.
        """
        return max(time.monotonic() - self._heard, time.time() - self._heard_wall)

    async def __aenter__(self) -> Watch:
        self._start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    def __aiter__(self) -> AsyncIterator[WatchEvent]:
        self._start()
        return self

    async def __anext__(self) -> WatchEvent:
        while not self._events:
            if self._stopped:
                raise StopAsyncIteration
            if self._task is not None and self._task.done():
                raise InternalError(f"the watch of {self._stream} ended by itself: its reader would wait for ever")
            self._wake.clear()
            await self._wake.wait()
        return self._events.popleft()

    async def stop(self) -> None:
        """End the watch and the iteration."""
        self._stopped = True
        self._wake.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"watch {self._stream}")
            self._task.add_done_callback(lambda _: self._wake.set())

    def _emit(self, event: WatchEvent) -> None:
        self._events.append(event)
        self._wake.set()

    async def _run(self) -> None:
        while True:
            try:
                connection = await self._link.connection(60.0)
                await self._follow(connection)
                self._backoff.reset()
            except StatusError as e:
                log.info("a watch waits: %s", e.message, extra={"bucket": self._stream})
            except Exception:
                log.exception("a watch failed and starts again")
            self.restarts += 1
            await asyncio.sleep(self._backoff.next())

    async def _follow(self, connection: Connection) -> None:
        """One consumer, until it breaks."""
        stream = await api(connection, f"STREAM.INFO.{self._stream}")
        self._resync_if_needed(stream)
        consumer = _Consumer(connection, self._stream, self._on_message, self._on_heard, self._on_idle)
        try:
            await consumer.create(self._config(), stream["state"]["last_seq"], self._on_filled)
            await consumer.broken
        finally:
            consumer.close()

    def _resync_if_needed(self, stream: dict[str, Any]) -> None:
        # Revisions say nothing by themselves: a bucket that was restored, or made anew after its server lost the disk, has the
        # same name and counts from somewhere else. And a removal leaves a marker that the server drops after a while.
        created, last = str(stream["created"]), int(stream["state"]["last_seq"])
        reason = ""
        if self._since is not None and created != self._since:
            reason = "the bucket was created anew"
        elif self.revision > last:
            reason = "the bucket went back in time"
        elif self._since is not None and max(self._away_s, self.age_s) > RESUME_WITHIN_S:
            reason = f"nothing was heard for {max(self._away_s, self.age_s):.0f} s"
        if reason:
            self.revision = 0
            self._held, self._gap = {}, 0
            self._emit(Resync(reason))
        self._since = created
        self._filling = not self.revision

    def _config(self) -> dict[str, Any]:
        policy: dict[str, Any] = {"deliver_policy": "all" if self._history else "last_per_subject"}
        if self.revision:
            policy = {"deliver_policy": "by_start_sequence", "opt_start_seq": self.revision + 1}
        return {"filter_subject": self._filter, **policy}

    def _on_heard(self) -> None:
        """A process that was stopped hears what its socket kept before it learns that the connection is lost."""
        self._away_s = max(self._away_s, self.age_s)
        self._heard, self._heard_wall = time.monotonic(), time.time()

    def _on_message(self, message: Message, position: _Position) -> None:
        before, sequence = self.revision, position.sequence
        if sequence <= before:  # a consumer that was made anew may repeat what the last one gave
            return
        self.revision = sequence
        entry = _delivered(message, message.subject[self._strip :], sequence, position.created)
        # While a fill lasts every number that is missing is one that was written over, and the reader waits for Filled anyhow.
        if not self._held and (self._filling or sequence == before + 1):
            self._emit(entry)
            return
        self._gap = self._gap or before + 1
        self._held.pop(entry.key, None)  # not replaced in place: what is held comes in the order of its revisions
        self._held[entry.key] = entry
        if not position.pending:
            self._on_idle()

    def _on_idle(self) -> None:
        """The server has nothing more: what was held is a state that was."""
        if self._held:
            *entries, last = self._held.values()
            for entry in entries:
                self._emit(msgspec.structs.replace(entry, more=True))
            self._emit(msgspec.structs.replace(last, gap=self._gap))
            self._held, self._gap = {}, 0

    def _on_filled(self, revision: int) -> None:
        self._on_heard()
        self._on_idle()
        self._filling = False
        self._away_s = 0.0
        self.revision = max(self.revision, revision)
        self._emit(Filled(self.revision))


class _Consumer:
    """One ordered push consumer: every message once, in order, or `broken`."""

    def __init__(
        self,
        connection: Connection,
        stream: str,
        on_message: Callable[[Message, _Position], None],
        on_heard: Callable[[], None],
        on_idle: Callable[[], None],
    ) -> None:
        self.broken: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._connection = connection
        self._stream = stream
        self._on_message = on_message
        self._on_heard = on_heard
        self._on_idle = on_idle
        self._on_filled: Callable[[int], None] | None = None
        self._fill_until = 0
        self._next = 1
        self._subscription: Subscription | None = None
        self._heard = time.monotonic()
        self._watchdog = asyncio.get_running_loop().call_later(IDLE_HEARTBEAT_S, self._check)
        connection.lost.add_done_callback(self._on_lost)

    async def create(self, config: dict[str, Any], last: int, on_filled: Callable[[int], None]) -> None:
        """Start delivery; `on_filled(last)` once everything up to the stream's sequence `last` was delivered."""
        name = secrets.token_hex(8)
        inbox = self._connection.inbox()
        self._on_filled, self._fill_until = on_filled, last
        # Before the consumer is made: it delivers from the moment that it exists, and the answer to CREATE may come second.
        self._subscription = self._connection.subscribe_now(inbox, self._receive)
        complete = {**config, **_ORDERED, "name": name, "deliver_subject": inbox}
        body = {"stream_name": self._stream, "action": "create", "config": complete}
        subject = f"CONSUMER.CREATE.{self._stream}.{name}.{config['filter_subject']}"
        answer = await api(self._connection, subject, json.dumps(body).encode())
        self._heard = time.monotonic()
        # Nothing there, and nothing on its way in front of this answer: no message will say that it was the last.
        if answer["num_pending"] == 0 and answer["delivered"]["consumer_seq"] == 0:
            self._filled()

    def close(self) -> None:
        """Unsubscribe; the server forgets the consumer by itself."""
        self._watchdog.cancel()
        self._connection.lost.remove_done_callback(self._on_lost)
        if self._subscription is not None:
            self._subscription.unsubscribe()
        self._break("closed")

    def _receive(self, message: Message) -> None:
        self._heard = time.monotonic()
        self._on_heard()
        if not message.reply.startswith("$JS.ACK."):
            self._control(message)
            return
        if self.broken.done():
            return
        position = _position(message.reply)
        if position.consumer_sequence != self._next:
            self._break("a message was lost")
            return
        self._next += 1
        self._on_message(message, position)
        if position.pending == 0:
            self._fill_until = max(self._fill_until, position.sequence)
            self._filled()

    def _control(self, message: Message) -> None:
        headers = message.headers
        if headers.get("Status") != "100":
            self._break(f"the server ended the consumer: {headers.get('Description', 'no reason')}")
            return
        # Flow control: without an answer the server sends nothing more. A heartbeat names the question that it waits with.
        answer_to = message.reply or headers.get("Nats-Consumer-Stalled", "")
        if answer_to:
            self._answer(answer_to)
        delivered = headers.get("Nats-Last-Consumer")
        if delivered is not None and int(delivered) != self._next - 1:
            self._break("the last message was lost")
        elif not answer_to:  # the server has nothing more for us: what it still counted as pending went by itself
            self._on_idle()
            self._filled()

    def _answer(self, subject: str) -> None:
        try:
            self._connection.publish_now(subject, b"")
        except ServiceUnavailable as e:
            self._break(e.message)

    def _filled(self) -> None:
        on_filled, self._on_filled = self._on_filled, None
        if on_filled is not None:
            on_filled(self._fill_until)

    def _check(self) -> None:
        if time.monotonic() - self._heard > SILENT_S:
            self._break("the server was silent")
        else:
            self._watchdog = asyncio.get_running_loop().call_later(IDLE_HEARTBEAT_S / 2, self._check)

    def _on_lost(self, lost: asyncio.Future[str]) -> None:
        self._break(f"the connection is lost: {self._connection.reason}")

    def _break(self, reason: str) -> None:
        if not self.broken.done():
            self.broken.set_result(reason)


_ORDERED: dict[str, Any] = {
    "ack_policy": "none",
    "max_deliver": 1,
    "mem_storage": True,
    "num_replicas": 1,
    "flow_control": True,
    "idle_heartbeat": IDLE_HEARTBEAT_S * 1_000_000_000,
    "inactive_threshold": 30_000_000_000,
}


def is_deletion(headers: dict[str, str]) -> bool:
    return headers.get(_OPERATION) in {"DEL", "PURGE"} or _MARKER in headers


def _delivered(message: Message, key: str, sequence: int, created: float) -> Entry:
    deleted = not message.data and is_deletion(message.headers)
    return Entry(key, None if deleted else message.data, sequence, created)


class _Position(NamedTuple):
    """Where a message is: in the stream, among those of its consumer, in seconds since the epoch; how many follow."""

    sequence: int
    consumer_sequence: int
    created: float
    pending: int


def _position(reply: str) -> _Position:
    """What an ack subject says, in its old or new form."""
    parts = reply.split(".")
    offset = 2 if len(parts) == 9 else 4
    sequence, consumer_sequence, nanoseconds, pending = (int(p) for p in parts[offset + 3 : offset + 7])
    return _Position(sequence, consumer_sequence, nanoseconds // 1000 / 1e6, pending)
