"""Publishes events of one service into the stream EVENTS, each acknowledged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from skerry import subjects
from skerry.api.kinds import CLUSTER
from skerry.api.messages import HOST
from skerry.bus import Bucket, Bus, PubAck, Stream
from skerry.cloudevents import CloudEvent, bus_subject, data_of, headers_of
from skerry.errors import ServiceUnavailable
from skerry.storage.store import Store


class EventPublisher:
    """`source` says whose events they are: see `source_of`. Every method raises StatusError."""

    def __init__(self, stream: Stream, service: str, source: Callable[[], Awaitable[str]]) -> None:
        self.stream, self.service, self.source = stream, service, source

    @classmethod
    def of(cls, bus: Bus, resources: Bucket, service: str) -> EventPublisher:
        """That of a service of the host whose objects lie in `resources`."""
        return cls(Stream(bus, subjects.EVENT_STREAM), service, source_of(resources, service))

    async def publish(self, event: CloudEvent) -> PubAck:
        """Store an event; one that is published again with the same id within two minutes is stored once."""
        subject, headers = bus_subject(event), headers_of(event)
        return await self.stream.publish(subject, data_of(event), message_id=headers["ce-id"], headers=headers)


def source_of(resources: Bucket, service: str) -> Callable[[], Awaitable[str]]:
    """What `ce-source` says of the events of a service: `/hosts/<uid of the host>/<service>`. The host is asked for once;
    ServiceUnavailable while the store has none."""
    known = ""

    async def source() -> str:
        nonlocal known
        if not known:
            host = await Store(resources, CLUSTER).find(HOST)
            uid = "" if host is None else str((host.document().get("status") or {}).get("uid") or "")
            if not uid:
                raise ServiceUnavailable("the store does not say yet which host it is of")
            known = f"/hosts/{uid}/{service}"
        return known

    return source
