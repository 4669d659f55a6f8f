"""Events of what was changed on members and put right: of one member one in TOLD_S, however often and whatever it was.

A member's report names its last repairs (skerry/api/desired.py). Every replica hears the reports, the one that leads tells;
what was put right before it led is not told again. An Event is a courtesy: what happens while nobody leads is not told.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from services.registry.clock import Clock
from services.registry.settings import RegistrySettings
from skerry import subjects
from skerry.api.desired import Repair
from skerry.api.kinds import CLUSTER
from skerry.controller.controller import After
from skerry.service import Context

TOLD_S = 600.0
NAMED = 3
"""Objects that an Event names; more are a number."""
KEPT = 100
"""Of one member, until they are told."""
REASON = "DriftRepaired"


class RepairEvents:
    """Who has something to tell."""

    def __init__(self, context: Context[RegistrySettings, Any], clock: Clock) -> None:
        self._informer, self._recorder, self._lease = context.informer, context.recorder, context.lease
        self._clock, self._started = clock, clock().wall
        self._heard: dict[str, float] = {}
        """Member -> when the last repair was that is known, in host time."""
        self._untold: dict[str, dict[str, Repair]] = {}
        self._told: dict[str, float] = {}
        self.controller = context.controller("repairs", self.tell, leader=True)

    def reported(self, name: str, repairs: Collection[Repair]) -> None:
        """A member's report was stored."""
        before = self._heard.get(name, self._started)
        new = [each for each in repairs if each.last > before]
        if not new:
            return
        self._heard[name] = max(each.last for each in new)
        if not self._lease.held:
            return  # who leads tells
        untold = self._untold.setdefault(name, {})
        for each in new:
            if each.key in untold or len(untold) < KEPT:
                untold[each.key] = each
        self.controller.add(name)

    async def tell(self, name: str) -> After | None:
        """Tell of a member what there is to tell, unless it was a short while ago."""
        now, item = self._clock().mono, self._informer.get(CLUSTER, name)
        if item is None:
            for table in (self._heard, self._untold, self._told):
                table.pop(name, None)
            return None
        left_s = self._told.get(name, float("-inf")) + TOLD_S - now
        if left_s > 0 and name in self._untold:
            return After(left_s)
        if repairs := self._untold.pop(name, None):
            self._told[name] = now
            self._recorder.normal(item.document(), REASON, text(list(repairs.values())))
        return None


def text(repairs: Collection[Repair]) -> str:
    """What was put right, for people; the last first."""
    ordered = sorted(repairs, key=lambda each: (-each.last, each.key))
    named = ", ".join(map(_named, ordered[:NAMED]))
    more = f" and {len(ordered) - NAMED} more" if len(ordered) > NAMED else ""
    return f"changed on the cluster and put right: {named}{more}"


def _named(repair: Repair) -> str:
    key = subjects.desired_key(repair.key)
    name = f"{key.namespace}/{key.name}" if key.namespace else key.name
    return f"{key.kind} {name} ({f'by {repair.by}' if repair.by else 'deleted'})"
