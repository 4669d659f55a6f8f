"""Writing the heads of requests and answers.

What is written is held against the grammar that we read by, and its lines are counted, so that bytes which came through the
tunnel cannot smuggle a header.
"""

from __future__ import annotations

from collections.abc import Iterable

from skerry.httpwire.head import FIELDS, FRAMING, REQUEST, RESPONSE, Headers, MalformedHead

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
    if raw.count(b"\r\n") != count or REQUEST.fullmatch(raw) is None:
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
    if raw.count(b"\r\n") != count or RESPONSE.fullmatch(raw) is None:
        raise MalformedHead("the answer's head holds bytes that HTTP/1.1 does not allow")
    return raw


def _framing_lines(length: int | None, chunked: bool, upgrade: bytes | None) -> list[bytes]:
    if upgrade is not None:
        return [b"connection: Upgrade\r\n", b"upgrade: %b\r\n" % upgrade]
    if chunked:
        return [b"transfer-encoding: chunked\r\n"]
    return [] if length is None else [b"content-length: %d\r\n" % length]


def valid_headers(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """True if every pair could be one header line: for pairs that arrive through the tunnel."""
    pairs = list(headers)
    raw = b"".join([b"%b: %b\r\n" % pair for pair in pairs])
    return raw.count(b"\r\n") == len(pairs) and FIELDS.fullmatch(raw) is not None
