"""Making a document fit a structural schema, as the API server does for custom resources. Pure.

Unknown fields are dropped, except those that the stored object has already: a newer replica may have put them there,
and an older one must not erase what it does not know. Then defaults are filled in, then everything is checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from skerry.api.meta import Document
from skerry.api.structural import LIST_KEYS, LIST_TYPE, PRESERVE, Schema


class FieldError(NamedTuple):
    """One broken rule: a metav1 CauseType, and its message as field.Error words it."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"


def invalid_value(field: str, value: Any, why: str) -> FieldError:
    """`Invalid value: <value>: <why>`."""
    return FieldError(field, f"Invalid value: {msgspec.json.encode(value).decode()}: {why}")


def required(field: str, why: str = "") -> FieldError:
    """`Required value`, and why."""
    return FieldError(field, f"Required value: {why}" if why else "Required value", "FieldValueRequired")


def forbidden(field: str, why: str) -> FieldError:
    """`Forbidden: <why>`."""
    return FieldError(field, f"Forbidden: {why}", "FieldValueForbidden")


def unsupported(field: str, value: Any, allowed: tuple[str, ...]) -> FieldError:
    """`Unsupported value`, with the allowed set."""
    named = ", ".join(f'"{each}"' for each in allowed)
    text = msgspec.json.encode(value).decode()
    return FieldError(field, f"Unsupported value: {text}: supported values: {named}", "FieldValueNotSupported")


# Unknown fields


def pruned(schema: Schema, new: Any, old: Any = None, path: str = "") -> tuple[Any, list[str]]:
    """`new` without fields that the schema does not have, unless `old` has them; the paths of what was dropped."""
    dropped: list[str] = []
    return _pruned(schema, new, old, path, dropped), dropped


def _pruned(schema: Schema, new: Any, old: Any, path: str, dropped: list[str]) -> Any:
    """Types are not looked at: the fields of an object where a text belongs are unknown as well."""
    if schema.get(PRESERVE):
        return new
    if isinstance(new, list):
        before = _by_key(schema, old if isinstance(old, list) else [])
        return [
            _pruned(schema.get("items", {}), item, before.get(_key(schema, item, index)), f"{path}[{index}]", dropped)
            for index, item in enumerate(new)
        ]
    if isinstance(new, dict):
        return _pruned_object(schema, new, old if isinstance(old, dict) else {}, path, dropped)
    return new


def without_nulls(schema: Schema, value: Any) -> Any:
    """`value` without the nulls of fields that cannot be null."""
    if isinstance(value, list) and "items" in schema:
        return [without_nulls(schema["items"], item) for item in value]
    if not isinstance(value, dict):
        return value
    properties, rest = schema.get("properties", {}), schema.get("additionalProperties")
    result = {}
    for key, item in value.items():
        declared = properties.get(key, rest)
        if declared is None or item is not None or declared.get("nullable") or _takes_anything(declared):
            result[key] = item if declared is None else without_nulls(declared, item)
    return result


def _takes_anything(schema: Schema) -> bool:
    return bool(schema.get(PRESERVE)) and "type" not in schema


def _pruned_object(schema: Schema, new: Document, old: Document, path: str, dropped: list[str]) -> Document:
    pruned: Document = {}
    properties, rest = schema.get("properties", {}), schema.get("additionalProperties")
    for key, value in new.items():
        where = f"{path}.{key}" if path else key
        declared = properties.get(key, rest)
        if declared is not None:
            closed = not (not path and key == "metadata")
            pruned[key] = _pruned(declared, value, old.get(key), where, dropped) if closed else value
        elif key in old:
            pruned[key] = value
        else:
            dropped.append(where)
    return pruned


def _key(schema: Schema, item: Any, index: int) -> Any:
    keys = schema.get(LIST_KEYS)
    if keys and isinstance(item, dict):
        return tuple(msgspec.json.encode(item.get(key)) for key in keys)
    return index


def _by_key(schema: Schema, items: list[Any]) -> dict[Any, Any]:
    return {_key(schema, item, index): item for index, item in enumerate(items)}


# Defaults


def whole(value: Any) -> Any:
    """The integer of 64 bits that a number such as 1.0 is, which Go writes as 1; anything else as it is."""
    fits = isinstance(value, float) and value.is_integer() and -(2**63) <= value < 2**63
    return int(value) if fits else value


def defaulted(schema: Schema, value: Any) -> Any:
    """`value` with the defaults of its absent fields; a null where there is a default counts as absent.

    An applied configuration keeps its other nulls: they are errors there, and absent fields in whole objects. 1.0 is an
    integer, and 1 from here on.
    """
    if schema.get("type") == "integer":
        return whole(value)
    if isinstance(value, list) and "items" in schema:
        return [defaulted(schema["items"], item) for item in value]
    if not isinstance(value, dict):
        return value
    properties, rest = schema.get("properties", {}), schema.get("additionalProperties")
    result = {}
    for key, item in value.items():
        declared = properties.get(key, rest) or {}
        if item is None and "default" in declared and not declared.get("nullable"):
            continue
        result[key] = defaulted(declared, item)
    for key, declared in properties.items():
        if "default" in declared and key not in result:
            result[key] = declared["default"]
    return result


# Checks


def problems(schema: Schema, document: Document) -> list[FieldError]:
    """The faults of a document: types and values first, then repetitions; metadata is not looked at."""
    top = {key: each for key, each in document.items() if key in schema["properties"] and key != "metadata"}
    errors = sorted(_problems(schema, top, ""), key=lambda problem: problem.field)
    return errors + list(_repetitions(schema, top, ""))


def _problems(schema: Schema, value: Any, path: str) -> Iterator[FieldError]:
    declared_type = schema.get("type")
    free = bool(schema.get(PRESERVE))
    if (free and declared_type is None) or (value is None and schema.get("nullable")):
        return
    if declared_type is not None and not _is(declared_type, value):
        actual_type = _type_name(value)
        text = f'Invalid value: "{actual_type}": {path} in body must be of type {declared_type}: "{actual_type}"'
        yield FieldError(path, text, "FieldValueTypeInvalid")
    elif isinstance(value, dict) and not free:
        yield from _object_problems(schema, value, path)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _problems(schema.get("items", {}), item, f"{path}[{index}]")
    if "enum" in schema and value not in schema["enum"]:
        yield unsupported(path, value, tuple(schema["enum"]))


def _object_problems(schema: Schema, value: Document, path: str) -> Iterator[FieldError]:
    prefix = f"{path}." if path else ""
    for key in schema.get("required", ()):
        if key not in value:
            yield required(prefix + key)
    properties, rest = schema.get("properties", {}), schema.get("additionalProperties")
    for key, item in value.items():
        declared = properties.get(key, rest)
        if declared is not None:
            yield from _problems(declared, item, prefix + key)


def _is(declared_type: str, value: Any) -> bool:
    if declared_type == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return _type_name(value) == declared_type


def _type_name(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names[type(value)]


def _repetitions(schema: Schema, value: Any, path: str) -> Iterator[FieldError]:
    """Items of sets and of lists with keys that are there twice."""
    prefix = f"{path}." if path else ""
    if isinstance(value, dict):
        for key, item in value.items():
            declared = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
            if declared is not None:
                yield from _repetitions(declared, item, prefix + key)
    elif isinstance(value, list):
        yield from _repeated(schema, value, path)
        for index, item in enumerate(value):
            yield from _repetitions(schema.get("items", {}), item, f"{path}[{index}]")


def _repeated(schema: Schema, items: list[Any], path: str) -> Iterator[FieldError]:
    relation, seen = schema.get(LIST_TYPE), set()
    if relation not in ("set", "map"):
        return
    for index, item in enumerate(items):
        if relation == "map" and not isinstance(item, dict):
            if item is not None:
                yield invalid_value(f"{path}[{index}]", item, "must be an object for an array of list-type map")
            return
        repeated = {key: item.get(key) for key in schema[LIST_KEYS]} if relation == "map" else item
        text = msgspec.json.encode(repeated, order="sorted").decode()
        if text in seen:
            yield FieldError(f"{path}[{index}]", f"Duplicate value: {text}", "FieldValueDuplicate")
        seen.add(text)
