"""Lookups in constant time: which objects have a value, for one meaning of values (its owner's uid, its cluster). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from skerry.storage.documents import Item

ObjectKey = tuple[str, str]
"""Namespace and name."""
IndexFunction = Callable[[Item], Iterable[str]]
"""The values of an object; of the object alone, whatever the time: it is called once per change."""


class Index:
    """Keys by value, kept in step with the objects of one kind."""

    def __init__(self, function: IndexFunction) -> None:
        self.function = function
        self._values: dict[ObjectKey, frozenset[str]] = {}
        """Of the keys that have any."""
        self._keys: dict[str, dict[ObjectKey, None]] = {}
        """In the order in which they came."""

    def put(self, key: ObjectKey, item: Item) -> None:
        """The object at `key` is now `item`."""
        values = frozenset(self.function(item))
        before = self._values.get(key, _NONE)
        if values == before:
            return
        self._drop(key, before - values)
        for value in values - before:
            self._keys.setdefault(value, {})[key] = None
        if values:
            self._values[key] = values
        else:
            del self._values[key]

    def pop(self, key: ObjectKey) -> None:
        """There is no object at `key` any more."""
        self._drop(key, self._values.pop(key, _NONE))

    def keys(self, value: str) -> Iterable[ObjectKey]:
        """Whose objects have `value`."""
        return self._keys.get(value, ())

    def _drop(self, key: ObjectKey, values: Iterable[str]) -> None:
        for value in values:
            keys = self._keys[value]
            del keys[key]
            if not keys:
                del self._keys[value]


_NONE: frozenset[str] = frozenset()
