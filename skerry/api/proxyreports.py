"""What proxies tell the registries, unasked."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from skerry.api.messages import Message


class FloodReport(Message, frozen=True, kw_only=True):
    """A proxy, or a registry, was flooded by a member: `quarantine.<m>`. An empty message of older proxies means frames."""

    of: str = "frames"
    """`frames`, `heartbeats`, or `requests`, which registries alone count."""


class CutReport(Message, frozen=True, kw_only=True):
    """A proxy cut live requests to a member that leaves: `cut.<m>`."""

    uid: str
    """Of the Cluster that leaves."""
    streams: Annotated[int, Meta(ge=1, le=1_000_000)]
