"""What lies in the namespace of a Workspace that is being deleted: it stays until that is gone, and says what is left.

Whose objects these are is not asked: the store tells what is under a namespace, also of kinds that this version does not know.
Who owns a kind deletes its objects there (skerry/controller/contents.py).
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from typing import NamedTuple

from services.tenancy.controllers import TenancyContext
from skerry import subjects
from skerry.api.conditions import Verdict, new_condition, with_condition
from skerry.api.kinds import WORKSPACE
from skerry.api.meta import Document
from skerry.bus import Bucket
from skerry.controller.controller import After, Controller
from skerry.errors import BadRequest
from skerry.storage.documents import unseal

log = logging.getLogger("skerry.tenancy")

FINALIZER = "skerry.dev/contents"
"""Of a Workspace that was deleted while there was something in its namespace."""
REMAINING = "NamespaceContentRemaining"
"""The condition, named as that of a Namespace in Kubernetes."""
NAMED = 10
"""Objects that are named at most."""
LOOK_S = 1.0
"""Between two looks: other services delete what they own."""


class Content(NamedTuple):
    """An object in a namespace."""

    revision: int
    kind: str
    """In lower case."""
    name: str


async def remaining(bucket: Bucket, namespace: str, after: int = 0) -> AsyncIterator[Content]:
    """What is in a namespace and was written after a revision, in the order of that. StatusError."""
    revisions: dict[str, int] = {}
    more = True
    while more:
        page = await bucket.changes(subjects.in_namespace(namespace), after)
        for entry in page.entries:
            after = entry.revision
            revisions.pop(entry.key, None)  # an object comes as often as it was written lately, and counts as it is now
            if entry.value is not None and _is_there(entry.value, entry.revision):
                revisions[entry.key] = entry.revision
        more = page.more
    for key, revision in revisions.items():
        _, kind, _, name = subjects.parse_key(key)
        yield Content(revision, kind, name)


def _is_there(value: bytes, revision: int) -> bool:
    """False of the final state of what was deleted; what cannot be read is there."""
    try:
        return not unseal(value, revision).deleted
    except BadRequest:
        return True


async def holding(bucket: Bucket, namespace: str) -> tuple[str, ...]:
    """The finalizers that a Workspace gets when it is deleted: none if nothing is in its namespace."""
    async for _ in remaining(bucket, namespace):
        return (FINALIZER,)
    return ()


def contents(context: TenancyContext) -> Controller[str]:
    """Workspaces that go, and wait for what is in their namespaces."""
    store, bucket, informer = context.store(WORKSPACE, leader=True), context.bucket, context.informer
    gone: dict[str, tuple[str, int]] = {}
    """By name of a Workspace, with its UID: up to this revision there is nothing but what was deleted, and will be nothing."""

    async def reconcile(name: str) -> After | None:
        item = informer.get(WORKSPACE, name)
        if item is None or not _waits(item.document()):
            gone.pop(name, None)
            return None
        uid, revision = gone.get(name, ("", 0))
        left: list[Content] = []
        async for each in remaining(bucket, name, revision if uid == item.uid else 0):
            left.append(each)
            if len(left) > NAMED:
                break
        if not left:
            await store.finalize(name, item.uid, FINALIZER)
            log.info("a workspace is gone with all that was in it", extra={"workspace": name})
            return None
        gone[name] = item.uid, left[0].revision - 1
        await store.modify(name, lambda document: _told(document, item.uid, left))
        return After(LOOK_S)

    return context.follow(WORKSPACE, context.controller("contents", reconcile, leader=True))


def _waits(document: Document) -> bool:
    metadata = document["metadata"]
    return "deletionTimestamp" in metadata and FINALIZER in (metadata.get("finalizers") or ())


def _told(document: Document, uid: str, left: list[Content]) -> Document | None:
    """With what is left; None if it is another Workspace by now."""
    if document["metadata"]["uid"] != uid:
        return None
    status = document.get("status") or {}
    named = ", ".join(f"{each.kind} {each.name}" for each in left[:NAMED])
    text = f"Some resources are remaining: {named}{' and more' if len(left) > NAMED else ''}"
    condition = new_condition(REMAINING, Verdict("True", "SomeResourcesRemain", text), time.time())
    return {**document, "status": {**status, "conditions": with_condition(status.get("conditions") or [], condition)}}
