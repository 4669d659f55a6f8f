"""Clusters are paused and cordoned no longer than was said: the registry ends it in time, whoever began it.

Every replica does so; compare-and-set makes the second of two equal writes none.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from services.registry import holds
from services.registry.clock import Clock
from services.registry.settings import RegistrySettings
from skerry.api.kinds import CLUSTER
from skerry.api.meta import Document
from skerry.apply.managed import FieldManager
from skerry.controller.controller import After, Controller
from skerry.errors import NotFound
from skerry.informer import View
from skerry.service import Context
from skerry.storage import Store

log = logging.getLogger("skerry.registry")

AT_MOST_S = 60.0
"""Between two looks: clocks are set, and the end of a hold is by the wall's."""
MANAGER = "skerry-registry"
"""The field manager in whose name it is ended: nobody owns what is gone."""


def releases(context: Context[RegistrySettings, Any]) -> Controller[str]:
    """Looks at each cluster whose pause or cordon has an end."""
    reconcile = partial(release, context.store(CLUSTER), context.informer, context.state.clock)
    return context.follow(CLUSTER, context.controller("holds", reconcile))


async def release(store: Store, informer: View, clock: Clock, name: str) -> After | None:
    """End what holds the cluster `name` back and whose time is over; when to look again. StatusError."""
    item = informer.get(CLUSTER, name)
    left = None if item is None else holds.due(item.document(), clock().wall)
    if left is None:
        return None
    if left > 0:
        return After(min(left, AT_MOST_S))
    with suppress(NotFound):
        await store.modify(name, lambda document: _ended(document, clock().wall))
        log.info("a pause or a cordon is over", extra={"cluster": name})
    return None


def _ended(document: Document, now: float) -> Document | None:
    if holds.due(document, now) != 0:
        return None
    return FieldManager(CLUSTER, MANAGER, datetime.fromtimestamp(now, UTC)).updated(
        document, holds.ended(document, now)
    )
