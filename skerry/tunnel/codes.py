"""Codes and errors of the tunnel alone; why a stream was reset is in `skerry.relay`."""

from __future__ import annotations

from enum import StrEnum


class RejectCode(StrEnum):
    """Why an OPEN was not taken. Nothing was executed."""

    GOAWAY = "GOAWAY"
    LIMIT = "LIMIT"
    DUPLICATE = "DUPLICATE"


class ProtocolError(Exception):
    """Bytes that are not a frame, or a frame that this state does not allow."""


class TooLarge(ValueError):
    """A local head that does not fit a frame (64 KiB with everything that travels with it)."""
