"""The spec of an AppRelease: what is wrong in it, and what of it is installed. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from services.appstore import semver
from services.appstore.releases.secretvalues import parsed
from skerry.access.selection import selects
from skerry.admission.conform import FieldError, forbidden, invalid_value
from skerry.admission.selections import LABEL_RULE, selection_problems
from skerry.api import duration
from skerry.api.apprelease import AppReleaseSpec
from skerry.api.grants import ClusterSelection
from skerry.api.meta import Document
from skerry.api.names import POOL
from skerry.api.validation import is_label, is_subdomain
from skerry.values import merged

LONGEST_NAME = 53
"""Characters of the name of a Helm release: with what charts put behind it, it is a label (Helm's limit)."""
NAME_RULE = f"use a DNS name of at most {LONGEST_NAME} characters, as Helm does for releases"
LONGEST_TIMEOUT, LONGEST_HOOK = "24h", "15m"
HISTORY = (1, 50)
MOST_OVERRIDES, MOST_SOURCES = 100, 20
DEEPEST = 50
LIKE_PASSWORDS = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "api_key",
    "privatekey",
    "private_key",
)
INSTALLED = ("app", "version", "values", "valuesFrom", "overrides")
"""Fields of which another value is another revision."""


class AppReference(NamedTuple):
    """The App that a release names."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Place(NamedTuple):
    """Where on a cluster a release is installed."""

    namespace: str
    name: str


def app_reference(text: str, namespace: str) -> AppReference:
    """What `[workspace/]name` means in a namespace: an App of its own, or of the pool. ValueError."""
    workspace, slash, name = text.rpartition("/")
    if not is_subdomain(name) or (slash and not is_label(workspace)):
        raise ValueError("must be [workspace/]name of an App")
    if slash and workspace not in (namespace, POOL):
        raise ValueError(f"must be an App of the workspace itself ({namespace}/) or of the pool ({POOL}/)")
    return AppReference(workspace if slash else namespace, name)


def place(document: Document) -> Place:
    """Where it is installed on its clusters."""
    spec, metadata = document["spec"], document["metadata"]
    return Place(
        str(spec.get("targetNamespace") or metadata.get("namespace", "")),
        str(spec.get("releaseName") or metadata.get("name", "")),
    )


def installs_otherwise(old: Document, new: Document) -> bool:
    """True if what a spec installs is something else than before."""
    return any((old.get(field) or None) != (new.get(field) or None) for field in INSTALLED)


def selected(selection: ClusterSelection, name: str, labels: dict[str, str]) -> bool:
    """True if a selection has the cluster of this name with these labels."""
    if selection.selector:
        return selects(selection.selector)(labels)
    return name in selection.names


def values_of(spec: AppReleaseSpec, cluster: str, labels: dict[str, str], layers: ValueLayers) -> Document:
    """The values of a release on one cluster, as Helm gets them."""
    own = [spec.values, *(each.values for each in spec.overrides if selected(each.clusters, cluster, labels))]
    return merged([*layers.below, *own, parsed(layers.secrets)])


class ValueLayers(NamedTuple):
    """Values of a release that are not in its spec."""

    below: tuple[Document, ...] = ()
    """Read from the cluster (valuesFrom)."""
    secrets: dict[str, str] = {}
    """Sealed ones, by path."""


# What is wrong


def problems(document: Document, current: Document | None = None) -> Iterator[FieldError]:
    """What is wrong in an AppRelease, new or changed."""
    spec = document["spec"]
    yield from _app_problems(spec, str(document["metadata"].get("namespace", "")))
    yield from _place_problems(document, current)
    yield from selection_problems(spec["clusters"], "spec.clusters")
    yield from _values_problems(spec)
    yield from _duration_problems("spec.timeout", spec.get("timeout", "5m"), LONGEST_TIMEOUT)
    yield from _duration_problems("spec.hooks.timeout", (spec.get("hooks") or {}).get("timeout", "2m"), LONGEST_HOOK)
    limit = spec.get("historyLimit", 10)
    if not HISTORY[0] <= limit <= HISTORY[1]:
        yield invalid_value("spec.historyLimit", limit, f"must be from {HISTORY[0]} to {HISTORY[1]}")


def _app_problems(spec: Document, namespace: str) -> Iterator[FieldError]:
    try:
        app_reference(spec["app"], namespace)
    except ValueError as error:
        yield invalid_value("spec.app", spec["app"][:253], str(error))
    try:
        semver.version(spec["version"])
    except ValueError as error:
        yield invalid_value("spec.version", spec["version"][:64], str(error))


def _place_problems(document: Document, current: Document | None) -> Iterator[FieldError]:
    where = place(document)
    if where.name and not (is_subdomain(where.name) and len(where.name) <= LONGEST_NAME):
        field = "spec.releaseName" if document["spec"].get("releaseName") else "metadata.name"
        yield invalid_value(field, where.name[:253], NAME_RULE)
    if where.namespace and not is_label(where.namespace):
        yield invalid_value("spec.targetNamespace", where.namespace[:253], LABEL_RULE)
    if current is None:
        return
    for field, now, before in zip(("targetNamespace", "releaseName"), where, place(current), strict=True):
        if now != before:
            text = f"it is {before!r} and cannot be changed: what is installed would be left; make another AppRelease"
            yield invalid_value(f"spec.{field}", now, text)


def _values_problems(spec: Document) -> Iterator[FieldError]:
    overrides, sources = spec.get("overrides") or [], spec.get("valuesFrom") or []
    for name, items, most in (("overrides", overrides, MOST_OVERRIDES), ("valuesFrom", sources, MOST_SOURCES)):
        if len(items) > most:
            yield forbidden(f"spec.{name}", f"it has {len(items)} items, the limit is {most}")
    yield from _depth_problems("spec.values", spec.get("values") or {})
    for index, override in enumerate(overrides[:MOST_OVERRIDES]):
        path = f"spec.overrides[{index}]"
        yield from selection_problems(override["clusters"], f"{path}.clusters")
        yield from _depth_problems(f"{path}.values", override.get("values") or {})
    for index, source in enumerate(sources[:MOST_SOURCES]):
        if not is_subdomain(source["name"]):
            yield invalid_value(f"spec.valuesFrom[{index}].name", source["name"][:253], "use a DNS name")
        if not source.get("key", "values.yaml"):
            yield invalid_value(f"spec.valuesFrom[{index}].key", "", "name the key that has the values")


def _depth_problems(path: str, values: Document) -> Iterator[FieldError]:
    level: list[Any] = [values]
    for _ in range(DEEPEST):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    yield forbidden(path, f"it is nested deeper than {DEEPEST} levels")


def _duration_problems(path: str, text: str, longest: str) -> Iterator[FieldError]:
    try:
        duration.bounded(text, longest)
    except ValueError as error:
        yield invalid_value(path, text[:64], str(error))


# What is worth knowing


def warnings(spec: Document) -> Iterator[str]:
    """Values that everybody who reads the release reads, and that look as if nobody should."""
    places = [("spec.values", spec.get("values") or {})]
    places += [
        (f"spec.overrides[{index}].values", each.get("values") or {})
        for index, each in enumerate(spec.get("overrides") or [])
    ]
    for path, values in places:
        for secret in _like_secrets(path, values):
            yield (
                f"{secret} looks like a secret, and whoever may read this release reads it; set it as a secret value "
                "(--set-secret), or name a Secret of the cluster in valuesFrom"
            )


def _like_secrets(path: str, values: Document) -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _like_secrets(f"{path}.{key}", value)
        elif isinstance(value, str) and value and key.lower().endswith(LIKE_PASSWORDS):
            yield f"{path}.{key}"
