"""Reading the heads of requests and answers, with the reject rules.

A raw head must match the grammar of `head`. llhttp then cuts a request's lines; an answer's are cut where the grammar
matched, which saves a call per line in the agent; a test holds both ways against each other. The framing rules decide on
the tokens: Content-Length with Transfer-Encoding, repeated Content-Length, any transfer coding but `chunked`, and a
missing or repeated Host are refused.
"""

from __future__ import annotations

import re
from collections.abc import Set

import msgspec
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from skerry.errors import BadRequest, MethodNotAllowed, RequestHeaderFieldsTooLarge, StatusError
from skerry.httpwire.head import (
    FIELDS,
    HEAD_LIMIT,
    HEADER_LIMIT,
    METHODS,
    REQUEST,
    RESPONSE,
    Headers,
    MalformedHead,
    ParsedResponse,
    RequestHead,
    ResponseHead,
)
from skerry.httpwire.target import Absolute

_PREFIX = re.compile(rb"([!-~]++) ([!-~]++)")
_KEPT_LIMIT = 4096
_LENGTH = re.compile(rb"[0-9]{1,18}")
_FIELD = re.compile(rb"([^:\r\n]++):[\t ]*+([^\r\n]*+)\r\n")
_EARLY = re.compile(rb"(?<!\r)\n|\x00|\r[^\n]")
_SPECIAL = frozenset(
    (b"host", b"connection", b"content-length", b"transfer-encoding", b"upgrade", b"expect", b"content-range")
)


def broken_early(part: bytes | bytearray, start: int) -> bool:
    """True if an unfinished head can never become valid (bare CR or LF, NUL): refuse it now, not at its deadline."""
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
    match = REQUEST.fullmatch(raw)
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
    hosts, length, chunked, expect, upgrade, tokens = _framing(fields.special, http10)
    if hosts != 1 and (hosts or not http10):
        raise BadRequest("the request must have exactly one Host header")
    if chunked and length is not None:
        raise BadRequest("the request has both Content-Length and Transfer-Encoding; send one of them")
    protocol = upgrade if upgrade and b"upgrade" in tokens and not http10 else None
    if protocol is not None and (chunked or length):
        raise BadRequest("a request that asks for an upgrade must not have a body")
    return RequestHead(
        method=method,
        target=target,
        headers=fields.all,
        keep_alive=not http10 and b"close" not in tokens,
        upgrade=protocol,
        content_length=length,
        chunked=chunked,
        expect_continue=expect and (chunked or bool(length)),
        http10=http10,
    )


_Framing = tuple[int, int | None, bool, bool, bytes | None, Set[bytes]]
_HOST_ALONE: _Framing = (1, None, False, False, None, frozenset())


def _framing(special: Headers, http10: bool) -> _Framing:
    """What the lines say that framing looks at: how many Hosts there are, the body's length, whether it is chunked,
    whether the client waits for 100 Continue, the protocols it asks for, and what `Connection` names.
    """
    if len(special) == 1 and special[0][0] == b"host":  # nearly all of them
        return _HOST_ALONE
    hosts = 0
    length, chunked, expect, upgrade = None, False, False, None
    tokens: Set[bytes] = frozenset()
    for name, value in special:
        if name == b"host":
            hosts += 1
        elif name == b"content-length":
            if length is not None:
                raise BadRequest("the request repeats Content-Length; send it once")
            if _LENGTH.fullmatch(value) is None:
                raise BadRequest("the request's Content-Length is not a number")
            length = int(value)
        elif name == b"transfer-encoding":
            if chunked or not _chunked_alone(value, http10):
                raise BadRequest("the request's Transfer-Encoding must be exactly 'chunked', once, in HTTP/1.1")
            chunked = True
        elif name == b"connection":
            tokens |= connection_tokens(value)
        elif name == b"upgrade":
            upgrade = value if upgrade is None else upgrade + b", " + value
        elif name == b"expect":
            expect = _expects(value, http10)
    return hosts, length, chunked, expect, upgrade, tokens


def connection_tokens(value: bytes) -> set[bytes]:
    """The tokens of one `Connection` value, in lower case."""
    return {token.strip(b" \t") for token in value.lower().split(b",")}


def _chunked_alone(transfer_encoding: bytes, http10: bool) -> bool:
    return not http10 and transfer_encoding.lower() == b"chunked"


def _expects(value: bytes, http10: bool) -> bool:
    if value.lower() != b"100-continue":
        raise BadRequest("the request expects something else than 100-continue")
    return not http10


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
    match = RESPONSE.fullmatch(raw)
    if match is None:
        raise MalformedHead("its head is not valid HTTP/1.1")
    headers = [(name.lower(), value.rstrip(b" \t")) for name, value in _FIELD.findall(match[4])]
    if len(headers) > HEADER_LIMIT:
        raise MalformedHead(f"its head has more than {HEADER_LIMIT} header lines")
    return _response(int(match[2]), match[3] or b"", match[1] == b"0", headers)


def _response(status: int, reason: bytes, http10: bool, headers: Headers) -> ParsedResponse:
    length, chunked, upgrade = None, False, None
    tokens: Set[bytes] = frozenset()
    for name, value in headers:
        if name not in _SPECIAL:
            continue
        if name == b"content-length":
            if length is not None or _LENGTH.fullmatch(value) is None:
                raise MalformedHead("its Content-Length is repeated or not a number")
            length = int(value)
        elif name == b"transfer-encoding":
            if chunked or not _chunked_alone(value, http10):
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
