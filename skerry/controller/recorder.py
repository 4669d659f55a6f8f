"""Events that no stored change tells: of the system, of members, and of objects where something happens that they do not show.

They wait in a bounded queue, are published as CloudEvents and, where they are about an object, stored as Kubernetes Events. Telling
is never waited for and never fails anything: what repeats is one event a second that counts, what does not fit is dropped and
counted, because the condition on the object, or the log, is the fact. What follows from stored changes goes another way
(`derivation`), and is never lost.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from msgspec import UNSET

from skerry.api.happened import MEMBER, MEMBER_EVENTS, SYSTEM, SYSTEM_EVENTS
from skerry.api.text import clean
from skerry.bus import Bucket
from skerry.cloudevents import (
    NORMAL,
    WARNING,
    CloudEvent,
    EventData,
    EventObject,
    subject_of,
    type_of,
)
from skerry.controller.events import object_of, time_of
from skerry.controller.kubernetes import LONGEST, KubernetesEvents
from skerry.controller.publisher import EventPublisher
from skerry.errors import GatewayTimeout, ServiceUnavailable
from skerry.storage.origin import Origin, current

log = logging.getLogger("skerry.events")

WAITING = 1024
"""Events that wait; beyond it the oldest are dropped."""
REPEATED_S = 1.0
"""What repeats is told so often at most."""
RETRY_S = 1.0


class _Words(NamedTuple):
    """What makes two events the same one."""

    kind: str
    namespace: str
    name: str
    uid: str
    type: str
    reason: str
    message: str


class _Waiting(NamedTuple):
    """What else is known of an event that waits."""

    about: EventObject | None
    """Of an object: as it was told last."""
    at: float
    times: int
    cluster: str
    details: Mapping[str, str]
    origin: Origin


class Recorder:
    """Tells events of one component. A task must run `run`."""

    def __init__(
        self,
        bucket: Bucket | None,
        component: str,
        *,
        publisher: EventPublisher | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`bucket` takes Kubernetes Events, `publisher` CloudEvents; who has one of them tells there alone."""
        self._kubernetes = None if bucket is None else KubernetesEvents(bucket, component)
        self._publisher, self._component, self._clock = publisher, component, clock
        self._id = secrets.token_hex(8)
        self._numbers = 0
        self._waiting: OrderedDict[_Words, _Waiting] = OrderedDict()
        self._last: OrderedDict[_Words, float] = OrderedDict()
        """When what was told lately was told."""
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.dropped = self._told_dropped = 0

    # Telling

    def normal(self, about: Mapping[str, Any], reason: str, message: str) -> None:
        """Something went as it should. `about` is the document of the object."""
        self._tell_of(about, NORMAL, reason, message)

    def warning(self, about: Mapping[str, Any], reason: str, message: str) -> None:
        """Something that a person may have to look at."""
        self._tell_of(about, WARNING, reason, message)

    def system(
        self,
        reason: str,
        name: str,
        message: str,
        *,
        warning: bool = True,
        cluster: str = "",
        details: Mapping[str, str] = {},
    ) -> None:
        """Something happened to the host itself; `name` is what or whom it is about. KeyError for a reason that is not declared."""
        SYSTEM_EVENTS[reason]
        self._tell(SYSTEM, name, reason, message, warning=warning, cluster=cluster, details=details)

    def member(self, reason: str, member: str, message: str, *, warning: bool = False) -> None:
        """An agent of `member` says so. KeyError for a reason that is not declared."""
        MEMBER_EVENTS[reason]
        self._tell(MEMBER, member, reason, message, warning=warning, cluster=member, details={})

    def _tell(
        self,
        kind: str,
        name: str,
        reason: str,
        message: str,
        *,
        warning: bool,
        cluster: str,
        details: Mapping[str, str],
    ) -> None:
        words = _Words(kind, "", clean(name, 253) or "unknown", "", WARNING if warning else NORMAL, reason, clean(message, LONGEST))  # fmt: skip
        self._put(words, _Waiting(None, self._clock(), 1, cluster, details, current(self._component)))

    def _tell_of(self, about: Mapping[str, Any], type_: str, reason: str, message: str) -> None:
        reference = object_of(dict(about))
        words = _Words(
            reference.kind, reference.namespace, reference.name, reference.uid, type_, reason, message[:LONGEST]
        )
        self._put(words, _Waiting(reference, self._clock(), 1, "", {}, current(self._component)))

    def _put(self, words: _Words, waiting: _Waiting) -> None:
        """Note it, quickly: whoever tells may hold up everything."""
        before = self._waiting.pop(words, None)
        self._waiting[words] = waiting if before is None else waiting._replace(times=before.times + 1)
        while len(self._waiting) > WAITING:
            _, dropped = self._waiting.popitem(last=False)
            self.dropped += dropped.times
        self._idle.clear()
        self._arrived.set()

    # Storing

    async def run(self) -> None:
        """Store what is told, until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                words = self._due()
                if words is None:
                    await asyncio.sleep(REPEATED_S / 4)
                    continue
                await self._stored(words, self._waiting.pop(words))
            self._idle.set()
            if self.dropped > self._told_dropped:
                lost, self._told_dropped = self.dropped - self._told_dropped, self.dropped
                self.system(
                    "Lost",
                    self._component,
                    f"{lost} events are missing: they did not fit the queue, or could not be stored",
                )

    async def flushed(self) -> None:
        """Wait until nothing waits."""
        await self._idle.wait()

    def _due(self) -> _Words | None:
        """The oldest that was not told a moment ago."""
        now = self._clock()
        while self._last and next(iter(self._last.values())) + REPEATED_S <= now:
            self._last.popitem(last=False)
        return next((words for words in self._waiting if words not in self._last), None)

    async def _stored(self, words: _Words, waiting: _Waiting) -> None:
        """Publish and store one, however long that takes while the bus is away."""
        self._numbers += 1
        event_id, is_published = f"{self._component}:{self._id}:{self._numbers}", self._publisher is None
        while True:
            try:
                event = await self._event(words, waiting, event_id)
                if self._publisher is not None and not is_published:
                    await self._publisher.publish(event)
                    is_published = True
                if self._kubernetes is not None and waiting.about is not None:
                    await self._kubernetes.record(event.data, waiting.at)
            except (ServiceUnavailable, GatewayTimeout) as error:
                log.debug("an event waits", extra={"reason": words.reason, "error": error.message})
                await asyncio.sleep(RETRY_S)
            except Exception:
                self.dropped += waiting.times
                log.exception("an event is lost", extra={"reason": words.reason})
                break
            else:
                break
        self._last[words] = self._clock()
        self._last.move_to_end(words)

    async def _event(self, words: _Words, waiting: _Waiting, event_id: str) -> CloudEvent:
        data = EventData(
            object=UNSET if waiting.about is None else waiting.about,
            type=words.type,
            reason=words.reason,
            message=words.message,
            cluster=waiting.cluster,
            count=waiting.times,
            details=dict(waiting.details),
        )
        return CloudEvent(
            id=event_id,
            source="" if self._publisher is None else await self._publisher.source(),
            type=type_of(words.kind, words.reason),
            subject=subject_of(words.kind, words.name, words.namespace),
            time=time_of(waiting.at),
            actor=waiting.origin.actor,
            auditid=waiting.origin.audit_id,
            traceparent=waiting.origin.traceparent,
            data=data,
        )
