"""An event as it is posted: headers and body, as the HTTP binding of CloudEvents has them. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from services.events.signing import signed
from skerry.api.times import rfc3339
from skerry.cloudevents import CONTENT_TYPE, JSON, NORMAL, CloudEvent, EventData, EventObject, data_of, from_message
from skerry.cloudevents import headers_of as attributes_of
from skerry.cloudevents import structured as structured_json
from skerry.httpwire.head import Headers

TEST = "dev.skerry.eventsink.test"


class Webhook(NamedTuple):
    """A request to a receiver, but for its signature."""

    id: str
    headers: Mapping[str, str]
    body: bytes

    def signed_with(self, keys: Iterable[bytes], now: float) -> Headers:
        """All headers, as it is sent now."""
        named = {**self.headers, **signed(keys, self.id, int(now), self.body)}
        return [(name.encode(), value.encode()) for name, value in named.items()]


def webhook(headers: Mapping[str, str], data: bytes, *, binary: bool) -> Webhook:
    """The request for an event as it is on the bus. BadRequest for what is none."""
    return request_of(from_message(headers, data), binary=binary)


def request_of(event: CloudEvent, *, binary: bool) -> Webhook:
    """The request for an event."""
    if binary:
        attributes = attributes_of(event)
        attributes.pop("ce-datacontenttype", None)  # it is the content-type there
        return Webhook(event.id, {"content-type": JSON, **attributes}, data_of(event))
    return Webhook(event.id, {"content-type": f"{CONTENT_TYPE}; charset=utf-8"}, structured_json(event))


def trial(name: str, uid: str, host: str, actor: str, now: float) -> CloudEvent:
    """An event that says that somebody tries out a sink."""
    return CloudEvent(
        id=f"test:{uuid.uuid4()}",
        source=f"/hosts/{host}/events",
        type=TEST,
        subject=f"eventsink/{name}",
        time=rfc3339(now),
        actor=actor,
        data=EventData(
            object=EventObject(api_version="skerry.dev/v1alpha1", kind="EventSink", name=name, uid=uid),
            type=NORMAL,
            reason="Test",
            message="somebody tries out whether this receiver takes events",
        ),
    )
