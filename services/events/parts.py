"""What the parts of the service share, and its beginning: the buckets, before what uses them."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NamedTuple, TypeAlias

from services.events.deadletters import DeadLetters
from services.events.deliveries import Deliveries, Dial
from services.events.secrets import Secrets
from services.events.settings import EventsSettings
from services.events.spec import SinkSpec
from skerry import subjects
from skerry.backoff import Chance
from skerry.http.destination import Destination
from skerry.service import Context


class EventsState(NamedTuple):
    """What the parts of the service share."""

    secrets: Secrets
    letters: DeadLetters
    deliveries: Deliveries
    dial: Dial
    """Where a sink's events are posted. OutboundError for a URL that is none."""


EventsContext: TypeAlias = Context[EventsSettings, EventsState]


def receiver_of(spec: SinkSpec) -> Destination:
    """What a spec says, on the network."""
    return Destination(spec.url, spec.policy, spec.server)


def opening(
    dial: Dial = receiver_of, clock: Callable[[], float] = time.time, chance: Chance = random.uniform
) -> Callable[[EventsContext], AbstractAsyncContextManager[EventsState]]:
    """How the service begins, with these receivers, this clock (Unix time) and this chance."""

    @asynccontextmanager
    async def opened(context: EventsContext) -> AsyncIterator[EventsState]:
        secrets = Secrets(await context.bus.bucket(subjects.SINKS), context.settings.keyring(context.name))
        letters = DeadLetters(await context.bus.bucket(subjects.DEAD_LETTERS))
        deliveries = Deliveries(context, secrets, letters, dial, clock, chance)
        yield EventsState(secrets, letters, deliveries, dial)

    return opened
