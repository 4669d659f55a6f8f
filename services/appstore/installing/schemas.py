"""Values of a release against its chart's schema, before anything is sent: Helm says what does not fit, and where.

What cannot be looked at here and now (no Helm, a package that is not fetched yet, values that lie on members) is no fault: each
cluster's own operation looks again.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from services.appstore.helm.engine import Engine, HelmError, RenderRequest
from services.appstore.metadata import ChartError
from services.appstore.parts import AppStoreState
from services.appstore.releases.specs import Place, ValueLayers, values_of
from skerry.admission.conform import FieldError
from skerry.api.apprelease import AppReleaseSpec
from skerry.api.meta import Document
from skerry.errors import StatusError
from skerry.storage import Item

LOOK_S = 6.0
"""A write is answered in ten seconds."""
MOST = 8
"""Different values, of as many clusters, that are looked at."""


async def value_problems(
    state: AppStoreState,
    version: Document,
    spec: AppReleaseSpec,
    place: Place,
    clusters: Iterable[Item],
    secrets: Mapping[str, str],
) -> list[FieldError]:
    """What of the values the schema of a version's chart does not take, on the clusters that there are."""
    if spec.values_from:
        return []
    layers = ValueLayers((), dict(secrets))
    every = [values_of(spec, each.name, each.labels, layers) for each in clusters]
    every = every or [values_of(spec, "", {}, layers)]
    distinct = list({msgspec.json.encode(each, order="sorted"): each for each in every}.values())[:MOST]
    try:
        async with asyncio.timeout(LOOK_S):
            engine, package = await state.helm.required(), await state.packages.get(version)
            return await _looked_at(engine, package, place, distinct, frozenset(secrets.values()))
    except (HelmError, StatusError, ChartError, TimeoutError):
        return []


async def _looked_at(
    engine: Engine, package: bytes, place: Place, every: list[Document], secrets: frozenset[str]
) -> list[FieldError]:
    with tempfile.TemporaryDirectory(prefix="skerry-chart-") as directory:
        chart = Path(directory) / "chart.tgz"
        await asyncio.to_thread(chart.write_bytes, package)
        for values in every:
            try:
                await engine.template(
                    RenderRequest(
                        chart=chart, release=place.name, namespace=place.namespace, values=values, secrets=secrets
                    )
                )
            except HelmError as error:
                if error.reason == "SchemaInvalid":
                    return [FieldError("spec.values", f"Invalid value: {' '.join(str(error).split())}")]
                raise
    return []
