"""Values of a release against its chart's schema, before anything is sent: Helm says what does not fit, and where.

What cannot be looked at here and now (no Helm, a package that is not fetched yet, values that lie on members) is no fault: each
cluster's own operation looks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from services.appstore.helm.engine import Engine, HelmError, RenderRequest
from services.appstore.helm.rooms import directory
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
    layers, hooks = ValueLayers((), dict(secrets)), not spec.hooks or spec.hooks.enabled
    every = [(values_of(spec, each.name, each.labels, layers), _kube_version(each)) for each in clusters]
    every = every or [(values_of(spec, "", {}, layers), "")]
    distinct = list({msgspec.json.encode(each, order="sorted"): each for each in every}.values())[:MOST]
    try:
        async with asyncio.timeout(LOOK_S):
            if not (await state.checks.package(version)).has_schema:
                return []
            engine, content = await state.helm.required(), await state.checks.content(version)
            async with state.renders.slot(version["metadata"]["namespace"], engine.data):
                requests = (
                    RenderRequest(
                        chart=Path(),
                        release=place.name,
                        namespace=place.namespace,
                        values=values,
                        secrets=frozenset(secrets.values()),
                        kube_version=kube_version,
                        hooks=hooks,
                    )
                    for values, kube_version in distinct
                )
                return await _looked_at(engine, content, requests)
    except (HelmError, StatusError, ChartError, TimeoutError, ValueError):  # of a version of Kubernetes that is none
        return []


def _kube_version(cluster: Item) -> str:
    return str((cluster.document().get("status") or {}).get("kubernetesVersion") or "")


async def _looked_at(engine: Engine, content: bytes, requests: Iterable[RenderRequest]) -> list[FieldError]:
    """The requests are for this package, wherever it lies."""
    with directory() as own:
        chart = own / "chart.tgz"
        await asyncio.to_thread(chart.write_bytes, content)
        for request in requests:
            try:
                await engine.check(replace(request, chart=chart))
            except HelmError as error:
                if error.reason == "SchemaInvalid":
                    return [FieldError("spec.values", f"Invalid value: {' '.join(str(error).split())}")]
                raise
    return []
