"""Paths into documents, such as `spec.connection.mode`: reading them, and whether a Struct has them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from skerry.api.meta import Document


def at(path: str) -> Callable[[Document], Any]:
    """A function that reads the value at `path` of a document; None where it is absent. An empty path is the document."""
    if not path:
        return lambda document: document
    names = path.split(".")
    if len(names) == 2:
        return _within(*names)

    def read(document: Document) -> Any:
        value: Any = document
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    return read


def _within(outer: str, inner: str) -> Callable[[Document], Any]:
    """`at` for two names, which nearly all paths have: a list of thousands of rows reads each of them."""

    def read(document: Document) -> Any:
        value = document.get(outer)
        return value.get(inner) if isinstance(value, dict) else None

    return read


def has(shape: type[msgspec.Struct], path: str) -> bool:
    """True if documents of a Struct may have a value at `path`, whose names are those on the wire."""
    name, _, rest = path.partition(".")
    if name not in shape.__struct_encode_fields__:
        return False
    if not rest:
        return True
    inner = _fields(shape)[name]
    if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
        return has(inner, rest)
    return inner is Any or get_origin(inner) is dict


@lru_cache(maxsize=256)
def _fields(shape: type[msgspec.Struct]) -> dict[str, Any]:
    """Types of the fields by their names on the wire, without what else the annotations say."""
    hints = get_type_hints(shape)
    encoded = zip(shape.__struct_fields__, shape.__struct_encode_fields__, strict=True)
    return {wire: _present(hints[name]) for name, wire in encoded}


def _present(hint: Any) -> Any:
    """The type of a field that is there: without None and UNSET."""
    options = [each for each in get_args(hint) if each not in (NoneType, msgspec.UnsetType)]
    return options[0] if get_origin(hint) is not dict and len(options) < len(get_args(hint)) else hint
