"""The service events on a real bus, what the front door asks it, and events as others publish them."""

from __future__ import annotations

import dataclasses
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec

from services.events.parts import opening
from services.events.service import SERVICE
from services.events.settings import EventsSettings
from services.events.spec import SinkSpec
from skerry import cloudevents, subjects
from skerry.api.kinds import CLUSTER_ADMIN, EVENT_SINK
from skerry.api.messages import SIGNATURE, Caller, Write, WriteAnswer
from skerry.api.meta import Document
from skerry.api.times import rfc3339
from skerry.bus import Bus, Consumer, Stream
from skerry.cloudevents import CloudEvent, EventData, EventObject
from skerry.http.destination import Destination
from skerry.http.outbound import ServerIdentity
from skerry.identity.keyfiles import SECRETS_KEY
from skerry.service import Process
from tests.events.receiver import Receiver
from tests.fixtures.nats import NatsHost, eventually
from tests.fixtures.service import serving

ADMIN = Caller(user="admin", groups=(CLUSTER_ADMIN,))
_numbers = itertools.count(1)


def event(name: str = "m1", reason: str = "NotReady", *, kind: str = "Cluster", namespace: str = "") -> CloudEvent:
    """Something that happened."""
    number = next(_numbers)
    return CloudEvent(
        id=f"resources:{number}:{reason.lower()}",
        source="/hosts/5f1c/registry",
        type=cloudevents.type_of(kind, reason),
        subject=cloudevents.subject_of(kind, name, namespace),
        time=rfc3339(1_800_000_000 + number),
        actor='Ännie "A" 100%',
        data=EventData(
            object=EventObject(api_version="skerry.dev/v1alpha1", kind=kind, namespace=namespace, name=name),
            type="Warning",
            reason=reason,
            message="it does not answer",
        ),
    )


def settings(host: NatsHost) -> EventsSettings:
    """As on a machine."""
    return EventsSettings(events_secrets_key_file=host.keys_dir / SECRETS_KEY)


class World:
    """One replica of the service, and what is around it."""

    process: Process

    def __init__(
        self,
        host: NatsHost,
        front: Bus,
        anybody: Bus,
        new: Callable[[], AbstractAsyncContextManager[Process]] | None = None,
    ) -> None:
        """`new` makes the replica, if the test does not have the service in another way."""
        self.host, self.front = host, front
        self.stream = Stream(anybody, subjects.EVENT_STREAM)
        self._anybody, self._new, self._running = anybody, new, AsyncExitStack()

    async def begin(self) -> None:
        """Have the replica run."""
        assert self._new is not None
        self.process = await self._running.enter_async_context(self._new())

    async def end(self) -> None:
        """Stop it, as a roll-out does."""
        await self._running.aclose()

    # What the front door does

    async def write(self, verb: str, name: str, document: Document | None = None) -> Document:
        """A create, patch or delete. StatusError."""
        patch = verb == "patch"
        whole = {"apiVersion": EVENT_SINK.api_version, "kind": EVENT_SINK.kind, "metadata": {"name": name}}
        body = document if patch else None if document is None else {**whole, **document}
        request = Write(
            request_id=uuid.uuid4().hex,
            name=name,
            content_type="application/merge-patch+json" if patch else "application/json",
            body=msgspec.Raw(msgspec.json.encode(body)),
        )
        data = await self._ask(subjects.write(EVENT_SINK.owner, EVENT_SINK.plural, verb), request)
        stored: Document = msgspec.json.decode(msgspec.json.decode(data, type=WriteAnswer).object)
        return stored

    async def act(self, name: str, action: str, verb: str, **body: object) -> Document:
        """The answer to an action. StatusError."""
        request = Write(
            request_id=uuid.uuid4().hex,
            name=name,
            subresource=action,
            body=msgspec.Raw(msgspec.json.encode(body)),
        )
        answer: Document = msgspec.json.decode(
            await self._ask(subjects.action(EVENT_SINK.owner, EVENT_SINK.plural, action, verb), request)
        )
        return answer

    async def _ask(self, subject: str, request: Write) -> bytes:
        payload = msgspec.json.encode(request)
        headers = {SIGNATURE: self.host.sign(ADMIN, subject, payload)}
        return (await self.front.request(subject, payload, timeout_s=30, headers=headers)).data

    async def sink(self, name: str, to: Receiver, **spec: object) -> str:
        """A sink that sends to a receiver; its secret."""
        await self.write("create", name, {"spec": {"url": to.url, "caBundle": to.ca_pem, **spec}})
        secret: str = (await self.act(name, "secret", "update"))["secret"]
        return secret

    # What others do

    async def happen(self, *events: CloudEvent) -> list[str]:
        """Events are published; their ids."""
        for each in events:
            await self.stream.publish(
                cloudevents.bus_subject(each),
                cloudevents.data_of(each),
                message_id=each.id,
                headers=cloudevents.headers_of(each),
            )
        return [each.id for each in events]

    # What is there

    def consumer(self, sink: Document) -> Consumer:
        """Of a sink."""
        return Consumer(self._anybody, subjects.EVENT_STREAM, f"sink-{sink['metadata']['uid']}")

    async def secret(self, sink: Document) -> object:
        """What is sealed for a sink; None if nothing is."""
        bucket = await self._anybody.bucket(subjects.SINKS)
        return await bucket.get(sink["metadata"]["uid"])

    def find(self, name: str) -> Document | None:
        """A sink as it is stored."""
        item = self.process.informer.get(EVENT_SINK, name)
        return None if item is None else item.document()

    async def until(self, name: str, holds: Callable[[Document], Any]) -> Document:
        """A sink as soon as this is true of it."""

        def true() -> bool:
            document = self.find(name)
            return document is not None and bool(holds(document))

        try:
            await eventually(true, 80.0)
        except TimeoutError:
            raise AssertionError(f"sink {name} is not so: {self.find(name)}") from None
        document = self.find(name)
        assert document is not None
        return document

    async def gone(self, name: str) -> None:
        """Wait until there is no sink of this name."""
        await eventually(lambda: self.find(name) is None, 80.0)


class Clock:
    """The time of the wall, and what a test adds to it."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


def soon(low: float, high: float) -> float:
    """Chance: pauses of a hundredth."""
    return low / 100


def hasty(spec: SinkSpec) -> Destination:
    """A receiver that is not waited for so long."""
    return Destination(
        spec.url, spec.policy._replace(deadline_s=0.5), ServerIdentity(spec.ca_bundle, verify=spec.verify)
    )


@asynccontextmanager
async def replica(host: NatsHost, clock: Callable[[], float] = time.time) -> AsyncIterator[Process]:
    """The service, which waits a hundredth of the time between tries."""
    service = dataclasses.replace(SERVICE, state=opening(hasty, clock, soon))
    async with serving(host, (service, settings(host))) as process:
        yield process


@asynccontextmanager
async def world(host: NatsHost, clock: Callable[[], float] = time.time, *, serves: bool = True) -> AsyncIterator[World]:
    """One that serves, unless the test has the service in another way."""
    async with (
        Bus(host.settings("proxy"), lambda: host.service("proxy")) as front,
        host.open_bus("anybody") as anybody,
    ):
        await host.make_buckets()
        await anybody.request(
            f"$JS.API.STREAM.PURGE.{subjects.EVENT_STREAM}"
        )  # a sink begins with the second of its making
        made = World(host, front, anybody, lambda: replica(host, clock))
        try:
            if serves:
                await made.begin()
            yield made
        finally:
            await made.end()
