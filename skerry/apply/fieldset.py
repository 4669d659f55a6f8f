"""Sets of fields, and how managedFields writes them (FieldsV1). Pure.

A path is a tuple of elements in FieldsV1's own notation: `f:spec`, `k:{"name":"a"}`, `v:"x"`, `i:0`. A set holds exactly
the paths that are owned; an object whose children alone are owned is not in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

import msgspec

from skerry.api.decode import decoded

Path: TypeAlias = tuple[str, ...]
FieldSet: TypeAlias = frozenset[Path]

_encode = msgspec.json.Encoder(order="deterministic").encode
DEEPEST = 64
"""Levels of a FieldsV1 that a client may send."""


def name(key: str) -> str:
    """The element of a map's key."""
    return f"f:{key}"


def value(item: Any) -> str:
    """The element of an item in a set."""
    return f"v:{_encode(item).decode()}"


def keys(values: dict[str, Any]) -> str:
    """The element of an item in a list that is told apart by keys."""
    return f"k:{_encode(values).decode()}"


def encode(fields: Iterable[Path]) -> dict[str, Any]:
    """FieldsV1."""
    root: dict[str, Any] = {}
    for path in sorted(fields):
        node = root
        for element in path[:-1]:
            node = node.setdefault(element, {})
        leaf = node.setdefault(path[-1], {})
        if leaf:
            leaf["."] = {}
    return _dotted(root, frozenset(fields), ())


def _dotted(node: dict[str, Any], fields: FieldSet, path: Path) -> dict[str, Any]:
    """`node` with "." where an owned field has owned children."""
    own: dict[str, Any] = {".": {}} if node and path in fields else {}
    return own | {key: _dotted(child, fields, (*path, key)) for key, child in node.items() if key != "."}


def decode(document: Any) -> FieldSet:
    """The set in a FieldsV1. ValueError if it is none."""
    return frozenset(_decode(document, ()))


def _decode(node: Any, path: Path) -> Iterable[Path]:
    if not isinstance(node, dict) or len(path) > DEEPEST:
        raise ValueError("this is not FieldsV1")
    for key, child in node.items():
        if key == ".":
            if path:
                yield path
            continue
        element = (*path, _canonical(key))
        if child == {}:
            yield element
        else:
            yield from _decode(child, element)


def _canonical(element: str) -> str:
    kind, separator, rest = element.partition(":")
    if not separator or kind not in ("f", "k", "v", "i"):
        raise ValueError(f"{element[:40]!r} is not an element of FieldsV1")
    if kind == "f":
        return element
    return f"{kind}:{_encode(decoded(rest)).decode()}"


def text(path: Path) -> str:
    """A path as messages show it: `.spec.members[kind="User",name="al"].role`."""
    return "".join(_text(element) for element in path)


def _text(element: str) -> str:
    kind, _, rest = element.partition(":")
    if kind == "f":
        return f".{rest}"
    if kind == "i":
        return f"[{rest}]"
    if kind == "v":
        return f"[={rest}]"
    keys = decoded(rest)
    return "[" + ",".join(f"{key}={_encode(each).decode()}" for key, each in sorted(keys.items())) + "]"


class Tree(NamedTuple):
    """A set by its first elements: those that are in it, and what is below each."""

    members: frozenset[str]
    children: dict[str, Tree]


def tree(fields: Iterable[Path]) -> Tree:
    """The set as a tree, to walk it along with a document."""
    members: set[str] = set()
    below: dict[str, list[Path]] = {}
    for path in fields:
        if len(path) == 1:
            members.add(path[0])
        else:
            below.setdefault(path[0], []).append(path[1:])
    return Tree(frozenset(members), {key: tree(paths) for key, paths in below.items()})
