"""Purging what is deleted: the final state of an object is kept for an hour, so that no watcher misses it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from skerry.controller.controller import After, Reconcile
from skerry.informer import View
from skerry.storage.documents import utc_now
from skerry.storage.store import Store

KEEP_S = 3600.0
MOST = 500
"""Purged in one call: the rest waits for the next, so that nothing else waits for all."""
EVERY_S = 30.0
"""Between two looks at the deleted objects of a kind."""
MORE_S = 0.2
"""When there were more than one call purges."""


def sweeper(informer: View, stores: Iterable[Store], clock: Callable[[], datetime] = utc_now) -> Reconcile[str]:
    """A reconcile whose keys are plurals of kinds: for ever, once it was asked."""
    by_plural = {store.kind.plural: store for store in stores}

    async def reconcile(plural: str) -> After:
        return After(EVERY_S if await sweep(by_plural[plural], informer, clock()) < MOST else MORE_S)

    return reconcile


async def sweep(store: Store, informer: View, now: datetime) -> int:
    """Purge the deleted objects of the store's kind that are older than KEEP_S; how many there were.

    What an earlier purge left for ever is among them, and gets an end that way.
    """
    old = informer.tombstones(store.kind, before=now.timestamp() - KEEP_S)
    for tombstone in old[:MOST]:
        if not await store.purge(tombstone.name, tombstone.revision, tombstone.namespace):
            informer.forget(store.kind, tombstone)
    return len(old[:MOST])
