"""Lines of an audit log about itself: who writes it, what is missing, that it goes on, that it ended well.

They stand in the chain like records, so that none can be taken away or put in.
"""

from __future__ import annotations

from typing import Literal

import msgspec

API_VERSION = "audit.skerry.dev/v1"


class Mark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", tag_field="kind", tag="Mark"):
    """One such line."""

    api_version: str = API_VERSION
    type: Literal["Start", "Alive", "Gap", "End"]
    at: str
    """Time as records have it."""
    writer: str = ""
    """Of a start: whose log it is."""
    certificate: str = ""
    """Of a start: the record of the writer's key, signed by the host's trust root."""
    records: int = 0
    """Of a gap: how many are missing."""
    since: str = ""
    """Of a gap: when the first that is missing was made."""
    reason: str = ""
    """Of a gap: why, for people."""


START = b'{"kind":"Mark"'
"""How a line begins that is a mark, and no record."""
_encode = msgspec.json.Encoder().encode


def line(mark: Mark) -> bytes:
    """As it stands in a log."""
    return _encode(mark) + b"\n"


def is_mark(line: bytes) -> bool:
    """True if a line is one of these."""
    return line.startswith(START)
