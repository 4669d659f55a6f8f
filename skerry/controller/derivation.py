"""Events of a service's objects, derived from what is stored, by whichever replica leads: each once, in order per object.

A durable consumer reads the writes of the service's kinds. Each names the revision of its predecessor (compare-and-set), so what
changed is known whenever it is read, and one that is gone shows itself. In order: publish, wait until it is stored, store the
Kubernetes Event, acknowledge. Who dies in between is followed by one who does the same again: events have the same ids, which the
stream knows for two minutes; what was delivered before is held against the last event stored on its subject.

Nothing of this is in the way of a write.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import msgspec

from skerry import subjects
from skerry.api.kinds import Kind
from skerry.api.meta import Document
from skerry.backoff import Backoff
from skerry.bus import Consumer, ConsumerConfig, Delivery, Stream
from skerry.cloudevents import PREFIX, CloudEvent, bus_subject
from skerry.controller.events import StoredWrite, derived, revision_of
from skerry.controller.kubernetes import KubernetesEvents
from skerry.controller.publisher import EventPublisher
from skerry.errors import StatusError
from skerry.storage.documents import Item, unseal
from skerry.storage.origin import origin_of

log = logging.getLogger("skerry.events")

BATCH = 256
"""Writes that are read at once."""
AT_ONCE = 32
"""Objects that are told at once; of each one write after the other."""
WAIT_S = 2.0
"""A look for writes lasts so long where there are none: it is over before anybody takes over from a leader that was stopped."""
_EXPECTED = "Nats-Expected-Last-Subject-Sequence"


class Leader(Protocol):
    """The part of a lease that is needed here."""

    @property
    def held(self) -> bool: ...
    def check(self) -> None: ...
    async def changed(self) -> None: ...


class Derivation:
    """Tells what happens to objects of `kinds`, while `leader` leads. A task must run `run`."""

    def __init__(
        self,
        consumer: Callable[[], Awaitable[Consumer]],
        resources: Stream,
        kinds: Iterable[Kind],
        publisher: EventPublisher,
        kubernetes: KubernetesEvents,
        leader: Leader,
    ) -> None:
        """`consumer` opens the durable consumer, and makes it where it is not there."""
        self._open, self._resources, self._publisher = consumer, resources, publisher
        self._kinds = {filter_of(kind)[:-1]: kind for kind in kinds if kind.events}
        self._kubernetes, self._leader = kubernetes, leader
        self._delivered = 0
        """Writes up to here were delivered to somebody before: they may have been told."""
        self._objects = asyncio.Semaphore(AT_ONCE)
        self.gaps = 0

    async def run(self) -> None:
        """Tell, until cancelled."""
        backoff = Backoff(0.1, 5.0)
        while True:
            if not self._leader.held:
                await self._leader.changed()
                continue
            try:
                await self._lead()
                backoff.reset()
            except StatusError as error:
                log.info("events wait", extra={"service": self._publisher.service, "error": error.message})
                await asyncio.sleep(backoff.next())

    async def _lead(self) -> None:
        """From where the last leader stopped. StatusError."""
        consumer = await self._open()
        state = await consumer.state()
        self._delivered = max(self._delivered, state.delivered)
        if state.unacknowledged:
            await consumer.reset()
        while self._leader.held:
            await self.tell(await consumer.fetch(BATCH, wait_s=WAIT_S))

    async def tell(self, deliveries: Iterable[Delivery]) -> None:
        """Tell of these writes and acknowledge them. What fails of one object holds up no other, and is raised at the end."""
        by_object: dict[str, list[Delivery]] = {}
        for each in deliveries:
            by_object.setdefault(each.subject, []).append(each)
        results = await asyncio.gather(*map(self._of_object, by_object.values()), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _of_object(self, deliveries: list[Delivery]) -> None:
        async with self._objects:
            before: Item | None = None
            for each in deliveries:
                before = await self._of_write(each, before)
                self._acknowledge(each)

    def _acknowledge(self, delivery: Delivery) -> None:
        delivery.acknowledge()

    async def _of_write(self, delivery: Delivery, before: Item | None) -> Item | None:
        """Tell of one write; `before` is the last one of this object, if it is known. The item that it left."""
        kind = self._kinds.get(delivery.subject[: delivery.subject.rindex(".", 0, delivery.subject.rindex(".")) + 1])
        item = _item(delivery.subject, delivery.data, delivery.sequence)
        if kind is None or item is None:
            return item  # a marker of a purge; or another version's kind
        headers = delivery.headers
        expected = int(headers.get(_EXPECTED) or 0)
        gap = False
        if before is None or before.revision != expected:
            before = await self._stored(delivery.subject, expected) if expected else None
            gap = bool(expected) and before is None
        about = item.document()
        old: Document = {} if before is None or before.deleted or before.uid != item.uid else before.document()
        write = StoredWrite(
            kind=kind,
            old=old,
            new={} if item.deleted else about,
            about=about,
            revision=item.revision,
            created=delivery.created,
            origin=origin_of(headers),
            gap=gap,
        )
        self.gaps += gap
        for each in derived(write, await self._publisher.source()):
            await self._publish(delivery, each)
        return item

    async def _publish(self, delivery: Delivery, event: CloudEvent) -> None:
        self._leader.check()
        known = delivery.deliveries > 1 or delivery.sequence <= self._delivered
        if not (known and await self._is_told(event)):
            await self._publisher.publish(event)
        await self._kubernetes.record(event.data, delivery.created)

    async def _is_told(self, event: CloudEvent) -> bool:
        """True if this event, or a later one of the same subject, is stored."""
        last = await self._publisher.stream.last(bus_subject(event))
        return last is not None and revision_of(last.headers.get(f"{PREFIX}id", "")) >= revision_of(event.id)

    async def _stored(self, subject: str, sequence: int) -> Item | None:
        """A predecessor; None if it is gone."""
        message = await self._resources.at(sequence)
        return None if message is None else _item(subject, message.data, sequence)


def filter_of(kind: Kind) -> str:
    """The subjects of a kind's writes: `$KV.resources.<group>.<kind>.>`."""
    return f"$KV.{subjects.RESOURCES}.{subjects.key(kind.group, kind.kind, '', 'x').rsplit('.', 2)[0]}.>"


def consumer_config(kinds: Iterable[Kind], service: str, after: int) -> ConsumerConfig:
    """The consumer of a service's derivation, which begins behind a revision."""
    return ConsumerConfig(
        subjects=tuple(filter_of(kind) for kind in kinds if kind.events),
        after=after,
        max_ack_pending=2 * BATCH,
        description=f"events of what {service} owns",
    )


def _item(subject: str, data: bytes, sequence: int) -> Item | None:
    """What was written; None for a marker, and for what cannot be read."""
    if not data:
        return None
    try:
        return unseal(data, sequence, with_writes=False)
    except (ValueError, msgspec.DecodeError):
        log.exception("a write cannot be read: its events are missing", extra={"key": subject, "revision": sequence})
        return None
