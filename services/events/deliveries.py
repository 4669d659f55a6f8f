"""Sinks at work: a Sender for each that is to be sent to, at the replica that leads, and what the status of each says.

Each runs for itself: what fails or hangs in one is started anew there, and no other waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from services.events import verdicts
from services.events.deadletters import DeadLetters
from services.events.model import GONE, PLACES
from services.events.secrets import Secrets, SinkSecrets
from services.events.sender import ACK_WAIT_S, Progress, Receiver, Sender, Sink
from services.events.spec import SinkSpec, spec_of
from skerry import subjects
from skerry.api.conditions import Verdict
from skerry.api.kinds import EVENT_SINK
from skerry.api.meta import Document
from skerry.backoff import Backoff, Chance
from skerry.bus import Consumer, ConsumerConfig
from skerry.controller.controller import After
from skerry.errors import NotFound, StatusError
from skerry.http.outbound import OutboundError
from skerry.service import Context
from skerry.service.process import expected
from skerry.storage import Item
from skerry.storage.sealed import Unreadable

log = logging.getLogger("skerry.events")

TELL_S = 5.0
"""Between two writes of what is told of one sink, unless a condition changes."""
LEAST_S = 0.5
"""And then."""
LOOK_S = 30.0
"""Between two looks at what waits for a sink that is not sent to."""
STABLE_S = 30.0
FINALIZER = "skerry.dev/sink"
"""Held by an EventSink until what was kept of it is gone."""


class ClosingReceiver(Receiver, Protocol):
    """A receiver whose connections end with `close`."""

    async def close(self) -> None:
        """Cut what is under way."""
        ...


Dial = Callable[[SinkSpec], ClosingReceiver]


class _Running:
    """One sink that is sent to."""

    def __init__(self, sink: Sink, sender: Sender, progress: Progress, receiver: ClosingReceiver) -> None:
        self.sink, self.sender, self.progress, self.receiver = sink, sender, progress, receiver
        self.task: asyncio.Task[None] | None = None
        self.retry_requested = ""


class Deliveries:
    """See the module. A task must run `run`."""

    def __init__(
        self,
        context: Context[Any, Any],
        secrets: Secrets,
        letters: DeadLetters,
        dial: Dial,
        clock: Callable[[], float] = time.time,
        chance: Chance = random.uniform,
    ) -> None:
        self._secrets, self._letters, self._dial, self._clock = secrets, letters, dial, clock
        self._chance = chance
        self._bus, self._informer, self._lease = context.bus, context.informer, context.lease
        self._timers = context.timers
        self._store = context.store(EVENT_SINK, leader=True)
        self._running: dict[str, _Running] = {}
        self._backoffs: dict[str, Backoff] = {}
        self._made: dict[str, tuple[str, ...]] = {}
        """The filters of consumers that are there, by the uid of the sink."""
        self._group: asyncio.TaskGroup | None = None
        self.controller = context.controller("sinks", self.reconcile, workers=8, leader=True, finishes=False)

    # Life

    async def run(self) -> None:
        """Send where the lease is, until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            while True:
                if self._lease.held:
                    for item in self._informer.list(EVENT_SINK):
                        self.controller.add(item.name)
                else:
                    for name in list(self._running):
                        self._end(name)
                    self._made.clear()
                await self._lease.changed()

    async def reconcile(self, name: str) -> After | None:
        """Have a sink sent to as its spec says, or not. StatusError."""
        item = self._informer.get(EVENT_SINK, name)
        if item is None:
            self._end(name)
            self._backoffs.pop(name, None)
            return None
        document = item.document()
        if "deletionTimestamp" in document["metadata"]:
            self._end(name)
            await self._forget(item, document)
            return None
        spec = spec_of(document)
        consumer = await self._consumer(item, document, spec)
        secrets, active = await self._active(item, spec)
        if secrets is None:
            self._end(name)
            await self._tell_idle(item, consumer, active)
            return After(LOOK_S)
        return await self._keep(item, document, spec, secrets, consumer)

    async def _keep(
        self, item: Item, document: Document, spec: SinkSpec, secrets: SinkSecrets, consumer: Consumer
    ) -> After | None:
        """Have it sent to."""
        running = self._running.get(item.name)
        same = running is not None and (running.sink.uid, running.sink.spec, running.sink.secrets) == (
            item.uid,
            spec,
            secrets,
        )
        if running is None or not same:
            self._end(item.name)
            document = await self._begin_telling(item)
            try:
                receiver = self._dial(spec)
            except OutboundError as error:
                await self._tell(item, {}, {verdicts.READY: Verdict("False", "BadURL", str(error))})
                return None
            sink = Sink(item.name, item.uid, spec, secrets, verdicts.since(document))
            running = self._start(sink, consumer, receiver)
        requested = str((document.get("status") or {}).get("retryRequested") or "")
        if running is not None and requested != running.retry_requested:
            running.retry_requested = requested
            running.sender.retry()
        return None

    async def _active(self, item: Item, spec: SinkSpec) -> tuple[SinkSecrets | None, Verdict]:
        """The secrets to sign with; None where nothing is to be sent, and why."""
        if spec.paused:
            return None, verdicts.PAUSED
        try:
            secrets = await self._secrets.find(item.uid)
        except Unreadable as error:
            return None, Verdict("False", "SecretUnreadable", f"{error.message}; set another: skerry sink secret NAME")
        return secrets, verdicts.NO_SECRET if secrets is None else verdicts.SENDING

    def _start(self, sink: Sink, consumer: Consumer, receiver: ClosingReceiver) -> _Running | None:
        if self._group is None or not self._lease.held:
            return None
        progress = Progress()
        sender = Sender(
            sink, consumer, receiver, self._letters, progress=progress, clock=self._clock, chance=self._chance
        )
        running = self._running[sink.name] = _Running(sink, sender, progress, receiver)
        running.task = self._group.create_task(self._live(running, consumer), name=f"sink {sink.name}")
        return running

    def _end(self, name: str) -> None:
        running = self._running.pop(name, None)
        if running is not None and running.task is not None:
            running.task.cancel()

    async def _live(self, running: _Running, consumer: Consumer) -> None:
        """One sink, until it is ended. If it fails no other one does, and it is started anew after a pause."""
        name, started = running.sink.name, self._timers.time()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(running.sender.run())
                group.create_task(self._report(running, consumer))
        except Exception as error:
            if (known := expected(error)) is not None:
                log.warning("the deliveries to a sink begin anew", extra={"sink": name, "error": str(known)})
            else:
                log.exception("the deliveries to a sink failed by a bug", extra={"sink": name})
            self._made.pop(running.sink.uid, None)
            backoff = self._backoffs.setdefault(name, Backoff(0.5, 30.0))
            if self._timers.time() - started > STABLE_S:
                backoff.reset()
            self.controller.add_after(name, backoff.next())
        finally:
            if self._running.get(name) is running:
                del self._running[name]
            await running.receiver.close()

    # What is kept of a sink

    async def _consumer(self, item: Item, document: Document, spec: SinkSpec) -> Consumer:
        """Its consumer, made or changed to what the spec says: it begins when the sink was made."""
        name = f"sink-{item.uid}"
        if self._made.get(item.uid) == spec.filters:
            return Consumer(self._bus, subjects.EVENT_STREAM, name)
        config = ConsumerConfig(
            subjects=spec.filters,
            exact=True,
            since=str(document["metadata"]["creationTimestamp"]),
            ack_wait_s=ACK_WAIT_S,
            max_ack_pending=PLACES,
            description=f"sink {item.name}",
        )
        consumer = await self._bus.consumer(subjects.EVENT_STREAM, name, config)
        self._made[item.uid] = spec.filters
        return consumer

    async def _forget(self, item: Item, document: Document) -> None:
        """It is deleted: nothing of it stays."""
        if FINALIZER not in (document["metadata"].get("finalizers") or ()):
            return
        self._lease.check()
        with suppress(NotFound):
            await Consumer(self._bus, subjects.EVENT_STREAM, f"sink-{item.uid}").delete()
        self._made.pop(item.uid, None)
        await self._secrets.drop(item.uid)
        await self._letters.drop_all(item.uid)
        await self._store.finalize(item.name, item.uid, FINALIZER)

    # What is told

    async def _report(self, running: _Running, consumer: Consumer) -> None:
        """Keep the status as it is: how many wait, and what the receiver answered last."""
        progress, name, pending = running.progress, running.sink.name, -1
        while True:
            if progress.changed or pending or running.sender.in_hand:
                progress.changed = False
                try:
                    pending = await self._told(running, consumer)
                except StatusError as error:
                    progress.changed = progress.dead_changed = True
                    log.debug("a sink's status is not stored", extra={"sink": name, "error": error.message})
                await asyncio.sleep(LEAST_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(TELL_S):
                    await progress.turned.wait()
            progress.turned.clear()

    async def _told(self, running: _Running, consumer: Consumer) -> int:
        progress, item = running.progress, self._informer.get(EVENT_SINK, running.sink.name)
        if item is None or item.uid != running.sink.uid:
            return 0
        state = await consumer.state()
        pending = state.pending + state.unacknowledged
        answer, event, at, failures = progress.last, progress.last_event, progress.last_at, progress.failures
        fields: Document = {"pending": pending}
        if progress.dead_changed:
            progress.dead_changed = False
            fields["dead"] = len(await self._letters.all(item.uid))
        if at:
            fields["last"] = verdicts.answered(answer, event, at)
        verdict = verdicts.verdict(answer, failures) if at else None
        await self._tell(item, fields, {} if verdict is None else {verdicts.READY: verdict})
        if at and verdicts.gone(answer):
            await self._pause(item)
        return pending

    async def _begin_telling(self, item: Item) -> Document:
        """That it is sent to from now on; the object as it is then."""
        ready = verdicts.idle(verdicts.SENDING, item.document())
        return await self._tell(
            item,
            {},
            {verdicts.ACTIVE: verdicts.SENDING, **({} if ready is None else {verdicts.READY: ready})},
        )

    async def _tell_idle(self, item: Item, consumer: Consumer, active: Verdict) -> None:
        state = await consumer.state()
        fields = {"pending": state.pending + state.unacknowledged}
        last = ((item.document().get("status") or {}).get("last") or {}).get("status")
        if last == GONE and active == verdicts.PAUSED:
            active = verdicts.GONE_PAUSED
        await self._tell(item, fields, {verdicts.ACTIVE: active, verdicts.READY: active})

    async def _pause(self, item: Item) -> None:
        """The receiver wants nothing any more: that is in the spec, where whoever knows better takes it back."""

        def paused(document: Document) -> Document | None:
            if document["metadata"].get("uid") != item.uid or document["spec"].get("paused") is True:
                return None
            return {**document, "spec": {**document["spec"], "paused": True}}

        log.warning("a receiver answered 410: its sink is paused", extra={"sink": item.name})
        with suppress(NotFound):
            await self._store.modify(item.name, paused)

    async def _tell(self, item: Item, fields: Document, conditions: dict[str, Verdict]) -> Document:
        """Of this very sink, not of a later one of its name; the object as it is then."""
        now = self._clock()

        def changed(document: Document) -> Document | None:
            if document["metadata"].get("uid") != item.uid:
                return None
            return verdicts.with_verdicts(document, fields, conditions, now)

        try:
            return (await self._store.modify(item.name, changed)).document()
        except NotFound:
            return item.document()
