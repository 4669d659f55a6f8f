"""What lies in a namespace goes with it: the service that owns a kind deletes its objects where no Workspace is, or one that goes.

The Workspace waits for that under a finalizer of tenancy's, if there was anything when it was deleted
(services/tenancy/contents.py). What was made at that very moment, by a request that saw it there, goes just the same: a
key is a namespace, and it is looked at when its Workspace changes and when something in it does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from skerry.admission.lifecycle import state_of
from skerry.admission.writes import Rules
from skerry.api.kinds import WORKSPACE
from skerry.controller.controller import After, Controller, Reconcile
from skerry.controller.garbage import AT_ONCE, collect
from skerry.errors import Conflict, Forbidden, NotFound
from skerry.informer import Change, View
from skerry.storage import Item, Store

log = logging.getLogger("skerry.controller")

AGAIN_S = 5.0
"""Until another look at what could not go."""
SOON_S = 0.1
"""The same where something went: what is left may have waited for that."""


class NamespaceContents:
    """Empties namespaces of the kinds in `stores`, of which some are namespaced; `informer` holds them, and Workspaces.

    A service's `Rules.before_delete` is asked as for any other delete, by the name that collectors have: what may not be
    deleted yet stays for now. `controller` makes the controller of a reconcile.
    """

    def __init__(
        self,
        informer: View,
        stores: Mapping[Store, Rules],
        controller: Callable[[Reconcile[str]], Controller[str]],
        *,
        again_s: float = AGAIN_S,
    ) -> None:
        self._informer, self._again_s = informer, again_s
        self._stores = {store: rules for store, rules in stores.items() if store.kind.namespaced}
        self.controller = controller(self.reconcile)
        self._stops = [informer.add_event_handler(WORKSPACE, self._workspace)]
        for store in self._stores:
            self._stops.append(informer.add_event_handler(store.kind, self._object))
            for item in informer.list(store.kind):
                self._look(item.namespace)

    def stop(self) -> None:
        """Hear of no more changes."""
        for each in self._stops:
            each()

    def _workspace(self, change: Change) -> None:
        item = change.new or change.old
        if item is not None:
            self._look(item.name)

    def _object(self, change: Change) -> None:
        if change.new is not None:
            self._look(change.new.namespace)

    def _look(self, namespace: str) -> None:
        """Have it looked at, if it is one: an empty one would be all of them."""
        if namespace and state_of(self._informer, namespace) != "Active":
            self.controller.add(namespace)

    async def reconcile(self, namespace: str) -> After | None:
        """Delete what is left in a namespace that is going, or gone. StatusError."""
        await self._informer.current()
        if state_of(self._informer, namespace) == "Active":
            return None
        left = went = False
        for store, rules in self._stores.items():
            items = self._informer.list(store.kind, namespace)
            for start in range(0, len(items), AT_ONCE):
                gone = await asyncio.gather(*(_gone(store, rules, item) for item in items[start : start + AT_ONCE]))
                left, went = left or not all(gone), went or any(gone)
        return After(SOON_S if went else self._again_s) if left else None


async def _gone(store: Store, rules: Rules, item: Item) -> bool:
    """True if an object is there no more: False while its rules or its finalizers hold it."""
    if item.tied and "deletionTimestamp" in item.document()["metadata"]:
        return False
    try:
        after = await collect(store, rules, item)
    except NotFound:
        return True
    except (Conflict, Forbidden) as error:
        log.debug("an object outlives its namespace for now", extra={"object": item.name, "error": error.message})
        return False
    log.info("deleted with its namespace", extra={"kind": store.kind.kind, "object": f"{item.namespace}/{item.name}"})
    return after.deleted
