"""Controllers of what is installed: a release makes an instance for each of its clusters, and goes when all of them have gone."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

from services.appstore import byapp
from services.appstore.installing import summaries
from services.appstore.installing.rules import FINALIZER
from services.appstore.parts import AppStoreContext, workspace_of
from services.appstore.releases import choosing, instances, subject
from services.appstore.releases.history import RevisionHistory
from services.appstore.releases.instances import Instances
from services.appstore.releases.selecting import clusters
from services.appstore.releases.subject import BY_CLUSTER, BY_RELEASE, key_of
from skerry.api.apprelease import AppRelease
from skerry.api.conditions import condition_of
from skerry.api.kinds import APP_INSTANCE, APP_RELEASE, APP_STORE, APP_VERSION, CLUSTER, WORKSPACE
from skerry.api.meta import Document
from skerry.api.stored import stored
from skerry.controller.controller import After, Controller
from skerry.errors import AlreadyExists, NotFound
from skerry.informer import Change, View
from skerry.storage import Item, Store

LONGEST_NAME = 253
AGAIN_S = 30.0
WORKERS = 64
"""Instances that are looked at at once, half of them of one workspace: nearly all of it is waiting for members."""
_release = stored(AppRelease)


def instance_name(release: str, cluster: str) -> str:
    """The name of the AppInstance of a release on a cluster."""
    name = f"{release}.{cluster}"
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


class Releases:
    """Instances of releases, and what is told of them in the release. `now` is Unix time in seconds."""

    def __init__(
        self,
        store: Store,
        of_instances: Store,
        informer: View,
        history: RevisionHistory,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._instances, self._informer = store, of_instances, informer
        self._history, self._now = history, now
        self._tidied: dict[str, tuple[Any, ...]] = {}
        """Revisions of releases, by UID, beside which nothing else is kept."""

    async def reconcile(self, key: str) -> After | None:
        """Look at one release. StatusError."""
        namespace, _, name = key.partition("/")
        item = self._informer.get(APP_RELEASE, name, namespace)
        if item is None:
            return None
        release, document = _release(item.body), item.document()
        present = list(self._informer.lookup(APP_INSTANCE, BY_RELEASE, key))
        if "deletionTimestamp" in document["metadata"]:
            if not present:
                await self._history.forget_all(item.uid)
                self._tidied.pop(item.uid, None)
                await self._store.finalize(name, item.uid, FINALIZER, namespace)
            return None
        wanted = clusters(self._informer, namespace, release.spec.clusters)
        there = {(str(spec.get("cluster")), str(spec.get("clusterUID"))) for spec in map(_spec, present)}
        missing = [cluster for cluster in wanted.values() if (cluster.name, cluster.uid) not in there]
        late = [cluster.name for cluster in missing if not await self._make(item, cluster)]
        states = [summaries.state_of(each.document()) for each in present if _spec(each).get("cluster") in wanted]
        entry = choosing.kept((document.get("status") or {}).get("history", [{}])[0])
        newer = choosing.newer(self._informer, namespace, entry.app, entry.version) if entry.app.name else None

        def summarized(now: Document) -> Document | None:
            if now["metadata"]["uid"] != item.uid:
                return None
            return summaries.summarized(now, states, newer, desired=len(wanted), now=self._now())

        with suppress(NotFound):
            after = await self._store.modify(name, summarized, namespace)
            await self._forget_revisions(after.document())
        return After(AGAIN_S) if late else None

    async def _make(self, release: Item, cluster: Item) -> bool:
        """Make the instance of a release on a cluster; True if it is there now. One of a cluster of before has to go first."""
        name = instance_name(release.name, cluster.name)
        owner = {
            "apiVersion": APP_RELEASE.api_version,
            "kind": APP_RELEASE.kind,
            "name": release.name,
            "uid": release.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
        document: Document = {
            "metadata": {"name": name, "namespace": release.namespace, "ownerReferences": [owner]},
            "spec": {"release": release.name, "cluster": cluster.name, "clusterUID": cluster.uid},
            "status": {"phase": "Pending"},
        }
        try:
            await self._instances.create(document)
        except AlreadyExists:
            there = await self._instances.find(name, release.namespace)
            return there is not None and _spec(there).get("clusterUID") == cluster.uid
        return True

    async def _forget_revisions(self, after: Document) -> None:
        """Forget contents of revisions that have left the history, whenever there is a new one."""
        revisions = [int(each["revision"]) for each in _status(after).get("history") or []]
        key = after["metadata"]["uid"], *revisions
        if len(revisions) > 1 and self._tidied.get(key[0]) != key:
            secrets = (_status(after).get("secretValues") or {}).get("set", "")
            await self._history.forget(key[0], revisions=revisions, current=secrets)
            self._tidied[key[0]] = key


def _status(document: Document) -> Document:
    status: Document = document.get("status") or {}
    return status


def _spec(item: Item) -> Document:
    spec: Document = item.document().get("spec") or {}
    return spec


def releases(context: AppStoreContext) -> Controller[str]:
    """Makes instances, and tells of them."""
    informer = context.informer
    byapp.index(informer)
    informer.index(APP_INSTANCE, BY_RELEASE, subject.releases_of)
    work = Releases(
        context.store(APP_RELEASE, leader=True),
        context.store(APP_INSTANCE, leader=True),
        informer,
        context.state.releases.history,
    )
    controller = context.controller("releases", work.reconcile, workers=8, leader=True)

    def everything(change: Change) -> None:
        if _placing(change.old) != _placing(change.new):
            for item in informer.list(APP_RELEASE):
                controller.add(key_of(item))

    def of_workspace(change: Change) -> None:
        item = change.new or change.old
        if item is not None:
            for each in informer.list(APP_RELEASE, item.name):
                controller.add(key_of(each))

    context.closing.callback(informer.add_event_handler(CLUSTER, everything))
    context.closing.callback(informer.add_event_handler(WORKSPACE, of_workspace))
    context.follow(APP_INSTANCE, controller, subject.releases_of)
    context.follow(APP_VERSION, controller, lambda item: _using(informer, item))
    return context.follow(APP_RELEASE, controller, lambda item: (key_of(item),))


def installed(context: AppStoreContext) -> Controller[str]:
    """Works on instances."""
    informer, work = context.informer, context.state.releases.instances
    informer.index(APP_INSTANCE, BY_CLUSTER, subject.clusters_of)
    informer.index(APP_INSTANCE, BY_RELEASE, subject.releases_of)
    controller = context.controller(
        "instances", work.reconcile, workers=WORKERS, leader=True, finishes=False, owner=workspace_of
    )
    instances.controlled(work, controller)

    def of_release(change: Change) -> None:
        item = change.new or change.old
        if item is not None and _asked(change.old) != _asked(change.new):
            for each in informer.lookup(APP_INSTANCE, BY_RELEASE, key_of(item)):
                controller.add(key_of(each))

    def on_cluster(change: Change) -> None:
        item = change.new or change.old
        if item is not None and _standing(change.old) != _standing(change.new):
            for each in informer.lookup(APP_INSTANCE, BY_CLUSTER, item.name):
                controller.add(key_of(each))

    def of_itself(change: Change) -> None:
        """A new one, one that is gone, and one that somebody wants to be tried again; not what we write into it ourselves."""
        item = change.new or change.old
        if item is not None and (change.old is None or change.new is None or _retried(change.old, change.new)):
            controller.add(key_of(item))

    def of_workspace(change: Change) -> None:
        item = change.new or change.old
        if item is not None:
            for each in informer.list(APP_INSTANCE, item.name):
                controller.add(key_of(each))

    def of_store(change: Change) -> None:
        """What waits for the store to be turned on."""
        if _enabled(change.old) != _enabled(change.new):
            for each in informer.list(APP_INSTANCE):
                controller.add(key_of(each))

    handlers = {
        APP_RELEASE: of_release,
        APP_STORE: of_store,
        CLUSTER: on_cluster,
        APP_INSTANCE: of_itself,
        WORKSPACE: of_workspace,
    }
    for kind, handler in handlers.items():
        context.closing.callback(informer.add_event_handler(kind, handler))
    for item in informer.list(APP_INSTANCE):
        controller.add(key_of(item))
    return controller


def halting(context: AppStoreContext) -> Callable[[], Awaitable[object]]:
    """Ends the operations of who leads no more."""
    work: Instances = context.state.releases.instances

    async def halt() -> None:
        try:
            while True:
                await context.lease.changed()
                if not context.lease.held:
                    await work.halt()
                else:
                    await asyncio.sleep(0)
        finally:
            await work.halt()

    return halt


def _using(informer: View, version: Item) -> Iterable[str]:
    """Releases of the app that a version is of."""
    app = next(iter(byapp.app_of(version)))
    for item in informer.list(APP_RELEASE):
        history = (item.document().get("status") or {}).get("history") or [{}]
        if history[0].get("app") == app:
            yield key_of(item)


def _placing(item: Item | None) -> Any:
    """What of a Cluster decides which releases are wanted there."""
    if item is None:
        return None
    document = item.document()
    return item.uid, item.labels, "deletionTimestamp" in document["metadata"], condition_of(document, "Joined").reason


def _standing(item: Item | None) -> Any:
    """What of a Cluster decides whether anything can be done there."""
    if item is None:
        return None
    document = item.document()
    return _placing(item), condition_of(document, "Ready").status, (document.get("spec") or {}).get("paused")


def _asked(item: Item | None) -> Any:
    """What of an AppRelease decides what is done."""
    if item is None:
        return None
    document = item.document()
    status = document.get("status") or {}
    deleted = "deletionTimestamp" in document["metadata"]
    return item.uid, deleted, document["spec"], status.get("revision"), status.get("changes")


def _enabled(store: Item | None) -> bool:
    return store is not None and store.document()["spec"].get("enabled") is True


def _retried(old: Item, new: Item) -> bool:
    phases = [(each.document().get("status") or {}).get("phase") for each in (old, new)]
    return phases[0] not in ("Pending", "Waiting") and phases[1] == "Pending"
