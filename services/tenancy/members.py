"""What tenancy wants on every member that keeps desired state: the four bindings that joining makes there, and those that
grants and workspaces need, and the workspaces' namespaces.

Joining makes the four first, so that a member serves at once; as entries they are put right within seconds, are told as
problems where they cannot be, and go when the member does. Level-triggered, where tenancy leads: the set is computed whole,
and what is there and not in it is withdrawn.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import NamedTuple

from services.tenancy import namespaces
from services.tenancy.bindings import wants
from services.tenancy.controllers import TenancyContext
from services.tenancy.enforced import Placement
from services.tenancy.granted import BY_CLUSTER, Granted, clusters_of, workspace_of, workspaces_on
from services.tenancy.namespaces import Owned
from skerry import subjects
from skerry.access import Touched
from skerry.access.holdings import Scope
from skerry.api.conditions import DESIRED_APPLIED, condition_of
from skerry.api.kinds import CLUSTER, WORKSPACE
from skerry.api.meta import Document
from skerry.bus import Bus
from skerry.controller.controller import After, Controller
from skerry.desired.client import DesiredClient, Want
from skerry.errors import Conflict
from skerry.informer import Change, View
from skerry.storage import Item

OWNER = "tenancy"
AT_ONCE = 4
SURE_S = 3600.0
"""Between two looks whether the registry still has it all."""
START_S = 600.0
"""At a start members that seem to have it all are looked at one after the other: thousands of questions at once, for nothing."""
SOON_S = 10.0
"""The same for those on which grants and workspaces need something: some of it may have ended while nobody looked."""
AGAIN_S = 30.0
"""What a member lacks is said again after so long: until it is seen in its Cluster some seconds go by."""


def members(context: TenancyContext) -> Controller[str]:
    """Looks at each member that is new, or new to the channel, and at each whose grants or namespaces changed."""
    wants = MemberWants(context.bus, context.informer, context.state.granted, context.timers.time)
    controller = context.controller("members", wants.reconcile, workers=AT_ONCE, leader=True)

    def changed(touched: Touched) -> None:
        for name in touched.scopes:
            controller.add(name)

    def moved(change: Change) -> None:
        for name in namespaces.moved(workspace_of(change.old), workspace_of(change.new)):
            controller.add(name)

    context.state.granted.touched = changed
    context.informer.index(WORKSPACE, BY_CLUSTER, clusters_of)
    context.closing.callback(context.informer.add_event_handler(WORKSPACE, moved))
    return context.follow(CLUSTER, controller)


class _Settled(NamedTuple):
    """What was said to the registry of one member. Times are those of `now`."""

    uid: str
    """Of its Cluster."""
    said: float
    due: float
    """When to look again."""
    needs: frozenset[Scope | Owned]
    """What it was said for: scopes, and namespaces of workspaces."""


class MemberWants:
    """See the module."""

    def __init__(
        self,
        bus: Bus,
        informer: View,
        granted: Granted,
        now: Callable[[], float],
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`now` is in seconds of any clock, `wall` Unix time."""
        self._bus, self._informer, self._granted = bus, informer, granted
        self._now, self._wall = now, wall
        self._client: DesiredClient | None = None
        self._settled: dict[str, _Settled] = {}

    async def reconcile(self, name: str) -> After | None:
        """Have the registry know all that is wanted on a member. StatusError."""
        item = self._informer.get(CLUSTER, name)
        if item is None or not has_channel(item.document()):
            self._settled.pop(name, None)
            self._granted.place(name, None)
            return None
        scopes = self._granted.access.scopes(name, self._wall())
        owned = namespaces.owned_on(workspaces_on(self._informer, name), name, item.uid)
        needs: frozenset[Scope | Owned] = frozenset((*scopes, *owned))
        all_wants = [*wants(name, scopes), *map(namespaces.want, sorted(owned))]
        due = self._due(item, needs, lacks=_lacks(item.document(), len(all_wants)))
        if self._now() < due:
            return self._after(name, due - self._now())
        await self._settle(name, item.uid, all_wants)
        again_s = SURE_S * random.uniform(0.8, 1.2)  # noqa: S311 - no two at once
        now = self._now()
        self._settled[name] = _Settled(item.uid, now, now + again_s, needs)
        return self._after(name, again_s)

    def _due(self, item: Item, needs: frozenset[Scope | Owned], *, lacks: bool) -> float:
        now, settled = self._now(), self._settled.get(item.name)
        if settled is None or settled.uid != item.uid:
            longest_s = SOON_S if any(isinstance(each, Owned) or each.namespace for each in needs) else START_S
            spread_s = 0.0 if lacks else random.uniform(0.0, longest_s)  # noqa: S311 - no two at once
            settled = self._settled[item.name] = _Settled(item.uid, now - AGAIN_S, now + spread_s, needs)
        if settled.needs != needs:
            return now
        return min(settled.due, settled.said + AGAIN_S) if lacks else settled.due

    def _after(self, name: str, seconds: float) -> After:
        """At the latest when the next grant ends."""
        left_s = self._granted.access.ends(name, self._wall()) - self._wall()
        return After(min(seconds, max(left_s, 0.0) + 0.01))

    async def _settle(self, name: str, uid: str, wanted: list[Want]) -> None:
        if self._client is None:
            statuses = await self._bus.bucket(subjects.DESIRED_STATUS)
            self._client = DesiredClient(self._bus, statuses, OWNER)
        refused = next((each for each in await self._client.settle(name, wanted) if each.code), None)
        keys = await self._client.keys(name)
        problem = "" if refused is None else refused.message
        self._granted.place(name, Placement(uid, keys.epoch, {each.key: each.revision for each in keys.keys}, problem))
        if refused is not None:
            raise Conflict(f"what tenancy wants on {name} is not taken: {refused.message}")


def _lacks(document: Document, wanted: int) -> bool:
    """Whether a Cluster has fewer entries than are wanted, as one that joined, or whose bucket was made anew."""
    entries = ((document.get("status") or {}).get("desired") or {}).get("entries")
    return not isinstance(entries, int) or entries < wanted


def has_channel(document: Document) -> bool:
    """Whether a Cluster is a member that keeps desired state, and stays."""
    if "deletionTimestamp" in document["metadata"]:
        return False
    return condition_of(document, DESIRED_APPLIED).reason not in ("", "NotSupported", "Left")
