"""The deliveries to one receiver, at the replica that leads: from the stream to the receiver, and then the acknowledgement.

In this order, so what dies between the two sends an event again, under the same id. Events in hand are those that were delivered and
not acknowledged; the server is told every HOLD_S that they are worked on. A replica that takes over waits until it has
back what the one before had in hand: among that is what was first.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, Protocol

from services.events.deadletters import DeadLetters, letter_of
from services.events.model import GONE, LIFE_S, PLACES, RESTS, Answer, Pending, Window
from services.events.requests import Webhook, webhook
from services.events.secrets import SinkSecrets
from services.events.spec import SinkSpec
from services.events.verdicts import CERTAIN
from skerry.api.text import clean
from skerry.backoff import Backoff, Chance
from skerry.bus import Consumer, Delivery
from skerry.errors import BadRequest, NotFound, StatusError
from skerry.http.destination import Posted
from skerry.http.outbound import OutboundError
from skerry.httpwire.head import Headers, first
from skerry.httpwire.retryafter import seconds_of

log = logging.getLogger("skerry.events")

ACK_WAIT_S, HOLD_S = 15.0, 5.0
"""What nobody said a word about for so long is delivered again, also to another replica; and how often that is said."""
WAIT_S = 30.0
"""A request for the next event waits for so long."""
BATCH = 64
SHOWN = 200
"""Characters of an answer that are shown."""


class Sink(NamedTuple):
    """A sink as it is sent to."""

    name: str
    uid: str
    spec: SinkSpec
    secrets: SinkSecrets
    since: float
    """When it could last begin to take events, Unix time."""


class Receiver(Protocol):
    """Where events are posted: a `Destination`."""

    async def post(self, headers: Headers, body: bytes) -> Posted:
        """The answer, whatever its status. OutboundError."""
        ...


class Progress:
    """How the deliveries of a sink go, for its status."""

    def __init__(self) -> None:
        self.last = Answer()
        self.last_event = ""
        self.last_at = 0.0
        self.failures = 0
        """In a row."""
        self.changed = self.dead_changed = True
        """Since it was told last; and how many were given up."""
        self.turned = asyncio.Event()
        """It is to be told at once."""

    def count_dead(self) -> None:
        """An event was given up, or is dead no more."""
        self.changed = self.dead_changed = True
        self.turned.set()

    def settle(self, answer: Answer, event: str, now: float) -> None:
        """A request came to this."""
        before, first = self.failures, not self.last_at
        self.last, self.last_event, self.last_at, self.changed = answer, event, now, True
        self.failures = 0 if answer.taken else self.failures + 1
        if (answer.taken and (first or before >= CERTAIN)) or self.failures == CERTAIN or answer.status == GONE:
            self.turned.set()


class _Item(NamedTuple):
    """What a number in the window stands for."""

    webhook: Webhook
    delivery: Delivery | None
    """None: it comes from the dead letters."""
    headers: Mapping[str, str]
    data: bytes


class Sender:
    """See the module. StatusError, NotFound if the consumer is gone, from `run`, which ends with nothing else."""

    def __init__(
        self,
        sink: Sink,
        consumer: Consumer,
        receiver: Receiver,
        letters: DeadLetters,
        *,
        progress: Progress,
        clock: Callable[[], float] = time.time,
        chance: Chance = random.uniform,
    ) -> None:
        self._sink, self._consumer, self._receiver, self._letters = sink, consumer, receiver, letters
        self._progress, self._clock = progress, clock
        self._window = Window(chance)
        self._items: dict[int, _Item] = {}
        self._unsaid: set[int] = set()
        """What is done, and could not be acknowledged."""
        self._owed = 0
        """What another replica had in hand and has not come back yet."""
        self._wake, self._space, self._asked = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._asked.set()

    @property
    def in_hand(self) -> int:
        """Events that came and are not done."""
        return len(self._window)

    def retry(self) -> None:
        """Somebody asked that dead events are sent again."""
        self._asked.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pull())
                group.create_task(self._hold())
                group.create_task(self._revive())
                group.create_task(self._send(group))
        except* StatusError as errors:
            raise _first(errors) from errors
        finally:
            self._release()

    # From the stream

    async def _pull(self) -> None:
        self._owed = (await self._consumer.state()).unacknowledged
        if self._owed:
            self._window.rest(self._clock() + ACK_WAIT_S + HOLD_S)
        backoff = Backoff(0.1, 10.0)
        while True:
            await self._roomy()
            try:
                deliveries = await self._consumer.fetch(min(self._window.room, BATCH), wait_s=WAIT_S)
            except NotFound:
                raise
            except StatusError as error:
                log.debug("events could not be read", extra={"sink": self._sink.name, "error": error.message})
                await asyncio.sleep(backoff.next())
                continue
            backoff.reset()
            for delivery in deliveries:
                self._arrived(delivery)
            self._wake.set()

    async def _roomy(self) -> None:
        """Wait for a place. One that the receiver refuses again and again gives its own up."""
        while not self._window.room:
            self._space.clear()
            refused = self._window.yields()
            if refused is not None:
                await self._give_up(refused, self._progress.last)
                continue
            await self._space.wait()

    def _arrived(self, delivery: Delivery) -> None:
        number = delivery.sequence
        if self._owed and delivery.deliveries > 1:
            self._owed -= 1
            if not self._owed:
                self._window.go_on()
        if number in self._unsaid:
            self._acknowledge(number, delivery)
            return
        if number in self._window:
            self._items[number] = self._items[number]._replace(delivery=delivery)
            return
        headers, data = delivery.headers, delivery.data
        try:
            request = webhook(headers, data, binary=self._sink.spec.binary)
        except BadRequest as error:
            log.warning("what lies in the stream is no event", extra={"sequence": number, "error": error.message})
            self._acknowledge(number, delivery)
            return
        lane = headers.get("ce-subject", "")
        if lane == f"eventsink/{self._sink.name}":
            self._acknowledge(number, delivery)  # what it is told of itself would be the next thing to tell
            return
        self._items[number] = _Item(request, delivery, headers, data)
        self._window.add(Pending(number, lane, max(delivery.created, self._sink.since) + LIFE_S))

    async def _revive(self) -> None:
        """Dead events that somebody wants sent again."""
        backoff = Backoff(1.0, 30.0)
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                letters = await self._letters.all(self._sink.uid)
            except StatusError as error:
                log.debug("dead events could not be read", extra={"sink": self._sink.name, "error": error.message})
                await asyncio.sleep(backoff.next())
                self._asked.set()
                continue
            for sequence, letter, _ in letters:
                if not letter.retry or -sequence in self._window:
                    continue
                while not self._window.room:
                    self._space.clear()
                    await self._space.wait()
                try:
                    request = webhook(letter.headers, letter.data, binary=self._sink.spec.binary)
                except BadRequest as error:
                    log.warning("a dead event cannot be read", extra={"sequence": sequence, "error": error.message})
                    continue
                self._items[-sequence] = _Item(request, None, letter.headers, letter.data)
                self._window.add(Pending(-sequence, letter.headers.get("ce-subject", ""), letter.retry + LIFE_S))
                self._wake.set()

    async def _hold(self) -> None:
        """Say of what is in hand that it is worked on."""
        while True:
            await asyncio.sleep(HOLD_S)
            try:
                for item in self._items.values():
                    if item.delivery is not None:
                        item.delivery.working()
            except StatusError as error:
                log.debug("events could not be held", extra={"sink": self._sink.name, "error": error.message})

    def _release(self) -> None:
        """Another replica may have what is in hand at once."""
        try:
            for number in self._window.numbers:
                delivery = self._items[number].delivery
                if delivery is not None:
                    delivery.again()
        except StatusError as error:
            log.debug("events could not be given back", extra={"sink": self._sink.name, "error": error.message})

    # To the receiver

    async def _send(self, group: asyncio.TaskGroup) -> None:
        while True:
            now = self._clock()
            while (event := self._window.take(now)) is not None:
                group.create_task(self._deliver(event))
            due = self._window.next_due(now)
            self._wake.clear()
            try:
                async with asyncio.timeout(None if due is None else max(due - now, 0.0)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _deliver(self, event: Pending) -> None:
        item, number = self._items[event.number], event.number
        answer = await attempt(self._receiver, item.webhook, self._sink.secrets, self._clock)
        now = self._clock()
        self._progress.settle(answer, item.webhook.id, now)
        if answer.taken:
            await self._finish(number)
            self._window.done(number, now)
        elif answer.status == GONE:
            self._window.rest(now + LIFE_S)  # the sink is paused, and this ends
            self._window.failed(number, answer, now)
        elif not self._window.failed(number, answer, now):
            await self._give_up(number, answer)
        self._wake.set()
        self._space.set()

    async def _finish(self, number: int) -> None:
        """The receiver has it."""
        delivery = self._items.pop(number).delivery
        if delivery is not None:
            self._acknowledge(number, delivery)
        else:
            await persist(lambda: self._letters.drop(self._sink.uid, -number), "a dead event could not be taken away")
            self._progress.count_dead()

    async def _give_up(self, number: int, answer: Answer) -> None:
        item, sequence = self._items[number], abs(number)
        letter = letter_of(item.headers, item.data, self._clock(), answer.message)
        await persist(lambda: self._letters.keep(self._sink.uid, sequence, letter), "an event could not be given up")
        log.warning("an event was given up", extra={"sink": self._sink.name, "event": item.webhook.id})
        self._progress.count_dead()
        if (delivery := self._items.pop(number).delivery) is not None:
            self._acknowledge(number, delivery)
        self._window.drop(number)
        self._wake.set()
        self._space.set()

    def _acknowledge(self, number: int, delivery: Delivery) -> None:
        try:
            delivery.acknowledge()
            self._unsaid.discard(number)
        except StatusError:
            self._unsaid.add(number)  # it comes again, and is acknowledged then
            if len(self._unsaid) > PLACES:
                self._unsaid.pop()


async def attempt(
    receiver: Receiver, request: Webhook, secrets: SinkSecrets, clock: Callable[[], float] = time.time
) -> Answer:
    """One request, and what came of it."""
    now = clock()
    try:
        posted = await receiver.post(request.signed_with(secrets.keys(now), now), request.body)
    except OutboundError as error:
        return Answer(0, clean(str(error), SHOWN), error.problem)
    said = clean(posted.body.decode("utf-8", "replace"), SHOWN).strip()
    message = f"{posted.status}: {said}" if said else str(posted.status)
    if 300 <= posted.status < 400:
        message = (
            f"{posted.status}: it leads elsewhere, which is not followed; give the address that it leads to as spec.url"
        )
    rest_s = 0.0
    if posted.status in RESTS:
        rest_s = seconds_of((first(posted.headers, b"retry-after") or b"").decode("latin-1"), now)
    return Answer(posted.status, message, "", rest_s)


async def persist(do: Callable[[], Awaitable[None]], failure: str) -> None:
    """Do what has to be done before anything is acknowledged, however often that takes."""
    backoff = Backoff(0.2, 10.0)
    while True:
        try:
            await do()
        except StatusError as error:
            log.warning(failure, extra={"error": error.message})
            await asyncio.sleep(backoff.next())
        else:
            return


def _first(errors: BaseExceptionGroup[StatusError]) -> StatusError:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, StatusError)  # noqa: S101 - the group holds nothing else
    return error
