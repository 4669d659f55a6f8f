"""Reading JSON that a client sent: how deep it may be, keys that are there twice, and nulls as Go reads them. Pure."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from skerry.errors import BadRequest

Document = dict[str, Any]

DEEPEST = 64
"""Levels of a document; no kind has a third of them."""


def read_json(body: msgspec.Raw, what: str) -> Any:
    """Any JSON value. BadRequest begins with `what`."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"{what}: {error}") from error
    if too_deep(found):
        raise BadRequest(f"{what}: it is nested deeper than {DEEPEST} levels")
    return found


def too_deep(value: Any) -> bool:
    """Whether the steps here, which recurse, would go too far down; found without recursion."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(DEEPEST):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def without_null_labels(document: Document) -> Document:
    """A label or annotation that is null is an empty one, and no metadata is an empty one, as Go reads it."""
    found = document.get("metadata")
    if found is None:
        return {**document, "metadata": {}}
    if not isinstance(found, dict):
        return document
    changed = {
        key: {name: "" if value is None else value for name, value in found[key].items()}
        for key in ("labels", "annotations")
        if isinstance(found.get(key), dict)
    }
    return {**document, "metadata": {**found, **changed}}


class _Object(dict[str, Any]):
    """A JSON object that remembers keys that came twice."""

    repeated: tuple[str, ...] = ()


def _pairs(pairs: list[tuple[str, Any]]) -> _Object:
    found = _Object(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        found.repeated = tuple(sorted({key for key in keys if keys.count(key) > 1}))
    return found


def repeated(body: bytes) -> list[str]:
    """Paths of keys that a JSON document names twice; the last one counts."""
    found: list[str] = []
    _collect(json.loads(body, object_pairs_hook=_pairs), "", found)
    return found


def _collect(value: Any, path: str, found: list[str]) -> None:
    if isinstance(value, _Object):
        prefix = f"{path}." if path else ""
        found += [prefix + key for key in value.repeated]
        for key, item in value.items():
            _collect(item, prefix + key, found)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _collect(item, f"{path}[{index}]", found)
