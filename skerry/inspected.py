"""What people may ask and hear of the bus with the `nats` tool (skerry/identity/inspection.py says how), as subjects of HOST."""

from __future__ import annotations

from skerry import subjects

_STREAMS = (
    subjects.stream_of(subjects.RESOURCES),
    subjects.stream_of(subjects.EVENTS),
    subjects.EVENT_STREAM,
)
_OF_STREAM = (
    "STREAM.INFO.{}",
    "STREAM.MSG.GET.{}",
    "DIRECT.GET.{}",
    "DIRECT.GET.{}.>",
    "CONSUMER.NAMES.{}",
    "CONSUMER.LIST.{}",
    "CONSUMER.INFO.{}.*",
)
ASKED = (
    "$SRV.>",
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    *(f"$JS.API.{call.format(stream)}" for stream in _STREAMS for call in _OF_STREAM),
)
"""Who is there, and what the host stores of objects and of what happened. Nothing here makes a consumer, or changes anything."""
HEARD = (f"$KV.{subjects.RESOURCES}.>", f"$KV.{subjects.EVENTS}.>", subjects.ALL_EVENTS)
"""Each write of objects and Kubernetes Events, and what happens."""
