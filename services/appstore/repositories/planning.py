"""From what a repository lists and what is stored to what is to be written. Pure.

It is level-triggered: what is there already costs nothing, what is wanted and not there is made, what is not listed any more is to
go. A package that is another one under the same version is never taken: it stays what it was, and says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from hashlib import sha256
from itertools import zip_longest
from typing import NamedTuple
from urllib.parse import urljoin

import msgspec

from services.appstore.catalogue.names import app_name, version_name
from services.appstore.index import Listed, Skipped
from services.appstore.repositories.reading import ChartReading, VersionReading
from skerry.api.conditions import Verdict, new_condition, with_condition
from skerry.api.kinds import APP_REPOSITORY
from skerry.api.meta import Document
from skerry.http.outbound import OutboundError, origin_of
from skerry.storage import Item

MANIFEST = "skerry.dev/manifest"
"""Annotation of an AppVersion from a registry: the digest of what its tag stood for."""
LISTED = Verdict("True", "Listed", "its repository lists it")
_REGISTRY = re.compile(r"oci(\+http)?://")
STAYS = "it stays because a release uses it, or could go back to it"
MISSING = Verdict("False", "Missing", f"its repository does not list it any more; {STAYS}")


class Forgotten(Exception):
    """What was known from the time before is not so any more: the repository is to be read as if for the first time."""


class Source(NamedTuple):
    """The repository whose versions these are."""

    namespace: str
    name: str
    uid: str
    url: str
    active: bool
    """Whether its versions are Active at once."""

    @property
    def owner(self) -> Document:
        """The reference by which they go when it goes."""
        return {
            "apiVersion": APP_REPOSITORY.api_version,
            "kind": APP_REPOSITORY.kind,
            "name": self.name,
            "uid": self.uid,
        }


class ChartMemory(NamedTuple):
    """A chart as it was read last."""

    block: str
    known: int
    names: frozenset[str]
    """Of its AppVersions."""
    skipped: tuple[Skipped, ...]


Change = Callable[[Document], Document | None]
"""From a stored AppVersion to what it should be; None if it is."""


class Stored(NamedTuple):
    """What there is."""

    own: Mapping[str, Item]
    """The repository's AppVersions by name."""
    charts: Mapping[str, ChartMemory]
    """As they were read last, by name."""
    budget: int
    """How many AppVersions it may have."""
    taken: Collection[str]
    """Names of all AppVersions of the namespace."""


class Plan(NamedTuple):
    """What is to be written."""

    creations: list[Document]
    changes: list[tuple[str, Change]]
    gone: list[Item]
    """Not listed any more."""
    charts: dict[str, ChartMemory]
    dropped: int
    """Versions that are not listed because there would be too many of all."""


def plan(source: Source, readings: Sequence[ChartReading], stored: Stored, now: float) -> Plan:
    """See the module. Forgotten."""
    charts = _remembered([each.name for each in readings if each.unchanged], stored)
    known = {name for each in charts.values() for name in each.names}
    changed = [each for each in readings if not each.unchanged]
    wanted, dropped = _within(changed, stored.budget - len(known))
    if dropped and charts:
        raise Forgotten
    work = _Planning(source, stored, known, now)
    for each in wanted:
        charts[each.name] = work.chart(each)
    listed = known.union(*(each.names for each in charts.values()))
    gone = [item for name, item in stored.own.items() if name not in listed]
    return Plan(work.creations, work.changes, gone, charts, dropped)


def _remembered(unchanged: Collection[str], stored: Stored) -> dict[str, ChartMemory]:
    """What is known of charts that did not change. Forgotten where that is not all there any more."""
    charts = {name: stored.charts[name] for name in unchanged if name in stored.charts}
    if len(charts) < len(unchanged) or any(not each.names <= stored.own.keys() for each in charts.values()):
        raise Forgotten
    return charts


def _within(readings: Sequence[ChartReading], budget: int) -> tuple[list[ChartReading], int]:
    """As many versions as there may be, of all charts the newest before the second newest; how many are left out."""
    total = sum(len(each.versions) for each in readings)
    if total <= budget:
        return list(readings), 0
    rows = zip_longest(*([(index, version) for version in each.versions] for index, each in enumerate(readings)))
    first = [pair for row in rows for pair in row if pair is not None][: max(budget, 0)]
    left: list[list[VersionReading]] = [[] for _ in readings]
    for index, version in first:
        left[index].append(version)
    return [each._replace(versions=tuple(left[index])) for index, each in enumerate(readings)], total - len(first)


class _Planning:
    def __init__(self, source: Source, stored: Stored, known: Collection[str], now: float) -> None:
        self._source, self._stored, self._now = source, stored, now
        self._documents = {name: item.document() for name, item in stored.own.items() if name not in known}
        self._names = {
            (str(each["spec"].get("app")), str(each["spec"].get("version"))): name
            for name, each in self._documents.items()
        }
        self._made: set[str] = set()
        self.creations: list[Document] = []
        self.changes: list[tuple[str, Change]] = []

    def chart(self, reading: ChartReading) -> ChartMemory:
        app = app_of(self._source.name, reading.name)
        names, skipped = set(), list(reading.skipped)
        for version in reading.versions:
            name = self._names.get((app, version.version))
            problem = None if name is None else self._change(name, version)
            if name is None and version.listed is not None:
                name, problem = self._create(app, version, version.listed)
            elif name is None:
                raise Forgotten
            if name:
                names.add(name)
            if problem:
                skipped.append(Skipped(reading.name[:63], version.version[:64], *problem))
        return ChartMemory(reading.block, reading.known, frozenset(names), tuple(skipped))

    def _create(self, app: str, version: VersionReading, listed: Listed) -> tuple[str, tuple[str, str] | None]:
        """The name of a new version, and why there is none, or none that is as listed."""
        urls = package_urls(self._source.url, listed.urls)
        if not urls:
            return "", ("BadMetadata", "urls: none of them can be fetched")
        name = self._free(app, version.version)
        if not name:
            return "", ("NameTaken", "other versions have the names that it could have")
        self._made.add(name)
        annotations = {"annotations": {MANIFEST: version.manifest}} if version.manifest else {}
        document = {
            "metadata": {
                "name": name,
                "namespace": self._source.namespace,
                "ownerReferences": [self._source.owner],
                **annotations,
            },
            "spec": {
                "app": app,
                "version": version.version,
                "chart": listed.chart.name,
                "repository": self._source.name,
            },
            "status": {"phase": "Active" if self._source.active else "Draft", **_said(listed, urls)},
        }
        self.creations.append(document)
        return name, None

    def _free(self, app: str, version: str) -> str:
        plain = version_name(app, version)
        apart = f"{plain[:244].rstrip('-.')}-{sha256(f'{app} {version}'.encode()).hexdigest()[:8]}"
        return next((each for each in (plain, apart) if each not in self._stored.taken and each not in self._made), "")

    def _change(self, name: str, version: VersionReading) -> tuple[str, str] | None:
        change = partial(updated, source=self._source, version=version, now=self._now)
        document = self._documents[name]
        after = change(document)
        if after is not None:
            self.changes.append((name, change))
        return changed_digest(document, version)


def app_of(repository: str, chart: str) -> str:
    """The name of the App of a chart; in a registry charts may lie deeper, and have more characters."""
    plain = re.sub(r"[^a-z0-9.-]", "-", chart)
    return app_name(repository, plain if plain == chart else f"{plain}-{sha256(chart.encode()).hexdigest()[:8]}")


def package_urls(base: str, urls: Collection[str]) -> list[str]:
    """Where a package is, whole: an index may say it from where it lies itself. What is no URL is left out."""
    whole = []
    for each in urls:
        try:
            url = each if _REGISTRY.match(each) else urljoin(f"{base.rstrip('/')}/", each)
            origin_of(_REGISTRY.sub("https://", url))
        except (ValueError, OutboundError):
            continue
        whole.append(url)
    return whole


def changed_digest(document: Document, version: VersionReading) -> tuple[str, str] | None:
    """Reason and message if another package is listed under a version than there was."""
    before = (document.get("status") or {}).get("digest")
    if version.listed is None or not before or not version.listed.digest or version.listed.digest == before:
        return None
    return "DigestChanged", (
        f"its repository has another package under the same version: {version.listed.digest}, not {before}. The one that was "
        "listed first counts. If the new one is right, its authors should give it a version of its own; else ask them whether "
        "somebody broke in"
    )


def updated(document: Document, *, source: Source, version: VersionReading, now: float) -> Document | None:
    """A stored version as it should be; None if it is."""
    metadata, status = document["metadata"], document.get("status") or {}
    after = document
    if source.owner not in (metadata.get("ownerReferences") or ()):
        after = {**after, "metadata": {**metadata, "ownerReferences": [source.owner]}}
    if source.active and status.get("phase") == "Draft" and not status.get("reviews"):
        status = {**status, "phase": "Active"}
    problem = changed_digest(document, version)
    verdict = Verdict("False", *problem) if problem else LISTED
    if version.listed is not None and not problem:
        said = _said(version.listed, package_urls(source.url, version.listed.urls))
        status = {**status, **said, "pinned": said["pinned"] or bool(status.get("pinned"))}
        after = _annotated(after, version.manifest)
    after = {**after, "status": status}
    after = _with(after, verdict=verdict, now=now) or after
    return None if after == document else after


def _annotated(document: Document, manifest: str) -> Document:
    annotations = document["metadata"].get("annotations") or {}
    if not manifest or annotations.get(MANIFEST) == manifest:
        return document
    return {**document, "metadata": {**document["metadata"], "annotations": {**annotations, MANIFEST: manifest}}}


def missing(document: Document, now: float) -> Document | None:
    """A stored version that is not listed any more, and is used; None if it says so."""
    return _with(document, verdict=MISSING, now=now)


def orphaned(document: Document, now: float) -> Document | None:
    """A stored version whose repository was removed, and that is used; None if it says so."""
    repository = document["spec"].get("repository")
    return _with(
        document, verdict=MISSING._replace(message=f"its repository {repository} was removed; {STAYS}"), now=now
    )


def _with(document: Document, *, verdict: Verdict, now: float) -> Document | None:
    """With condition Upstream; that all is well is said only where something else was said."""
    status = document.get("status") or {}
    conditions = status.get("conditions") or []
    if verdict is LISTED and not any(isinstance(each, dict) and each.get("type") == "Upstream" for each in conditions):
        return None
    after = with_condition(conditions, new_condition("Upstream", verdict, now))
    return None if after == conditions else {**document, "status": {**status, "conditions": after}}


def _said(listed: Listed, urls: list[str]) -> Document:
    """What a repository says of a version, as its status has it."""
    said = {
        "digest": listed.digest,
        "pinned": bool(listed.digest),
        "urls": urls,
        "created": listed.created,
        "chart": msgspec.to_builtins(listed.chart),
    }
    return {key: value for key, value in said.items() if value != ""}
