"""CRDs of a chart's crds/ applied anew, which Helm never does: what `spec.crds: Replace` asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec

from services.appstore.archive import ArchiveError, files
from services.appstore.helm.engine import HelmError
from services.appstore.helm.manifest import ManifestObject, objects
from services.appstore.helm.risks import EXTENSIONS
from services.appstore.releases.frontdoor import FrontDoor, MemberAccess
from skerry.errors import StatusError

MANAGER = "helm"
"""Of the fields, so that Helm and this are one manager."""


async def replace(door: FrontDoor, access: MemberAccess, package: bytes) -> None:
    """Apply the CRDs of a package on a member. HelmError for what is no CRD, or is refused."""
    for crd in await asyncio.to_thread(lambda: list(definitions(package))):
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


def definitions(package: bytes) -> Iterator[ManifestObject]:
    """The CRDs in crds/ of a chart and of charts within it. HelmError RenderFailed for what is none."""
    try:
        texts = [
            (file.path, file.content)
            for file in files(package)
            if "/crds/" in f"/{file.path}" and file.path.endswith((".yaml", ".yml", ".json"))
        ]
    except ArchiveError as error:
        raise HelmError("RenderFailed", str(error)) from error
    for path, content in texts:
        for each in objects(content.decode(errors="replace")):
            if (each.identity.group, each.identity.kind) != (EXTENSIONS, "CustomResourceDefinition"):
                raise HelmError("RenderFailed", f"{path}: {each.identity} is no CustomResourceDefinition")
            yield each._replace(source=path)
