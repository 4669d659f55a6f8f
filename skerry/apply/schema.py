"""Types of fields as merging sees them, from a structural schema. Pure.

What is not declared is deduced from its value: maps are merged key by key, lists are one value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

import msgspec

from skerry.api.structural import LIST_KEYS, LIST_TYPE, MAP_TYPE, PRESERVE, Schema, structural


@dataclass(frozen=True)
class Scalar:
    """A value without parts; `name` is what messages call it, empty for any."""

    name: str = ""


@dataclass(frozen=True)
class Deduced:
    """Whatever the value is."""


@dataclass(frozen=True)
class Map:
    """Declared `fields`, and `element` for all other keys (None: there are none). `atomic`: owned as a whole."""

    fields: Mapping[str, Type] = field(default_factory=dict)
    element: Type | None = None
    atomic: bool = False


@dataclass(frozen=True)
class List:
    """`relation` is atomic, set or map; `keys` tell the items of a map apart."""

    element: Type
    relation: str = "atomic"
    keys: tuple[str, ...] = ()


Type: TypeAlias = Scalar | Deduced | Map | List

DEDUCED = Deduced()
_STRING = Scalar("string")
_NUMBER = Scalar("numeric")

OWNER = Map(
    {
        **dict.fromkeys(("apiVersion", "kind", "name", "uid"), _STRING),
        **dict.fromkeys(("controller", "blockOwnerDeletion"), Scalar("boolean")),
    },
    atomic=True,
)
"""meta/v1 OwnerReference."""
METADATA = Map(
    {
        "name": _STRING,
        "generateName": _STRING,
        "namespace": _STRING,
        "selfLink": _STRING,
        "uid": _STRING,
        "resourceVersion": _STRING,
        "generation": _NUMBER,
        "creationTimestamp": Scalar(),
        "deletionTimestamp": Scalar(),
        "deletionGracePeriodSeconds": _NUMBER,
        "labels": Map(element=_STRING),
        "annotations": Map(element=_STRING),
        "ownerReferences": List(OWNER, "map", ("uid",)),
        "finalizers": List(_STRING, "set"),
        "managedFields": List(DEDUCED),
    }
)
"""meta/v1 ObjectMeta, with the merge strategies that Kubernetes declares for it."""


@cache
def type_of(kind: type[msgspec.Struct]) -> Map:
    """The type of a kind's objects."""
    declared = _type(structural(kind))
    if not isinstance(declared, Map):
        raise TypeError(f"{kind.__name__} is no object")
    return Map({**declared.fields, "metadata": METADATA})


def _type(schema: Schema) -> Type:
    if schema.get(PRESERVE):
        return DEDUCED
    kind = schema.get("type")
    if kind == "object":
        return _map(schema)
    if kind == "array":
        return List(_type(schema["items"]), schema.get(LIST_TYPE, "atomic"), tuple(schema.get(LIST_KEYS, ())))
    return Scalar({"integer": "numeric", "number": "numeric"}.get(str(kind), str(kind)))


def _map(schema: Schema) -> Map:
    element = schema.get("additionalProperties")
    return Map(
        {name: _type(each) for name, each in schema.get("properties", {}).items()},
        None if element is None else _type(element),
        schema.get(MAP_TYPE) == "atomic",
    )


def shape(declared: Type, value: Any) -> Scalar | Map | List:
    """`declared`, or what is deduced from the value."""
    if not isinstance(declared, Deduced):
        return declared
    if isinstance(value, dict):
        return Map(element=DEDUCED)
    return List(DEDUCED) if isinstance(value, list) else Scalar()


def of_key(parent: Map, key: str) -> Type:
    """The type of one key's value; deduced if it is not declared."""
    return parent.fields.get(key) or parent.element or DEDUCED
