"""Kubernetes Events: what happened to an object, for people, told by the service that owns it.

An Event that repeats is one object that counts: its name follows from what it says, so replicas and restarts count on
the same one without asking each other, and one change of an object counts once, whoever tells it. Telling is never waited for and never fails anything: what cannot be stored in
time is dropped, because an Event is a courtesy and the condition on the object is the fact.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from skerry.api.kinds import EVENT
from skerry.api.meta import Document
from skerry.api.times import rfc3339
from skerry.bus import Bucket
from skerry.errors import AlreadyExists, StatusError
from skerry.storage.documents import utc_now
from skerry.storage.store import Store

log = logging.getLogger("skerry.events")

WAITING = 256
"""Events that wait to be stored; beyond it the oldest are dropped."""
ATTEMPTS, RETRY_S = 5, 1.0
LONGEST = 1024
"""Characters of a message, as in core/v1."""
DEFAULT_NAMESPACE = "default"
"""Where Events of cluster-scoped objects are."""


class _Words(NamedTuple):
    """What makes two Events the same one."""

    uid: str
    namespace: str
    name: str
    type: str
    reason: str
    message: str


class _Occurrence(NamedTuple):
    """What else is known of an Event that waits: its document is made when it is stored, however often it was told."""

    kind: str
    api_version: str
    resource_version: str
    """Of the object, when it was told last."""
    at: datetime
    times: int


class Recorder:
    """Tells Events of one component. A task must run `run`."""

    def __init__(
        self, bucket: Bucket, component: str, *, instance: str = "", clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._store = Store(bucket, EVENT, clock=clock)
        self._component = component
        self._instance = instance or component
        self._clock = clock
        self._waiting: OrderedDict[_Words, _Occurrence] = OrderedDict()
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def normal(self, about: Mapping[str, Any], reason: str, message: str) -> None:
        """Something went as it should. `about` is the document of the object."""
        self._tell(about, "Normal", reason, message)

    def warning(self, about: Mapping[str, Any], reason: str, message: str) -> None:
        """Something that a person may have to look at."""
        self._tell(about, "Warning", reason, message)

    def _tell(self, about: Mapping[str, Any], kind: str, reason: str, message: str) -> None:
        """Note it, quickly: whoever tells may hold up everything."""
        metadata = about.get("metadata", {})
        uid, namespace, name = (str(metadata.get(key, "")) for key in ("uid", "namespace", "name"))
        words = _Words(uid, namespace, name, kind, reason, message[:LONGEST])
        before = self._waiting.pop(words, None)
        self._waiting[words] = _Occurrence(
            str(about.get("kind", "")),
            str(about.get("apiVersion", "")),
            str(metadata.get("resourceVersion", "")),
            self._clock(),
            1 if before is None else before.times + 1,
        )
        while len(self._waiting) > WAITING:
            self._waiting.popitem(last=False)
        self._idle.clear()
        self._arrived.set()

    def _document(self, words: _Words, occurrence: _Occurrence) -> Document:
        uid, namespace, name, kind, reason, message = words
        reference = {"kind": occurrence.kind, "namespace": namespace, "name": name, "uid": uid,
                     "apiVersion": occurrence.api_version, "resourceVersion": occurrence.resource_version}  # fmt: skip
        said = hashlib.sha256("\0".join((self._component, uid, name, kind, reason, message)).encode()).hexdigest()[:16]
        now = rfc3339(occurrence.at)
        return {
            "metadata": {"name": f"{name}.{said}", "namespace": namespace or DEFAULT_NAMESPACE},
            "involvedObject": {key: value for key, value in reference.items() if value},
            "reason": reason,
            "message": message,
            "source": {"component": self._component},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": occurrence.times,
            "type": kind,
            "eventTime": None,
            "reportingComponent": self._component,
            "reportingInstance": self._instance,
        }

    async def run(self) -> None:
        """Store what is told, until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                words, occurrence = self._waiting.popitem(last=False)
                await self._stored(self._document(words, occurrence))
            self._idle.set()

    async def flushed(self) -> None:
        """Wait until nothing waits."""
        await self._idle.wait()

    async def _stored(self, event: Document) -> None:
        name = event["metadata"]["name"]
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._store_one(name, event)
            except StatusError as error:
                if attempt == ATTEMPTS:
                    log.warning("an event was not stored", extra={"event": name, "error": error.message})
                    return
                await asyncio.sleep(RETRY_S)
            except Exception:
                log.exception("an event was not stored", extra={"event": name})
                return
            else:
                return

    async def _store_one(self, name: str, event: Document) -> None:
        namespace = event["metadata"]["namespace"]
        if await self._store.find(name, namespace) is None:
            try:
                await self._store.create(event)
            except AlreadyExists:
                log.debug("another replica told the same event", extra={"event": name})
            else:
                return
        await self._store.modify(name, lambda stored: _again(stored, event), namespace)


def _again(stored: Document, event: Document) -> Document | None:
    """The Event after it happened once more; None if another replica has told this very change of the object."""
    if _revision(event) and _revision(event) <= _revision(stored):
        return None
    last = event["lastTimestamp"]
    count = int(stored.get("count") or 1) + event["count"]
    series = {"count": count, "lastObservedTime": last.replace("Z", ".000000Z")}
    about = event["involvedObject"]
    return {**stored, "involvedObject": about, "count": count, "lastTimestamp": last, "series": series}


def _revision(event: Document) -> int:
    return int(event["involvedObject"].get("resourceVersion") or 0)
