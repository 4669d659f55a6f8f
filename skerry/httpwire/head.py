"""Heads of requests and answers: parsing with the reject rules, and building.

A raw head must match a grammar that lists what is allowed (RFC 9112 without its optional leniency): obs-fold, bare CR
or LF, NUL, blanks before a colon and other protocol versions fail there. llhttp then cuts a request's
lines; an answer's are cut where the grammar matched, which saves a call per line in the agent; a test holds both ways
against each other. The framing rules decide on the tokens: Content-Length with Transfer-Encoding, repeated Content-Length, any transfer coding
but `chunked`, and a missing or repeated Host are refused. What we build is held against the same
grammar and its lines are counted, so that bytes which came through the tunnel cannot smuggle a header.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from skerry.errors import BadRequest, MethodNotAllowed, RequestHeaderFieldsTooLarge, StatusError
from skerry.httpwire.target import Absolute

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
_REQUEST = re.compile(rb"([!-~]++) ([!-~]++) HTTP/([0-9])\.([0-9])\r\n" + _LINES)
_RESPONSE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*+))?\r\n" + _LINES)
FIELDS = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t\x20-\x7e\x80-\xff]*+\r\n)*+")
_PREFIX = re.compile(rb"([!-~]++) ([!-~]++)")
_KEPT_LIMIT = 4096
_LENGTH = re.compile(rb"[0-9]{1,18}")
_FIELD = re.compile(rb"([^:\r\n]++):[\t ]*+([^\r\n]*+)\r\n")
_EARLY = re.compile(rb"(?<!\r)\n|\x00|\r[^\n]")
_SPECIAL = frozenset(
    (b"host", b"connection", b"content-length", b"transfer-encoding", b"upgrade", b"expect", b"content-range")
)


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
        """Whether body bytes follow the head."""
        return self.chunked or bool(self.content_length)

    @property
    def websocket(self) -> bool:
        """Whether an upgrade to WebSocket is asked for."""
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
    """What an answer's raw head says: the head, and how the body that follows is framed.

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


def broken_early(part: bytes | bytearray, start: int) -> bool:
    """Whether an unfinished head can never become valid (bare CR or LF, NUL): refuse it now, not at its deadline."""
    return _EARLY.search(part, max(0, start - 1)) is not None


# -- requests ---------------------------------------------------------------------------------------------------------


class _Fields:
    """What httptools calls back with: lower-cases names and keeps apart those that framing looks at."""

    __slots__ = ("all", "special")

    def __init__(self) -> None:
        self.all: Headers = []
        self.special: Headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        pair = (name, value.rstrip(b" \t"))
        self.all.append(pair)
        if name in _SPECIAL:
            self.special.append(pair)


def parse_request(raw: bytes) -> RequestHead:
    """A request's head from its bytes, which end with the empty line.

    Raises BadRequest, MethodNotAllowed or RequestHeaderFieldsTooLarge; the message names the rule.
    """
    if len(raw) > HEAD_LIMIT:
        raise too_large()
    match = _REQUEST.fullmatch(raw)
    if match is None:
        raise BadRequest(_diagnose(raw))
    method, target, major, minor = match.group(1, 2, 3, 4)
    _check_line(method, target, major, minor)
    absolute = None
    if target[:1] != b"/":
        absolute = Absolute.of(target)
        target = absolute.target
    fields = _Fields()
    try:
        HttpRequestParser(fields).feed_data(raw)
    except HttpParserUpgrade:  # llhttp stops after a head that asks for an upgrade: it has read all of it
        pass
    except HttpParserError as error:
        raise BadRequest(f"the request head is malformed: {error}") from error
    if len(fields.all) > HEADER_LIMIT:
        raise RequestHeaderFieldsTooLarge(f"the request has more than {HEADER_LIMIT} header lines; send fewer")
    head = _request(method, target, minor == b"0", fields)
    return head if absolute is None else msgspec.structs.replace(head, authority=absolute.agreed(head.get(b"host")))


class RequestHeads:
    """Parses the heads of one connection. A client repeats all that follows the target (version and header lines), so
    that is parsed once, and again when it differs by a byte; `kept` is what the connection's user learned from it.

    One head is kept per connection, as long as the connection lives, and none whose target or rest is beyond 4 KiB.
    """

    __slots__ = ("_last", "_tail", "kept")

    def __init__(self) -> None:
        self._tail = b""
        self._last: RequestHead | None = None
        self.kept: object = None

    def parse(self, raw: bytes) -> RequestHead:
        """As `parse_request`. The list of headers may be the last head's: it is not to be changed."""
        at = raw.find(b" HTTP/")
        last = self._last
        if last is not None and raw[at:] == self._tail and (match := _PREFIX.fullmatch(raw, 0, at)) is not None:
            method, target = match.groups()
            if target[:1] == b"/":
                _check_line(method, target, b"1", b"1")
                return _repeated(last, method, target)
        self._last = self.kept = None
        head = parse_request(raw)
        if not head.http10 and head.authority is None and at <= _KEPT_LIMIT and len(raw) - at <= _KEPT_LIMIT:
            self._tail, self._last = raw[at:], head
        return head


def _repeated(last: RequestHead, method: bytes, target: bytes) -> RequestHead:
    return RequestHead(
        method=method,
        target=target,
        headers=last.headers,
        keep_alive=last.keep_alive,
        upgrade=last.upgrade,
        content_length=last.content_length,
        chunked=last.chunked,
        expect_continue=last.expect_continue,
    )


def too_large() -> StatusError:
    """The 431 of a head beyond the limit."""
    return RequestHeaderFieldsTooLarge(
        f"the request head is larger than {HEAD_LIMIT >> 20} MiB; send fewer or shorter headers, or a shorter target"
    )


def _check_line(method: bytes, target: bytes, major: bytes, minor: bytes) -> None:
    if major != b"1" or minor not in (b"0", b"1"):
        raise BadRequest("the request is not HTTP/1.1; this endpoint speaks HTTP/1.1 only")
    if method not in METHODS:
        raise MethodNotAllowed(f"the method {method[:32].decode('ascii')} is not supported")
    if b"#" in target:
        raise BadRequest("the request target contains a fragment; send it without '#'")


def _request(method: bytes, target: bytes, http10: bool, fields: _Fields) -> RequestHead:
    hosts = 0
    length, chunked, expect, upgrade = None, False, False, None
    tokens: set[bytes] = set()
    for name, value in fields.special:
        if name == b"host":
            hosts += 1
        elif name == b"content-length":
            if length is not None:
                raise BadRequest("the request repeats Content-Length; send it once")
            length = _length(value)
        elif name == b"transfer-encoding":
            if chunked or http10 or value.lower() != b"chunked":
                raise BadRequest("the request's Transfer-Encoding must be exactly 'chunked', once, in HTTP/1.1")
            chunked = True
        elif name == b"connection":
            tokens |= connection_tokens(value)
        elif name == b"upgrade":
            upgrade = value if upgrade is None else upgrade + b", " + value
        elif name == b"expect":
            expect = _expects(value)
    if hosts != 1 and not (http10 and not hosts):
        raise BadRequest("the request must have exactly one Host header")
    if chunked and length is not None:
        raise BadRequest("the request has both Content-Length and Transfer-Encoding; send one of them")
    wanted = upgrade if upgrade and b"upgrade" in tokens and not http10 else None
    if wanted is not None and (chunked or length):
        raise BadRequest("a request that asks for an upgrade must not have a body")
    return RequestHead(
        method=method,
        target=target,
        headers=fields.all,
        keep_alive=not http10 and b"close" not in tokens,
        upgrade=wanted,
        content_length=length,
        chunked=chunked,
        expect_continue=expect and not http10 and (chunked or bool(length)),
        http10=http10,
    )


def connection_tokens(value: bytes) -> set[bytes]:
    """The tokens of one `Connection` value, in lower case."""
    return {token.strip(b" \t") for token in value.lower().split(b",")}


def _length(value: bytes) -> int:
    if _LENGTH.fullmatch(value) is None:
        raise BadRequest("the request's Content-Length is not a number")
    return int(value)


def _expects(value: bytes) -> bool:
    if value.lower() != b"100-continue":
        raise BadRequest("the request expects something else than 100-continue")
    return True


def _diagnose(raw: bytes) -> str:
    """Which rule a head breaks that does not match the grammar: for the message only."""
    if raw[:3] == b"PRI" or b" HTTP/" not in raw.partition(b"\r\n")[0]:
        return "the request line is not HTTP/1.1; this endpoint speaks HTTP/1.1 only"
    if b"\x00" in raw:
        return "the request head contains a NUL byte"
    if re.search(rb"(?<!\r)\n|\r(?!\n)", raw):
        return "the request head contains a bare CR or LF; lines end with CR LF"
    if re.search(rb"\r\n[ \t]", raw):
        return "the request head folds a header over several lines (obs-fold)"
    if re.search(rb"\r\n[^:\r\n]*[ \t]:", raw):
        return "the request head has a blank before a colon"
    return "the request head is malformed"


# -- answers ----------------------------------------------------------------------------------------------------------


def parse_response(raw: bytes) -> ParsedResponse:
    """An answer's head from its bytes, which end with the empty line. Raises MalformedHead, which names the rule."""
    if len(raw) > HEAD_LIMIT:
        raise MalformedHead(f"its head is larger than {HEAD_LIMIT >> 20} MiB")
    match = _RESPONSE.fullmatch(raw)
    if match is None:
        raise MalformedHead("its head is not valid HTTP/1.1")
    headers = [(name.lower(), value.rstrip(b" \t")) for name, value in _FIELD.findall(match[4])]
    if len(headers) > HEADER_LIMIT:
        raise MalformedHead(f"its head has more than {HEADER_LIMIT} header lines")
    return _response(int(match[2]), match[3] or b"", match[1] == b"0", headers)


def _response(status: int, reason: bytes, http10: bool, headers: Headers) -> ParsedResponse:
    length, chunked, upgrade = None, False, None
    tokens: set[bytes] = set()
    for name, value in headers:
        if name not in _SPECIAL:
            continue
        if name == b"content-length":
            if length is not None or _LENGTH.fullmatch(value) is None:
                raise MalformedHead("its Content-Length is repeated or not a number")
            length = int(value)
        elif name == b"transfer-encoding":
            if chunked or http10 or value.lower() != b"chunked":
                raise MalformedHead("its Transfer-Encoding is not exactly 'chunked', once, in HTTP/1.1")
            chunked = True
        elif name == b"connection":
            tokens |= connection_tokens(value)
        elif name == b"upgrade":
            upgrade = value
    if chunked and length is not None:
        raise MalformedHead("it has both Content-Length and Transfer-Encoding")
    return ParsedResponse(
        head=ResponseHead(status=status, headers=headers, reason=reason),
        length=length,
        chunked=chunked,
        keep_alive=not http10 and b"close" not in tokens,
        upgrade=upgrade if b"upgrade" in tokens else None,
    )


def parse_fields(raw: bytes) -> Headers | None:
    """Header pairs from their lines; None if these are no header lines."""
    if FIELDS.fullmatch(raw) is None:
        return None
    return [(name.lower(), value.rstrip(b" \t")) for name, value in _FIELD.findall(raw)]


# -- building ---------------------------------------------------------------------------------------------------------

_REASONS = {
    100: b"Continue", 101: b"Switching Protocols", 200: b"OK", 201: b"Created", 202: b"Accepted", 204: b"No Content",
    301: b"Moved Permanently", 302: b"Found", 304: b"Not Modified", 307: b"Temporary Redirect", 400: b"Bad Request",
    401: b"Unauthorized", 403: b"Forbidden", 404: b"Not Found", 405: b"Method Not Allowed", 406: b"Not Acceptable",
    409: b"Conflict", 410: b"Gone", 413: b"Content Too Large", 415: b"Unsupported Media Type",
    422: b"Unprocessable Content", 429: b"Too Many Requests", 431: b"Request Header Fields Too Large",
    500: b"Internal Server Error", 502: b"Bad Gateway", 503: b"Service Unavailable", 504: b"Gateway Timeout",
}  # fmt: skip


def encode_request(
    method: bytes,
    target: bytes,
    headers: Headers,
    *,
    host: bytes,
    length: int | None = None,
    chunked: bool = False,
    upgrade: bytes | None = None,
) -> bytes:
    """A request's head. `headers` may hold anything: Host and framing headers in it are replaced by the arguments.

    Raises MalformedHead if a part could not be sent as exactly one line of a valid head.
    """
    lines = [b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (method, target, host)]
    lines += [b"%b: %b\r\n" % pair for pair in headers if pair[0] not in FRAMING and pair[0] != b"host"]
    lines += _framing_lines(length, chunked, upgrade)
    count = len(lines) + 2
    lines.append(b"\r\n")
    raw = b"".join(lines)
    if raw.count(b"\r\n") != count or _REQUEST.fullmatch(raw) is None:
        raise MalformedHead("the request's head holds bytes that HTTP/1.1 does not allow")
    return raw


def encode_response(
    status: int,
    headers: Headers,
    *,
    reason: bytes = b"",
    length: int | None = None,
    chunked: bool = False,
    upgrade: bytes | None = None,
    close: bool = False,
) -> bytes:
    """An answer's head. Framing headers in `headers` are replaced by the arguments; no reason: the usual one.

    Raises MalformedHead if a part could not be sent as exactly one line of a valid head.
    """
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, reason or _REASONS.get(status, b""))]
    lines += [b"%b: %b\r\n" % pair for pair in headers if pair[0] not in FRAMING]
    lines += _framing_lines(length, chunked, upgrade)
    if close:
        lines.append(b"connection: close\r\n")
    count = len(lines) + 1
    lines.append(b"\r\n")
    raw = b"".join(lines)
    if raw.count(b"\r\n") != count or _RESPONSE.fullmatch(raw) is None:
        raise MalformedHead("the answer's head holds bytes that HTTP/1.1 does not allow")
    return raw


def _framing_lines(length: int | None, chunked: bool, upgrade: bytes | None) -> list[bytes]:
    if upgrade is not None:
        return [b"connection: Upgrade\r\n", b"upgrade: %b\r\n" % upgrade]
    if chunked:
        return [b"transfer-encoding: chunked\r\n"]
    return [] if length is None else [b"content-length: %d\r\n" % length]


def valid_headers(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether every pair could be one header line: for pairs that arrive through the tunnel."""
    pairs = list(headers)
    raw = b"".join([b"%b: %b\r\n" % pair for pair in pairs])
    return raw.count(b"\r\n") == len(pairs) and FIELDS.fullmatch(raw) is not None
