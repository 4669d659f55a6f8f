"""Fields that a kind's type does not have: what `fieldValidation=Strict` refuses. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect


def unknown(kind: type[msgspec.Struct], document: object) -> list[str]:
    """Paths of the fields in `document` that `kind` does not declare, such as `spec.colour`."""
    return list(_unknown(inspect.type_info(kind), document, ""))


def _unknown(info: inspect.Type, value: object, path: str) -> Iterator[str]:
    if isinstance(info, inspect.Metadata):
        yield from _unknown(info.type, value, path)
    elif isinstance(info, inspect.UnionType):
        for member in info.types:
            if isinstance(member, inspect.StructType | inspect.ListType | inspect.DictType):
                yield from _unknown(member, value, path)
    elif isinstance(info, inspect.StructType) and isinstance(value, dict):
        yield from _of_struct(info, value, path)
    elif isinstance(info, inspect.ListType) and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown(info.item_type, item, f"{path}[{index}]")
    elif isinstance(info, inspect.DictType) and isinstance(value, dict):
        for key, item in value.items():
            yield from _unknown(info.value_type, item, f"{path}.{key}" if path else str(key))


def _of_struct(info: inspect.StructType, value: dict[str, Any], path: str) -> Iterator[str]:
    declared = {field.encode_name: field.type for field in info.fields}
    for key, item in value.items():
        where = f"{path}.{key}" if path else key
        if key in declared:
            yield from _unknown(declared[key], item, where)
        else:
            yield where
