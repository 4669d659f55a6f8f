"""Heads that do not fit a frame, whose head has a length of 16 bits: commands and selectors of 100 KB, answers of apps.

What does not fit travels as the beginning of the body, and the frame's head says how many bytes of it (`rest`): so order,
loss, credit and turns need no rule of their own. An opener says that it reads such answers (`Open.long`). An acceptor is
asked by trying: an OPEN whose head continues names nobody's identity and another target, so that one of before, which does
not know `rest`, refuses it (401) and executes nothing; one that knows it says so in its ACK (LONG) before anything is sent.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from skerry.tunnel.codes import ProtocolError, TooLarge
from skerry.tunnel.frames import Head, Open, Resp

REST_LIMIT = (1 << 20) + (64 << 10)
"""Bytes of a rest: a head of the largest size, and what is added to it on its way."""
LINES_LIMIT = 4096 + 64
HeaderLines = Annotated[tuple[tuple[bytes, bytes], ...], Meta(max_length=LINES_LIMIT)]


class OpenRest(Head, frozen=True, kw_only=True):
    """The rest of an OPEN. `whole`: all of the body follows at once, and then END."""

    assertion: bytes
    target: bytes
    headers: HeaderLines
    whole: bool


class RespRest(Head, frozen=True, kw_only=True):
    """The rest of a RESP."""

    reason: bytes
    headers: HeaderLines


_encode = msgspec.msgpack.Encoder().encode
_open = msgspec.msgpack.Decoder(OpenRest).decode
_resp = msgspec.msgpack.Decoder(RespRest).decode


def split_open(head: Open, *, whole: bool) -> tuple[Open, bytes]:
    """The head that fits, and its rest. Raises TooLarge."""
    rest = OpenRest(assertion=head.assertion, target=head.target, headers=head.headers, whole=whole)
    raw = _checked(_encode(rest))
    return msgspec.structs.replace(head, assertion=b"", target=b"/", headers=(), rest=len(raw)), raw


def join_open(head: Open, raw: bytes) -> tuple[Open, bool]:
    """The whole head, and whether all of the body follows at once. Raises ProtocolError."""
    try:
        rest = _open(raw)
    except (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError) as e:
        raise ProtocolError("an OPEN whose rest cannot be read") from e
    whole = msgspec.structs.replace(head, assertion=rest.assertion, target=rest.target, headers=rest.headers)
    return whole, rest.whole


def split_resp(head: Resp) -> tuple[Resp, bytes]:
    """The head that fits, and its rest. Raises TooLarge."""
    raw = _checked(_encode(RespRest(reason=head.reason, headers=head.headers)))
    return msgspec.structs.replace(head, reason=b"", headers=(), rest=len(raw)), raw


def join_resp(head: Resp, raw: bytes) -> Resp:
    """The whole head. Raises ProtocolError."""
    try:
        rest = _resp(raw)
    except (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError) as e:
        raise ProtocolError("a RESP whose rest cannot be read") from e
    return msgspec.structs.replace(head, reason=rest.reason, headers=rest.headers)


def _checked(raw: bytes) -> bytes:
    if len(raw) > REST_LIMIT:
        raise TooLarge(f"the head takes {len(raw)} bytes; at most {REST_LIMIT} travel")
    return raw
