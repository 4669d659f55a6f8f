"""A chart's own description, from Chart.yaml or from an entry of an index: typed, bounded, and fit for people's eyes. Pure.

What decides (name, version, type, dependencies) is refused where it is wrong, naming the field; what is only shown (links,
annotations of Artifact Hub) is left out where it is wrong, because a chart works without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import msgspec

from services.appstore.foreignyaml import ForeignYamlError, loaded
from services.appstore.semver import in_range, version
from skerry.api.charts import Chart, ChartChange, ChartDependency, ChartImage, ChartMaintainer
from skerry.api.text import clean

NAME = re.compile(r"[a-z0-9][-a-z0-9.]{0,62}")
NAME_RULE = "lower case letters, digits, - and ., at most 63, the first a letter or a digit"
LONGEST_TEXT = 1024
LONGEST_WORD = 128
MOST = 50
"""Keywords, sources, maintainers, changes, images that are kept."""
MOST_DEPENDENCIES = 200
HUB = "artifacthub.io/"
CHANGE_KINDS = ("added", "changed", "deprecated", "removed", "fixed", "security")
_LINK = re.compile(r"https?://[!-~]{1,2000}")


class ChartError(Exception):
    """A chart that is refused: the rule as one CamelCase word, and what people read."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class _Foreign(msgspec.Struct, frozen=True, rename="camel"):
    """As Helm's own types have it (pkg/chart/v2 Metadata)."""

    name: str
    version: str
    api_version: str = "v1"
    type: str | None = None
    app_version: str | None = None
    description: str | None = None
    keywords: list[str | None] | None = None
    home: str | None = None
    sources: list[str | None] | None = None
    icon: str | None = None
    kube_version: str | None = None
    deprecated: bool | None = None
    annotations: dict[str, str | None] | None = None
    maintainers: list[_ForeignMaintainer | None] | None = None
    dependencies: list[_ForeignDependency | None] | None = None


class _ForeignMaintainer(msgspec.Struct, frozen=True):
    name: str = ""
    email: str | None = None
    url: str | None = None


class _ForeignDependency(msgspec.Struct, frozen=True):
    name: str = ""
    version: str | None = None
    repository: str | None = None
    alias: str | None = None


def chart(tree: Any) -> Chart:
    """The chart that a mapping of Chart.yaml, or an entry of an index, describes. ChartError."""
    try:
        foreign = msgspec.convert(tree, _Foreign)
    except msgspec.ValidationError as error:
        raise ChartError("BadMetadata", _said(error)) from error
    _check(foreign)
    return msgspec.structs.replace(
        _described(foreign),
        name=foreign.name,
        version=foreign.version,
        type=foreign.type or "application",
        kube_version=foreign.kube_version or "",
        deprecated=foreign.deprecated or False,
        dependencies=_dependencies([each for each in foreign.dependencies or () if each]),
    )


def _check(foreign: _Foreign) -> None:
    """ChartError where something is wrong that decides."""
    if foreign.api_version not in ("v1", "v2"):
        raise ChartError("BadMetadata", f"apiVersion is {foreign.api_version[:40]!r}, and must be v1 or v2")
    if not NAME.fullmatch(foreign.name):
        raise ChartError("BadName", f"name is {foreign.name[:80]!r}, and must be {NAME_RULE}")
    if foreign.type not in (None, "", "application", "library"):
        raise ChartError("BadMetadata", f"type is {foreign.type[:40]!r}, and must be application or library")
    try:
        version(foreign.version)
    except ValueError as error:
        raise ChartError("BadVersion", f"version: {error}") from error
    try:
        in_range(foreign.kube_version or "*")
    except ValueError as error:
        raise ChartError("BadMetadata", f"kubeVersion: {error}") from error


def _described(foreign: _Foreign) -> Chart:
    """What is only shown."""
    annotations = {key: text for key, text in (foreign.annotations or {}).items() if text is not None}
    return Chart(
        name="",
        version="",
        app_version=clean(foreign.app_version or "", LONGEST_WORD),
        description=clean(foreign.description or "", LONGEST_TEXT),
        keywords=[clean(each, 64) for each in _first(foreign.keywords)],
        home=_link(foreign.home),
        sources=[link for each in _first(foreign.sources) if (link := _link(each))],
        icon=_link(foreign.icon),
        maintainers=[_maintainer(each) for each in _first(foreign.maintainers)],
        license=clean(annotations.get(HUB + "license", ""), LONGEST_WORD),
        category=clean(annotations.get(HUB + "category", ""), 64),
        prerelease=annotations.get(HUB + "prerelease") == "true",
        contains_security_updates=annotations.get(HUB + "containsSecurityUpdates") == "true",
        changes=[change for each in _hub_list(annotations, "changes") if (change := _change(each))],
        images=[image for each in _hub_list(annotations, "images") if (image := _image(each))],
    )


def _said(error: msgspec.ValidationError) -> str:
    """`Expected `str`, got `float` - at `$.version`` as: version: a text is expected, not a number."""
    message, _, path = str(error).partition(" - at ")
    return f"{path.strip('`').removeprefix('$').lstrip('.')}: {clean(message, 200)}" if path else clean(message, 200)


def _first(items: Iterable[Any] | None) -> list[Any]:
    return [each for each in items or () if each][:MOST]


def _link(text: str | None) -> str:
    return text if text and _LINK.fullmatch(text) else ""


def _maintainer(foreign: _ForeignMaintainer) -> ChartMaintainer:
    return ChartMaintainer(
        name=clean(foreign.name, LONGEST_WORD), email=clean(foreign.email or "", LONGEST_WORD), url=_link(foreign.url)
    )


def _dependencies(foreign: list[_ForeignDependency]) -> list[ChartDependency]:
    if len(foreign) > MOST_DEPENDENCIES:
        raise ChartError("BadMetadata", f"there are {len(foreign)} dependencies, the limit is {MOST_DEPENDENCIES}")
    for each in foreign:
        for name in (each.name, each.alias):
            if name and not NAME.fullmatch(name.lower().replace("_", "-")):
                raise ChartError("BadName", f"a dependency is called {name[:80]!r}, and must be {NAME_RULE}")
    return [
        ChartDependency(
            name=each.name,
            version=clean(each.version or "", LONGEST_WORD),
            repository=clean(each.repository or "", LONGEST_TEXT),
            alias=each.alias or "",
        )
        for each in foreign
        if each.name
    ]


def _hub_list(annotations: dict[str, str], name: str) -> list[Any]:
    """A list that stands as YAML in an annotation; nothing if it is none."""
    with suppress(ForeignYamlError):
        items = loaded(annotations.get(HUB + name, "")[: 64 * 1024].encode(errors="replace"), most=5000)
        if isinstance(items, list):
            return items[:MOST]
    return []


def _change(item: Any) -> ChartChange | None:
    if isinstance(item, str) and item:
        return ChartChange(description=clean(item, LONGEST_TEXT))
    text, kind = (item.get("description"), item.get("kind")) if isinstance(item, dict) else (None, None)
    if not isinstance(text, str) or not text:
        return None
    return ChartChange(kind=kind if kind in CHANGE_KINDS else "changed", description=clean(text, LONGEST_TEXT))


def _image(item: Any) -> ChartImage | None:
    reference = item.get("image") if isinstance(item, dict) else None
    if not isinstance(reference, str) or not reference:
        return None
    name = item.get("name")
    return ChartImage(name=clean(name, LONGEST_WORD) if isinstance(name, str) else "", image=clean(reference, 512))
