"""The structural schema of a kind, made from its Struct: what CustomResourceDefinitions call `openAPIV3Schema`.

One description drives pruning, defaulting, validation, field ownership of server-side apply, and the
CustomResourceDefinitions that are loaded into a real API server to compare with. A field's default is written into
objects when it is a scalar that says something: an empty string, `False`, 0, an empty list and UNSET mean "absent".
Keys of lists are declared on the Struct, in Kubernetes' own words: see `list_map` and `list_set`. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import inspect

from skerry.api.validation import LABEL, LONGEST_LABEL

Schema = dict[str, Any]

LIST_TYPE = "x-kubernetes-list-type"
LIST_KEYS = "x-kubernetes-list-map-keys"
MAP_TYPE = "x-kubernetes-map-type"
PRESERVE = "x-kubernetes-preserve-unknown-fields"


def list_map(text: str, *keys: str) -> msgspec.Meta:
    """A described list whose items are told apart by `keys`, so that several managers can each own some."""
    return msgspec.Meta(description=text, extra_json_schema={LIST_TYPE: "map", LIST_KEYS: list(keys)})


def list_set(text: str) -> msgspec.Meta:
    """A described list of scalars without repetitions, each of which can be owned by another manager."""
    return msgspec.Meta(description=text, extra_json_schema={LIST_TYPE: "set"})


def one_of(text: str, *values: str) -> msgspec.Meta:
    """A described string that is one of `values`."""
    return msgspec.Meta(description=text, extra_json_schema={"enum": list(values)})


def structural(kind: type[msgspec.Struct]) -> Schema:
    """The schema of a kind's objects; apiVersion, kind and metadata are there without their contents."""
    schema = _schema(inspect.type_info(kind))
    schema["properties"] |= {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
    }
    required = [name for name in schema.pop("required", []) if name != "metadata"]
    return {**schema, "required": required} if required else schema


LABEL_NAME: Schema = {"type": "string", "maxLength": LONGEST_LABEL, "pattern": f"^{LABEL}$"}
"""The schema of `metadata.name` where names are DNS labels."""


def _schema(info: inspect.Type) -> Schema:
    if isinstance(info, inspect.Metadata):
        return {**_schema(info.type), **(info.extra_json_schema or {})}
    if isinstance(info, inspect.UnionType):
        return _union(info)
    if isinstance(info, inspect.StructType):
        return _struct(info)
    if isinstance(info, inspect.DictType) and isinstance(info.value_type, inspect.AnyType):
        return {"type": "object", PRESERVE: True}  # so that a null in it is kept: additionalProperties would lose it
    if isinstance(info, inspect.DictType):
        return {"type": "object", "additionalProperties": _schema(info.value_type)}
    if isinstance(info, inspect.ListType):
        return {"type": "array", "items": _schema(info.item_type)}
    if isinstance(info, inspect.AnyType):
        return {PRESERVE: True}
    return _scalar(info)


def _scalar(info: inspect.Type) -> Schema:
    scalars: Mapping[type[inspect.Type], Schema] = {
        inspect.StrType: {"type": "string"},
        inspect.BoolType: {"type": "boolean"},
        inspect.IntType: {"type": "integer"},
        inspect.FloatType: {"type": "number"},
    }
    schema = scalars.get(type(info))
    if schema is None:
        raise TypeError(f"{info} cannot be a field of a kind")
    return dict(schema)


def _union(info: inspect.UnionType) -> Schema:
    """A type that may be null. Anything else could not be told apart by a structural schema."""
    others = [each for each in info.types if not isinstance(each, inspect.NoneType)]
    if len(others) != 1:
        raise TypeError(f"{info} cannot be a field of a kind")
    nullable = {"nullable": True} if len(others) < len(info.types) else {}
    return {**_schema(others[0]), **nullable}


def _struct(info: inspect.StructType) -> Schema:
    properties = {field.encode_name: _field(field) for field in info.fields}
    schema: Schema = {"type": "object", "description": (info.cls.__doc__ or "").strip(), "properties": properties}
    required = [field.encode_name for field in info.fields if field.required]
    return {**schema, "required": required} if required else schema


def _field(field: inspect.Field) -> Schema:
    schema = _schema(field.type)
    if isinstance(field.default, str | int | float) and field.default:
        schema["default"] = field.default
    return schema
