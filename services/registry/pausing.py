"""Members are told that they are paused, through the channel that is paused: in order with all that goes over it.

The applier of a paused member applies and withdraws nothing but this entry (skerry/desired/applier.py). It is withdrawn
when the pause is over, by whoever ends it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from services.registry import clusters
from services.registry.desired import Desired
from services.registry.settings import RegistrySettings
from skerry import subjects
from skerry.api.desired import Batch, Item
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
    settled: dict[str, tuple[str, int]] = {}
    reconcile = partial(tell, context.state.desired, context.informer, settled)
    return context.follow(CLUSTER, context.controller("pauses", reconcile, workers=AT_ONCE, leader=True))


async def tell(desired: Desired, informer: View, settled: dict[str, tuple[str, int]], name: str) -> None:
    """Have the entry there while the member is paused, and not otherwise; `settled` has (UID, generation) of those for
    which that is so. StatusError."""
    item = informer.get(CLUSTER, name)
    document = {} if item is None else item.document()
    if item is None or not clusters.is_member(document) or clusters.is_leaving(document):
        settled.pop(name, None)
        return
    now = item.uid, int(document["metadata"].get("generation") or 0)
    if settled.get(name) == now:
        return
    paused = document["spec"].get("paused") is True
    key = str(subjects.DesiredKey(name, OWNER, owners.SETTINGS[0], owners.SETTINGS[1].lower(), "", "agent"))
    raw = msgspec.Raw(msgspec.json.encode(PAUSED))
    change = Item(member=name, object=raw) if paused else Item(member=name, key=key, withdraw=True)
    (result,) = (await desired.batch(OWNER, Batch(request_id="", items=(change,)))).results
    if result.code:
        raise Conflict(f"cluster {name} could not be told whether it is paused: {result.message}")
    settled[name] = now
