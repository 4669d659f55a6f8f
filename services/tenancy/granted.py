"""What the parts of tenancy share of access: the compiled table, and what the registry has of its bindings."""

from __future__ import annotations

from collections.abc import Callable

from services.tenancy.enforced import Placement
from skerry.access import Access, Touched
from skerry.api.kinds import CLUSTER, Kind
from skerry.api.meta import Document
from skerry.informer import View


class Granted:
    """One a process."""

    def __init__(self) -> None:
        self.access = Access()
        self.placements: dict[str, Placement] = {}
        """By member; of one that was not asked about yet there is none."""
        self.placed: Callable[[str], None] = lambda name: None
        """Called when a member's placement is another."""
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
        self.placed(name)


def document_of(informer: View, kind: Kind, name: str) -> Document | None:
    """The object of this name."""
    item = informer.get(kind, name)
    return None if item is None else item.document()


def uid_of(informer: View, name: str) -> str:
    """The UID of a Cluster that stays; empty if there is none."""
    item = informer.get(CLUSTER, name)
    return "" if item is None or "deletionTimestamp" in item.document()["metadata"] else item.uid
