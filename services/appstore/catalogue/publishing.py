"""Publication: a workspace's version that was released is in the pool too, and follows the one in the workspace."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from services.appstore.catalogue.names import app_name, version_name
from services.appstore.catalogue.versions import BY_VERSION, users_of, versions_wanted
from services.appstore.parts import AppStoreContext
from skerry.api.kinds import APP_RELEASE, APP_VERSION
from skerry.api.meta import Document
from skerry.api.names import POOL
from skerry.controller.controller import Controller
from skerry.errors import AlreadyExists, NotFound
from skerry.informer import View
from skerry.storage import Item, Store

PUBLISHED = ("Active", "Suspended")
"""Phases of a version that everybody knows."""
BY_ORIGIN = "origin"
"""Index of AppVersions."""
OWN = ("reviews", "submittedBy", "conditions")
"""What of a version stays in its workspace: who worked on it there is nobody else's business."""


def published(version: Document) -> Document:
    """The pool's version of one that was released. Pure."""
    metadata, spec = version["metadata"], version["spec"]
    workspace = metadata["namespace"]
    app = app_name(workspace, spec["app"])
    return {
        "metadata": {"name": version_name(app, spec["version"]), "namespace": POOL},
        "spec": {
            "app": app,
            "version": spec["version"],
            "chart": spec.get("chart", ""),
            "origin": f"{workspace}/{spec['app']}",
        },
        "status": {key: value for key, value in (version.get("status") or {}).items() if key not in OWN},
    }


def origin_of(version: Document) -> tuple[str, str]:
    """(namespace, name) of the version that the pool's follows. Pure."""
    workspace, _, app = str(version["spec"]["origin"]).partition("/")
    return workspace, version_name(app, version["spec"]["version"])


def followed(item: Item) -> Iterable[str]:
    """What the index has for an AppVersion: the place of the one that it follows."""
    document = item.document()
    return ("/".join(origin_of(document)),) if document["spec"].get("origin") else ()


def _keys(item: Item) -> Iterable[str]:
    """The place of the version in the workspace, of it and of what follows it."""
    return followed(item) if item.namespace == POOL else (f"{item.namespace}/{item.name}",)


def publications(context: AppStoreContext) -> Controller[str]:
    """The pool's versions follow those of workspaces."""
    context.informer.index(APP_RELEASE, BY_VERSION, versions_wanted)
    context.informer.index(APP_VERSION, BY_ORIGIN, followed)
    work = Publications(context.store(APP_VERSION, leader=True), context.informer)
    controller = context.controller("publications", work.reconcile, leader=True)
    return context.follow(APP_VERSION, controller, _keys)


class Publications:
    """See the module."""

    def __init__(self, store: Store, informer: View) -> None:
        self._store, self._informer = store, informer

    async def reconcile(self, key: str) -> None:
        """Look at a version of a workspace, and at what follows it."""
        namespace, _, name = key.partition("/")
        item = self._informer.get(APP_VERSION, name, namespace)
        if item is None or item.document()["status"].get("phase") not in PUBLISHED:
            await self._withdraw(key)
            return
        copy = published(item.document())
        target = copy["metadata"]["name"]
        there = self._informer.get(APP_VERSION, target, POOL)
        if there is None:
            with suppress(AlreadyExists):
                await self._store.create(copy)
            return
        with suppress(NotFound):
            await self._store.modify(target, lambda document: _following(document, copy), POOL)

    async def _withdraw(self, key: str) -> None:
        """What follows a version that is gone goes, unless a release uses it: then nobody new gets it."""
        for item in self._informer.lookup(APP_VERSION, BY_ORIGIN, key):
            document = item.document()
            if users_of(self._informer, POOL, document["spec"]):
                with suppress(NotFound):
                    await self._store.modify(item.name, _suspended, POOL)
            else:
                with suppress(NotFound):
                    await self._store.delete(item.name, POOL, uid=item.uid)


def _following(document: Document, wanted: Document) -> Document | None:
    """A version of the pool as it is wanted; None if it is so, or is somebody else's of that name."""
    if document["spec"].get("origin") != wanted["spec"]["origin"]:
        return None
    own = {key: value for key, value in document.get("status", {}).items() if key in OWN}
    status = {**wanted["status"], **own}
    return None if status == document.get("status") else {**document, "status": status}


def _suspended(document: Document) -> Document | None:
    status = document.get("status") or {}
    return None if status.get("phase") == "Suspended" else {**document, "status": {**status, "phase": "Suspended"}}
