"""How an event tells the state of an object before and after: a few fields, never what is wanted of it. Pure."""

from __future__ import annotations

from skerry.api.conditions import condition_of
from skerry.api.meta import Document, Struct


class ObjectState(Struct, frozen=True, kw_only=True):
    """What events tell of an object of any kind. Absent fields are those that it does not have."""

    generation: int = 0
    ready: str = ""
    """Status of its condition Ready."""
    reason: str = ""
    """Of that condition."""
    phase: str = ""
    deleting: bool = False


class ClusterState(ObjectState, frozen=True, kw_only=True):
    """What events tell of a Cluster besides."""

    mode: str = ""
    """How it is connected."""
    kubernetes_version: str = ""


def state_of(document: Document) -> ObjectState:
    """The state of an object of any kind."""
    metadata, status = document.get("metadata") or {}, document.get("status") or {}
    ready = condition_of(document, "Ready")
    return ObjectState(
        generation=int(metadata.get("generation") or 0),
        ready=ready.status if ready.reason else "",
        reason=ready.reason,
        phase=str(status.get("phase") or status.get("state") or ""),
        deleting="deletionTimestamp" in metadata,
    )


def cluster_state(document: Document) -> ClusterState:
    """The state of a Cluster."""
    common, status = state_of(document), document.get("status") or {}
    connection = (document.get("spec") or {}).get("connection") or {}
    return ClusterState(
        generation=common.generation,
        ready=common.ready,
        reason=common.reason,
        deleting=common.deleting,
        mode=str(connection.get("mode") or ""),
        kubernetes_version=str(status.get("kubernetesVersion") or ""),
    )
