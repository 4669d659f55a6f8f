"""CloudEvents 1.0: what happened, as a message on the bus and as JSON. Pure.

On the bus an event is in the binary mode of the NATS binding: each attribute is a header `ce-…`, whose value is percent-encoded
(space, `"`, `%` and all but U+0021 to U+007E), and the payload is `data` as JSON. There is no `content-type` header: there it would
say that the whole event is in the payload. To people and webhooks it goes as one JSON object (structured mode).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import msgspec
from msgspec import UNSET, UnsetType

from skerry import subjects
from skerry.api.decode import decoder
from skerry.api.meta import Struct
from skerry.errors import BadRequest

TYPE_PREFIX = "dev.skerry"
PREFIX = "ce-"
CONTENT_TYPE = "application/cloudevents+json"
JSON = "application/json"
NORMAL, WARNING = "Normal", "Warning"


class EventObject(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The object that something happened to."""

    api_version: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    resource_version: str = ""


class EventData(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happened. Fields are only ever added."""

    object: EventObject | UnsetType = UNSET
    """Absent of what happened to no object of the host."""
    type: str
    """Normal, or Warning: somebody may have to look."""
    reason: str
    """One CamelCase word."""
    message: str = ""
    """For people."""
    cluster: str = ""
    """The cluster that it is about, if it is about one."""
    count: int = 1
    """So often since the last event of this kind that says the same."""
    from_: dict[str, Any] | UnsetType = msgspec.field(name="from", default=UNSET)
    """The state of the object before, as far as events tell it."""
    to: dict[str, Any] | UnsetType = UNSET
    """And after; absent when it is gone."""
    details: dict[str, str] = {}
    """Of system and member events: what else is known."""


class CloudEvent(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="specversion", tag="1.0", rename="lower"
):
    """One event: the context attributes of CloudEvents 1.0, extensions, and the data."""

    id: str
    """With the source it is unique: who has seen both has seen the event."""
    source: str
    """`/hosts/<uid>/<service>`."""
    type: str
    """`dev.skerry.<kind>.<verb>`."""
    subject: str
    """`<kind>/<name>`, or `<kind>/<namespace>/<name>`."""
    time: str
    """RFC 3339, of the stored write or of when it was seen."""
    datacontenttype: str = JSON
    actor: str = ""
    """Who did it: the name of a user, or `service:<name>`; empty if nobody is known to."""
    auditid: str = ""
    """Of the request that did it."""
    traceparent: str = ""
    sequence: str = ""
    """Its place in the stream EVENTS, where it is read from there: `after` of `GET /events`."""
    data: EventData

    @property
    def kind(self) -> str:
        """The kind in its type, lower case; `system` and `member` besides those of the API."""
        return self.type.split(".")[2]

    @property
    def verb(self) -> str:
        """What happened, in one lower-case word."""
        return self.type.rpartition(".")[2]


ATTRIBUTES = tuple(name for name in CloudEvent.__struct_fields__ if name != "data")
_encode = msgspec.json.Encoder().encode
_decode_event, _decode_data = decoder(CloudEvent), decoder(EventData)
_UNSAFE = re.compile(r"[^\x21\x23\x24\x26-\x7e]+")
_TYPE = re.compile(r"dev\.skerry\.[a-z0-9]+\.[a-z0-9]+\Z")
_NOT_IN_VERBS = re.compile(r"[^A-Za-z0-9]")


def type_of(kind: str, reason: str) -> str:
    """The type of an event about an object of a kind, from the reason in CamelCase."""
    return f"{TYPE_PREFIX}.{kind.lower()}.{verb_of(reason)}"


def verb_of(reason: str) -> str:
    """`NotReady` -> `notready`. Reasons may come from what another version stored, and this stands in a subject: of what is no such
    word its letters and digits are left, and of nothing `unknown`."""
    return _NOT_IN_VERBS.sub("", reason)[:63].lower() or "unknown"


def subject_of(kind: str, name: str, namespace: str = "") -> str:
    """The attribute `subject`."""
    return "/".join(part for part in (kind.lower(), namespace, name) if part)


def bus_subject(event: CloudEvent) -> str:
    """Where it is published: `event.<kind>.<name>.<verb>`, namespaced `event.<kind>.<namespace>.<name>.<verb>`."""
    kind, *place = event.subject.split("/", 2)
    *namespace, name = place
    return subjects.event(kind, namespace[0] if namespace else "", name, event.verb)


def headers_of(event: CloudEvent) -> dict[str, str]:
    """The NATS headers of an event, without its data."""
    attributes: dict[str, str] = {"specversion": "1.0"}
    attributes |= {name: value for name in ATTRIBUTES if name != "sequence" and (value := getattr(event, name))}
    return {PREFIX + name: percent_encoded(value) for name, value in attributes.items()}


def data_of(event: CloudEvent) -> bytes:
    """The payload of an event on the bus."""
    return _encode(event.data)


def structured(event: CloudEvent) -> bytes:
    """The whole event as JSON."""
    return _encode(event)


def from_message(headers: Mapping[str, str], data: bytes, sequence: int = 0) -> CloudEvent:
    """The event in a message of the bus. BadRequest if it is none, or one that Skerry did not make."""
    given = {name.lower(): value for name, value in headers.items()}
    if given.get("ce-specversion") != "1.0":
        raise BadRequest("the message is not an event: it has no header ce-specversion: 1.0")
    attributes = {name: unquote(value) for name in ATTRIBUTES if (value := given.get(PREFIX + name))}
    missing = [name for name in ("id", "source", "type", "subject", "time") if name not in attributes]
    if missing or _TYPE.match(attributes["type"]) is None:
        raise BadRequest(f"the message is not an event of Skerry: {', '.join(missing) or attributes['type'][:80]!r}")
    attributes["sequence"] = str(sequence) if sequence else ""
    try:
        return CloudEvent(**attributes, data=_decode_data(data))
    except msgspec.DecodeError as error:
        raise BadRequest(f"the data of event {attributes['id'][:80]} cannot be read: {error}") from error


def from_json(line: bytes) -> CloudEvent:
    """The event in JSON. BadRequest."""
    try:
        return _decode_event(line)
    except msgspec.DecodeError as error:
        raise BadRequest(f"this is not an event of Skerry: {error}") from error


def percent_encoded(value: str) -> str:
    """The value of a header: UTF-8, percent-encoded but for U+0021 to U+007E without `"` and `%`."""
    return _UNSAFE.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), value)
