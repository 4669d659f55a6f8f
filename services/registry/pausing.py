"""Members are told that they are paused, through the channel that is paused: in order with all that goes over it.

The applier of a paused member applies and withdraws nothing but this entry (skerry/desired/applier.py). It is withdrawn
when the pause is over, by whoever ends it. A member whose reports show an entry that the bucket does not have, since the
bucket was made anew, is told that nothing is wanted, which ends the pause too.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from services.registry import clusters
from services.registry.desired import Desired
from services.registry.settings import RegistrySettings
from skerry import subjects
from skerry.api.desired import Batch, DesiredItem, Report
from skerry.api.kinds import CLUSTER
from skerry.api.meta import Document
from skerry.controller.controller import Controller
from skerry.desired import owners
from skerry.errors import Conflict
from skerry.informer import View
from skerry.service import Context

OWNER = "registry"
PAUSED: Document = {
    "apiVersion": "skerry.dev/v1alpha1",
    "kind": owners.SETTINGS[1],
    "metadata": {"name": "agent"},
    "spec": {"paused": True},
}
AT_ONCE = 16


def pauses(context: Context[RegistrySettings, Any]) -> Controller[str]:
    """Looks at each member whose spec changed, where the registry leads."""
    telling = Pauses(context.state.desired, context.informer)
    return context.follow(CLUSTER, context.controller("pauses", telling.reconcile, workers=AT_ONCE, leader=True))


def entry_of(member: str) -> subjects.DesiredKey:
    """Where it is said to a member that it is paused."""
    return subjects.DesiredKey(member, OWNER, owners.SETTINGS[0], owners.SETTINGS[1].lower(), "", "agent")


class Pauses:
    """Has the entry there while a member is paused, and not otherwise."""

    def __init__(self, desired: Desired, informer: View) -> None:
        self._desired, self._informer = desired, informer
        self._settled: dict[str, tuple[str, int]] = {}
        """(UID, generation) of those for which that is so."""
        self._told: set[str] | None = None
        """Who had the entry when this process looked first: asked once, and not of each of thousands that never were paused."""
        self._asking = asyncio.Lock()

    async def reconcile(self, name: str) -> None:
        """Look at one member. StatusError."""
        item = self._informer.get(CLUSTER, name)
        document = {} if item is None else item.document()
        if item is None or not clusters.is_member(document) or clusters.is_leaving(document):
            self._settled.pop(name, None)
            return
        now = item.uid, int(document["metadata"].get("generation") or 0)
        if self._settled.get(name) == now:
            return
        paused = document["spec"].get("paused") is True
        if paused or now[1] != 1 or name in await self._told_before():
            await self._tell(name, paused=paused)
        self._settled[name] = now

    async def _told_before(self) -> set[str]:
        """Of a spec that is as it was made nobody said anything since; what is there is left from before, or restored."""
        async with self._asking:
            if self._told is None:
                self._told = await self._desired.members_with(entry_of("any"))
            return self._told

    async def _tell(self, name: str, *, paused: bool) -> None:
        raw = msgspec.Raw(msgspec.json.encode(PAUSED))
        change = (
            DesiredItem(member=name, object=raw)
            if paused
            else DesiredItem(member=name, key=str(entry_of(name)), withdraw=True)
        )
        (result,) = (await self._desired.batch(OWNER, Batch(request_id="", items=(change,)))).results
        if result.code:
            raise Conflict(f"cluster {name} could not be told whether it is paused: {result.message}")


async def ended(desired: Desired, informer: View, member: str, report: Report) -> None:
    """A report came: if the member still holds a pause of before the bucket was made anew, and is not paused, it is told that
    this is all. StatusError.
    """
    if OWNER not in report.counts or report.epoch != desired.epoch:
        return
    item = informer.get(CLUSTER, member)
    document = {} if item is None else item.document()
    if not document or clusters.is_leaving(document) or document["spec"].get("paused") is True:
        return
    page = await desired.page(member, OWNER, 0, 2)
    if all(entry.value is None for entry in page.entries):
        await desired.complete(OWNER, member)
