"""Categories: how many apps are in each, and none goes while apps are in it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from services.appstore.parts import AppStoreContext
from services.appstore.rules import StoreRules
from skerry.api.appstore import UNCATEGORIZED
from skerry.api.kinds import APP, APP_CATEGORY
from skerry.api.messages import WriteRequest
from skerry.api.meta import Document
from skerry.controller.controller import Controller
from skerry.errors import AlreadyExists, Conflict, NotFound
from skerry.informer import Change
from skerry.storage import Item, Store

BY_CATEGORY = "category"
"""Index of Apps."""


def categories_of(item: Item) -> Iterable[str]:
    """What the index has for an App."""
    return (item.document().get("spec") or {}).get("categories") or (UNCATEGORIZED,)


class CategoryRules(StoreRules):
    """Admission of AppCategories."""

    def __init__(self, context: AppStoreContext) -> None:
        super().__init__(context)
        self._informer = context.informer
        self._informer.index(APP, BY_CATEGORY, categories_of)

    async def before_delete(self, current: Item, request: WriteRequest) -> None:
        """Conflict while apps are in it, and for the one that all others fall into."""
        await self._informer.current()
        apps = self._informer.lookup(APP, BY_CATEGORY, current.name)
        if current.name == UNCATEGORIZED:
            raise _conflict(current.name, f"category {UNCATEGORIZED} is that of all apps in no other: it stays")
        if apps:
            first = sorted(f"{item.namespace}/{item.name}" for item in apps)[0]
            raise _conflict(
                current.name,
                f"category {current.name} has {len(apps)} apps, {first} among them: put them into another first",
            )


def _conflict(name: str, message: str) -> Conflict:
    return Conflict(message, kind=APP_CATEGORY.plural, group=APP_CATEGORY.group, name=name)


async def ensure(store: Store) -> None:
    """Make the category that is always there."""
    with suppress(AlreadyExists):
        await store.create(
            {"metadata": {"name": UNCATEGORIZED}, "spec": {"displayName": "Uncategorized", "order": 1000}}
        )


def categories(context: AppStoreContext) -> Controller[str]:
    """status.apps follows the Apps."""
    store, informer = context.store(APP_CATEGORY, leader=True), context.informer
    informer.index(APP, BY_CATEGORY, categories_of)

    async def reconcile(name: str) -> None:
        item = informer.get(APP_CATEGORY, name)
        if item is None:
            if name == UNCATEGORIZED:
                await ensure(store)
            return
        count = len(informer.lookup(APP, BY_CATEGORY, name))

        def told(document: Document) -> Document | None:
            status = document.get("status") or {}
            return None if status.get("apps", 0) == count else {**document, "status": {**status, "apps": count}}

        with suppress(NotFound):
            await store.modify(name, told)

    controller: Controller[str] = context.controller("categories", reconcile, leader=True)

    def moved(change: Change) -> None:
        before, after = (set() if each is None else set(categories_of(each)) for each in (change.old, change.new))
        for name in before ^ after:
            controller.add(name)

    controller.add(UNCATEGORIZED)
    context.closing.callback(informer.add_event_handler(APP, moved))
    return context.follow(APP_CATEGORY, controller)
