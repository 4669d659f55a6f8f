"""WebSocket without I/O (RFC 6455): handshakes, frames and messages, for either role.

Bytes in, events out; what is to be sent is bytes that a function returns. Masks are the caller's, because there is no
chance here. No extension is ever agreed on, so a reserved bit is a fault; every fault is a `WebSocketError` that carries
the close code which the peer is owed. Memory is bounded: a message beyond the limit fails when its frame is announced.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from enum import IntEnum
from typing import NamedTuple

from skerry.errors import BadRequest
from skerry.httpwire.head import Headers, RequestHead, ResponseHead
from skerry.httpwire.headers import BEARER_PROTOCOL

NORMAL, GOING_AWAY, PROTOCOL_ERROR, NOT_UTF8, TOO_BIG, BROKEN = 1000, 1001, 1002, 1007, 1009, 1011
"""Close codes (RFC 6455, 7.4.1). 1005 and 1006 are never sent: they stand for no code, and for no close frame at all."""

CONTROL_LIMIT = 125
"""Bytes of a control frame's payload."""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION = b"13"
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class Opcode(IntEnum):
    """The kind of a frame (RFC 6455, 5.2)."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


_OPCODES = frozenset(Opcode)


class WebSocketMessage(NamedTuple):
    """A whole message; `data` of a text message is valid UTF-8."""

    data: bytes
    text: bool


class Ping(NamedTuple):
    """To be answered with a PONG of the same data."""

    data: bytes


class Pong(NamedTuple):
    """The answer to a PING, or a sign of life."""

    data: bytes


class Close(NamedTuple):
    """The peer sends nothing more. `code` is 1005 if it gave none."""

    code: int
    reason: str


WebSocketEvent = WebSocketMessage | Ping | Pong | Close


class WebSocketError(ValueError):
    """The peer broke a rule; `code` is what its close frame says. Nothing more can be read."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


# -- handshakes -------------------------------------------------------------------------------------------------------


def accept_key(key: bytes) -> bytes:
    """The value of Sec-WebSocket-Accept that answers a Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def offered(headers: Headers) -> list[bytes]:
    """The sub-protocols that a client offers, in order, without those that carry a bearer token."""
    names = [
        part.strip(b" \t") for name, value in headers if name == b"sec-websocket-protocol" for part in value.split(b",")
    ]
    return [name for name in names if _TOKEN.fullmatch(name) and not name.lower().startswith(BEARER_PROTOCOL)]


def accepted(head: RequestHead, protocol: bytes | None) -> ResponseHead:
    """A server's answer to an opening handshake, agreeing on `protocol` or none. BadRequest, which names the rule."""
    keys = [value for name, value in head.headers if name == b"sec-websocket-key"]
    if not head.websocket or head.method != b"GET":
        raise BadRequest("a WebSocket begins with a GET that asks for the upgrade to websocket")
    if head.get(b"sec-websocket-version") != _VERSION:
        raise BadRequest("Sec-WebSocket-Version must be 13")
    if len(keys) != 1 or not _is_key(keys[0]):
        raise BadRequest("Sec-WebSocket-Key must be 16 bytes in base64, once")
    headers: Headers = [(b"upgrade", b"websocket"), (b"sec-websocket-accept", accept_key(keys[0]))]
    if protocol is not None:
        headers.append((b"sec-websocket-protocol", protocol))
    return ResponseHead(status=101, headers=headers)


def _is_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        return False


def asking(nonce: bytes, protocols: list[bytes]) -> Headers:
    """The headers of a client's opening handshake; `nonce` is 16 random bytes. The upgrade itself is the caller's."""
    headers: Headers = [(b"sec-websocket-version", _VERSION), (b"sec-websocket-key", base64.b64encode(nonce))]
    return [*headers, (b"sec-websocket-protocol", b", ".join(protocols))] if protocols else headers


def check_accepted(head: ResponseHead, nonce: bytes, protocols: list[bytes]) -> bytes | None:
    """The sub-protocol that a server's 101 agreed on. WebSocketError if it is no answer to this handshake."""
    if head.get(b"sec-websocket-accept") != accept_key(base64.b64encode(nonce)):
        raise WebSocketError(PROTOCOL_ERROR, "its Sec-WebSocket-Accept does not answer the key")
    if head.get(b"sec-websocket-extensions") is not None:
        raise WebSocketError(PROTOCOL_ERROR, "it chose an extension that nobody offered")
    chosen = head.get(b"sec-websocket-protocol")
    if chosen is not None and chosen not in protocols:
        raise WebSocketError(PROTOCOL_ERROR, "it chose a sub-protocol that nobody offered")
    return chosen


# -- sending ----------------------------------------------------------------------------------------------------------


def frame(opcode: Opcode, data: bytes, mask: bytes | None = None, *, last: bool = True) -> bytes:
    """One frame. A client gives four random bytes as `mask`, new ones for each frame; a server gives none."""
    size = len(data)
    if opcode >= Opcode.CLOSE and (size > CONTROL_LIMIT or not last):
        raise ValueError("a control frame is one frame of at most 125 bytes")
    first, masked = opcode | (0x80 if last else 0), 0x80 if mask is not None else 0
    if size < 126:
        head = bytes((first, masked | size))
    elif size < 0x10000:
        head = struct.pack(">BBH", first, masked | 126, size)
    else:
        head = struct.pack(">BBQ", first, masked | 127, size)
    return head + data if mask is None else head + mask + xor(data, mask)


def close(code: int, reason: str = "", mask: bytes | None = None) -> bytes:
    """A close frame; the reason is cut to what fits, at the end of a character."""
    text = reason.encode()[: CONTROL_LIMIT - 2].decode("utf-8", "ignore").encode()
    return frame(Opcode.CLOSE, struct.pack(">H", code) + text, mask)


def xor(data: bytes, mask: bytes) -> bytes:
    """`data` masked, or unmasked, with the four bytes of `mask`."""
    size = len(data)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


# -- receiving --------------------------------------------------------------------------------------------------------


class FrameHead(NamedTuple):
    """What a frame says before its payload."""

    opcode: Opcode
    last: bool
    mask: bytes | None
    size: int
    starts: int
    """Where the payload begins."""


class Receiver:
    """Takes bytes of one direction and gives events. `from_client`: its frames must be masked, a server's must not be.

    `limit` is the most bytes of a message. After a Close nothing is read any more.
    """

    __slots__ = ("_buffer", "_from_client", "_head", "_limit", "_message", "_opcode", "closed")

    def __init__(self, *, from_client: bool, limit: int) -> None:
        self._from_client = from_client
        self._limit = limit
        self._buffer = bytearray()
        self._head: FrameHead | None = None
        self._message = bytearray()
        self._opcode: Opcode | None = None  # of the message that has begun and not ended
        self.closed = False
        """A Close was received."""

    def feed(self, data: bytes) -> list[WebSocketEvent]:
        """The messages that are complete with these bytes, in order. Raises WebSocketError; events before the fault are lost."""
        events: list[WebSocketEvent] = []
        self._buffer += data
        while not self.closed and (frame := self._frame()) is not None:
            event = self._control(*frame) if frame[0].opcode >= Opcode.CLOSE else self._data(*frame)
            if event is not None:
                events.append(event)
        return events

    def _frame(self) -> tuple[FrameHead, bytes] | None:
        head = self._head
        if head is None:
            head = frame_head(self._buffer, masked=self._from_client)
            if head is None:
                return None
            self._check(head)
            self._head = head
        end = head.starts + head.size
        if len(self._buffer) < end:
            return None
        payload = bytes(memoryview(self._buffer)[head.starts : end])
        del self._buffer[:end]
        self._head = None
        return head, payload if head.mask is None else xor(payload, head.mask)

    def _check(self, head: FrameHead) -> None:
        if head.opcode >= Opcode.CLOSE:
            return
        if (head.opcode is Opcode.CONTINUATION) != (self._opcode is not None):
            raise WebSocketError(PROTOCOL_ERROR, "a message began within another, or goes on without a beginning")
        if len(self._message) + head.size > self._limit:
            raise WebSocketError(TOO_BIG, f"a message is larger than {self._limit} bytes")

    def _data(self, head: FrameHead, payload: bytes) -> WebSocketMessage | None:
        if self._opcode is None:
            self._opcode = head.opcode
        self._message += payload
        if not head.last:
            return None
        whole = WebSocketMessage(bytes(self._message), self._opcode is Opcode.TEXT)
        self._message.clear()
        self._opcode = None
        if whole.text:
            _utf8(whole.data)
        return whole

    def _control(self, head: FrameHead, payload: bytes) -> Ping | Pong | Close:
        if head.opcode is Opcode.PING:
            return Ping(payload)
        if head.opcode is Opcode.PONG:
            return Pong(payload)
        self.closed = True
        self._buffer.clear()
        if not payload:
            return Close(1005, "")
        code = int.from_bytes(payload[:2], "big")
        if len(payload) < 2 or not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
            raise WebSocketError(PROTOCOL_ERROR, "a close frame has no valid code")
        return Close(code, _utf8(payload[2:]))


def frame_head(buffer: bytearray, *, masked: bool) -> FrameHead | None:
    """The head of the frame at the start of `buffer`, None if more bytes are needed. WebSocketError."""
    if len(buffer) < 2:
        return None
    first, second = buffer[0], buffer[1]
    if first & 0x70 or first & 0x0F not in _OPCODES:
        raise WebSocketError(PROTOCOL_ERROR, "a frame has reserved bits or an unknown opcode")
    if bool(second & 0x80) != masked:
        raise WebSocketError(PROTOCOL_ERROR, "frames of a client must be masked, those of a server must not be")
    opcode, last, size = Opcode(first & 0x0F), bool(first & 0x80), second & 0x7F
    if opcode >= Opcode.CLOSE and (size > CONTROL_LIMIT or not last):
        raise WebSocketError(PROTOCOL_ERROR, "a control frame is fragmented or longer than 125 bytes")
    at = 2
    if size > CONTROL_LIMIT:
        at += 2 if size == 126 else 8
        if len(buffer) < at:
            return None
        size = _long_size(buffer[2:at])
    if not masked:
        return FrameHead(opcode, last, None, size, at)
    if len(buffer) < at + 4:
        return None
    return FrameHead(opcode, last, bytes(buffer[at : at + 4]), size, at + 4)


def _long_size(written: bytearray) -> int:
    """A length that takes two or eight bytes. WebSocketError if it fits in fewer, or is negative."""
    size = int.from_bytes(written, "big")
    if size < (126 if len(written) == 2 else 0x10000) or size >> 63:
        raise WebSocketError(PROTOCOL_ERROR, "a frame's length is not written in the shortest way")
    return size


def _utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise WebSocketError(NOT_UTF8, "a text is not UTF-8") from error
