"""Actions on releases: back to an earlier revision, again, taken over, and values that nobody reads."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from services.appstore.installing.rules import ReleaseRules
from services.appstore.parts import AppStoreContext
from services.appstore.releases import secretvalues
from services.appstore.releases.revising import owned
from services.appstore.releases.specs import INSTALLED
from services.appstore.releases.subject import BY_RELEASE
from skerry.admission.prepare import Preparation
from skerry.api.apprelease import ReleaseRollback, ReleaseSecretValues, ReleaseTarget
from skerry.api.kinds import APP_INSTANCE, APP_RELEASE
from skerry.api.messages import WriteRequest
from skerry.api.meta import Document
from skerry.api.times import rfc3339
from skerry.errors import BadRequest, Conflict, NotFound
from skerry.storage import Item
from skerry.storage.store import replaced

ATTEMPTS = 5
"""A change that loses the race so often is a conflict."""


class Wish(NamedTuple):
    """A release as somebody wants it."""

    spec: Document
    secrets: Document | None = None
    """status.secretValues; None: as they are."""


async def _change(
    context: AppStoreContext, request: WriteRequest, wish: Callable[[Document], Awaitable[Wish]]
) -> Document:
    """The release with another spec, admitted like any change of it. StatusError."""
    await context.state.switch.check()
    store, rules = context.store(APP_RELEASE), ReleaseRules(context)
    attempt = 0
    while True:
        attempt += 1
        before = await store.get(request.name, request.namespace)
        current = before.document()
        if request.request_id in before.writes:
            return current
        _check_stays(before, current)
        wanted = await wish(current)
        admitted = await rules.changed(current, {**current, "spec": wanted.spec}, request, wanted.secrets)
        if request.options.dry_run:
            return replaced(before, admitted.document)
        try:
            return (await store.update(before, admitted.document, write_id=request.request_id)).document()
        except Conflict:
            if attempt == ATTEMPTS:
                raise


def _check_stays(item: Item, document: Document) -> None:
    if "deletionTimestamp" in document["metadata"]:
        raise Conflict(f"AppRelease {item.name} is being deleted", kind=APP_RELEASE.plural, name=item.name)


async def rollback(context: AppStoreContext, request: WriteRequest, body: ReleaseRollback) -> Document:
    """Version and values of an earlier revision, as a new one. Conflict, NotFound, Forbidden, Invalid."""

    async def wish(current: Document) -> Wish:
        status = current.get("status") or {}
        revisions = [int(each["revision"]) for each in status.get("history") or []]
        earlier = revisions[1:]
        revision = body.revision or next(iter(earlier), 0)
        if revision not in earlier:
            there = f"there are {', '.join(map(str, earlier))}" if earlier else "there is none yet"
            raise BadRequest(
                f"{request.name} has no revision {body.revision or 'before this one'} to go back to: {there}"
            )
        content = await context.state.releases.history.content(current["metadata"]["uid"], revision)
        if content is None:
            raise Conflict(f"what revision {revision} of {request.name} installed is not known any more")
        rest = {name: value for name, value in current["spec"].items() if name not in INSTALLED}
        return Wish({**rest, **content.spec}, await _set_named(context, current, content.secrets))

    return await _change(context, request, wish)


async def _set_named(context: AppStoreContext, current: Document, name: str) -> Document | None:
    """status.secretValues for an earlier set."""
    before = (current.get("status") or {}).get("secretValues") or {}
    if name == before.get("set", ""):
        return None
    values = await context.state.releases.history.secrets(current["metadata"]["uid"], name)
    return {"present": bool(values), "keys": len(values), "at": rfc3339(time.time()), "set": name}


async def set_secret_values(context: AppStoreContext, request: WriteRequest, body: ReleaseSecretValues) -> Document:
    """More values that nobody reads, over those that are there; with another spec both are one revision. BadRequest, which shows
    none; Conflict, Invalid.
    """
    name = uuid.uuid4().hex

    async def wish(current: Document) -> Wish:
        uid, status = current["metadata"]["uid"], current.get("status") or {}
        before = await context.state.releases.history.secrets(uid, (status.get("secretValues") or {}).get("set", ""))
        values = before | body.set
        try:
            secretvalues.check(values)
        except ValueError as error:
            raise BadRequest(str(error)) from None
        if not request.options.dry_run:
            await context.state.releases.history.keep_secrets(uid, name, values)
        secrets = {"present": bool(values), "keys": len(values), "at": rfc3339(time.time()), "set": name}
        return Wish(_as_sent(request, body, current) if body.spec else current["spec"], secrets)

    return await _change(context, request, wish)


def _as_sent(request: WriteRequest, body: ReleaseSecretValues, current: Document) -> Document:
    """The spec in the body, as if it had been put. BadRequest, Invalid; Conflict if it was made from another version."""
    version = body.resource_version or current["metadata"]["resourceVersion"]
    document = {**current, "metadata": {**current["metadata"], "resourceVersion": version}, "spec": body.spec}
    put = msgspec.structs.replace(request, body=msgspec.Raw(msgspec.json.encode(document)))
    spec: Document = Preparation(APP_RELEASE).replaced(put, current, datetime.now(UTC)).document["spec"]
    return spec


async def forget_secret_values(context: AppStoreContext, request: WriteRequest, body: None) -> Document:
    """No such values any more."""

    async def wish(current: Document) -> Wish:
        return Wish(current["spec"], {"present": False, "keys": 0, "at": rfc3339(time.time()), "set": ""})

    return await _change(context, request, wish)


async def _check_usable(context: AppStoreContext, document: Document) -> None:
    """Forbidden while the store is off; what is to go, goes on even then."""
    if "deletionTimestamp" not in document["metadata"]:
        await context.state.switch.check()


async def own(context: AppStoreContext, request: WriteRequest, body: ReleaseTarget) -> Document:
    """From now on it is worked as whoever asks. It is tried again where it failed."""
    store = context.store(APP_RELEASE)
    await _check_usable(context, (await store.get(request.name, request.namespace)).document())

    def taken(document: Document) -> Document:
        return {**document, "status": owned(document.get("status") or {}, request.caller, time.time())}

    if request.options.dry_run:
        return taken((await store.get(request.name, request.namespace)).document())
    return (await store.modify(request.name, taken, request.namespace)).document()


async def retry(context: AppStoreContext, request: WriteRequest, body: ReleaseTarget) -> Document:
    """Try again now what failed or is blocked, on one cluster or on all."""
    document = (await context.store(APP_RELEASE).get(request.name, request.namespace)).document()
    await _check_usable(context, document)
    await context.informer.current()
    instances = context.informer.lookup(APP_INSTANCE, BY_RELEASE, f"{request.namespace}/{request.name}")
    chosen = [each for each in instances if body.cluster in ("", each.document()["spec"].get("cluster"))]
    if body.cluster and not chosen:
        raise NotFound(f"{request.name} is not wanted on cluster {body.cluster!r}", kind=APP_RELEASE.plural)
    if not request.options.dry_run:
        for each in chosen:
            await _again(context, each)
    return document


async def retry_instance(context: AppStoreContext, request: WriteRequest, body: ReleaseTarget) -> Document:
    """Try again now."""
    store = context.store(APP_INSTANCE)
    item = await store.get(request.name, request.namespace)
    release = await context.store(APP_RELEASE).find(str(item.document()["spec"].get("release")), request.namespace)
    await _check_usable(context, item.document() if release is None else release.document())
    if not request.options.dry_run:
        await _again(context, item)
    return (await store.get(request.name, request.namespace)).document()


async def _again(context: AppStoreContext, item: Item) -> None:
    """Forget that an instance failed."""

    def pending(document: Document) -> Document | None:
        status = document.get("status") or {}
        if document["metadata"]["uid"] != item.uid or status.get("phase") not in ("Failed", "Blocked"):
            return None
        rest = {name: value for name, value in status.items() if name not in ("error", "message", "deployedRevision")}
        return {**document, "status": {**rest, "phase": "Pending", "since": rfc3339(time.time())}}

    await context.store(APP_INSTANCE).modify(item.name, pending, item.namespace)


async def forget(context: AppStoreContext, request: WriteRequest, body: ReleaseTarget) -> Document:
    """Let an instance go that is not wanted any more: what is on the cluster stays. Conflict while it is wanted."""
    store = context.store(APP_INSTANCE)
    item = await store.get(request.name, request.namespace)
    document = item.document()
    release = await context.store(APP_RELEASE).find(str(document["spec"].get("release")), request.namespace)
    if release is not None and context.state.releases.instances.is_wanted(item):
        raise Conflict(
            f"{request.name} is wanted: take cluster {document['spec'].get('cluster')} out of spec.clusters of AppRelease "
            f"{release.name}, or delete that, and forget it then",
            kind=APP_INSTANCE.plural,
            name=request.name,
        )
    if not request.options.dry_run:
        await store.delete(item.name, item.namespace, uid=item.uid)
    return document


ACTIONS: dict[tuple[Any, str, str], Any] = {
    (APP_RELEASE, "rollback", "create"): rollback,
    (APP_RELEASE, "retry", "create"): retry,
    (APP_RELEASE, "own", "create"): own,
    (APP_RELEASE, "secretvalues", "update"): set_secret_values,
    (APP_RELEASE, "secretvalues", "delete"): forget_secret_values,
    (APP_INSTANCE, "retry", "create"): retry_instance,
    (APP_INSTANCE, "forget", "create"): forget,
}
