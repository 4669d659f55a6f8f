"""What tenancy wants on every member that keeps desired state: today the four bindings that joining makes there.

Joining makes them first, so that a member serves at once; as entries they are put right within seconds, are told as
problems where they cannot be, and go when the member does. Level-triggered, where tenancy leads.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from services.tenancy.settings import TenancySettings
from skerry import subjects
from skerry.api.conditions import DESIRED_APPLIED, condition_of
from skerry.api.desired import Because, Options
from skerry.api.kinds import CLUSTER
from skerry.api.kinds.access import ROLES
from skerry.api.meta import Document
from skerry.bus import Bus
from skerry.controller.controller import After, Controller
from skerry.desired.client import DesiredClient, Want
from skerry.errors import Conflict
from skerry.informer import View
from skerry.member import bindings
from skerry.service import Context

OWNER = "tenancy"
AT_ONCE = 4
SURE_S = 3600.0
"""Between two looks whether the registry still has it all."""
START_S = 600.0
"""At a start members that seem to have it all are looked at one after the other: thousands of questions at once, for nothing."""
AGAIN_S = 30.0
"""What a member lacks is said again after so long: until it is seen in its Cluster some seconds go by."""


def members(context: Context[TenancySettings, Any]) -> Controller[str]:
    """Looks at each member that is new, or new to the channel."""
    wants = MemberWants(context.bus, context.informer, context.timers.time)
    return context.follow(CLUSTER, context.controller("members", wants.reconcile, workers=AT_ONCE, leader=True))


class _Settled(NamedTuple):
    """What was said to the registry of one member. Times are those of `now`."""

    uid: str
    """Of its Cluster."""
    said: float
    due: float
    """When to look again."""


class MemberWants:
    """See the module."""

    def __init__(self, bus: Bus, informer: View, now: Callable[[], float]) -> None:
        """`now` is in seconds of any clock."""
        self._bus, self._informer, self._now = bus, informer, now
        self._client: DesiredClient | None = None
        self._settled: dict[str, _Settled] = {}

    async def reconcile(self, name: str) -> After | None:
        """Have the registry know all that is wanted on a member. StatusError."""
        item = self._informer.get(CLUSTER, name)
        if item is None or not _has_channel(item.document()):
            self._settled.pop(name, None)
            return None
        now, lacks, settled = self._now(), _lacks(item.document()), self._settled.get(name)
        if settled is None or settled.uid != item.uid:
            spread_s = 0.0 if lacks else random.uniform(0.0, START_S)  # noqa: S311 - no two at once
            settled = self._settled[name] = _Settled(item.uid, now - AGAIN_S, now + spread_s)
        due = min(settled.due, settled.said + AGAIN_S) if lacks else settled.due
        if now < due:
            return After(due - now)
        if self._client is None:
            statuses = await self._bus.bucket(subjects.DESIRED_STATUS)
            self._client = DesiredClient(self._bus, statuses, OWNER)
        for result in await self._client.settle(name, wants(name)):
            if result.code:
                raise Conflict(f"what tenancy wants on {name} is not taken: {result.message}")
        again_s = SURE_S * random.uniform(0.8, 1.2)  # noqa: S311 - no two at once
        self._settled[name] = _Settled(item.uid, now, now + again_s)
        return After(again_s)


def wants(name: str) -> list[Want]:
    """On a member of this name."""
    because = (Because(kind=CLUSTER.kind, name=name),)
    return [Want(bindings.binding(role), Options(adopt="Same"), because) for role in ROLES]


def _lacks(document: Document) -> bool:
    """Whether a Cluster has fewer entries than are wanted, as one that joined, or whose bucket was made anew."""
    entries = ((document.get("status") or {}).get("desired") or {}).get("entries")
    return not isinstance(entries, int) or entries < len(ROLES)


def _has_channel(document: Document) -> bool:
    """Whether a Cluster is a member that keeps desired state, and stays."""
    if "deletionTimestamp" in document["metadata"]:
        return False
    return condition_of(document, DESIRED_APPLIED).reason not in ("", "NotSupported", "Left")
