"""Condition Truncated of AppStore host: some repositories list less than they have, because there would be too many versions.

Each of those says at itself how many it leaves out, to whoever wanted them; the host says it to who can raise the limit.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress

from services.appstore.parts import AppStoreContext
from services.appstore.repositories.outcome import TRUNCATED
from skerry.api.appstore import STORE
from skerry.api.conditions import Verdict, new_condition, with_condition
from skerry.api.kinds import APP_REPOSITORY, APP_STORE
from skerry.api.meta import Document
from skerry.controller.controller import Controller
from skerry.errors import NotFound
from skerry.storage import Item

_MARK = b'"type":"Truncated"'


def truncated(item: Item) -> Iterable[str]:
    """What the index has for an AppRepository. A quote is never bare inside a text, so its bytes are looked at."""
    return (STORE,) if _MARK in item.body else ()


def truncation(context: AppStoreContext) -> Controller[str]:
    """The condition follows the repositories."""
    store, informer = context.store(APP_STORE, leader=True), context.informer
    informer.index(APP_REPOSITORY, TRUNCATED, truncated)

    async def reconcile(name: str) -> None:
        count = len(informer.lookup(APP_REPOSITORY, TRUNCATED, STORE))
        with suppress(NotFound):
            await store.modify(name, lambda document: with_truncation(document, count, time.time()))

    controller: Controller[str] = context.controller("truncation", reconcile, leader=True)
    controller.add(STORE)
    return context.follow(APP_REPOSITORY, controller, truncated)


def with_truncation(document: Document, repositories: int, now: float) -> Document | None:
    """AppStore host where so many repositories list less than they have; None if it says so already. Pure."""
    status = document.get("status") or {}
    before = status.get("conditions") or []
    if repositories:
        text = (
            f"{repositories} {'repository lists' if repositories == 1 else 'repositories list'} fewer versions than wanted, because "
            "all together may list spec.limits.versions: raise it, or have fewer charts and versions kept; condition Truncated of "
            "each says how many are left out (kubectl get apprepositories -A -o yaml)"
        )
        after = with_condition(before, new_condition(TRUNCATED, Verdict("True", "TooManyVersions", text), now))
    else:
        after = [each for each in before if each.get("type") != TRUNCATED]
    return None if after == before else {**document, "status": {**status, "conditions": after}}
