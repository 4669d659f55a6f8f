"""The channels of exec and attach over WebSocket, read by somebody who stands beside: v4 and v5.channel.k8s.io.

The first byte of a message is its channel, the rest belongs to that stream (apimachinery, util/remotecommand). Whoever reads
here is none of the two ends: nothing is answered, no message is put together, and what is not asked for is not even
unmasked, so that a password on its way to the member is never in hand. Pieces come out as they come in, whatever way the
bytes were cut; at most a frame's head is kept.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import IntEnum
from typing import NamedTuple

from skerry.httpwire.head import Headers
from skerry.httpwire.websocket import PROTOCOL_ERROR, FrameHead, Opcode, WebSocketError, frame_head, xor

PROTOCOLS = (b"v5.channel.k8s.io", b"v4.channel.k8s.io")
"""Sub-protocols whose messages are read here. Older ones lack the exit status, or are in base64."""


class Channel(IntEnum):
    """The first byte of a message."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    ERROR = 3
    """The Status at the end."""
    RESIZE = 4
    CLOSE = 255
    """Of v5: the stream whose number follows has ended."""


class Piece(NamedTuple):
    """A part of a message."""

    channel: int
    data: bytes
    last: bool
    """The message ends here."""


class ChannelReader:
    """Takes the bytes of one direction and gives the pieces of the channels that are `wanted`."""

    __slots__ = ("_channel", "_from_client", "_head", "_open", "_raw", "_taken", "_wanted", "closed")

    def __init__(self, *, from_client: bool, wanted: Collection[int]) -> None:
        self._from_client = from_client
        self._wanted = frozenset(wanted)
        self._raw = bytearray()  # of the head of a frame
        self._head: FrameHead | None = None
        self._taken = 0  # bytes of the frame's payload
        self._open = False  # a message has begun and not ended
        self._channel: int | None = None  # of that message, once its first byte came
        self.closed = False
        """A close frame came: the direction says nothing more."""

    @property
    def between(self) -> bool:
        """True if a message of somebody else could follow what has passed."""
        return self._head is None and not self._raw and not self._open and not self.closed

    def feed(self, data: bytes) -> list[Piece]:
        """The next bytes of the direction. WebSocketError if they are no WebSocket: what follows cannot be read."""
        pieces: list[Piece] = []
        at, size = 0, len(data)
        while not self.closed and at < size:
            if self._head is None:
                at = self._begin(data, at)
            else:
                end = min(size, at + self._head.size - self._taken)
                self._pass(self._head, data[at:end], pieces)
                at = end
            if self._head is not None and self._taken == self._head.size:
                self._end(self._head, pieces)
        return pieces

    def _begin(self, data: bytes, at: int) -> int:
        """Read on in the head of a frame, never beyond its end; where the rest begins."""
        shortest = 6 if self._from_client else 2
        while self._head is None and at < len(data):
            step = max(1, shortest - len(self._raw))
            self._raw += data[at : at + step]
            at += step
            self._head = frame_head(self._raw, masked=self._from_client)
        if self._head is not None:
            self._raw.clear()
            self._taken = 0
            if self._head.opcode < Opcode.CLOSE:
                if (self._head.opcode is Opcode.CONTINUATION) != self._open:
                    raise WebSocketError(
                        PROTOCOL_ERROR, "a message began within another, or goes on without a beginning"
                    )
                self._open = True
        return min(at, len(data))

    def _pass(self, head: FrameHead, payload: bytes, pieces: list[Piece]) -> None:
        start, self._taken = self._taken, self._taken + len(payload)
        if head.opcode >= Opcode.CLOSE or not payload:
            return
        if self._channel is None:
            self._channel = payload[0] if head.mask is None else payload[0] ^ head.mask[start % 4]
            payload, start = payload[1:], start + 1
        if payload and self._channel in self._wanted:
            if head.mask is not None:
                turn = start % 4
                payload = xor(payload, head.mask[turn:] + head.mask[:turn])
            pieces.append(Piece(self._channel, payload, False))

    def _end(self, head: FrameHead, pieces: list[Piece]) -> None:
        self._head = None
        if head.opcode >= Opcode.CLOSE:
            self.closed = head.opcode is Opcode.CLOSE
            return
        if not head.last:
            return
        self._open = False
        channel, self._channel = self._channel, None
        if channel is None or channel not in self._wanted:
            return
        if pieces and pieces[-1].channel == channel and not pieces[-1].last:
            pieces[-1] = pieces[-1]._replace(last=True)
        else:
            pieces.append(Piece(channel, b"", True))


def readable(headers: Headers) -> Headers | None:
    """The headers of a client's handshake, offering only what can be read here: none of the other sub-protocols, and no
    extension, which would change the frames. None if nothing is left to offer.
    """
    offers = [
        part.strip(b" \t") for name, value in headers if name == b"sec-websocket-protocol" for part in value.split(b",")
    ]
    left = [offer for offer in offers if offer in PROTOCOLS]
    if not left:
        return None
    others = [
        (name, value) for name, value in headers if name not in (b"sec-websocket-protocol", b"sec-websocket-extensions")
    ]
    return [*others, (b"sec-websocket-protocol", b", ".join(left))]
