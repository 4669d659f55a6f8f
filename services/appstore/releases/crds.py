"""CRDs of a chart's crds/ applied anew, which Helm never does: what `spec.crds: Replace` asks for."""

from __future__ import annotations

import msgspec

from services.appstore.helm.engine import HelmError
from services.appstore.inspect.client import read_crds
from services.appstore.releases.frontdoor import FrontDoor, MemberAccess
from skerry.errors import StatusError

MANAGER = "helm"
"""Of the fields, so that Helm and this are one manager."""


async def replace(door: FrontDoor, access: MemberAccess, package: bytes) -> None:
    """Apply the CRDs of a package on a member. HelmError for what is no CRD, or is refused."""
    for crd in await read_crds(package):
        name = crd.identity.name
        path = f"/apis/{crd.identity.api_version}/customresourcedefinitions/{name}?fieldManager={MANAGER}&force=true"
        try:
            await door.apply(access, path, msgspec.json.encode(crd.content))
        except StatusError as error:
            if error.code in (401, 403):
                raise HelmError("Forbidden", f"CustomResourceDefinition {name}: {error.message}") from error
            if error.code in (400, 409, 422):
                raise HelmError("Conflict", f"CustomResourceDefinition {name}: {error.message}") from error
            raise
