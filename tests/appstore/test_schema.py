"""A schema that reaches out, or that never ends, is refused before Helm reads it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.appstore.metadata import ChartError
from services.appstore.schema import DEEPEST, check


def nested(levels: int) -> Any:
    schema: Any = {}
    for _ in range(levels):
        schema = {"not": schema}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"},
        {"$schema": "https://json-schema.org/draft/2020-12/schema"},
        {"$ref": "#/definitions/a", "definitions": {"a": {"type": "object"}}},
        {"properties": {"tree": {"$ref": "#"}}},
        {"$defs": {"a/b": {"$ref": "#/$defs/c~0d"}, "c~d": {}}, "$ref": "#/$defs/a~1b"},
        {"allOf": [{"$ref": "#/allOf/1"}, {}]},
        {"$ref": "#anchor"},
        {"$ref": "#/nowhere/9/x", "nowhere": [1]},
        {"properties": {"$ref": {"type": "string"}}},
        {"properties": {"$schema": {"type": "string"}}},
        {"$defs": {"a": {"$ref": 5}}, "$ref": "#/$defs/a"},
        {"$defs": {"a": True}, "$ref": "#/$defs/a"},
        nested(DEEPEST - 1),
    ],
)
def test_a_schema_that_stays_within_itself_is_taken(schema: Any) -> None:
    check(json.dumps(schema).encode())


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"$ref": "file:///etc/passwd"}, "SchemaReference"),
        ({"$ref": "http://169.254.169.254/latest"}, "SchemaReference"),
        ({"$ref": "other.json#/a"}, "SchemaReference"),
        ({"properties": {"a": {"items": [{"$ref": "/etc/passwd"}]}}}, "SchemaReference"),
        ({"$dynamicRef": "https://x"}, "SchemaReference"),
        ({"$recursiveRef": "x"}, "SchemaReference"),
        ({"$ref": ""}, "SchemaReference"),
        ({"$ref": "#"}, "SchemaReference"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, "SchemaReference"),
        ({"$schema": "http://evil.example/schema"}, "BadSchema"),
        ({"properties": {"a": {"$schema": "file:///etc/passwd"}}}, "BadSchema"),
        ([], "BadSchema"),
        (True, "BadSchema"),
        (nested(DEEPEST), "BadSchema"),
    ],
)
def test_what_reaches_out_or_never_ends_is_refused(schema: Any, reason: str) -> None:
    with pytest.raises(ChartError) as caught:
        check(json.dumps(schema).encode())
    assert caught.value.reason == reason


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 200_000, b'{"a":' * 200_000])
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(ChartError, match=r"values\.schema\.json"):
        check(text)
