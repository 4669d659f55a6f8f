"""A document is made to fit a structural schema."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.admission import conform
from skerry.api.structural import LIST_KEYS, LIST_TYPE, PRESERVE, Schema

TEXT: Schema = {"type": "string"}
ITEM: Schema = {
    "type": "object",
    "properties": {"name": TEXT, "size": {"type": "integer", "default": 1}},
    "required": ["name"],
}
SCHEMA: Schema = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "properties": {
                "mode": {"type": "string", "enum": ["a", "b"], "default": "a"},
                "count": {"type": "integer"},
                "share": {"type": "number"},
                "maybe": {"type": "string", "nullable": True, "default": "x"},
                "labels": {"type": "object", "additionalProperties": TEXT},
                "plain": {"type": "array", "items": ITEM},
                "marks": {"type": "array", "items": TEXT, LIST_TYPE: "set"},
                "items": {"type": "array", "items": ITEM, LIST_TYPE: "map", LIST_KEYS: ["name"]},
                "any": {PRESERVE: True},
            },
        },
    },
}


def spec(**fields: Any) -> dict[str, Any]:
    return {"spec": fields}


# Unknown fields


def test_unknown_fields_are_dropped_and_named() -> None:
    given = {"x": 1, **spec(mode="a", y=1, labels={"k": "v"}, plain=[{"name": "n", "z": 1}], any={"w": 1})}
    kept, dropped = conform.pruned(SCHEMA, given)
    assert kept == spec(mode="a", labels={"k": "v"}, plain=[{"name": "n"}], any={"w": 1})
    assert dropped == ["x", "spec.y", "spec.plain[0].z"]


def test_what_is_stored_already_stays() -> None:
    old = spec(y=1, plain=[{"name": "n", "z": 1}])
    kept, dropped = conform.pruned(SCHEMA, spec(y=2, plain=[{"name": "n", "z": 2}, {"name": "m", "z": 3}]), old)
    assert kept == spec(y=2, plain=[{"name": "n", "z": 2}, {"name": "m"}])
    assert dropped == ["spec.plain[1].z"]


def test_items_with_keys_are_recognised_wherever_they_stand() -> None:
    old = spec(items=[{"name": "n", "z": 1}])
    kept, dropped = conform.pruned(SCHEMA, spec(items=[{"name": "m", "z": 1}, {"name": "n", "z": 1}]), old)
    assert kept == spec(items=[{"name": "m"}, {"name": "n", "z": 1}])
    assert dropped == ["spec.items[0].z"]


def test_metadata_has_rules_of_its_own() -> None:
    assert conform.pruned(SCHEMA, {"metadata": {"zz": 1}}) == ({"metadata": {"zz": 1}}, [])


@pytest.mark.parametrize(
    "old", [{"spec": 1}, {"spec": {"plain": 1}}, {"spec": {"plain": [1]}}, {"spec": {"items": [1]}}, {}]
)
def test_something_else_that_is_stored_changes_nothing(old: Any) -> None:
    given = spec(plain=[{"name": "n", "z": 1}, 2], items=[{"name": "n", "z": 1}, 2])
    assert conform.pruned(SCHEMA, given, old)[0] == spec(plain=[{"name": "n"}, 2], items=[{"name": "n"}, 2])


# Nulls and defaults


def test_nulls_go_where_null_is_no_value() -> None:
    given = spec(mode=None, maybe=None, any=None, strange=None, labels={"a": None, "b": "c"}, plain=[{"name": None}])
    assert conform.without_nulls(SCHEMA, given) == spec(
        maybe=None, any=None, strange=None, labels={"b": "c"}, plain=[{}]
    )


def test_defaults_are_filled_in_at_every_depth() -> None:
    given = spec(plain=[{"name": "n"}, "odd"], mode=None, maybe=None, strange={"a": 1.0})
    assert conform.defaulted(SCHEMA, given) == spec(
        plain=[{"name": "n", "size": 1}, "odd"], mode="a", maybe=None, strange={"a": 1.0}
    )


@pytest.mark.parametrize(("value", "after"), [
    (1.0, 1), (-2.0, -2), (1.5, 1.5), (2.0**62, 2**62), (2.0**63, 2.0**63), (-(2.0**63), -(2**63)), (1e300, 1e300),
    (float("inf"), float("inf")), (True, True), ("1", "1"),
])  # fmt: skip
def test_a_whole_number_is_an_integer(value: object, after: object) -> None:
    found = conform.defaulted(SCHEMA, spec(count=value))["spec"]["count"]
    assert (found, type(found)) == (after, type(after))
    assert conform.defaulted(SCHEMA, spec(share=value))["spec"]["share"] == value


# Checks

ODD = [
    (spec(), None),
    (spec(mode="b", count=1, share=1, maybe=None, labels={"a": "b"}, any=[None]), None),
    ({}, ("spec", "FieldValueRequired")),
    (spec(plain=[{"size": 1}]), ("spec.plain[0].name", "FieldValueRequired")),
    (spec(mode="c"), ("spec.mode", "FieldValueNotSupported")),
    (spec(count=1.5), ("spec.count", "FieldValueTypeInvalid")),
    (spec(count=True), ("spec.count", "FieldValueTypeInvalid")),
    (spec(share=True), ("spec.share", "FieldValueTypeInvalid")),
    (spec(share="1"), ("spec.share", "FieldValueTypeInvalid")),
    (spec(count=None), ("spec.count", "FieldValueTypeInvalid")),
    (spec(labels=[]), ("spec.labels", "FieldValueTypeInvalid")),
    (spec(labels={"a": 1}), ("spec.labels.a", "FieldValueTypeInvalid")),
    (spec(plain={}), ("spec.plain", "FieldValueTypeInvalid")),
    (spec(marks=["a", "b", "a"]), ("spec.marks[2]", "FieldValueDuplicate")),
    (spec(items=[{"name": "a"}, {"name": "a"}]), ("spec.items[1]", "FieldValueDuplicate")),
    (spec(items=[{"name": "a"}, {"name": "b"}]), None),
    (spec(plain=[{"name": "a"}, {"name": "a"}]), None),
]


@pytest.mark.parametrize(("document", "broken"), ODD)
def test_a_rule_that_is_broken_is_named(document: dict[str, Any], broken: tuple[str, str] | None) -> None:
    found = [(problem.field, problem.reason) for problem in conform.problems(SCHEMA, document)]
    assert found == ([] if broken is None else [broken])


def test_items_of_a_map_are_objects() -> None:
    found = conform.problems(SCHEMA, spec(items=["a", {"name": "b"}, {"name": "b"}]))
    assert [(problem.field, problem.reason) for problem in found] == [
        ("spec.items[0]", "FieldValueTypeInvalid"),
        ("spec.items[0]", "FieldValueInvalid"),
    ]
    assert [problem.reason for problem in conform.problems(SCHEMA, spec(items=[None]))] == ["FieldValueTypeInvalid"]


def test_an_item_is_named_by_all_of_its_keys() -> None:
    schema = {**SCHEMA["properties"]["spec"]["properties"]["items"], LIST_KEYS: ["name", "size"]}
    whole = {"type": "object", "properties": {"l": schema}}
    assert not conform.problems(whole, {"l": [{"name": "a", "size": 1}, {"name": "a", "size": 2}, {"name": "a"}]})
    assert conform.problems(whole, {"l": [{"name": "a"}, {"name": "a"}]})[0].message == (
        'Duplicate value: {"name":"a","size":null}'
    )


def test_problems_are_worded_as_the_api_server_words_them() -> None:
    assert conform.required("a").message == "Required value"
    assert conform.required("a", "b").message == "Required value: b"
    assert conform.forbidden("a", "b") == ("a", "Forbidden: b", "FieldValueForbidden")
    assert conform.unsupported("a", "x", ("b", "c")).message == 'Unsupported value: "x": supported values: "b", "c"'
    assert conform.invalid_value("a", None, "no").message == "Invalid value: null: no"
    assert conform.problems(SCHEMA, spec(count="x"))[0].message == (
        'Invalid value: "string": spec.count in body must be of type integer: "string"'
    )
