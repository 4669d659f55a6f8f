"""Whether an object of the host is a caller's own, or of their business: the ties that kinds declare, worked out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

import msgspec

from skerry.access.compiled import Access
from skerry.access.holdings import key_of, keys_of
from skerry.api.grants import Subject
from skerry.api.kinds.access import Tie
from skerry.api.kinds.paths import at
from skerry.api.messages import Caller
from skerry.api.meta import Document

CLUSTER = "c"
"""What the key of a cluster begins with."""
Keys = Callable[[Document], frozenset[str]]


@cache
def written(tie: Tie) -> Keys:
    """The keys by which an object is found whom it says it is tied to: those of all subjects, or of the clusters on which
    somebody could give what it asks for. Of one that cannot be read there are none.
    """
    value = at(tie.path)

    def keys(document: Document) -> frozenset[str]:
        there = value(document)
        if tie.by == "user":
            return frozenset(("u" + there,)) if isinstance(there, str) and there else frozenset()
        listed = there if isinstance(there, list) else ()
        if tie.by == "giver":
            return frozenset(CLUSTER + name for name in listed if isinstance(name, str))
        return frozenset(_subjects(listed))

    return keys


def _subjects(subjects: Iterable[Any]) -> Iterator[str]:
    for each in subjects:
        try:
            key = key_of(msgspec.convert(each, Subject))
        except msgspec.ValidationError:
            continue
        if key:
            yield key


def names_caller(keys: frozenset[str], caller: Caller) -> bool:
    """True if one of these keys is the caller's."""
    return not keys.isdisjoint(keys_of(caller))


def given(tie: Tie, caller: Caller, name: str, access: Access, now: float) -> bool:
    """Whether a caller is tied, by what `access` has, to the Cluster or the Workspace of this name."""
    if tie.by == "cluster":
        return not access.reach(caller, name, now).nothing
    return not access.members.roles(caller, name).isdisjoint(tie.roles)


def names_given(tie: Tie, caller: Caller, access: Access, now: float) -> Iterator[str]:
    """The names of all Clusters, or Workspaces, to which a caller is tied so."""
    if tie.by == "cluster":
        return access.clusters(caller, now)
    return (name for name in access.members.workspaces(caller) if given(tie, caller, name, access, now))
