"""Whether an object of the host is a caller's own, or of their business: the ties that kinds declare, worked out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

import msgspec

from skerry.access.compiled import Access
from skerry.access.holdings import Basis, key_of, keys_of
from skerry.api.grants import Subject
from skerry.api.kinds.access import BUILT_IN, HOST_GROUPS, Tie
from skerry.api.kinds.paths import at
from skerry.api.messages import Caller
from skerry.api.meta import Document
from skerry.api.names import DEFAULT, POOL, PREFIX

CLUSTER = "c"
"""What the key of a cluster begins with."""
Keys = Callable[[Document], frozenset[str]]
_ROLES = frozenset((*BUILT_IN, *HOST_GROUPS))


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
    """Whether a caller is tied, by what `access` has, to the Cluster, the Workspace or the Namespace of this name."""
    if tie.by == "cluster":
        return not access.reach(caller, name, now).nothing
    if tie.by == "pool":
        return name == POOL and _has_anything(caller, access, now)
    return not access.members.roles(caller, name).isdisjoint(tie.roles)


def within(tie: Tie, caller: Caller, namespace: str, access: Access, now: float) -> Basis | None:
    """What ties a caller to all that lies in a namespace, by a tie that is `placed`; None if nothing does. Namespaces need not
    exist: a built-in group is its role in all but those that are no workspaces.
    """
    if tie.by == "pool":
        return Basis("Namespace", POOL) if given(tie, caller, namespace, access, now) else None
    if given(tie, caller, namespace, access, now):
        return Basis("Workspace", namespace)
    if namespace in (DEFAULT, POOL):
        return None
    return next((Basis("Group", PREFIX + role) for role in tie.roles if PREFIX + role in caller.groups), None)


def _has_anything(caller: Caller, access: Access, now: float) -> bool:
    """True of whoever has a role anywhere, or is a member of any workspace."""
    if any(group in _ROLES for group in caller.groups):
        return True
    return any(True for _ in access.members.workspaces(caller)) or any(True for _ in access.clusters(caller, now))


def names_given(tie: Tie, caller: Caller, access: Access, now: float) -> Iterator[str]:
    """The names of all Clusters, Workspaces or Namespaces to which a caller is tied so."""
    if tie.by == "cluster":
        return access.clusters(caller, now)
    if tie.by == "pool":
        return (name for name in (POOL,) if given(tie, caller, name, access, now))
    return (name for name in access.members.workspaces(caller) if given(tie, caller, name, access, now))
