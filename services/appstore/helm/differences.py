"""How two manifests differ, object by object, as text that people may see: the values of Secrets are left out. Pure.

Only what differs is written out: writing YAML is the slow part.
"""

from __future__ import annotations

import base64
import difflib
from collections.abc import Collection, Iterable
from typing import Any, Literal, NamedTuple, TypeAlias

import yaml

from services.appstore.helm.failures import MASK
from services.appstore.helm.failures import masked as without_secrets
from services.appstore.helm.manifest import Identity, ManifestObject
from skerry.api.meta import Document

Change: TypeAlias = Literal["Added", "Removed", "Changed"]
LONGEST_OBJECT = 5_000
"""Lines of an object that are compared one by one; of a longer one it is only said that it differs."""
LARGEST = 1 << 20
"""Characters of all texts."""
MASKED, BEFORE, AFTER = "<masked>", "<masked, before>", "<masked, after>"


class Difference(NamedTuple):
    """An object that is in one manifest alone, or in both in different ways."""

    identity: Identity
    change: Change
    text: str
    """As `diff -u` writes it."""


def differences(
    before: Iterable[ManifestObject],
    after: Iterable[ManifestObject],
    namespace: str,
    secrets: Collection[str] = (),
) -> tuple[Difference, ...]:
    """How `after` differs from `before`, in the order of `after`, then what is gone. Both are of a release in `namespace`.

    Texts that are in `secrets` are masked wherever they stand.
    """
    old, new = _by_key(before, namespace), _by_key(after, namespace)
    room = LARGEST
    every = []
    for key in (*new, *(each for each in old if each not in new)):
        difference = _difference(old.get(key), new.get(key))
        if difference is not None:
            text = without_secrets(difference.text, secrets)
            every.append(difference._replace(text=text if len(text) <= room else "(too much to show)\n"))
            room = max(0, room - len(text))
    return tuple(every)


def shown(content: Document, other: Document | None = None) -> Document:
    """An object as people may see it: of a Secret the values are left out, and whether they are those of `other` stays."""
    return _shown(content, other, BEFORE)


def worded(manifest: str, texts: Iterable[str]) -> str:
    """A manifest in which the word stands that what would be is rendered with, as it is and as Secrets have it."""
    for text in sorted(texts, key=len, reverse=True):
        manifest = manifest.replace(text, MASK).replace(_base64(text), _base64(MASK))
    return manifest


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def whole(objects: Iterable[ManifestObject], secrets: Collection[str] = ()) -> str:
    """Objects as YAML that people may see."""
    texts = (yaml.safe_dump(shown(each.content), sort_keys=False, allow_unicode=True) for each in objects)
    return without_secrets("".join(f"---\n{text}" for text in texts), secrets)


def _by_key(objects: Iterable[ManifestObject], namespace: str) -> dict[tuple[str, ...], ManifestObject]:
    """By what makes an object the same one: its version is not part of that."""
    return {
        (each.identity.group, each.identity.kind, each.identity.namespace or namespace, each.identity.name): each
        for each in objects
    }


def _difference(old: ManifestObject | None, new: ManifestObject | None) -> Difference | None:
    before, after = old and old.content, new and new.content
    if before == after:
        return None
    here = new or old
    assert here is not None  # noqa: S101 - one of them is there
    change: Change = "Changed" if old and new else "Added" if new else "Removed"
    texts = (
        _lines(_shown(before, after, BEFORE) if before is not None else None),
        _lines(_shown(after, before, AFTER) if after is not None else None),
    )
    name = str(here.identity)
    if max(map(len, texts)) > LONGEST_OBJECT:
        return Difference(here.identity, change, f"--- {name}\n+++ {name}\n(too long to show)\n")
    text = "\n".join(difflib.unified_diff(*texts, fromfile=name, tofile=name, lineterm=""))
    return Difference(here.identity, change, f"{text}\n")


def _shown(content: Document, other: Document | None, differing: str) -> Document:
    if (content.get("apiVersion"), content.get("kind")) != ("v1", "Secret"):
        return content
    return {
        key: _masked(value, (other or {}).get(key), differing) if key in ("data", "stringData") else value
        for key, value in content.items()
    }


def _masked(values: Any, others: Any, differing: str) -> Any:
    if not isinstance(values, dict):
        return MASKED
    others = others if isinstance(others, dict) else {}
    return {key: differing if key in others and others[key] != value else MASKED for key, value in values.items()}


def _lines(content: Document | None) -> list[str]:
    if content is None:
        return []
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1 << 20)
    return text.splitlines()


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
