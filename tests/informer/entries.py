"""Entries of a bucket's watch, and informers that took them: no bus."""

from __future__ import annotations

from typing import Any

from skerry.api.kinds import CLUSTER, KINDS
from skerry.bus import Entry, Filled
from skerry.informer import Change, Informer
from skerry.storage.documents import seal
from tests.fixtures.bucket import cluster


def entry(name: str, revision: int, *, deleted: bool = False, uid: str = "", **changes: Any) -> Entry:
    document = cluster(name, **changes)
    document["metadata"] |= {"uid": uid or f"uid-{name}"}
    value = seal(document, writes=("w",), deleted=deleted)
    return Entry(f"skerry=2Edev.cluster._.{name}", value, revision, 0.0)


def purged(name: str, revision: int) -> Entry:
    return Entry(f"skerry=2Edev.cluster._.{name}", None, revision, 0.0)


def filled(*entries: Entry, ring: int = 1024) -> Informer:
    cache = Informer(KINDS, ring=ring)
    for one in entries:
        cache.take(one)
    cache.take(Filled(max((one.revision for one in entries), default=0)))
    return cache


def names(cache: Informer) -> list[str]:
    return [item.name for item in cache.list(CLUSTER)]


def shape(changes: list[Change]) -> list[tuple[int, bool, bool]]:
    return [(change.revision, change.old is not None, change.new is not None) for change in changes]
