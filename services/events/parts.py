"""What the parts of the service share, and its beginning: the buckets, before what uses them."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from services.events.deadletters import DeadLetters
from services.events.deliveries import Deliveries, Dial
from services.events.secrets import Secrets
from services.events.settings import EventsSettings
from services.events.spec import MOST_SINKS, SinkSpec
from skerry import subjects
from skerry.backoff import Chance
from skerry.http.destination import Destination
from skerry.http.outbound import ServerIdentity, resolver
from skerry.service import Context


class EventsState(NamedTuple):
    """What the parts of the service share."""

    secrets: Secrets
    letters: DeadLetters
    deliveries: Deliveries
    dial: Dial
    """Where a sink's events are posted. OutboundError for a URL that is none."""


EventsContext: TypeAlias = Context[EventsSettings, EventsState]


class Network:
    """Receivers as specs say, on the network."""

    def __init__(self) -> None:
        # one each may hang for as long as the system's resolver does; threads are made as they are needed
        self._resolve = resolver(ThreadPoolExecutor(MOST_SINKS, "resolve"))

    def __call__(self, spec: SinkSpec) -> Destination:
        """Of one sink. OutboundError."""
        return Destination(spec.url, spec.policy, _identity(spec.ca_bundle, spec.verify), resolve=self._resolve)


@lru_cache(MOST_SINKS)
def _identity(ca_bundle: str, verify: bool) -> ServerIdentity:
    """The same of the same: the system's authorities are 1 MiB each time that they are read."""
    return ServerIdentity(ca_bundle, verify=verify)


def opening(
    dial: Dial | None = None, clock: Callable[[], float] = time.time, chance: Chance = random.uniform
) -> Callable[[EventsContext], AbstractAsyncContextManager[EventsState]]:
    """How the service begins, with these receivers (by default those of the network), this clock (Unix time) and this chance."""

    @asynccontextmanager
    async def opened(context: EventsContext) -> AsyncIterator[EventsState]:
        secrets = Secrets(await context.bus.bucket(subjects.SINKS), context.settings.keyring(context.name))
        letters = DeadLetters(await context.bus.bucket(subjects.DEAD_LETTERS))
        receivers = dial or Network()
        deliveries = Deliveries(context, secrets, letters, receivers, clock, chance)
        yield EventsState(secrets, letters, deliveries, receivers)

    return opened
