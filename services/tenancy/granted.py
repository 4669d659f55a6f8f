"""What the parts of tenancy share of access: the compiled table, and what the registry has of its bindings."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from services.tenancy import namespaces
from services.tenancy.enforced import Placement
from skerry.access import Access, Touched
from skerry.api.grants import Workspace
from skerry.api.kinds import CLUSTER, WORKSPACE, Kind
from skerry.api.meta import Document
from skerry.api.stored import stored
from skerry.informer import View
from skerry.storage import Item

BY_CLUSTER = "clusters"
"""Index of Workspaces: those that name a namespace on a cluster."""
_workspace = stored(Workspace)


class Granted:
    """One a process."""

    def __init__(self) -> None:
        self.access = Access()
        self.placements: dict[str, Placement] = {}
        """By member; of one that was not asked about yet there is none."""
        self.placed: list[Callable[[str], None]] = []
        """Called when a member's placement is another."""
        self.unclaimed: Callable[[str], None] = lambda uid: None
        """Called with the UID of a Cluster on which there may be a claim that nobody wants."""
        self.released: Callable[[str], None] = lambda name: None
        """Called with the name of a cluster on which a namespace is free again."""
        self.touched: Callable[[Touched], None] = lambda touched: None
        """Called when what somebody has changed."""

    def place(self, name: str, placement: Placement | None) -> None:
        """The registry has this for a member; None: the member is gone."""
        if self.placements.get(name) == placement:
            return
        if placement is None:
            self.placements.pop(name, None)
        else:
            self.placements[name] = placement
        for each in self.placed:
            each(name)


def document_of(informer: View, kind: Kind, name: str) -> Document | None:
    """The object of this name."""
    item = informer.get(kind, name)
    return None if item is None else item.document()


def uid_of(informer: View, name: str) -> str:
    """The UID of a Cluster that stays; empty if there is none."""
    item = informer.get(CLUSTER, name)
    return "" if item is None or "deletionTimestamp" in item.document()["metadata"] else item.uid


def workspace_of(item: Item | None) -> Workspace | None:
    """A stored workspace; None for one that cannot be read, which has nothing."""
    try:
        return None if item is None else _workspace(item.body)
    except msgspec.DecodeError:
        return None


def clusters_of(item: Item) -> Iterable[str]:
    """What the index has for a workspace."""
    workspace = workspace_of(item)
    return () if workspace is None else {place.cluster for place in namespaces.wanted_by(workspace)}


def workspaces_on(informer: View, name: str) -> list[Workspace]:
    """Workspaces that name a namespace on a cluster."""
    workspaces = (workspace_of(item) for item in informer.lookup(WORKSPACE, BY_CLUSTER, name))
    return [each for each in workspaces if each is not None]
