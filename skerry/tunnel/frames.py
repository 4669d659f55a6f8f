"""Frames: a 16-byte header, a msgpack head for the types that need one, and a raw body.

    offset  size  field
    0       1     version (high nibble, 1) and type (low nibble)
    1       1     flags: END, FLUSH, PACKED, LONG
    2       2     length of the head
    4       4     seq of sequenced frames (OPEN, RESP, DATA, END), serial arithmetic modulo 2**32
    8       8     offset: of the first body byte (DATA), total (END), absolute credit (ACK, CREDIT), number (PING, PONG)

All integers are big-endian. Heads are msgpack arrays: fields are only ever appended, with defaults, and a reader skips
what it does not know. HTTP header pairs travel here as byte pairs, never as NATS headers, which are a dict of text.
Whatever the bytes, `decode` returns a Frame or raises ProtocolError.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct as Layout
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from skerry.relay import ResetCode
from skerry.tunnel.codes import ProtocolError, RejectCode, TooLarge

VERSION = 1
HEADER_SIZE = 16
MAX_HEAD = 0xFFFF
SEQ_MASK = 0xFFFFFFFF
MAX_OFFSET = (1 << 63) - 1

END = 0x01
"""OPEN, RESP: nothing follows in this direction."""
FLUSH = 0x02
"""DATA: the sender has nothing more at hand. Receivers flush every DATA today; the bit lets them wait later."""
PACKED = 0x04
"""RESP, DATA of an opener that reads them: the body is one packed piece (packing.py). Offsets and credit count plain bytes."""
LONG = 0x08
"""ACK of an OPEN whose head continues: the acceptor reads that (longhead.py)."""


class Type(IntEnum):
    """Frame types: the low nibble of the first byte."""

    OPEN = 1
    ACK = 2
    RESP = 3
    DATA = 4
    CREDIT = 5
    END = 6
    RESET = 7
    PING = 8
    PONG = 9
    SYNC = 10
    DRAIN = 11


SubjectToken = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{1,128}\Z")]
Number = Annotated[str, Meta(pattern=r"\A[0-9a-f]{1,16}\Z")]
Size = Annotated[int, Meta(ge=0, le=MAX_OFFSET)]
Pairs = tuple[tuple[bytes, bytes], ...]


class Head(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Base of all heads: an array on the wire, in the order of the fields."""


class Open(Head, frozen=True, kw_only=True):
    """Asks for a stream. `number` names it on the connection `proxy`; `id` is the request's Audit-ID."""

    proxy: SubjectToken
    number: Number
    id: Annotated[str, Meta(max_length=128)]
    assertion: bytes
    method: bytes
    target: bytes
    headers: Pairs
    bulk: bool
    long_running: bool
    deadline_ms: Size
    window: Size
    """Absolute offset up to which the response may be sent."""
    traceparent: str = ""
    packed: bool = False
    """The opener reads PACKED."""
    long: bool = False
    """The opener reads a RESP whose head continues."""
    rest: Size = 0
    """So many bytes at the beginning of the body belong to this head (longhead.py)."""


class Reject(Head, frozen=True, kw_only=True):
    """The head of an ACK that refuses. `safe`: nothing was executed, another agent may be asked."""

    code: RejectCode
    safe: bool
    message: Annotated[str, Meta(max_length=1024)] = ""


class Resp(Head, frozen=True, kw_only=True):
    """The head of the response. `length`: Content-Length, None when chunked, close-delimited or upgraded."""

    status: Annotated[int, Meta(ge=101, le=599)]
    reason: bytes
    headers: Pairs
    length: Size | None
    rest: Size = 0
    """As in Open."""


class Trail(Head, frozen=True, kw_only=True):
    """The head of an END: what comes behind a chunked answer. Peers of before do not look at it."""

    trailers: Annotated[Pairs, Meta(max_length=64)]


class Reset(Head, frozen=True, kw_only=True):
    """Why a stream was aborted; the message is for people."""

    code: ResetCode
    message: Annotated[str, Meta(max_length=1024)] = ""


class Sent(Head, frozen=True, kw_only=True):
    """One stream in a SYNC: what was sent, and the credit that was granted to the other side."""

    number: Number
    seq: Annotated[int, Meta(ge=0, le=SEQ_MASK)]
    offset: Size
    credit: Size


SYNC_ENTRIES = 512
"""Streams in one SYNC frame; more streams take more frames."""


class Sync(Head, frozen=True, kw_only=True):
    """The state of all live streams between two connections."""

    streams: Annotated[tuple[Sent, ...], Meta(max_length=SYNC_ENTRIES)]


class Frame(NamedTuple):
    """A decoded frame. `head` is an Open, Resp, Reset, Sync, or (if it has one) a Reject in ACK and a Trail in END; else None."""

    type: Type
    flags: int
    seq: int
    offset: int
    head: Any
    body: bytes


_LAYOUT = Layout(">BBHIQ")
_TYPES: list[Type | None] = [None] + [Type(n) for n in range(1, 12)] + [None] * 4
_encode_head = msgspec.msgpack.Encoder().encode
_decoders = {
    Type.OPEN: msgspec.msgpack.Decoder(Open).decode,
    Type.ACK: msgspec.msgpack.Decoder(Reject).decode,
    Type.RESP: msgspec.msgpack.Decoder(Resp).decode,
    Type.END: msgspec.msgpack.Decoder(Trail).decode,
    Type.RESET: msgspec.msgpack.Decoder(Reset).decode,
    Type.SYNC: msgspec.msgpack.Decoder(Sync).decode,
}


def encode(
    kind: Type,
    *,
    flags: int = 0,
    seq: int = 0,
    offset: int = 0,
    head: Head | None = None,
    body: bytes | memoryview = b"",
) -> bytes:
    """The bytes of one frame. Raises TooLarge when the head does not fit."""
    packed = b"" if head is None else _encode_head(head)
    if len(packed) > MAX_HEAD:
        raise TooLarge(f"the head takes {len(packed)} bytes; a frame holds at most {MAX_HEAD}")
    return b"".join((_LAYOUT.pack(VERSION << 4 | kind, flags, len(packed), seq, offset), packed, body))


def decode(data: bytes) -> Frame:
    """The frame in `data`. Raises ProtocolError, and nothing else, for anything that is not one."""
    if len(data) < HEADER_SIZE:
        raise ProtocolError(f"{len(data)} bytes are not a frame")
    first, flags, size, seq, offset = _LAYOUT.unpack_from(data)
    kind = _TYPES[first & 0x0F]
    if first >> 4 != VERSION or kind is None:
        raise ProtocolError(f"frame version {first >> 4}, type {first & 0x0F}; this process speaks version {VERSION}")
    if offset > MAX_OFFSET or HEADER_SIZE + size > len(data):
        raise ProtocolError("lengths that do not fit the frame")
    body = data[HEADER_SIZE + size :]
    if size:
        return Frame(kind, flags, seq, offset, _decode_head(kind, data[HEADER_SIZE : HEADER_SIZE + size]), body)
    if kind in _decoders and kind is not Type.ACK and kind is not Type.END:
        raise ProtocolError(f"{kind.name} without a head")
    return Frame(kind, flags, seq, offset, None, body)


def _decode_head(kind: Type, data: bytes) -> Any:
    decoder = _decoders.get(kind)
    if decoder is None:
        return None
    try:
        return decoder(data)
    except (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError) as e:
        raise ProtocolError(f"{kind.name} with a head that cannot be read") from e


def reset(code: ResetCode, message: str = "") -> bytes:
    """A RESET frame; the message is cut to what a frame may carry."""
    return encode(Type.RESET, head=Reset(code=code, message=message[:1024]))


def reject(code: RejectCode, message: str) -> bytes:
    """An ACK that refuses: nothing was executed. A duplicate is not safe to repeat: the first may be running."""
    return encode(Type.ACK, head=Reject(code=code, safe=code is not RejectCode.DUPLICATE, message=message[:1024]))


def ahead(seq: int, expected: int) -> int:
    """How far `seq` is ahead of `expected` (negative: behind), in serial arithmetic modulo 2**32 (RFC 1982)."""
    return ((seq - expected + 0x80000000) & SEQ_MASK) - 0x80000000
