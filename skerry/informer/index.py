"""Lookups in constant time: which objects have a value, for one meaning of values (its owner's uid, its cluster). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from skerry.storage.documents import Item

ObjectKey = tuple[str, str]
"""Namespace and name."""
IndexFunction = Callable[[Item], Iterable[str]]
"""The values of an object; of the object alone, whatever the time: it is called once per change."""


class Index:
    """Keys by value, kept in step with the objects of one kind. The values of each are not kept: they follow from the object, and
    would be as large again.
    """

    def __init__(self, function: IndexFunction) -> None:
        self.function = function
        self._keys: dict[str, dict[ObjectKey, None]] = {}
        """In the order in which they came."""

    def put(self, key: ObjectKey, old: Item | None, new: Item | None) -> None:
        """The object at `key`, which was `old`, is now `new`; None: there is none."""
        before, after = (frozenset() if each is None else frozenset(self.function(each)) for each in (old, new))
        for value in before - after:
            keys = self._keys[value]
            del keys[key]
            if not keys:
                del self._keys[value]
        for value in after - before:
            self._keys.setdefault(value, {})[key] = None

    def keys(self, value: str) -> Iterable[ObjectKey]:
        """Whose objects have `value`."""
        return self._keys.get(value, ())
