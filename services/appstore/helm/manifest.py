"""What a chart renders, taken apart: its objects by name, hooks among them, as Helm and kubectl read it. Pure.

A large manifest takes seconds to read: not on a loop that others wait for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from services.appstore.foreignyaml import ForeignYamlError, loaded
from services.appstore.helm.engine import HelmError
from services.appstore.helm.limits import MOST_OBJECTS
from skerry.api.meta import Document
from skerry.api.text import clean

HOOK, HOOK_DELETE, KEEP = "helm.sh/hook", "helm.sh/hook-delete-policy", "helm.sh/resource-policy"
TESTS = frozenset(("test", "test-success", "test-failure"))
_SEPARATOR = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_SOURCE = re.compile(r"^# Source: (\S{1,400})", re.MULTILINE)
_CONTENT = re.compile(r"^[ \t]*[^\s#]", re.MULTILINE)


class Identity(NamedTuple):
    """Which object."""

    api_version: str
    kind: str
    namespace: str
    """Empty where none is written: that of the release, or none at all."""
    name: str

    @property
    def group(self) -> str:
        """The API group; empty for the core."""
        return self.api_version.rpartition("/")[0]

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace and f'{self.namespace}/'}{self.name}"


class ManifestObject(NamedTuple):
    """One object of a manifest."""

    identity: Identity
    source: str
    """The template's file, as Helm names it; empty if it does not."""
    content: Document
    events: tuple[str, ...] = ()
    """At which Helm makes it, if it is a hook."""
    delete_policies: tuple[str, ...] = ()
    """When Helm deletes it again, if it is a hook."""
    kept: bool = False
    """Helm never deletes it (`helm.sh/resource-policy: keep`)."""

    @property
    def is_hook(self) -> bool:
        """True for what does not count to the release."""
        return bool(self.events)

    @property
    def is_test(self) -> bool:
        """True for what `helm test` alone makes."""
        return bool(self.events) and TESTS.issuperset(self.events)


def objects(manifest: str) -> tuple[ManifestObject, ...]:
    """All objects of a manifest, in its order; those of a List one by one. HelmError RenderFailed, ResourceLimit."""
    every: list[ManifestObject] = []
    for text in documents(manifest):
        every += _objects(text)
        if len(every) > MOST_OBJECTS:
            raise HelmError("ResourceLimit", f"the chart renders more than {MOST_OBJECTS} objects")
    return tuple(every)


def documents(manifest: str) -> Iterator[str]:
    """The YAML documents that have something in them."""
    return (each for each in _SEPARATOR.split(manifest) if _CONTENT.search(each))


def _objects(text: str) -> Iterable[ManifestObject]:
    match = _SOURCE.search(text)
    source = clean(match[1], 400) if match else ""
    try:
        content = loaded(text.encode(errors="replace"), lenient=True)
    except ForeignYamlError as error:
        raise HelmError("RenderFailed", f"{source or 'the manifest'}: {error}") from error
    if content is None:
        return ()
    return [_object(each, source) for each in _members(content)]


def _members(content: Any) -> list[Any]:
    """Itself, or what is in it if it is a List."""
    if isinstance(content, dict) and str(content.get("kind", "")).endswith("List") and "metadata" not in content:
        items = content.get("items")
        return items if isinstance(items, list) else []
    if isinstance(content, dict) and content.get("kind") == "List":
        return content["items"] if isinstance(content.get("items"), list) else []
    return [content]


def _object(content: Any, source: str) -> ManifestObject:
    metadata = content.get("metadata") if isinstance(content, dict) else None
    if not isinstance(metadata, dict):
        raise HelmError("RenderFailed", f"{source or 'the manifest'}: a document is no object: it has no metadata")
    identity = Identity(
        *(
            clean(str(each or ""), 253)
            for each in (
                content.get("apiVersion"),
                content.get("kind"),
                metadata.get("namespace"),
                metadata.get("name"),
            )
        )
    )
    if not (identity.api_version and identity.kind and (identity.name or metadata.get("generateName"))):
        raise HelmError("RenderFailed", f"{source or 'the manifest'}: an object has no apiVersion, kind or name")
    return ManifestObject(
        identity,
        source,
        content,
        events=_words(metadata, HOOK),
        delete_policies=_words(metadata, HOOK_DELETE),
        kept=_words(metadata, KEEP) == ("keep",),
    )


def _words(metadata: Document, annotation: str) -> tuple[str, ...]:
    annotations = metadata.get("annotations")
    text = annotations.get(annotation) if isinstance(annotations, dict) else None
    return (
        tuple(word for each in text.split(",") if (word := clean(each.strip().lower(), 63)))
        if isinstance(text, str)
        else ()
    )
