"""What a Cluster's status says of its inventory. Pure.

Figures are written when they moved so far that somebody might care: a cluster in which nothing happens writes nothing.
"""

from __future__ import annotations

import msgspec

from services.registry.model import Agent
from skerry.api.decode import decoded
from skerry.api.messages import Inventory
from skerry.api.meta import Document
from skerry.api.v1alpha1 import APIVersions, Platform
from skerry.inventory.limits import nano_of

FIELDS = ("platform", "nodes", "nodesReady", "capacity", "allocatable", "requested", "used", "apiVersions")
"""Of a Cluster's status."""
PARTS = {"requested": 100, "used": 20}
"""What moved by no more than this part of what is allocatable is as it was."""

_STRUCTS = {
    field: set(kind.__struct_encode_fields__) for field, kind in (("platform", Platform), ("apiVersions", APIVersions))
}
"""What else a newer registry put into these stays."""


def with_inventory(document: Document, inventory: Inventory, time: str) -> Document:
    """A Cluster with `inventory`, which was bounded, in its status; `observed` is `time` if anything changed.

    What the inventory has not is not there; what spec says of provider and region wins.
    """
    status = document.get("status") or {}
    after = {key: value for key, value in status.items() if key not in FIELDS} | _fields(document, inventory)
    for field, known in _STRUCTS.items():
        newer = {key: value for key, value in (status.get(field) or {}).items() if key not in known}
        if newer and field in after:
            after[field] = newer | after[field]
    for field, part in PARTS.items():
        if field in after and _unmoved(status.get(field), after[field], after.get("allocatable") or {}, part):
            after[field] = status[field]
    return document if after == status else {**document, "status": {**after, "observed": time}}


def _fields(document: Document, inventory: Inventory) -> Document:
    fields: Document = msgspec.to_builtins(inventory)
    spec = document.get("spec") or {}
    said = {key: spec[key] for key in ("provider", "region") if spec.get(key)}
    platform = {**fields.pop("platform", {}), **said, "source": "spec" if said else "nodes"}
    return fields | ({"platform": platform} if len(platform) > 1 else {})


def _unmoved(before: object, after: dict[str, str], allocatable: dict[str, str], part: int) -> bool:
    """True if two readings of the same resources differ by no more than a part of what there is."""
    if not isinstance(before, dict) or before.keys() != after.keys():
        return False
    for name, text in after.items():
        whole, old, new = (nano_of(str(each)) for each in (allocatable.get(name, "0"), before[name], text))
        if old is None or new is None or abs(new - old) * part > (whole or 0):
            return False
    return True


def inventory_of(agents: list[Agent]) -> Inventory | None:
    """What the cluster has, by the word of one of several that may not all see the same: always the same one."""
    said = min((agent for agent in agents if agent.inventory), key=lambda agent: agent.beat.agent, default=None)
    return None if said is None else decoded(said.inventory, Inventory)
