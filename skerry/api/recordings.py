"""Recorded sessions: what is stored at the beginning and at the end of one, and what the front door tells of it.

A recording is the messages `recording.<session>.…` of the stream RECORDINGS: one that begins it, its bytes, one that ends it.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import UNSET, UnsetType

from skerry.api.messages import Message


class RecordingState(StrEnum):
    """What there is of a session."""

    RUNNING = "running"
    COMPLETE = "complete"
    """From its beginning to its end."""
    GAPS = "gaps"
    """It ended, and parts of its output could not be stored; marks say where."""
    FULL = "full"
    """It reached the size that a recording may have, and ended later."""
    UNREADABLE = "unreadable"
    """From a place on, which a mark names, the session spoke no protocol that can be read."""
    REFUSED = "refused"
    """It was to be recorded, and the member let it not begin."""
    CUT = "cut"
    """It has no end: the front door that recorded it was killed, or could store nothing more."""


class RecordingBegin(Message, frozen=True, kw_only=True, tag_field="kind", tag="begin"):
    """The session as it was asked for."""

    id: str
    user: str
    cluster: str
    namespace: str
    pod: str
    container: str = ""
    subresource: str = "exec"
    """Or attach."""
    command: tuple[str, ...] = ()
    start: float
    """Unix seconds."""
    audit_id: str = ""
    required: bool = False
    """It may not go on without being recorded."""


class RecordingEnd(Message, frozen=True, kw_only=True, tag_field="kind", tag="end"):
    """How it ended."""

    state: RecordingState
    end: float
    """Unix seconds."""
    bytes: int
    """Of the recording."""
    sha256: str
    """Of the recording, in hexadecimal: what `sha256sum` says of the file."""
    exit: str = ""
    """Exit code of the command, or what its Status says; empty if none came."""
    lost: int = 0
    """Bytes of output that are not in it."""


class RecordedSession(Message, frozen=True, kw_only=True, omit_defaults=False):
    """One line of `/audit/sessions`."""

    id: str
    user: str
    cluster: str
    namespace: str
    pod: str
    container: str
    subresource: str
    command: tuple[str, ...]
    start: str
    """RFC 3339."""
    duration_s: float
    bytes: int
    state: RecordingState
    required: bool
    audit_id: str
    sha256: str | UnsetType = UNSET
    """As of RecordingEnd; absent while there is no end."""
    exit: str | UnsetType = UNSET
    lost: int | UnsetType = UNSET
