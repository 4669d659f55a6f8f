"""Types of fields, from the Structs of kinds."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest

from skerry.api.structural import list_map, list_set
from skerry.apply.schema import DEDUCED, METADATA, Deduced, List, Map, Scalar, of_key, shape, type_of


class Item(msgspec.Struct):
    name: str
    size: int = 0


class Thing(msgspec.Struct):
    title: str = ""
    count: int = 0
    share: float = 0.0
    on: bool = False
    labels: dict[str, str] = {}
    plain: list[str] = []
    marks: Annotated[list[str], list_set("marks")] = []
    items: Annotated[list[Item], list_map("items", "name")] = []
    anything: Any = None


ITEM = Map({"name": Scalar("string"), "size": Scalar("numeric")})


@pytest.mark.parametrize(
    ("field", "declared"),
    [
        ("title", Scalar("string")),
        ("count", Scalar("numeric")),
        ("share", Scalar("numeric")),
        ("on", Scalar("boolean")),
        ("labels", Map(element=Scalar("string"))),
        ("plain", List(Scalar("string"))),
        ("marks", List(Scalar("string"), "set")),
        ("items", List(ITEM, "map", ("name",))),
        ("anything", DEDUCED),
        ("metadata", METADATA),
    ],
)
def test_a_field_has_the_type_that_its_struct_declares(field: str, declared: object) -> None:
    assert type_of(Thing).fields[field] == declared


def test_a_field_that_nobody_declared_is_deduced() -> None:
    assert of_key(type_of(Thing), "unheard") is DEDUCED
    assert of_key(Map(element=Scalar("string")), "any") == Scalar("string")
    assert of_key(type_of(Thing), "title") == Scalar("string")


@pytest.mark.parametrize(
    ("value", "deduced"),
    [({}, Map(element=DEDUCED)), ([], List(DEDUCED)), ("a", Scalar()), (1, Scalar()), (None, Scalar())],
)
def test_what_is_deduced_follows_the_value(value: object, deduced: object) -> None:
    assert shape(Deduced(), value) == deduced


def test_what_is_declared_does_not_look_at_the_value() -> None:
    assert shape(Scalar("string"), {}) == Scalar("string")
