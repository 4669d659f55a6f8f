"""The clusters of a release: those of its workspace that it names or selects, as they are now."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from services.appstore.releases.specs import selected
from skerry.api.conditions import awaits_approval
from skerry.api.grants import ClusterSelection, Workspace
from skerry.api.kinds import CLUSTER, WORKSPACE
from skerry.api.messages import HOST
from skerry.api.names import POOL
from skerry.api.stored import stored
from skerry.informer import View
from skerry.storage import Item

ADMINISTRATORS = ("default", POOL)
"""Namespaces that are no workspaces: those who administer the host write there, for all clusters."""
_workspace = stored(Workspace)


def clusters_of_workspace(informer: View, namespace: str) -> Callable[[str], bool]:
    """A test of names: True of clusters of the workspace, by name whether they have joined already or not, or by their labels."""
    if namespace in ADMINISTRATORS:
        return lambda name: True
    item = informer.get(WORKSPACE, namespace)
    try:
        selection = None if item is None else _workspace(item.body).spec.clusters
    except msgspec.DecodeError:
        selection = None
    if not isinstance(selection, ClusterSelection):
        return lambda name: False

    def among(name: str) -> bool:
        cluster = informer.get(CLUSTER, name)
        return selected(selection, name, {} if cluster is None else cluster.labels)

    return among


def clusters(informer: View, namespace: str, selection: ClusterSelection) -> dict[str, Item]:
    """The Clusters that a release in a namespace is wanted on, by name: members that are there and stay."""
    among = clusters_of_workspace(informer, namespace)
    if selection.selector:
        candidates = [item for item in informer.list(CLUSTER) if item.name != HOST]
    else:
        named = (informer.get(CLUSTER, name) for name in selection.names)
        candidates = [item for item in named if item is not None]
    return {
        item.name: item
        for item in candidates
        if selected(selection, item.name, item.labels) and among(item.name) and is_member(item)
    }


def is_wanted(informer: View, namespace: str, selection: ClusterSelection, cluster: Item) -> bool:
    """True if a release in a namespace is wanted on a Cluster."""
    of_workspace = clusters_of_workspace(informer, namespace)
    return selected(selection, cluster.name, cluster.labels) and of_workspace(cluster.name)


def is_member(item: Item) -> bool:
    """True of a Cluster that has joined and is not being removed."""
    document = item.document()
    return "deletionTimestamp" not in document["metadata"] and not awaits_approval(document)
