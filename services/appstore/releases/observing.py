"""How the objects of a release are, looked at one by one as its actor; those that are well are looked at less often."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from services.appstore.helm.manifest import Identity
from services.appstore.helm.releases import Entry, Revision
from services.appstore.inspect.client import read_inventory
from services.appstore.releases import helmsecrets
from services.appstore.releases.frontdoor import FrontDoor, MemberAccess
from services.appstore.releases.resources import Discovery
from services.appstore.releases.specs import Place
from skerry.api.apprelease import InstanceObjects, ObjectHealth
from skerry.errors import NotFound
from skerry.health import HEALTHY, Health, health

NAMED = 10
"""Objects that are not well, and are named in the status."""
LONGEST_WHY = 300
MISSING = Health("Degraded", "it is not there")
Objects = dict[Identity, Health]


class Inventory(NamedTuple):
    """What a revision of a release consists of."""

    entry: Entry
    revision: Revision
    """Without manifest, hooks and values."""
    identities: tuple[Identity, ...]


class Observer:
    """Looks at the objects of releases. What it remembers is forgotten with the instance."""

    def __init__(self, door: FrontDoor) -> None:
        self._door, self._discovery = door, Discovery(door)
        self._inventories: dict[str, Inventory] = {}
        self._objects: dict[str, Objects] = {}

    async def inventory(self, key: str, access: MemberAccess, place: Place, entry: Entry) -> Inventory:
        """What the revision of `entry` consists of; `key` names the instance. StatusError."""
        known = self._inventories.get(key)
        if known is not None and known.entry == entry:
            return known
        secret = await helmsecrets.secret(self._door, access, place, entry)
        with helmsecrets.reading(place, entry):
            answer = await read_inventory(secret)
        inventory = Inventory(entry, answer.revision, answer.identities)
        self._inventories[key] = inventory
        self._objects.pop(key, None)
        return inventory

    async def look(
        self, key: str, access: MemberAccess, place: Place, inventory: Inventory, *, all_of_it: bool
    ) -> Objects:
        """How its objects are; without `all_of_it` those that were well are taken to be so still. StatusError."""
        before = {} if all_of_it else self._objects.get(key, {})
        now: Objects = {}
        for identity in inventory.identities:
            known = before.get(identity)
            now[identity] = HEALTHY if known == HEALTHY else await self.health(access, place, identity)
        self._objects[key] = now
        return now

    async def health(self, access: MemberAccess, place: Place, identity: Identity) -> Health:
        """How one object is. StatusError, but for what is not there."""
        try:
            path = await self._discovery.path(access, identity, place.namespace)
            answer = await self._door.get(access, path)
        except NotFound:
            return MISSING
        return health(answer.document())

    def forget(self, key: str) -> None:
        """An instance is no more."""
        self._inventories.pop(key, None)
        self._objects.pop(key, None)


def summary(objects: Objects) -> tuple[str, InstanceObjects]:
    """The health of a release in a word (Healthy, Progressing, Degraded), and its objects counted."""
    bad = [(identity, each) for identity, each in objects.items() if each.state != "Healthy"]
    word = "Degraded" if any(each.state == "Degraded" for _, each in bad) else "Progressing" if bad else "Healthy"
    bad.sort(key=lambda pair: pair[1].state != "Degraded")
    named = [described(*each) for each in bad[:NAMED]]
    return word, InstanceObjects(total=len(objects), ready=len(objects) - len(bad), not_ready=named)


def described(identity: Identity, state: Health) -> ObjectHealth:
    """An object as the API shows it."""
    return ObjectHealth(
        api_version=identity.api_version,
        kind=identity.kind,
        namespace=identity.namespace,
        name=identity.name,
        health="Missing" if state is MISSING else state.state,
        message=state.why[:LONGEST_WHY],
    )


def why_not(objects: Iterable[ObjectHealth]) -> str:
    """The first of these, for people; empty if there are none."""
    return next((f"{each.kind}/{each.name}: {each.message or each.health}" for each in objects), "")
