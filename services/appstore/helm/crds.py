"""CRDs of a chart's crds/, which Helm makes once and never changes. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from services.appstore.archive import ArchiveError, files
from services.appstore.helm.engine import HelmError
from services.appstore.helm.manifest import ManifestObject, objects
from services.appstore.helm.risks import EXTENSIONS


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
