"""Heads of requests and answers, and the grammar of their bytes: `headreader` reads them, `headwriter` writes them.

The grammar lists what is allowed (RFC 9112 without its optional leniency): obs-fold, bare CR or LF, NUL, blanks before a
colon and other protocol versions are not. What we write is held against the same grammar as what we read.
"""

from __future__ import annotations

import re

import msgspec

Headers = list[tuple[bytes, bytes]]
"""Header pairs in order, names in lower case."""

HEAD_LIMIT = 1 << 20
"""Bytes of one head, request or answer: as many as an API server takes. What is beyond an ordinary head is paid for, see
`room`.
"""

HEADER_LIMIT = 4096
"""Header lines of one head. Go counts bytes alone, but a line of four bytes is a pair of objects of 160 here."""

METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"))
BODILESS = frozenset((204, 304))
"""Statuses whose answer has no body, whatever its headers say."""

FRAMING = frozenset((b"connection", b"content-length", b"keep-alive", b"transfer-encoding", b"upgrade"))
"""Headers that describe one connection's framing: builders write them, and drop them from what they are given."""

_LINES = rb"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t\x20-\x7e\x80-\xff]*+\r\n)*+)\r\n"
REQUEST = re.compile(rb"([!-~]++) ([!-~]++) HTTP/([0-9])\.([0-9])\r\n" + _LINES)
RESPONSE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*+))?\r\n" + _LINES)
FIELDS = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t\x20-\x7e\x80-\xff]*+\r\n)*+")


class RequestHead(msgspec.Struct, frozen=True, kw_only=True):
    """A request's head. `target` is raw, in origin form, whatever its form was; header names are lower case."""

    method: bytes
    target: bytes
    headers: Headers
    keep_alive: bool = True
    upgrade: bytes | None = None
    """The protocol asked for, if `Connection` names the upgrade; never with a body."""
    content_length: int | None = None
    chunked: bool = False
    expect_continue: bool = False
    http10: bool = False
    authority: bytes | None = None
    """The authority of a target that was in absolute form, without a default port; Host says the same. Whether it is ours
    is still to be decided."""

    @property
    def has_body(self) -> bool:
        """True if body bytes follow the head."""
        return self.chunked or bool(self.content_length)

    @property
    def websocket(self) -> bool:
        """True if an upgrade to WebSocket is asked for."""
        return self.upgrade is not None and self.upgrade.lower() == b"websocket"

    def get(self, name: bytes) -> bytes | None:
        """The first value of the header `name` (lower case)."""
        return first(self.headers, name)


class ResponseHead(msgspec.Struct, frozen=True, kw_only=True):
    """An answer's head. Its framing is not here: builders take the length beside it."""

    status: int
    headers: Headers
    reason: bytes = b""

    def get(self, name: bytes) -> bytes | None:
        """The first value of the header `name` (lower case)."""
        return first(self.headers, name)


class ParsedResponse(msgspec.Struct, frozen=True, kw_only=True):
    """An answer's head as it was parsed, and how the body that follows is framed.

    `length` None and not `chunked`: the body ends with the connection.
    """

    head: ResponseHead
    length: int | None
    chunked: bool
    keep_alive: bool
    upgrade: bytes | None


class MalformedHead(ValueError):
    """A peer's answer head breaks a rule; the text says which. Callers make it a 502."""


def first(headers: Headers, name: bytes) -> bytes | None:
    """The first value of `name` (lower case) in `headers`, or None."""
    for key, value in headers:
        if key == name:
            return value
    return None
