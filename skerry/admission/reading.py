"""Reading JSON that a client sent: how deep it may be, keys that are there twice, and nulls as Go reads them. Pure."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import msgspec

from skerry.admission.conform import whole
from skerry.api.decode import decoded
from skerry.api.meta import Document
from skerry.apply.schema import METADATA, OWNER
from skerry.errors import BadRequest

DEEPEST = 64
"""Levels of a document; no kind has a third of them."""


def read_json(body: msgspec.Raw, what: str) -> Any:
    """Any JSON value. BadRequest begins with `what`."""
    try:
        value = decoded(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"{what}: {error}") from error
    if too_deep(value):
        raise BadRequest(f"{what}: it is nested deeper than {DEEPEST} levels")
    return value


def too_deep(value: Any) -> bool:
    """True if the steps here, which recurse, would go too far down; found without recursion."""
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


def without_nulls(value: Any) -> Any:
    """A value as Go decodes it into a struct: a field that is null is absent; a null in a list becomes an empty object.

    `value` is not nested too deep: see `read_json`.
    """
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [{} if item is None else without_nulls(item) for item in value]
    return {} if value is None else value


def with_metadata(document: Document) -> Document:
    """The document with metadata as Go decodes it into ObjectMeta: a null is absent, and so is what is missing.

    Labels, annotations and finalizers that are null are empty texts; an owner has its four names, empty or not; 1.0 is
    1. What is of a wrong type stays, and so does what nobody knows: it is looked at later.
    """
    metadata = document.get("metadata")
    if metadata is None:
        return {**document, "metadata": {}}
    if not isinstance(metadata, dict):
        return document
    filled = {key: value for key, value in metadata.items() if value is not None or key not in METADATA.fields}
    _empty_texts(filled)
    for key, names, fields in (("ownerReferences", _OWNER, OWNER_FIELDS), ("managedFields", {}, MANAGER_FIELDS)):
        if isinstance(filled.get(key), list):
            filled[key] = [_filled(each, names, fields) for each in filled[key]]
    for key in INTEGERS:
        if key in filled:
            filled[key] = whole(filled[key])
    return {**document, "metadata": filled}


def _empty_texts(metadata: Document) -> None:
    for key in ("labels", "annotations"):
        if isinstance(metadata.get(key), dict):
            metadata[key] = {name: "" if value is None else value for name, value in metadata[key].items()}
    if isinstance(metadata.get("finalizers"), list):
        metadata["finalizers"] = ["" if each is None else each for each in metadata["finalizers"]]


INTEGERS = ("generation", "deletionGracePeriodSeconds")
OWNER_FIELDS = tuple(OWNER.fields)
MANAGER_FIELDS = ("manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1", "subresource")
_OWNER = dict.fromkeys(OWNER_FIELDS[:4], "")


def _filled(value: Any, names: dict[str, str], fields: tuple[str, ...]) -> Any:
    if value is None or isinstance(value, dict):
        items = (value or {}).items()
        return {**names, **{key: item for key, item in items if item is not None or key not in fields}}
    return value


class _Object(dict[str, Any]):
    """A JSON object that remembers keys that came twice."""

    repeated: tuple[str, ...] = ()


def _pairs(pairs: list[tuple[str, Any]]) -> _Object:
    keys = _Object(pairs)
    if len(keys) < len(pairs):
        times = Counter(key for key, _ in pairs)
        keys.repeated = tuple(sorted(key for key in times if times[key] > 1))
    return keys


def repeated(body: bytes) -> list[str]:
    """Paths of keys that a JSON document, which could be read, names twice; the last one counts. Its numbers are left as
    text: Python refuses integers of more than 4,300 digits.
    """
    paths: list[str] = []
    _collect(json.loads(body, object_pairs_hook=_pairs, parse_int=str, parse_float=str), "", paths)
    return paths


def _collect(value: Any, path: str, paths: list[str]) -> None:
    if isinstance(value, _Object):
        prefix = f"{path}." if path else ""
        paths += [prefix + key for key in value.repeated]
        for key, item in value.items():
            _collect(item, prefix + key, paths)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _collect(item, f"{path}[{index}]", paths)
