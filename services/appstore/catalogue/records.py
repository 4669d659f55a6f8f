"""Records of reviews: one that was lost is written again from the version that tells of the step, and goes after a year."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from services.appstore.parts import AppStoreContext
from skerry.api.kinds import APP_REVIEW, APP_VERSION
from skerry.api.meta import Document
from skerry.api.times import seconds
from skerry.controller.controller import After, Controller
from skerry.errors import AlreadyExists, NotFound
from skerry.informer import View
from skerry.storage import Item, Store

log = logging.getLogger("skerry.appstore")

KEPT_S = 365 * 86400.0
GRACE_S = 30.0
"""A step is this old before its record is called lost: whoever takes a step stores the record next."""
AT_MOST_S = 86400.0


def records(context: AppStoreContext) -> Controller[str]:
    """Records follow the steps that versions tell of."""
    work = Records(context.store(APP_REVIEW, leader=True), context.informer)
    controller = context.controller("records", work.reconcile, leader=True)
    context.follow(APP_VERSION, controller, lambda item: _keys("version", item))
    return context.follow(APP_REVIEW, controller, lambda item: _keys("review", item))


def _keys(what: str, item: Item) -> Iterable[str]:
    return (f"{what}/{item.namespace}/{item.name}",)


class Records:
    """See the module. `now` is Unix time in seconds."""

    def __init__(self, store: Store, informer: View, now: Callable[[], float] = time.time) -> None:
        self._store, self._informer, self._now = store, informer, now

    async def reconcile(self, key: str) -> After | None:
        """Look at a version's steps, or at a record's age."""
        what, namespace, name = key.split("/")
        if what == "review":
            return await self._aged(namespace, name)
        item = self._informer.get(APP_VERSION, name, namespace)
        document = {} if item is None else item.document()
        if "deletionTimestamp" in document.get("metadata", {}):
            return None
        waits = [await self._recorded(document, step) for step in (document.get("status") or {}).get("reviews") or ()]
        return min((After(each) for each in waits if each), key=lambda after: after.seconds, default=None)

    async def _recorded(self, version: Document, step: Document) -> float:
        """Write the record of a step unless it is there; seconds until another look, 0 for none."""
        namespace, name = version["metadata"]["namespace"], str(step.get("review", ""))
        age = self._now() - seconds(str(step.get("at", "")))
        if not name or age > KEPT_S or self._informer.get(APP_REVIEW, name, namespace) is not None:
            return 0.0
        if age < GRACE_S:
            return GRACE_S - age + 1.0
        spec: Document = {"action": step["action"], "message": step.get("message", "")}
        spec |= {"app": version["spec"]["app"]} if step.get("whole") else {"version": version["metadata"]["name"]}
        status = {field: step[field] for field in ("from", "to", "by", "at", "digest") if step.get(field)}
        with suppress(AlreadyExists):
            await self._store.create(
                {"metadata": {"name": name, "namespace": namespace}, "spec": spec, "status": status}
            )
            log.warning("the record of a review was lost and is written again", extra={"review": f"{namespace}/{name}"})
        return 0.0

    async def _aged(self, namespace: str, name: str) -> After | None:
        item = self._informer.get(APP_REVIEW, name, namespace)
        if item is None:
            return None
        left = seconds(item.document()["metadata"]["creationTimestamp"]) + KEPT_S - self._now()
        if left > 0:
            return After(min(left, AT_MOST_S))
        with suppress(NotFound):
            await self._store.delete(name, namespace, uid=item.uid)
        return None
