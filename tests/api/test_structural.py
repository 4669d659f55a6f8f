"""The structural schema that a Struct declares."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import UNSET, UnsetType

from skerry.api.meta import ObjectMeta
from skerry.api.structural import PRESERVE, list_map, list_set, one_of, structural


class Inner(msgspec.Struct, rename="camel"):
    """What is inside."""

    long_name: str
    size: int = 0


class Spec(msgspec.Struct, rename="camel"):
    mode: Annotated[str, one_of("how", "a", "b")] = "a"
    count: int = 3
    share: float = 0.5
    on: bool = False
    empty: str = ""
    maybe: str | None = None
    later: str | UnsetType = UNSET
    labels: dict[str, str] = {}
    marks: Annotated[list[str], list_set("marks")] = []
    items: Annotated[list[Inner], list_map("items", "longName")] = []
    anything: Any = None


class Thing(msgspec.Struct, rename="camel"):
    metadata: ObjectMeta
    spec: Spec


FIELDS = structural(Thing)["properties"]["spec"]["properties"]


@pytest.mark.parametrize(
    ("field", "schema"),
    [
        ("mode", {"type": "string", "enum": ["a", "b"], "default": "a"}),
        ("count", {"type": "integer", "default": 3}),
        ("share", {"type": "number", "default": 0.5}),
        ("on", {"type": "boolean"}),
        ("empty", {"type": "string"}),
        ("maybe", {"type": "string", "nullable": True}),
        ("later", {"type": "string"}),
        ("labels", {"type": "object", "additionalProperties": {"type": "string"}}),
        ("marks", {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}),
        ("anything", {PRESERVE: True}),
    ],
)
def test_a_field_is_described_as_it_was_declared(field: str, schema: dict[str, Any]) -> None:
    assert {key: value for key, value in FIELDS[field].items() if key != "description"} == schema


def test_items_are_told_apart_by_the_keys_that_were_declared() -> None:
    items = FIELDS["items"]
    assert (items["x-kubernetes-list-type"], items["x-kubernetes-list-map-keys"]) == ("map", ["longName"])
    assert items["items"]["required"] == ["longName"]
    assert items["items"]["description"] == "What is inside."


def test_an_object_needs_what_its_struct_needs_but_metadata() -> None:
    schema = structural(Thing)
    assert schema["required"] == ["spec"]
    assert schema["properties"]["metadata"] == {"type": "object"}
    assert schema["properties"]["kind"] == schema["properties"]["apiVersion"] == {"type": "string"}


def test_an_object_that_needs_nothing_says_nothing_of_it() -> None:
    assert "required" not in structural(Spec)


@pytest.mark.parametrize("kind", [int | str, datetime, bytes, tuple[int, int], None])
def test_a_field_that_no_schema_can_describe_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match="cannot be a field of a kind"):
        structural(msgspec.defstruct("Odd", [("odd", kind)]))
