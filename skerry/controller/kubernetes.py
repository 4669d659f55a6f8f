"""Kubernetes Events: what happened to an object, for people with kubectl.

An Event that repeats is one object that counts: its name follows from what it says, so replicas and restarts count on the same one
without asking each other, and one change of an object counts once, whoever tells it and however often.
"""

from __future__ import annotations

import hashlib
import logging

from skerry.api.kinds import EVENT
from skerry.api.meta import Document
from skerry.api.times import rfc3339
from skerry.bus import Bucket
from skerry.cloudevents import EventData, EventObject
from skerry.errors import AlreadyExists
from skerry.storage.store import Store

log = logging.getLogger("skerry.events")

LONGEST = 1024
"""Characters of a message, as in core/v1."""
DEFAULT_NAMESPACE = "default"
"""Where Events of cluster-scoped objects are."""


class KubernetesEvents:
    """The Events of one component."""

    def __init__(self, bucket: Bucket, component: str) -> None:
        self._store, self._component = Store(bucket, EVENT), component

    async def record(self, data: EventData, at: float) -> None:
        """Store what happened to the object that `data` names, at a time in Unix seconds; once for each of its revisions. StatusError."""
        event = self._document(data, rfc3339(at))
        name, namespace = event["metadata"]["name"], event["metadata"]["namespace"]
        try:
            await self._store.create(event)
        except AlreadyExists:
            await self._store.modify(name, lambda stored: _again(stored, event), namespace)

    def _document(self, data: EventData, now: str) -> Document:
        about = data.object or EventObject()
        reference = {"kind": about.kind, "namespace": about.namespace, "name": about.name, "uid": about.uid,
                     "apiVersion": about.api_version, "resourceVersion": about.resource_version}  # fmt: skip
        message = data.message[:LONGEST]
        words = (self._component, about.uid, about.name, data.type, data.reason, message)
        said = hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]
        return {
            "metadata": {"name": f"{about.name}.{said}", "namespace": about.namespace or DEFAULT_NAMESPACE},
            "involvedObject": {key: value for key, value in reference.items() if value},
            "reason": data.reason,
            "message": message,
            "source": {"component": self._component},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": data.count,
            "type": data.type,
            "eventTime": None,
            "reportingComponent": self._component,
            "reportingInstance": self._component,
        }


def _again(stored: Document, event: Document) -> Document | None:
    """The Event after it happened once more; None if this very change of the object is told already."""
    if _revision(event) and _revision(event) <= _revision(stored):
        return None
    last = event["lastTimestamp"]
    count = int(stored.get("count") or 1) + event["count"]
    series = {"count": count, "lastObservedTime": last.replace("Z", ".000000Z")}
    about = event["involvedObject"]
    return {**stored, "involvedObject": about, "count": count, "lastTimestamp": last, "series": series}


def _revision(event: Document) -> int:
    return int(event["involvedObject"].get("resourceVersion") or 0)
