"""Access (skerry/access) kept in step with the Clusters, AccessGrants and Workspaces of an informer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from skerry.access import Access, Touched
from skerry.access.holdings import key_of
from skerry.api.grants import AccessGrant, Workspace
from skerry.api.kinds import ACCESS_GRANT, CLUSTER, WORKSPACE
from skerry.api.stored import stored
from skerry.informer.ring import Change
from skerry.informer.view import View

log = logging.getLogger("skerry.informer")

T = TypeVar("T")
_grant, _workspace = stored(AccessGrant), stored(Workspace)


def follow(
    informer: View, access: Access, touched: Callable[[Touched, Change], None] = lambda touched, change: None
) -> Callable[[], None]:
    """Keep `access` in step, from now on and with what is there already, and tell whose access may be another after a
    change; returns how to stop. What cannot be read gives nothing. Of a grant that is said to be over each change is told.
    """

    def cluster(change: Change) -> None:
        item = change.new
        if item is None:
            touched(access.cluster(_name(change)), change)
        elif item.tied and "deletionTimestamp" in item.document()["metadata"]:
            touched(access.cluster(item.name), change)
        else:
            touched(access.cluster(item.name, item.uid, item.labels), change)

    def grant(change: Change) -> None:
        given = _read(change, _grant)
        moved = access.grant(_name(change), given)
        if given is not None and any(each.reason == "Expired" for each in given.status.conditions):
            moved = moved._replace(subjects=moved.subjects.union(key_of(each) for each in given.spec.subjects))
        touched(moved, change)

    def workspace(change: Change) -> None:
        touched(access.workspace(_name(change), _read(change, _workspace)), change)

    stops: list[Callable[[], None]] = []
    for kind, handler in ((CLUSTER, cluster), (ACCESS_GRANT, grant), (WORKSPACE, workspace)):
        for item in informer.list(kind):
            handler(Change(item.revision, None, item))
        stops.append(informer.add_event_handler(kind, handler))

    def stop() -> None:
        for each in stops:
            each()

    return stop


def _name(change: Change) -> str:
    item: Any = change.new or change.old
    return str(item.name)


def _read(change: Change, read: Callable[[bytes], T]) -> T | None:
    if change.new is None:
        return None
    try:
        return read(change.new.body)
    except msgspec.DecodeError:
        log.exception(
            "a stored object that gives access cannot be read: it gives nothing", extra={"object": change.new.name}
        )
        return None
