"""Charts for Helm, as packages in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from services.appstore.helm.engine import Engine, RenderRequest
from services.appstore.helm.manifest import ManifestObject, objects
from services.appstore.helm.rooms import directory
from tests.appstore.charts import package

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  x: "


def chart(
    folder: Path,
    *templates: str,
    more: str = "",
    files: Mapping[str, bytes | str] | None = None,
    version: str = "1.2.3",
) -> Path:
    """A chart `web` with these templates and other files."""
    path = folder / f"web-{version}.tgz"
    own = {f"templates/{number}.yaml": text for number, text in enumerate(templates)}
    path.write_bytes(package(version=version, more=more, files={**own, **(files or {})}))
    return path


async def rendered(engine: Engine, request: RenderRequest) -> tuple[ManifestObject, ...]:
    """What an engine renders, read."""
    with directory(request.chart.parent) as own:
        await engine.template(request, own / "manifest.yaml")
        return objects((own / "manifest.yaml").read_text())
