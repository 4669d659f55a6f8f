"""A chart's values.schema.json, before Helm reads it: schemas that reach out, or that never end, are refused. Pure.

Helm's library fetches what a `$ref` or a `$schema` names, over http and from files. So they may name only what is in the schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import msgspec

from services.appstore.metadata import ChartError
from skerry.api.decode import decoded

DEEPEST = 100
MOST_HOPS = 100
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_DIALECTS = (
    "json-schema.org/draft-04/schema", "json-schema.org/draft-06/schema", "json-schema.org/draft-07/schema",
    "json-schema.org/draft/2019-09/schema", "json-schema.org/draft/2020-12/schema", "json-schema.org/schema",
)  # fmt: skip


def check(text: bytes) -> None:
    """ChartError for a schema that is not taken."""
    try:
        schema = decoded(text)
    except msgspec.DecodeError as error:
        raise ChartError("BadSchema", f"values.schema.json: {error}") from error
    if not isinstance(schema, dict):
        raise ChartError("BadSchema", "values.schema.json: a schema is an object")
    for node in _nodes(schema):
        for key in _REFERENCES:
            if isinstance(reference := node.get(key), str):
                _check_reference(schema, key, reference)
        if isinstance(dialect := node.get("$schema"), str):
            _check_dialect(dialect)


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Every object in it. ChartError if it is too deep."""
    level: list[Any] = [schema]
    for _ in range(DEEPEST):
        yield from (each for each in level if isinstance(each, dict))
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise ChartError("BadSchema", f"values.schema.json: it is nested deeper than {DEEPEST} levels")


def _check_dialect(dialect: str) -> None:
    if dialect.partition("#")[0].removeprefix("https://").removeprefix("http://") not in _DIALECTS:
        raise ChartError(
            "BadSchema", f"values.schema.json: $schema is {dialect[:80]!r}, which is none of json-schema.org"
        )


def _check_reference(schema: dict[str, Any], key: str, reference: str) -> None:
    if not reference.startswith("#"):
        raise ChartError(
            "SchemaReference",
            f"values.schema.json: {key} is {reference[:80]!r}: a schema may refer to its own parts alone (#/...)",
        )
    place = reference
    for _ in range(MOST_HOPS):
        target = _pointed(schema, place)
        place = target.get("$ref", "") if isinstance(target, dict) else ""
        if not isinstance(place, str) or not place.startswith("#"):
            return
    raise ChartError("SchemaReference", f"values.schema.json: {key} {reference[:80]!r} leads to itself")


def _pointed(schema: Any, reference: str) -> Any:
    """What a JSON pointer (RFC 6901) in a fragment is about; None for an anchor, and for nothing."""
    target = schema
    for part in unquote(reference[1:]).split("/")[1:]:
        token = part.replace("~1", "/").replace("~0", "~")
        if isinstance(target, dict):
            target = target.get(token)
        elif isinstance(target, list) and token.isascii() and token.isdigit() and int(token[:6]) < len(target):
            target = target[int(token[:6])]
        else:
            return None
    return target if reference in ("#", "") or reference.startswith("#/") else None
