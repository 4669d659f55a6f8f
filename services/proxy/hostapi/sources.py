"""Where the objects of a kind come from: the cache of a bucket, or a view of another kind in one.

Namespaces are Workspaces seen differently, and events.k8s.io Events are core Events: neither is stored twice, and both
keep the revisions of what they are made from, so that lists, watches and snapshots just work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from skerry.api.kinds import Kind, ViewOf
from skerry.api.meta import Document
from skerry.informer import Informer, RingCursor
from skerry.informer.index import ObjectKey
from skerry.informer.kindstore import Items
from skerry.storage import Item
from skerry.storage.documents import item as make_item


class ObjectSource(Protocol):
    """The source of reads and watches; `Informer` is one."""

    @property
    def revision(self) -> int: ...
    def get(self, kind: Kind, name: str, namespace: str = "") -> Item | None: ...
    def list(self, kind: Kind, namespace: str = "", keys: Iterable[ObjectKey] | None = None) -> Items: ...
    def snapshot(
        self, kind: Kind, revision: int, namespace: str = "", keys: Iterable[ObjectKey] | None = None
    ) -> Items: ...
    def watch(self, kind: Kind, since: int | None = None) -> RingCursor: ...
    async def current(self) -> int: ...
    async def reached(self, revision: int) -> None: ...


class Derived:
    """Objects of a view, made from those of its base in `cache`, and those that it always has. Names stay the same."""

    def __init__(self, cache: Informer, view: ViewOf) -> None:
        self._cache = cache
        self._base = view.kind
        self._view = view
        self.current = cache.current
        self.reached = cache.reached

    @property
    def revision(self) -> int:
        """That of the cache."""
        return self._cache.revision

    def get(self, kind: Kind, name: str, namespace: str = "") -> Item | None:
        """The object, or None."""
        for item in self._always():
            if (item.namespace, item.name) == (namespace, name):
                return item
        base = self._cache.get(self._base, name, namespace)
        return None if base is None else self._convert(base)

    def list(self, kind: Kind, namespace: str = "", keys: Iterable[ObjectKey] | None = None) -> Items:
        """All of them, or those with these keys and what is always there, in the order of namespace and name."""
        return self._shown(self._cache.list(self._base, namespace, keys))

    def snapshot(
        self, kind: Kind, revision: int, namespace: str = "", keys: Iterable[ObjectKey] | None = None
    ) -> Items:
        """As they were at `revision`. Gone."""
        return self._shown(self._cache.snapshot(self._base, revision, namespace, keys))

    def watch(self, kind: Kind, since: int | None = None) -> RingCursor:
        """Changes after revision `since`. Gone."""
        return self._cache.watch(self._base, since, self._convert)

    def _convert(self, item: Item) -> Item:
        return make_item(self._view.convert(item.document()), item.revision)

    def _always(self) -> Items:
        """As old as can be: no change of theirs is ever told."""
        return [make_item(document, 1) for document in self._view.always(self._find)]

    def _find(self, kind: Kind, name: str) -> Document | None:
        item = self._cache.get(kind, name)
        return None if item is None else item.document()

    def _shown(self, items: Iterable[Item]) -> Items:
        always = self._always()
        taken = {(item.namespace, item.name) for item in always}
        converted = [self._convert(item) for item in items if (item.namespace, item.name) not in taken]
        return sorted([*always, *converted], key=lambda item: (item.namespace, item.name))


def sources(caches: Mapping[str, Informer], kinds: Iterable[Kind]) -> dict[Kind, ObjectSource | None]:
    """Every kind that is served, and where its objects come from; None for what is asked and never stored.

    `caches` are by bucket; what lies in another is not served, nor are views of it.
    """
    return {kind: source for kind in kinds for source in _source(kind, caches)}


def _source(kind: Kind, caches: Mapping[str, Informer]) -> Iterable[ObjectSource | None]:
    bucket = kind.view_of.kind.bucket if kind.view_of else kind.bucket
    if not bucket:
        yield None
    elif bucket in caches:
        yield Derived(caches[bucket], kind.view_of) if kind.view_of else caches[bucket]
