"""How far members are with what they should have, as their Clusters say it: gathered in memory, a few numbers a member.

A member's reports come by a watch of the bucket DESIRED_STATUS, changes of what it should have as they are stored, the rest
by its Cluster and its heartbeats. Whoever writes a status asks `observed`, and is told when that says something new; of one
member at most once in EVERY_S, whatever it reports.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Collection
from typing import Any

import msgspec

from services.registry import applied, clusters, direct
from services.registry.applied import MemberView, Reported
from services.registry.clock import Clock
from services.registry.desired import Desired
from services.registry.directing import Directions
from services.registry.model import PresenceTable
from skerry import subjects
from skerry.api.decode import decoded
from skerry.api.desired import Repair, Report
from skerry.api.kinds import CLUSTER
from skerry.api.meta import Document
from skerry.bus import Message, Resync
from skerry.bus.watch import Entry
from skerry.controller.controller import After
from skerry.informer import Change
from skerry.service import Context

log = logging.getLogger("skerry.registry")

SOON_S = 0.5
"""Changes that come together are looked at together."""
START_S = 15.0
"""At a start members are looked at one after the other: what is stored is right unless something happened meanwhile."""
EVERY_S = 5.0
"""Between two changes of what one Cluster says."""


class MemberProgress:
    """See the module. A task must run `run`."""

    def __init__(
        self,
        context: Context[Any, Any],
        desired: Desired,
        directions: Directions,
        presence: PresenceTable,
        clock: Clock,
        repaired: Callable[[str, Collection[Repair]], None] = lambda name, repairs: None,
    ) -> None:
        """`repaired` is told of the repairs that a report names."""
        self._repaired = repaired
        self._informer, self._timers = context.informer, context.timers
        self._desired, self._directions = desired, directions
        self._presence, self._clock = presence, clock
        self._changed: Callable[[str, bool], None] = lambda name, is_direct: None
        self._reports: dict[str, Reported] = {}
        self._known: dict[str, MemberView] = {}
        self._mute: dict[str, float | None] = {}
        self._told: dict[str, float] = {}
        self._filled = False
        self.controller = context.controller("progress", self.reconcile, workers=4)
        context.closing.callback(context.informer.add_event_handler(CLUSTER, self._seen))

    def follow(self, changed: Callable[[str, bool], None]) -> None:
        """Have `changed(name, direct)` called when a Cluster should say something new."""
        self._changed = changed

    def observed(self, document: Document) -> Document:
        """A Cluster with the condition DesiredApplied and `status.desired` as of now; itself if there is nothing new."""
        return applied.observed(document, self._known.get(str(document["metadata"].get("name"))), self._clock())

    # Sources

    async def run(self) -> None:
        """Follow what members report, until cancelled."""
        async with self._desired.reports.watch() as watch:
            async for event in watch:
                if isinstance(event, Resync):
                    self._reports.clear()
                elif isinstance(event, Entry):
                    self._reported(event)
                else:
                    self._filled = True

    def _reported(self, entry: Entry) -> None:
        if entry.value is None:
            self._reports.pop(entry.key, None)
            return
        try:
            report = decoded(entry.value, Report)
        except msgspec.DecodeError:
            log.warning("a stored report of a member cannot be read", extra={"cluster": entry.key})
            return
        self._reports[entry.key] = Reported.of(report)
        self._repaired(entry.key, report.repairs)
        self.look(entry.key)

    def heard(self, message: Message) -> None:
        """A change of the bucket was published again."""
        self.look(subjects.member_of(message.subject))

    def _seen(self, change: Change) -> None:
        item = change.new or change.old
        if item is not None:
            self.look(item.name)

    def look(self, name: str) -> None:
        """Look at a member soon."""
        spread_s = SOON_S if self._filled else START_S
        self.controller.add_after(name, random.uniform(spread_s / 2, spread_s))  # noqa: S311 - no two at once

    # One member

    async def reconcile(self, name: str) -> After | None:
        """Know a member as it is, and say so if its Cluster should too. StatusError."""
        item = self._informer.get(CLUSTER, name)
        document = None if item is None else item.document()
        if document is None or not clusters.is_managed(document) or clusters.is_leaving(document):
            for table in (self._known, self._mute, self._told):
                table.pop(name, None)
            return None
        is_direct = direct.is_direct(document)
        channel = True if is_direct else self._channel(name)
        last = await self._directions.last(name)
        known = MemberView(self._desired.epoch, last, 0, self._reports.get(name), channel)
        if known.behind and last:
            known = known._replace(entries=await self._desired.entries(name))
        self._known[name] = known
        if self.observed(document) != document:
            now = self._timers.time()
            left = self._told.get(name, now - EVERY_S) + EVERY_S - now
            if left > 0:
                return After(left)
            self._told[name] = now
            self._changed(name, is_direct)
            return After(EVERY_S)
        return After(applied.MUTE_S) if channel is None and self._mute.get(name) is not None else None

    def _channel(self, name: str) -> bool | None:
        member = self._presence.members.get(name)
        if member is None:
            return None
        channel, self._mute[name] = applied.channel(member, self._mute.get(name), self._clock())
        return channel
