"""As much of SPDY/3.1 as it takes to say in it that a session broke (ADR 18).

kubectl takes a lost SPDY connection for the end of a command that succeeded. Only what comes on the error stream makes
it fail. That stream is the first that client-go creates (tools/remotecommand/v2.go), and a DATA frame needs no compression.
"""

from __future__ import annotations

import re
import struct

ERROR_STREAM = 1
"""Streams of a client have odd numbers."""
_HEAD = 8
_FIN = 1
_REMOTE_COMMAND = re.compile(rb"/(?:exec|attach)(?:\?|\Z)")


def is_remote_command(upgrade: bytes, target: bytes, protocol: bytes | None) -> bool:
    """True if a session is one of exec or attach in SPDY whose error stream takes a Status. `protocol` is the one that the
    server chose in X-Stream-Protocol-Version.
    """
    spdy = upgrade.lower() == b"spdy/3.1"
    return spdy and protocol == b"v4.channel.k8s.io" and _REMOTE_COMMAND.search(target) is not None


def last_words(status: bytes) -> bytes:
    """The frame that ends the error stream with a Status."""
    return struct.pack(">II", ERROR_STREAM, _FIN << 24 | len(status)) + status


class FrameEnds:
    """Counts the frames of one direction by their lengths, and looks at nothing else: `between` frames another may follow."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0

    @property
    def between(self) -> bool:
        """All frames that have begun have ended."""
        return not self._left and not self._head

    def feed(self, data: bytes) -> None:
        """The next bytes of the direction."""
        at, size = 0, len(data)
        while at < size:
            if self._left:
                step = min(self._left, size - at)
                self._left -= step
            else:
                step = min(_HEAD - len(self._head), size - at)
                self._head += data[at : at + step]
                if len(self._head) == _HEAD:
                    self._left = int.from_bytes(self._head[5:], "big")
                    self._head = b""
            at += step
