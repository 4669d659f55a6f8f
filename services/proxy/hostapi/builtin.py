"""How Namespaces and events.k8s.io Events are made from what is stored. Pure."""

from __future__ import annotations

from typing import Any

from skerry.api.kinds import CLUSTER
from skerry.informer import Cache
from skerry.storage import Item
from skerry.storage.documents import item as make_item

DEFAULT = "default"
"""The namespace that is always there; Events of cluster-scoped objects are in it."""
HOST = "host"
_NAME_LABEL = "kubernetes.io/metadata.name"


def _namespace(name: str, uid: str, created: Any, revision: int, phase: str = "Active") -> Item:
    document = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "uid": uid, "creationTimestamp": created, "labels": {_NAME_LABEL: name}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": phase},
    }
    return make_item(document, revision)


def namespace_of(workspace: Item) -> Item:
    """The Namespace of a Workspace: its name, uid, age and revision."""
    metadata = workspace.document()["metadata"]
    phase = "Terminating" if "deletionTimestamp" in metadata else "Active"
    return _namespace(workspace.name, workspace.uid, metadata.get("creationTimestamp"), workspace.revision, phase)


def default_namespace(cache: Cache) -> Item:
    """The Namespace `default`, as old as the host itself."""
    host = cache.get(CLUSTER, HOST)
    created = None if host is None else host.document()["metadata"].get("creationTimestamp")
    return _namespace(DEFAULT, "" if host is None else host.uid, created, 1)


def event_v1(core: Item) -> Item:
    """A core/v1 Event as events.k8s.io/v1 has it (k8s.io/kubernetes/pkg/apis/events/v1/conversion.go)."""
    event = core.document()
    document = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": event["metadata"],
        "eventTime": event.get("eventTime"),
        "reportingController": event.get("reportingComponent", ""),
        "reportingInstance": event.get("reportingInstance", ""),
        "action": event.get("action", ""),
        "reason": event.get("reason", ""),
        "regarding": event.get("involvedObject", {}),
        "note": event.get("message", ""),
        "type": event.get("type", ""),
        "deprecatedSource": event.get("source", {}),
        "deprecatedFirstTimestamp": event.get("firstTimestamp"),
        "deprecatedLastTimestamp": event.get("lastTimestamp"),
        "deprecatedCount": event.get("count", 1),
    }
    if "series" in event:
        document["series"] = event["series"]
    return make_item(document, core.revision)
