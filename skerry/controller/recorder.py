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


class _Told(NamedTuple):
    """An Event that waits, and how often it happened meanwhile."""

    document: Document
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
        self._waiting: OrderedDict[str, _Told] = OrderedDict()
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
        document = self._document(about, kind, reason, message[:LONGEST])
        name = document["metadata"]["name"]
        before = self._waiting.pop(name, None)
        self._waiting[name] = _Told(document, 1 if before is None else before.times + 1)
        while len(self._waiting) > WAITING:
            self._waiting.popitem(last=False)
        self._idle.clear()
        self._arrived.set()

    def _document(self, about: Mapping[str, Any], kind: str, reason: str, message: str) -> Document:
        metadata = about.get("metadata", {})
        name, namespace, uid = (str(metadata.get(key, "")) for key in ("name", "namespace", "uid"))
        reference = {"kind": about.get("kind", ""), "namespace": namespace, "name": name, "uid": uid,
                     "apiVersion": about.get("apiVersion", ""),
                     "resourceVersion": metadata.get("resourceVersion", "")}  # fmt: skip
        said = hashlib.sha256("\0".join((self._component, uid, name, kind, reason, message)).encode()).hexdigest()[:16]
        now = rfc3339(self._clock())
        return {
            "metadata": {"name": f"{name}.{said}", "namespace": namespace or DEFAULT_NAMESPACE},
            "involvedObject": {key: value for key, value in reference.items() if value},
            "reason": reason,
            "message": message,
            "source": {"component": self._component},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
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
                name, told = self._waiting.popitem(last=False)
                await self._stored(name, told)
            self._idle.set()

    async def flushed(self) -> None:
        """Wait until nothing waits."""
        await self._idle.wait()

    async def _stored(self, name: str, told: _Told) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._store_one(name, told)
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

    async def _store_one(self, name: str, told: _Told) -> None:
        namespace = told.document["metadata"]["namespace"]
        if await self._store.find(name, namespace) is None:
            try:
                await self._store.create({**told.document, "count": told.times})
            except AlreadyExists:
                log.debug("another replica told the same event", extra={"event": name})
            else:
                return
        await self._store.modify(name, lambda found: _again(found, told), namespace)


def _again(found: Document, told: _Told) -> Document | None:
    """The Event after it happened once more; None if another replica has told this very change of the object."""
    if _revision(told.document) and _revision(told.document) <= _revision(found):
        return None
    last = told.document["lastTimestamp"]
    count = int(found.get("count") or 1) + told.times
    series = {"count": count, "lastObservedTime": last.replace("Z", ".000000Z")}
    about = told.document["involvedObject"]
    return {**found, "involvedObject": about, "count": count, "lastTimestamp": last, "series": series}


def _revision(event: Document) -> int:
    return int(event["involvedObject"].get("resourceVersion") or 0)
