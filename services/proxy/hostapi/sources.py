"""Where the objects of a kind come from: a cache, or a view of another kind in a cache.

Namespaces are Workspaces seen differently, and events.k8s.io Events are core Events: neither is stored twice, and both
keep the revisions of what they are made from, so that lists, watches and snapshots just work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from services.proxy.hostapi.builtin import default_namespace, event_v1, namespace_of
from skerry.api.builtin import EVENT, EVENT_V1, NAMESPACE, REVIEWS
from skerry.api.kinds import Kind
from skerry.informer import Cache, Watch
from skerry.informer.kindstore import Items
from skerry.storage import Item

Convert = Callable[[Item], Item]
WORKSPACE = "Workspace"


class Source(Protocol):
    """What reads and watches ask; `Cache` is one."""

    @property
    def revision(self) -> int: ...
    def get(self, kind: Kind, name: str, namespace: str = "") -> Item | None: ...
    def list(self, kind: Kind, namespace: str = "") -> Items: ...
    def snapshot(self, kind: Kind, revision: int, namespace: str = "") -> Items: ...
    def watch(self, kind: Kind, since: int | None = None) -> Watch: ...
    async def current(self) -> int: ...
    async def reached(self, revision: int) -> None: ...


class Derived:
    """Objects made from those of the kind `base`, and `extra` ones that are always there. Names stay the same."""

    def __init__(
        self, cache: Cache, base: Kind, convert: Convert, extra: Callable[[], Iterable[Item]] = lambda: ()
    ) -> None:
        self._cache = cache
        self._base = base
        self._convert = convert
        self._extra = extra
        self.current = cache.current
        self.reached = cache.reached

    @property
    def revision(self) -> int:
        """That of the cache."""
        return self._cache.revision

    def get(self, kind: Kind, name: str, namespace: str = "") -> Item | None:
        """The object, or None."""
        for item in self._extra():
            if (item.namespace, item.name) == (namespace, name):
                return item
        found = self._cache.get(self._base, name, namespace)
        return None if found is None else self._convert(found)

    def list(self, kind: Kind, namespace: str = "") -> Items:
        """All of them, in the order of namespace and name."""
        return self._shown(self._cache.list(self._base, namespace))

    def snapshot(self, kind: Kind, revision: int, namespace: str = "") -> Items:
        """As they were at `revision`. Gone."""
        return self._shown(self._cache.snapshot(self._base, revision, namespace))

    def _shown(self, items: Iterable[Item]) -> Items:
        extra = list(self._extra())
        taken = {(item.namespace, item.name) for item in extra}
        made = [self._convert(item) for item in items if (item.namespace, item.name) not in taken]
        return sorted([*extra, *made], key=lambda item: (item.namespace, item.name))

    def watch(self, kind: Kind, since: int | None = None) -> Watch:
        """Changes after revision `since`. Gone."""
        return self._cache.watch(self._base, since, self._convert)


def sources(cache: Cache, kinds: Iterable[Kind], events: Cache | None) -> dict[Kind, Source | None]:
    """Every kind that is served, and where its objects come from; None for what is asked and never stored.

    Events are served if there is a cache of them.
    """
    kinds = tuple(kinds)
    found: dict[Kind, Source | None] = dict.fromkeys(kinds, cache)
    workspace = next((kind for kind in kinds if kind.kind == WORKSPACE), None)
    found[NAMESPACE] = _namespaces(cache, workspace)
    if events is not None:
        found[EVENT] = events
        found[EVENT_V1] = Derived(events, EVENT, event_v1)
    return found | dict.fromkeys(REVIEWS)


def _namespaces(cache: Cache, workspace: Kind | None) -> Source:
    return Derived(cache, workspace or NAMESPACE, namespace_of, lambda: (default_namespace(cache),))
