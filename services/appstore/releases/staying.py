"""What stays on a cluster when Helm uninstalls a release there: what could, as far as it is really there.

A hook of an upgrade that never was has made no object, and a chart's CRDs may have been left out. So what might stay is looked for,
as the release's actor; who may not see it is told of it all the same. What hooks of the uninstallation make comes later, and is told
of without a look.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

from services.appstore.helm.engine import HelmError
from services.appstore.helm.leftovers import Leftover, is_of_crds, leftovers
from services.appstore.helm.manifest import ManifestObject
from services.appstore.inspect.client import read_crds, read_leftovers
from services.appstore.releases import helmsecrets
from services.appstore.releases.frontdoor import FrontDoor, MemberAccess
from services.appstore.releases.observing import MISSING, Inventory, Observer
from services.appstore.releases.operations import Operator
from services.appstore.releases.specs import Place
from skerry.api.apprelease import AppRelease
from skerry.errors import Forbidden, StatusError

log = logging.getLogger("skerry.appstore")

_AT_END = frozenset(("pre-delete", "post-delete"))


async def staying(
    door: FrontDoor,
    operator: Operator,
    observer: Observer,
    access: MemberAccess,
    release: AppRelease,
    place: Place,
    inventory: Inventory,
) -> tuple[Leftover, ...]:
    """What an uninstallation of what is installed would leave. StatusError of a cluster that does not answer."""
    secret = await helmsecrets.secret(door, access, place, inventory.entry)
    with helmsecrets.reading(place, inventory.entry):
        installed = await read_leftovers(secret)
    every = [*installed, *(await _definitions(operator, release))]
    present = [each async for each in _present(observer, access, place, every)]
    return leftovers(present, place.namespace, created_namespace=release.spec.create_namespace)


async def _definitions(operator: Operator, release: AppRelease) -> tuple[ManifestObject, ...]:
    """The CRDs in crds/ of its chart, which Helm does not count to the release; none of a chart that cannot be had any more."""
    try:
        return await read_crds(await operator.package(release))
    except (HelmError, StatusError) as error:
        log.warning(
            "the CRDs of a chart that is uninstalled are not known",
            extra={"release": release.metadata.name, "error": str(error)},
        )
        return ()


async def _present(
    observer: Observer, access: MemberAccess, place: Place, every: list[ManifestObject]
) -> AsyncIterator[ManifestObject]:
    """Those of these objects that are there, or will be."""
    for each in every:
        if (
            not (each.is_hook or is_of_crds(each))
            or _AT_END.intersection(each.events)
            or (not each.is_test and await _is_there(observer, access, place, each))
        ):
            yield each


async def _is_there(observer: Observer, access: MemberAccess, place: Place, each: ManifestObject) -> bool:
    try:
        return await observer.health(access, place, each.identity) is not MISSING
    except Forbidden:
        return True
