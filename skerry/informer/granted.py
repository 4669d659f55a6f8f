"""Access (skerry/access) kept in step with the Clusters, AccessGrants and Workspaces of an informer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from skerry.access import Access, Touched
from skerry.api.decode import decoder
from skerry.api.grants import AccessGrant, Workspace
from skerry.api.kinds import ACCESS_GRANT, CLUSTER, WORKSPACE
from skerry.informer.ring import Change
from skerry.informer.view import View

log = logging.getLogger("skerry.informer")

T = TypeVar("T")
_grant, _workspace = decoder(AccessGrant), decoder(Workspace)


def follow(
    informer: View, access: Access, touched: Callable[[Touched], None] = lambda touched: None
) -> Callable[[], None]:
    """Keep `access` in step, from now on and with what is there already, and tell whose access may be another after a
    change; returns how to stop. What cannot be read gives nothing.
    """

    def cluster(change: Change) -> None:
        item = change.new
        if item is None:
            touched(access.cluster(_name(change)))
        elif item.tied and "deletionTimestamp" in item.document()["metadata"]:
            touched(access.cluster(item.name))
        else:
            touched(access.cluster(item.name, item.uid, item.labels))

    def grant(change: Change) -> None:
        touched(access.grant(_name(change), _read(change, _grant)))

    def workspace(change: Change) -> None:
        touched(access.workspace(_name(change), _read(change, _workspace)))

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
