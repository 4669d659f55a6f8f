"""What the parts of tenancy share: what is placed is told to all who asked, and what cannot be read has nothing."""

from __future__ import annotations

from typing import Any

from services.tenancy.enforced import Placement
from services.tenancy.granted import BY_CLUSTER, Granted, clusters_of, document_of, uid_of, workspace_of, workspaces_on
from skerry.api.kinds import CLUSTER, WORKSPACE, Kind
from skerry.storage import Item
from skerry.storage.documents import item

TEAM = item({"metadata": {"name": "team"}, "spec": {"namespaces": [
    {"cluster": "m1", "name": "shop"}, {"cluster": "m1", "name": "till"}, {"cluster": "m2", "name": "shop"}]}}, 1)  # fmt: skip
BROKEN = item({"metadata": {"name": "broken"}, "spec": {"namespaces": 7}}, 2)


class Stored:
    """An informer with these objects."""

    def __init__(self, *items: Item) -> None:
        self._items = items

    def get(self, kind: Kind, name: str) -> Item | None:
        return next((each for each in self._items if each.name == name), None)

    def lookup(self, kind: Kind, index: str, value: str) -> list[Item]:
        assert (kind, index) == (WORKSPACE, BY_CLUSTER)
        return [each for each in self._items if value in clusters_of(each)]


def stored(*items: Item) -> Any:
    return Stored(*items)


def test_a_placement_that_changes_is_told_to_everybody_and_one_that_does_not_to_nobody() -> None:
    granted, first, second = Granted(), list[str](), list[str]()
    granted.placed += [first.append, second.append]
    placement = Placement("uid-1", "e", {"key": 5})
    for each in (placement, placement, placement._replace(problem="refused"), None, None):
        granted.place("m1", each)
    assert first == second == ["m1"] * 3
    assert granted.placements == {}


def test_workspaces_are_found_by_the_clusters_of_their_namespaces() -> None:
    assert clusters_of(TEAM) == {"m1", "m2"}
    assert [each.metadata.name for each in workspaces_on(stored(TEAM, BROKEN), "m1")] == ["team"]
    assert workspaces_on(stored(TEAM), "m3") == []


def test_a_workspace_that_cannot_be_read_has_no_namespaces() -> None:
    assert (workspace_of(BROKEN), workspace_of(None)) == (None, None)
    assert list(clusters_of(BROKEN)) == []


def test_a_cluster_that_leaves_has_no_uid() -> None:
    stays = item({"metadata": {"name": "m1", "uid": "u"}}, 1)
    leaves = item({"metadata": {"name": "m2", "uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z"}}, 2)
    informer = stored(stays, leaves)
    assert [uid_of(informer, name) for name in ("m1", "m2", "m3")] == ["u", "", ""]
    assert document_of(informer, CLUSTER, "m1") == stays.document()
    assert document_of(informer, CLUSTER, "m3") is None
