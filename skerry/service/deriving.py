"""The derivation of a service's events, from the moment at which the service starts."""

from __future__ import annotations

import logging
from collections.abc import Collection
from functools import partial
from typing import Any

from skerry import subjects
from skerry.api.kinds import Kind
from skerry.bus import Stream
from skerry.controller.derivation import Derivation, consumer_config
from skerry.controller.kubernetes import KubernetesEvents
from skerry.controller.publisher import EventPublisher
from skerry.errors import StatusError
from skerry.service.spec import Context

log = logging.getLogger("skerry.service")

RESOURCES = subjects.stream_of(subjects.RESOURCES)


async def derivation(context: Context[Any, Any], kinds: Collection[Kind]) -> Derivation | None:
    """That of the kinds which a service owns; None if none of them tells anything. Where there is none yet it begins here, before
    the service writes anything: also if its consumer can be made later only. StatusError."""
    kinds = [kind for kind in kinds if kind.events]
    if not kinds:
        return None
    context.leads = True
    config = consumer_config(kinds, context.name, await context.bucket.last_revision())
    consumer = partial(context.bus.consumer, RESOURCES, subjects.derivation(context.name), config)
    try:
        await consumer()
    except StatusError as error:
        log.warning("events of a service wait", extra={"service": context.name, "error": error.message})
    publisher = EventPublisher.of(context.bus, context.bucket, context.name)
    kubernetes = KubernetesEvents(await context.bus.bucket(subjects.EVENTS), context.name)
    return Derivation(consumer, Stream(context.bus, RESOURCES), kinds, publisher, kubernetes, context.lease)
