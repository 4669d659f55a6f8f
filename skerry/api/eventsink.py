"""The kind EventSink: where events are sent to as webhooks. Wire shapes; field texts are for people."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, UnsetType

from skerry.api.meta import Condition, ObjectMeta, Struct
from skerry.api.structural import list_map, list_set, one_of
from skerry.api.v1alpha1 import API_VERSION, described

STRUCTURED, BINARY = "structured", "binary"


class EventSinkSpec(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Where events are sent, and which."""

    url: Annotated[str, described("https://… that takes a POST for each event.")]
    types: Annotated[
        list[str],
        list_set("Types of events, such as dev.skerry.cluster.notready or dev.skerry.cluster.*; empty: all."),
    ] = []
    namespaces: Annotated[
        list[str], list_set("Only events of objects that lie in these namespaces; empty: all events.")
    ] = []
    mode: Annotated[
        str,
        one_of(
            "A CloudEvent is sent as one JSON object, or its attributes as headers and its data as the body.",
            STRUCTURED,
            BINARY,
        ),
    ] = STRUCTURED
    insecure: Annotated[bool, described("Whether http:// will do, and with https:// any certificate.")] = False
    ca_bundle: Annotated[str, described("Certificates of the authorities that alone count, in PEM.")] = ""
    paused: Annotated[
        bool,
        described("While this is true nothing is sent and events wait. A receiver that answers 410 sets it."),
    ] = False


class SinkAnswer(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """What came of a request to a receiver."""

    time: Annotated[str, described("When.")] = ""
    status: Annotated[int, described("Status code of the answer; 0 where there was none.")] = 0
    message: Annotated[str, described("The beginning of the answer, or why there was none.")] = ""
    event: Annotated[str, described("Id of the event.")] = ""


class StoredSecret(Struct, frozen=True, kw_only=True):
    """That a sink has a secret; nobody reads it again."""

    set: Annotated[str, described("When it was set.")] = ""
    previous_until: Annotated[str, described("Until when requests are signed with the one before as well.")] = ""


class EventSinkStatus(Struct, frozen=True, kw_only=True):
    """How the deliveries go."""

    conditions: Annotated[list[Condition], list_map("Ready: whether the receiver takes events.", "type")] = []
    secret: Annotated[StoredSecret | UnsetType, described("The secret that requests are signed with.")] = UNSET
    pending: Annotated[int, described("Events that the receiver has not taken yet.")] = 0
    dead: Annotated[int, described("Events that were given up and wait for 14 days to be sent again by hand.")] = 0
    last: Annotated[SinkAnswer | UnsetType, described("The last request and its answer.")] = UNSET
    retry_requested: Annotated[str, described("When somebody last asked that dead events are sent again.")] = ""


class EventSink(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A receiver of webhooks: each event is posted to it, signed, until it takes it."""

    api_version: str = API_VERSION
    kind: str = "EventSink"
    metadata: ObjectMeta
    spec: Annotated[EventSinkSpec, described("Where events are sent, and which.")]
    status: Annotated[EventSinkStatus, described("How the deliveries go.")] = EventSinkStatus()


class SinkSecret(Struct, frozen=True, kw_only=True):
    """The secret of a sink: given, or made by the host where none is given. The answer alone shows one that was made."""

    secret: Annotated[str, described("whsec_ and then 24 to 64 bytes in base64; empty: the host makes one.")] = ""
    previous_until: Annotated[str, described("Until when requests are signed with the one before as well.")] = ""


class SinkTestRequest(Struct, frozen=True, kw_only=True):
    """A test event that is sent to a receiver now."""


class DeadLetter(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """An event that was given up."""

    id: Annotated[str, described("Of the event.")]
    type: Annotated[str, described("Of the event.")] = ""
    subject: Annotated[str, described("The object that it is about.")] = ""
    time: Annotated[str, described("When it happened.")] = ""
    died: Annotated[str, described("When it was given up.")] = ""
    reason: Annotated[str, described("What came of the last try.")] = ""
    retrying: Annotated[bool, described("Whether somebody asked that it is sent again.")] = False


class DeadLetterList(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """The events that a sink gave up, the oldest first."""

    items: Annotated[list[DeadLetter], described("At most 500.")] = []
    count: Annotated[int, described("How many there are.")] = 0


class SinkRetry(Struct, frozen=True, kw_only=True):
    """Dead events that are to be sent again."""

    ids: Annotated[list[str], described("Of the events; none: all.")] = []


class SinkRetried(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """The dead events that are sent again."""

    count: Annotated[int, described("How many.")] = 0
    unknown: Annotated[list[str], described("Ids under which there is none.")] = []
