"""JSON patch (RFC 6902) and JSON merge patch (RFC 7396). Pure; documents are copied, never changed.

As in the API server's library, `replace` of an absent key adds it, a value that is not given and what `copy` does not
find in an object are null, an index is what Go's Atoi takes, and a failed operation rejects the whole patch.
"""

from __future__ import annotations

import copy
import re
from typing import Any

import msgspec

from skerry.apply.typed import same

MOST_OPERATIONS = 10_000
"""As the API server limits them."""
MOST_COPIED_BYTES = 3_000_000
"""What all `copy` operations of one patch may add: a few dozen of them could double a document each time."""
_INDEX = re.compile(r"[-+]?[0-9]{1,18}\Z", re.ASCII)


class Rejected(ValueError):
    """A patch that does not apply; the text names the operation."""


def merge(document: Any, patch: Any) -> Any:
    """A JSON merge patch: null removes, lists are replaced, without the nulls of the objects in them."""
    if isinstance(patch, list):
        return [merge(None, item) for item in patch]
    if not isinstance(patch, dict):
        return patch
    merged = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def apply(document: Any, operations: list[Any]) -> Any:
    """A JSON patch. Rejected names the first operation that does not apply, counted from 0."""
    patched, copied = copy.deepcopy(document), 0
    for index, operation in enumerate(operations):
        try:
            if operation["op"] == "copy":
                copied += len(msgspec.json.encode(_value(patched, _pointer(operation["from"]))))
            if copied > MOST_COPIED_BYTES:
                raise ValueError(f"the patch copies more than {MOST_COPIED_BYTES} bytes")
            patched = _apply(patched, operation)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise Rejected(f"operation {index} of the patch does not apply: {error}") from error
    return patched


def _apply(document: Any, operation: dict[str, Any]) -> Any:
    kind, path = operation["op"], _pointer(operation["path"])
    if kind == "add":
        return _add(document, path, copy.deepcopy(operation.get("value")))
    if kind == "remove":
        return _remove(document, path)[0]
    if kind == "replace":
        return _replace(document, path, copy.deepcopy(operation.get("value")))
    if kind == "move":
        document, moved = _remove(document, _pointer(operation["from"]))
        return _add(document, path, moved)
    if kind == "copy":
        return _add(document, path, copy.deepcopy(_value(document, _pointer(operation["from"]))))
    if kind == "test":
        return _test(document, path, operation.get("value"))
    raise ValueError(f"there is no operation {str(kind)[:40]!r}")


def _pointer(text: str) -> list[str]:
    if not text:
        return []
    if not text.startswith("/"):
        raise ValueError(f"{text[:80]!r} is not a JSON pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]


def _get(document: Any, path: list[str]) -> Any:
    for part in path:
        document = document[_index(document, part)] if isinstance(document, list) else document[part]
    return document


def _value(document: Any, path: list[str]) -> Any:
    """What is there; null for a key that its object does not have."""
    parent = _parent(document, path)
    return parent.get(path[-1]) if isinstance(parent, dict) else _get(parent, path[-1:])


def _index(items: list[Any], part: str, *, end: int = -1) -> int:
    """A place in a list; `end` is the last one that is allowed, by default the last item."""
    if _INDEX.match(part) is None:
        raise ValueError(f"{part[:40]!r} is not an index")
    index, last = int(part), len(items) - 1 if end < 0 else end
    if index < 0:
        index += last + 1
    if not 0 <= index <= last:
        raise IndexError(f"index {part} is out of bounds")
    return index


def _parent(document: Any, path: list[str]) -> Any:
    if not path:
        raise ValueError("only replace and test take the whole document")
    parent = _get(document, path[:-1])
    if not isinstance(parent, dict | list):
        raise KeyError("/".join(path[:-1]))
    return parent


def _add(document: Any, path: list[str], value: Any) -> Any:
    parent = _parent(document, path)
    if isinstance(parent, dict):
        parent[path[-1]] = value
    elif path[-1] == "-":
        parent.append(value)
    else:
        parent.insert(_index(parent, path[-1], end=len(parent)), value)
    return document


def _remove(document: Any, path: list[str]) -> tuple[Any, Any]:
    parent = _parent(document, path)
    if isinstance(parent, dict):
        return document, parent.pop(path[-1])
    return document, parent.pop(_index(parent, path[-1]))


def _replace(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        if not isinstance(value, dict | list):
            raise ValueError("what replaces the whole document must be an object or a list")
        return value
    parent = _parent(document, path)
    if isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        parent[_index(parent, path[-1])] = value
    return document


def _test(document: Any, path: list[str], value: Any) -> Any:
    if not same(_value(document, path) if path else document, value):
        raise ValueError(f"test failed at /{'/'.join(path)}")
    return document
