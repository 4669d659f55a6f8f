"""Where objects of a manifest are in a member's API: the paths of their kinds, as the member's discovery says."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from services.appstore.helm.manifest import Identity
from services.appstore.releases.frontdoor import FrontDoor, MemberAccess
from skerry.api.meta import Document
from skerry.errors import NotFound

FRESH_S = 300.0
MOST = 2000
"""Group versions that are remembered, of all members."""


class ResourceKind(NamedTuple):
    """A kind as an API serves it."""

    plural: str
    namespaced: bool


class Discovery:
    """Kinds by member and group version, remembered for a while. `now` is in seconds."""

    def __init__(self, door: FrontDoor, now: Callable[[], float] = time.monotonic) -> None:
        self._door, self._now = door, now
        self._kinds: dict[tuple[str, str], tuple[float, dict[str, ResourceKind]]] = {}

    async def path(self, access: MemberAccess, identity: Identity, namespace: str) -> str:
        """The path of an object of a release in `namespace`. NotFound for a kind that the member does not have."""
        kinds = await self._of(access, identity.api_version)
        kind = kinds.get(identity.kind)
        if kind is None:
            raise NotFound(f"the cluster does not have kind {identity.kind} of {identity.api_version}")
        within = f"/namespaces/{identity.namespace or namespace}" if kind.namespaced else ""
        return f"{root(identity.api_version)}{within}/{kind.plural}/{identity.name}"

    async def _of(self, access: MemberAccess, api_version: str) -> dict[str, ResourceKind]:
        key, now = (access.cluster, api_version), self._now()
        until, kinds = self._kinds.get(key, (0.0, {}))
        if now < until:
            return kinds
        kinds = kinds_of((await self._door.get(access, root(api_version))).document())
        while len(self._kinds) >= MOST:
            del self._kinds[next(iter(self._kinds))]
        self._kinds[key] = now + FRESH_S, kinds
        return kinds


def root(api_version: str) -> str:
    """The path of a group version."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def kinds_of(answer: Document) -> dict[str, ResourceKind]:
    """The kinds in an APIResourceList; subresources are none."""
    listed = answer.get("resources")
    resources = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return {
        str(each.get("kind")): ResourceKind(str(each.get("name")), each.get("namespaced") is True)
        for each in resources
        if "/" not in str(each.get("name", "/"))
    }
