"""What typed values can do: check, list their fields, compare, merge, lose fields. Pure.

Ported from structured-merge-diff's typed package, function by function; ABSENT is its nil, None is JSON's null. Lists
and maps that are null or empty on both sides are leaves, which keeps the two apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple

from skerry.apply import fieldset
from skerry.apply.fieldset import FieldSet, Path, Tree
from skerry.apply.schema import Deduced, List, Map, Scalar, Type, of_key, shape


class _Absent(Enum):
    ABSENT = "absent"


ABSENT = _Absent.ABSENT


class Comparison(NamedTuple):
    """Fields by what happened to them from one object to another."""

    added: FieldSet
    modified: FieldSet
    removed: FieldSet


def element(parent: List, item: Any) -> str:
    """The path element of an item of a set or a map-like list."""
    if parent.relation == "map" and isinstance(item, dict):
        return fieldset.keys({key: item[key] for key in parent.keys if key in item})
    return fieldset.value(item)


# Checking


def problems(declared: Type, value: Any, path: Path = ()) -> Iterator[str]:
    """Why `value` is not of the type: undeclared fields, wrong types, items that cannot be told apart."""
    actual = shape(declared, value)
    where = fieldset.text(path)
    if value is None:
        return
    if isinstance(actual, Scalar):
        if not _fits(actual, value):
            yield f"{where}: expected {actual.name}, got {_shown(value)}"
    elif isinstance(actual, List):
        yield from _list_problems(actual, value, path, where)
    elif not isinstance(value, dict):
        yield f"{where}: expected map, got {_shown(value)}"
    else:
        for key, each in value.items():
            below = (*path, fieldset.name(key))
            if not isinstance(declared, Deduced) and key not in actual.fields and actual.element is None:
                yield f"{fieldset.text(below)}: field not declared in schema"
            else:
                yield from problems(of_key(actual, key), each, below)


def _list_problems(declared: List, value: Any, path: Path, where: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{where}: expected list, got {_shown(value)}"
        return
    seen = set()
    for index, item in enumerate(value):
        if declared.relation == "atomic":
            yield from problems(declared.element, item, (*path, f"i:{index}"))
            continue
        if declared.relation == "map" and not isinstance(item, dict):
            yield f"{where}: associative list with keys may not have non-map elements"
            return
        if declared.relation == "map" and item.keys().isdisjoint(declared.keys):
            yield f"{where}: associative list with keys has an element that omits all key fields: {', '.join(declared.keys)}"
            return
        name = element(declared, item)
        if name in seen:
            yield f"{where}: duplicate entries for key {fieldset.text((name,))}"
        seen.add(name)
        yield from problems(declared.element, item, (*path, name))


def _fits(scalar: Scalar, value: Any) -> bool:
    if scalar.name == "string":
        return isinstance(value, str)
    if scalar.name == "boolean":
        return isinstance(value, bool)
    if scalar.name == "numeric":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return not isinstance(value, dict | list) or not scalar.name


def _shown(value: Any) -> str:
    return "map" if isinstance(value, dict) else "list" if isinstance(value, list) else repr(value)[:80]


# Fields of one object


def fields_of(declared: Type, value: Any) -> FieldSet:
    """The fields that somebody who applies `value` owns."""
    return frozenset(_fields(declared, value, ()))


def _fields(declared: Type, value: Any, path: Path) -> Iterator[Path]:
    actual = shape(declared, value)
    if isinstance(actual, Scalar) or (isinstance(actual, Map) and actual.atomic):
        if path:
            yield path
    elif isinstance(actual, List):
        if actual.relation == "atomic":
            yield path
        elif isinstance(value, list):
            for item in value:
                below = (*path, element(actual, item))
                yield below
                yield from _fields(actual.element, item, below)
    elif isinstance(value, dict):
        for key, each in value.items():
            below = (*path, fieldset.name(key))
            yield from _fields(of_key(actual, key), each, below)
            if each is None or each == {} or key not in actual.fields:
                yield below


def named_members(declared: Type, fields: FieldSet) -> FieldSet:
    """`fields` and the declared fields above them: what is emptied goes with its last part."""
    return frozenset(fields | set(_named(declared, fieldset.tree(fields), ())))


def _named(declared: Type, node: Tree, path: Path) -> Iterator[Path]:
    for key, below in node.children.items():
        if isinstance(declared, Map):
            inner: Type = of_key(declared, key[2:])
            if key.startswith("f:") and key[2:] in declared.fields:
                yield (*path, key)
        else:
            inner = declared.element if isinstance(declared, List) else Deduced()
        yield from _named(inner, below, (*path, key))


# Comparing


def compare(declared: Type, before: Any, after: Any) -> Comparison:
    """The fields that were added, changed and removed."""
    walk = _Compare()
    walk.visit(declared, before, after, ())
    return Comparison(frozenset(walk.added), frozenset(walk.modified), frozenset(walk.removed))


class _Compare:
    def __init__(self) -> None:
        self.added: set[Path] = set()
        self.modified: set[Path] = set()
        self.removed: set[Path] = set()

    def visit(self, declared: Type, before: Any, after: Any, path: Path) -> None:
        shapes = [shape(declared, each) for each in (before, after) if each is not ABSENT]
        if len(shapes) == 2 and shapes[0] == shapes[1]:
            shapes.pop()
        leaf = False
        for actual in shapes:
            leaf = self._descend(actual, before, after, path, leaf) or leaf
        if not leaf and path:
            if before is ABSENT:
                self.added.add(path)
            elif after is ABSENT:
                self.removed.add(path)

    def _descend(self, actual: Type, before: Any, after: Any, path: Path, leaf: bool) -> bool:
        """True if this is a leaf."""
        if isinstance(actual, Map) and not actual.atomic and (_full(before, dict) or _full(after, dict)):
            self._maps(actual, _as(before, dict), _as(after, dict), path)
            return False
        if isinstance(actual, List) and actual.relation != "atomic" and (_full(before, list) or _full(after, list)):
            self._lists(actual, _as(before, list), _as(after, list), path)
            return False
        if not leaf:
            self._leaf(before, after, path)
        return True

    def _leaf(self, before: Any, after: Any, path: Path) -> None:
        if before is ABSENT:
            self.added.add(path)
        elif after is ABSENT:
            self.removed.add(path)
        elif not same(before, after):
            self.modified.add(path)

    def _maps(self, actual: Map, before: dict[str, Any], after: dict[str, Any], path: Path) -> None:
        for key in {**before, **after}:
            below = (*path, fieldset.name(key))
            self.visit(of_key(actual, key), before.get(key, ABSENT), after.get(key, ABSENT), below)

    def _lists(self, actual: List, before: list[Any], after: list[Any], path: Path) -> None:
        old, new = _by_element(actual, before), _by_element(actual, after)
        for key in {**old, **new}:
            self._items(actual, old.get(key, []), new.get(key, []), (*path, key))

    def _items(self, actual: List, old: list[Any], new: list[Any], path: Path) -> None:
        """Items with one key; duplicates are compared as a whole."""
        if len(old) <= 1 and len(new) <= 1:
            self.visit(actual.element, old[0] if old else ABSENT, new[0] if new else ABSENT, path)
        elif not old:
            self.added.add(path)
        elif not new:
            self.removed.add(path)
        elif not same(old, new):
            self.modified.add(path)


def same(first: Any, second: Any) -> bool:
    """JSON equality: unlike in Python, true is not 1."""
    if isinstance(first, bool) != isinstance(second, bool):
        return False
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(same(each, second[key]) for key, each in first.items())
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)


def _full(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and bool(value)


def _as(value: Any, kind: type) -> Any:
    return value if isinstance(value, kind) else kind()


def _by_element(declared: List, items: list[Any]) -> dict[str, list[Any]]:
    by_element: dict[str, list[Any]] = {}
    for item in items:
        by_element.setdefault(element(declared, item), []).append(item)
    return by_element


# Merging


def merge(declared: Type, live: Any, applied: Any) -> Any:
    """`live` with `applied` laid over it; what is not applied stays."""
    actual = shape(declared, live if applied is ABSENT else applied)
    if isinstance(actual, Map) and not actual.atomic and (_full(live, dict) or _full(applied, dict)):
        return _merge_maps(actual, _as(live, dict), _as(applied, dict))
    if isinstance(actual, List) and actual.relation != "atomic" and (_full(live, list) or _full(applied, list)):
        return _merge_lists(actual, _as(live, list), _as(applied, list))
    return live if applied is ABSENT else applied


def _merge_maps(actual: Map, live: dict[str, Any], applied: dict[str, Any]) -> dict[str, Any]:
    return {
        key: merge(of_key(actual, key), live.get(key, ABSENT), applied.get(key, ABSENT)) for key in {**live, **applied}
    }


def _merge_lists(actual: List, live: list[Any], applied: list[Any]) -> list[Any]:
    """Items of both, in the order of `applied`; those of `live` alone stay behind what they were behind."""
    old, new = _by_element(actual, live), {element(actual, item): item for item in applied}
    left, right = [element(actual, item) for item in live], list(new)
    shared = filter(old.__contains__, right)
    expected = next(shared, None)
    out: list[Any] = []
    merged: set[str] = set()

    def take(key: str) -> None:
        items = old.get(key, [])
        out.append(merge(actual.element, items[0] if len(items) == 1 else ABSENT, new[key]))
        merged.add(key)

    def waits(key: str) -> bool:
        """What both have comes where `applied` has it."""
        return key in new and expected is not None and expected != key

    at_left = at_right = 0
    while at_left < len(left) or at_right < len(right):
        if at_left < len(left) and at_right < len(right):
            key = left[at_left]
            if key == right[at_right]:
                take(key)
                at_left, at_right, expected = at_left + 1, at_right + 1, next(shared, None)
                continue
            if waits(key):
                at_left += 1
                continue
        if at_left < len(left):
            key = left[at_left]
            if key not in new:
                out.append(live[at_left])
                at_left += 1
                continue
            if key in merged:
                at_left += 1
        if at_right < len(right):
            key = right[at_right]
            take(key)
            at_right += 1
            if expected == key:
                expected = next(shared, None)
    return out


# Removing


def without(declared: Type, value: Any, fields: FieldSet) -> Any:
    """`value` without these fields. A map or list that is emptied by it becomes null, as in the original."""
    return _without(declared, value, fieldset.tree(fields))


def _without(declared: Type, value: Any, gone: Tree) -> Any:
    actual = shape(declared, value)
    if isinstance(actual, Map):
        if not isinstance(value, dict):
            return None
        remaining = {
            key: _kept(of_key(actual, key), each, gone, fieldset.name(key))
            for key, each in value.items()
            if fieldset.name(key) not in gone.members
        }
        return remaining or None
    if isinstance(actual, List):
        if not isinstance(value, list):
            return None
        items = [(element(actual, item), item) for item in value]
        return [_kept(actual.element, item, gone, key) for key, item in items if key not in gone.members] or None
    return value


def _kept(declared: Type, value: Any, gone: Tree, key: str) -> Any:
    below = gone.children.get(key)
    return value if below is None else _without(declared, value, below)
