"""Reading a repository: what it lists now, as far as that is not known from the time before.

An index.yaml is asked for by its ETag, then held against its digest, then taken apart into the blocks of its charts; it is read in
another process, one at a time, because what a stranger wrote is as big as it likes. Of a registry the digest of each tag is asked
for, which pulls nothing, and what a tag stands for only where that is another one than before.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from functools import partial
from hashlib import sha256
from typing import Any, BinaryIO, NamedTuple

import msgspec

from services.appstore.index import Listed, ListedChart, Skipped
from services.appstore.inspect.answers import IndexQuestion
from services.appstore.inspect.client import read_index
from services.appstore.metadata import ChartError, chart
from services.appstore.oci import ChartManifest, Fetch, NotAChart, Registry
from services.appstore.repositories.access import RepositoryAccess
from services.appstore.repositories.spec import RepositorySpec
from skerry.api.decode import decoded
from skerry.http.outbound import OutboundError
from skerry.httpwire.head import first

AT_ONCE = 8
"""Requests to one registry."""
LONGEST_ETAG = 512
PIECE = 256 * 1024

ReadIndex = Callable[[BinaryIO, IndexQuestion], Awaitable[list[ListedChart]]]


class VersionReading(NamedTuple):
    """A version that a repository lists."""

    version: str
    listed: Listed | None
    """None: it is as it was."""
    manifest: str = ""
    """In a registry: chart@digest of what its tag stands for."""


class ChartReading(NamedTuple):
    """A chart that a repository lists."""

    name: str
    block: str = ""
    """Digest of its part of an index; empty where there are no such parts."""
    known: int = 0
    versions: tuple[VersionReading, ...] = ()
    """The newest of them, the newest first."""
    skipped: tuple[Skipped, ...] = ()
    unchanged: bool = False
    """True if its block was seen before: then nothing else is said of it."""


class Reading(NamedTuple):
    """What a repository lists."""

    charts: tuple[ChartReading, ...]
    revision: str
    """Changes with the content."""
    etag: str = ""


class Before(NamedTuple):
    """What is known from the time before."""

    revision: str = ""
    etag: str = ""
    blocks: frozenset[str] = frozenset()
    manifests: Mapping[tuple[str, str], str] = {}
    """In a registry: chart@digest of what tags stand for, by chart and version."""


class Reader:
    """Reads repositories. OutboundError and ChartError say why one cannot be read."""

    def __init__(self, fetch: Fetch, inspect: ReadIndex = read_index) -> None:
        self._fetch, self._inspect = fetch, inspect
        self._turn = asyncio.Semaphore(1)

    async def read(self, spec: RepositorySpec, access: RepositoryAccess, before: Before) -> Reading | None:
        """What it lists; None if that is what it listed before."""
        if spec.is_registry:
            return await self._registry(spec, access, before)
        return await self._index(spec, access, before)

    async def _index(self, spec: RepositorySpec, access: RepositoryAccess, before: Before) -> Reading | None:
        with tempfile.TemporaryFile(prefix="skerry-index-") as file:
            return await self._index_in(file, spec, access, before)

    async def _index_in(
        self, file: BinaryIO, spec: RepositorySpec, access: RepositoryAccess, before: Before
    ) -> Reading | None:
        """It is kept on the disk: several repositories with as much as is allowed would be more memory than all else needs."""
        answer = await self._fetch(
            f"{spec.url.rstrip('/')}/index.yaml",
            access.policy,
            server=access.server,
            accept=b"*/*",
            headers=[(b"if-none-match", before.etag.encode())] if before.etag else [],
            credentials=access.headers,
            statuses=(200, 304) if before.etag else (200,),
            into=file,
        )
        if answer.status == 304:
            return None
        revision = await asyncio.to_thread(_digest, file)
        if revision == before.revision:
            return None
        question = IndexQuestion(spec.keep_versions, spec.charts, before.blocks)
        file.seek(0)
        async with self._turn:
            charts = await self._inspect(file, question)
        etag = (first(answer.headers, b"etag") or b"").decode("latin-1")
        usable = etag.isascii() and etag.isprintable() and len(etag) <= LONGEST_ETAG
        return Reading(tuple(_of_index(each) for each in charts), revision, etag if usable else "")

    # Registries

    async def _registry(self, spec: RepositorySpec, access: RepositoryAccess, before: Before) -> Reading:
        registry = Registry(spec.url, access.registry, self._fetch)
        names = sorted(spec.charts or await _catalogue(registry))
        readings: list[ChartReading] = []
        absent: list[OutboundError] = []
        for name in names:
            try:
                readings.append(await self._chart(registry, name, spec.keep_versions, before))
            except OutboundError as error:
                if error.status != 404 or len(names) == len(absent) + 1:
                    raise
                absent.append(error)
                missing = Skipped(name[:63], "", "NotFound", f"the registry has no such chart: {error}")
                readings.append(ChartReading(name, skipped=(missing,)))
        tags = [(each.name, version.version, version.manifest) for each in readings for version in each.versions]
        return Reading(tuple(readings), f"sha256:{sha256(msgspec.json.encode(tags)).hexdigest()}")

    async def _chart(self, registry: Registry, name: str, newest: int, before: Before) -> ChartReading:
        known, versions = await registry.versions(name, newest)
        gate = asyncio.Semaphore(AT_ONCE)
        readings = await together(
            _tag(gate, registry, name, version, before.manifests.get((name, version), "")) for version in versions
        )
        return ChartReading(
            name,
            known=known,
            versions=tuple(each for each in readings if isinstance(each, VersionReading)),
            skipped=tuple(each for each in readings if isinstance(each, Skipped)),
        )


def _digest(file: BinaryIO) -> str:
    digest = sha256()
    file.seek(0)
    for piece in iter(partial(file.read, PIECE), b""):
        digest.update(piece)
    return f"sha256:{digest.hexdigest()}"


async def _catalogue(registry: Registry) -> list[str]:
    """All charts of a registry. ChartError where it does not list them, as most do not (distribution-spec 1.1 has no catalogue)."""
    try:
        return await registry.charts()
    except OutboundError as error:
        if error.problem != "Status" or error.status not in (400, 403, 404, 405, 501):
            raise
        raise ChartError(
            "NotARepository",
            f"the registry does not list its catalogue ({error}): name the charts that are wanted in spec.charts",
        ) from error


async def together(work: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
    """The results of all; the first error ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except ExceptionGroup as group:
        raise group.exceptions[0] from group
    return [task.result() for task in tasks]


async def _tag(
    gate: asyncio.Semaphore, registry: Registry, name: str, version: str, before: str
) -> VersionReading | Skipped:
    async with gate:
        digest = await registry.digest(name, version)
        tagged = f"{name}@{digest}" if digest else ""
        if digest and tagged == before:
            return VersionReading(version, None, tagged)
        try:
            manifest = await registry.manifest(name, version)
            listed = await _listed(registry, name, version, manifest)
        except NotAChart as error:
            return Skipped(name[:63], version[:64], "NotAChart", str(error))
        except ChartError as error:
            return Skipped(name[:63], version[:64], error.reason, str(error))
    return VersionReading(version, listed, tagged)


async def _listed(registry: Registry, name: str, version: str, manifest: ChartManifest) -> Listed:
    """The chart under a tag. ChartError."""
    blob = await registry.blob(name, manifest.config)
    if f"sha256:{sha256(blob).hexdigest()}" != manifest.config:
        raise ChartError("DigestMismatch", "its description in the registry is another one than its manifest says")
    described = await asyncio.to_thread(_described, blob)
    if described.name != name.rpartition("/")[2]:
        raise ChartError("BadName", f"it is called {described.name!r}, and lies under {name!r}")
    if described.version != version:
        raise ChartError("BadVersion", f"it is version {described.version!r}, and lies under tag {version!r}")
    return Listed(described, (registry.reference(name, version),), manifest.digest, "")


def _described(blob: bytes) -> Any:
    try:
        tree = decoded(blob)
    except msgspec.DecodeError as error:
        raise ChartError("BadMetadata", f"its description in the registry is no JSON: {error}") from error
    return chart(tree)


def _of_index(listed: ListedChart) -> ChartReading:
    return ChartReading(
        listed.name,
        listed.block,
        listed.known,
        tuple(VersionReading(each.chart.version, each) for each in listed.versions),
        listed.skipped,
        listed.unchanged,
    )
