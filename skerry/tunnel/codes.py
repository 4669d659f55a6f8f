"""Codes and errors of the tunnel, as they travel in RESET and REJECT frames."""

from __future__ import annotations

from enum import StrEnum


class ResetCode(StrEnum):
    """Why both directions of a stream were aborted."""

    CANCEL = "CANCEL"
    """The client left, or nobody wants the answer any more."""
    PEER_LOST = "PEER_LOST"
    """The other process, or the connection to it, is gone; or it does not know the stream."""
    GAP = "GAP"
    """Frames are missing: the bus lost them."""
    LIMIT = "LIMIT"
    """A limit was hit; the message says which."""
    UPSTREAM = "UPSTREAM"
    """The member's API server broke the exchange."""
    GOAWAY = "GOAWAY"
    """The process is leaving and the grace is over."""
    REVOKED = "REVOKED"
    """The caller's permission, credential or the member itself is gone."""


class RejectCode(StrEnum):
    """Why an OPEN was not taken. Nothing was executed."""

    GOAWAY = "GOAWAY"
    LIMIT = "LIMIT"
    DUPLICATE = "DUPLICATE"


class ProtocolError(Exception):
    """Bytes that are not a frame, or a frame that this state does not allow."""


class TooLarge(ValueError):
    """A local head that does not fit a frame (64 KiB with everything that travels with it)."""
