"""Repositories at work: each is looked at when it is due, by the replica that leads, one look at a time, several repositories at once."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from services.appstore import byapp
from services.appstore.parts import AppStoreContext, workspace_of
from services.appstore.repositories import orphans
from services.appstore.repositories.outcome import Failed, requested, stopped, syncing, with_outcome
from services.appstore.repositories.schedule import due_s, pause_s
from services.appstore.repositories.spec import spec_of
from services.appstore.repositories.syncing import Syncs
from skerry.api.conditions import condition_of
from skerry.api.kinds import APP_REPOSITORY, APP_STORE, APP_VERSION
from skerry.api.meta import Document
from skerry.backoff import Chance
from skerry.controller.controller import After, Controller
from skerry.errors import NotFound
from skerry.informer import Change
from skerry.storage import Item

log = logging.getLogger("skerry.appstore")

AT_ONCE = 4
"""Repositories that are read together, half of them of one workspace: each may have an index of 32 MiB in memory."""
SOON_S = 1.0
LONGEST_S = 3600.0
"""Between two looks at when a repository is due: clocks are set."""
LEFT = "left"
"""The key under which credentials and versions are looked for whose repositories are gone; no place is called so."""


def repositories(context: AppStoreContext) -> Controller[str]:
    """See the module."""
    work = Repositories(context)
    controller = context.controller("repositories", work.reconcile, workers=AT_ONCE, leader=True, owner=workspace_of)

    def removed(change: Change) -> None:
        if change.new is None or (change.old is not None and change.old.uid != change.new.uid):
            controller.add(LEFT)

    def every(item: Item) -> Iterable[str]:
        return (key for each in context.informer.list(APP_REPOSITORY) for key in place_of(each))

    context.closing.callback(context.informer.add_event_handler(APP_REPOSITORY, removed))
    controller.add(LEFT)
    context.follow(APP_STORE, controller, every)
    return context.follow(APP_REPOSITORY, controller, place_of)


def place_of(item: Item) -> tuple[str]:
    """The key of a repository."""
    return (f"{item.namespace}/{item.name}",)


class Repositories:
    """See the module. `now` is Unix time in seconds."""

    def __init__(
        self, context: AppStoreContext, now: Callable[[], float] = time.time, chance: Chance = random.uniform
    ) -> None:
        self._context, self._informer, self._now, self._chance = context, context.informer, now, chance
        self._store, self._versions = (
            context.store(APP_REPOSITORY, leader=True),
            context.store(APP_VERSION, leader=True),
        )
        byapp.index(context.informer)
        self._syncs = Syncs(context, now)
        self._rules: dict[str, int] = {}
        """By repository: the revision of AppStore host by which it was looked at."""

    async def reconcile(self, key: str) -> After | None:
        """Look at a repository if it is due."""
        if key == LEFT:
            await self._drop_credentials()
            await orphans.tell(self._informer, self._versions, self._now())
            return None
        item = self._find(key)
        if item is None:
            self._syncs.forget(key)
            self._rules.pop(key, None)
            return None
        usable = self._context.state.switch.state()
        if not usable.usable:
            await self._change(item, lambda document: stopped(document, usable.message, self._now()))
            return None
        if (due := self._due_s(key, item.document())) is None:
            return None
        if due > 0:
            return After(min(due, LONGEST_S))
        await self._informer.current()  # what was written by the last look is here by now
        item = self._find(key)
        if item is None or self._due_s(key, item.document()) != 0:
            return After(SOON_S)
        return After(SOON_S) if self._syncs.waits(key, item) else await self._look(key, item)

    def _find(self, key: str) -> Item | None:
        namespace, _, name = key.partition("/")
        item = self._informer.get(APP_REPOSITORY, name, namespace)
        going = item is not None and item.tied and "deletionTimestamp" in item.document()["metadata"]
        return None if going else item

    def _due_s(self, key: str, document: Document) -> float | None:
        """What may not be dialled is tried anew when somebody changed what may be."""
        denied = condition_of(document, "Ready").reason == "NetworkDenied"
        if denied and self._rules.get(key) not in (None, self._rule()):
            return 0.0
        return due_s(document, self._now())

    def _rule(self) -> int:
        return int((self._context.state.switch.store.get("metadata") or {}).get("generation") or 0)

    async def _look(self, key: str, item: Item) -> After | None:
        document = item.document()
        self._rules[key] = self._rule()
        credentials = self._context.state.credentials
        revision = await credentials.revision(item.uid)
        await self._change(item, lambda document: syncing(document, self._now()))
        looked = await self._syncs.look(key, item)
        outcome, now = looked.outcome, self._now()
        failures, retry_after = 0, ""
        if isinstance(outcome, Failed):
            failures = ((document.get("status") or {}).get("sync") or {}).get("failures", 0) + 1
            retry_after = outcome.retry_after
            log.warning(
                "a repository could not be read",
                extra={"repository": key, "reason": outcome.reason, "error": outcome.message},
            )
        pause = pause_s(spec_of(document).period_s, failures, retry_after, now, self._chance)
        same_credential = await credentials.revision(item.uid) == revision
        await self._change(
            item,
            lambda document: with_outcome(
                document,
                outcome,
                generation=int(item.document()["metadata"].get("generation") or 0),
                pause_s=pause,
                now=now,
                credential=looked.credential,
                answers=same_credential,
            ),
        )
        # a look that did not show the credential is not the one that was asked for with it
        if await credentials.revision(item.uid) != revision:
            await self._change(item, lambda document: requested(document, now))
            return After(SOON_S)
        return None if pause is None else After(min(pause, LONGEST_S))

    async def _change(self, item: Item, change: Callable[[Document], Document | None]) -> None:
        """Of this very repository, not of a later one of its name."""

        def same(document: Document) -> Document | None:
            return change(document) if document["metadata"].get("uid") == item.uid else None

        with suppress(NotFound):
            await self._store.modify(item.name, same, item.namespace)

    async def _drop_credentials(self) -> None:
        """Those whose repositories are gone: listed first, so that what has one now is known by then."""
        credentials = self._context.state.credentials
        uids = await credentials.uids()
        await self._informer.current()
        there = {item.uid for item in self._informer.list(APP_REPOSITORY)}
        for uid in uids:
            if uid not in there:
                self._context.lease.check()
                await credentials.drop(uid)
