"""Status writes of Clusters: by the replica that leads, at a bounded pace, and only where something differs.

Every replica hears everything and would write the same, but one that was cut off, or hears less, would write against the
others: so whoever derives a status from what it hears or sees stores it through here. The lease is looked at right in front
of each write (skerry/controller/lease.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from services.registry.clock import Clock
from services.registry.conditions import derived, due
from services.registry.flapping import Flaps
from services.registry.pace import Pace
from services.registry.settings import RegistrySettings
from skerry.api.conditions import (
    CERTIFICATE_VALID,
    CLOCK_SYNCED,
    CREDENTIALS_VALID,
    FLAPPING,
    NO_VERDICT,
    QUARANTINED,
    VERSION_SUPPORTED,
    condition_of,
)
from skerry.api.kinds import CLUSTER
from skerry.api.meta import Document
from skerry.errors import NotFound
from skerry.informer import Change
from skerry.service import Context

log = logging.getLogger("skerry.registry")

LOGGED = ("Ready", CREDENTIALS_VALID, CERTIFICATE_VALID, CLOCK_SYNCED, VERSION_SUPPORTED, QUARANTINED, FLAPPING)
"""Conditions whose changes are lines in the log."""

Observe = Callable[[Document], Document]
"""Takes a stored Cluster, returns it with the status that is true now."""


class StatusWriter:
    """Makes stored statuses follow what is observed."""

    def __init__(
        self, context: Context[RegistrySettings, Any], clock: Clock, progressed: Observe = lambda document: document
    ) -> None:
        """`progressed` says in each Cluster how far it is with what it should have."""
        self._clock, self._pace, self._progressed = clock, Pace(), progressed
        self._flaps, self._agent_ttl_s = Flaps(clock().mono), context.settings.agent_ttl_s
        self._cache = context.informer
        self._store = context.store(CLUSTER, leader=True)
        context.closing.callback(context.informer.add_event_handler(CLUSTER, self._seen))

    def _seen(self, change: Change) -> None:
        if change.old is None:
            return
        if change.new is None or change.new.uid != change.old.uid:
            self._pace.forget(change.old.name)
            self._flaps.forget(change.old.name)
        else:
            self._flaps.stored(change.old.name, change.before(), change.after(), self._clock().mono)

    def _observed(self, name: str, document: Document, observe: Observe) -> Document:
        now = self._clock()
        seen = derived(self._progressed(observe(document)), now, self._agent_ttl_s)
        return self._flaps.observed(name, document, seen, now)

    def due(self, name: str) -> float | None:
        """In how many seconds to look again though nothing happens; None if time alone changes nothing."""
        now, item = self._clock(), self._cache.get(CLUSTER, name)
        if item is None:
            return None
        document = item.document()
        moments = (due(document, now, self._agent_ttl_s), self._flaps.due(name, document, now))
        return min((each for each in moments if each is not None), default=None)

    async def write(self, name: str, uid: str, observe: Observe, *, at_once: bool = False) -> float | None:
        """Store what `observe` makes of the Cluster with that uid, as far as its time has come; `at_once` where others wait for it
        and something else bounds how often that is. In how many seconds to call again for the rest, None if there is none.
        StatusError: also where another replica leads.
        """
        item = self._cache.get(CLUSTER, name)
        if item is None or item.uid != uid:
            return None
        document = item.document()
        seen = self._observed(name, document, observe)
        plan = self._pace.plan(name, document, seen, self._clock().mono, at_once=at_once)
        return plan.again_s if plan.document is None else await self._modify(name, uid, observe, at_once=at_once)

    async def _modify(self, name: str, uid: str, observe: Observe, *, at_once: bool) -> float | None:
        """By what is stored, which the cache may not have yet."""
        again_s: float | None = None
        before: Document = {}

        def change(document: Document) -> Document | None:
            nonlocal again_s, before
            if document["metadata"]["uid"] != uid:
                again_s = None
                return None
            before = document
            seen = self._observed(name, document, observe)
            planned, again_s = self._pace.plan(name, document, seen, self._clock().mono, at_once=at_once)
            return planned

        try:
            after = (await self._store.modify(name, change)).document()
        except NotFound:
            return None
        if before and after.get("status") != before.get("status"):
            self._pace.written(name, before, after, self._clock().mono)
            _log(name, before, after)
        return again_s


def _log(name: str, before: Document, after: Document) -> None:
    for kind in LOGGED:
        old, new = condition_of(before, kind), condition_of(after, kind)
        if (old.status, old.reason) != (new.status, new.reason):
            good = new.status == ("False" if kind in (QUARANTINED, FLAPPING) else "True")
            if good and old == NO_VERDICT:
                continue
            log.log(
                logging.INFO if good and new.reason != "ExpiresSoon" else logging.WARNING,
                "condition",
                extra={"cluster": name, "condition": kind, "is": new.status, "reason": new.reason, "why": new.message},
            )
