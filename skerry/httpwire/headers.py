"""Header hygiene: what never crosses Skerry, in either direction (the data plane's rule 8 and its Identity section).

Order matters: a client's `Connection` tokens are processed *before* anything of ours is set (Rancher CVE-2021-31999,
capsule-proxy CVE-2022-23652), guarded headers are deleted before they are added (OCM cluster-proxy #335), and a name
with `_` counts as the name with `-` that some servers make of it. Both the proxy and the agent call `clean_request`.
"""

from __future__ import annotations

import base64
import re

from skerry.errors import Unauthorized
from skerry.httpwire.head import Headers
from skerry.httpwire.headreader import connection_tokens

HOP_BY_HOP = frozenset((
    b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization", b"te",
    b"trailer", b"transfer-encoding", b"upgrade", b"http2-settings", b"content-length",
))  # fmt: skip
"""One connection's business. Content-Length is here because framing is made anew on each hop."""

GUARDED = frozenset((
    b"authorization", b"cookie", b"forwarded", b"x-real-ip", b"audit-id", b"host", b"expect",
    b"referer", b"true-client-ip", b"x-client-cert", b"x-original-uri", b"x-original-url", b"x-rewrite-url",
    b"x-http-method-override", b"x-http-method", b"x-method-override",
))  # fmt: skip
"""Request headers that say who calls, or where from (a page about another cluster, in a browser), or that some server reads as
another target or method: ours to set, if at all.
"""

GUARDED_PREFIXES = (b"impersonate", b"x-remote-", b"x-forwarded-")
BEARER_PROTOCOL = b"base64url.bearer.authorization.k8s.io."
"""A WebSocket sub-protocol that carries a bearer token (kube-apiserver, pkg/authentication/request/websocket)."""

_BASE64URL = re.compile(rb"[A-Za-z0-9_-]*")
_NEVER_TRAILERS = frozenset((
    b"authorization", b"cache-control", b"connection", b"content-encoding", b"content-length", b"content-range",
    b"content-type", b"expect", b"host", b"keep-alive", b"max-forwards", b"pragma", b"proxy-authenticate",
    b"proxy-authorization", b"proxy-connection", b"range", b"realm", b"te", b"trailer", b"transfer-encoding",
    b"www-authenticate",
    b"age", b"date", b"expires", b"location", b"retry-after", b"set-cookie", b"upgrade", b"vary", b"warning",
))  # fmt: skip
"""Fields that mean something else, or nothing, behind a body: Go's list (golang.org/x/net/http/httpguts, ValidTrailerHeader),
and the others that RFC 9110, 6.5.1 names as control of the answer or that are not to pass at all."""
_TRAILERS_LIMIT, _TRAILER_BYTES = 64, 8 * 1024
_REQUEST_DROP = HOP_BY_HOP | GUARDED
_COOKIES_DROP = HOP_BY_HOP | {b"audit-id"}
_ANSWER_DROP = _COOKIES_DROP | {b"set-cookie"}


def named_by_connection(headers: Headers) -> set[bytes]:
    """The header names that the `Connection` headers declare hop-by-hop, in lower case."""
    names: set[bytes] = set()
    for name, value in headers:
        if name == b"connection":
            names |= connection_tokens(value)
    return names


def is_guarded(name: bytes) -> bool:
    """True if a request header (any spelling) could be taken for one that only Skerry may set."""
    plain = name.lower().replace(b"_", b"-")
    return plain in GUARDED or plain.startswith(GUARDED_PREFIXES)


def clean_request(headers: Headers, *, cookies: bool = False) -> Headers:
    """The headers of a client's request that may travel on: no hop-by-hop, no guarded ones, no bearer sub-protocol.

    Set what is ours afterwards, last. A WebSocket's sub-protocols stay in order without those that carry a token.
    `cookies`: the request is for an app that may have its own (see apps.py).
    """
    named = named_by_connection(headers)
    forwarded: Headers = []
    for pair in headers:
        name = pair[0]
        if b"_" in name:
            name = name.replace(b"_", b"-")
        if name in _REQUEST_DROP or name in named or name.startswith(GUARDED_PREFIXES):
            if cookies and pair[0] == b"cookie" and name not in named:
                forwarded.append(pair)
            elif pair[0] == b"te" and b"trailers" in connection_tokens(pair[1]):
                forwarded.append((b"te", b"trailers"))
            continue
        if name == b"sec-websocket-protocol" and BEARER_PROTOCOL in pair[1].lower():
            forwarded += _without_bearer(pair)
            continue
        forwarded.append(pair)
    return forwarded


def _without_bearer(pair: tuple[bytes, bytes]) -> Headers:
    offered = [part.strip(b" \t") for part in pair[1].split(b",")]
    left = [part for part in offered if not part.lower().startswith(BEARER_PROTOCOL)]
    return [(pair[0], b", ".join(left))] if left else []


def bearer_from_protocols(headers: Headers) -> bytes | None:
    """The bearer token that a WebSocket client offers as a sub-protocol, decoded, or None if it offers none.

    As kube-apiserver reads it: base64url without padding, once, and beside it another protocol, because a server must
    answer with one of those offered and never with this. Unauthorized otherwise; the message never has the token.
    """
    tokens: list[bytes] = []
    others = False
    for name, value in headers:
        if name == b"sec-websocket-protocol":
            for part in value.split(b","):
                protocol = part.strip(b" \t")
                if protocol.startswith(BEARER_PROTOCOL):
                    tokens.append(protocol[len(BEARER_PROTOCOL) :])
                elif protocol:
                    others = True
    if not any(tokens):
        return None
    if len(tokens) > 1:
        raise Unauthorized("more than one bearer token is offered as a WebSocket sub-protocol: send exactly one")
    if not others:
        raise Unauthorized("a bearer token as a WebSocket sub-protocol needs another sub-protocol beside it")
    if _BASE64URL.fullmatch(tokens[0]) is None or len(tokens[0]) % 4 == 1:
        raise Unauthorized("the bearer token in the WebSocket sub-protocol is not base64url without padding")
    return base64.urlsafe_b64decode(tokens[0] + b"=" * (-len(tokens[0]) % 4))


def clean_response(headers: Headers, *, cookies: bool = False) -> Headers:
    """The headers of a member's answer that may travel back: everything but hop-by-hop, and `Audit-ID`, which the host sets.

    `Set-Cookie` is dropped too, because a cookie of one member would be sent to the host, which serves all of them;
    unless `cookies` says that the answer is an app's, and somebody sees to it where its cookies may go (see apps.py).
    """
    dropped = _COOKIES_DROP if cookies else _ANSWER_DROP
    if named := named_by_connection(headers):
        dropped |= named
    return [pair for pair in headers if pair[0] not in dropped]


def clean_trailers(trailers: Headers) -> Headers:
    """The trailers of a member's answer that may travel back; none if there are more than anybody needs."""
    if len(trailers) > _TRAILERS_LIMIT or sum(len(name) + len(value) for name, value in trailers) > _TRAILER_BYTES:
        return []
    return [pair for pair in trailers if _may_trail(pair[0])]


def announced(headers: Headers) -> Headers:
    """The `Trailer` header of a chunked answer, with the names that may travel back; nothing if there are none."""
    names = [part.strip(b" \t") for name, value in headers if name == b"trailer" for part in value.split(b",")]
    allowed = [name for name in names if name and _may_trail(name.lower())]
    return [(b"trailer", b", ".join(allowed))] if allowed else []


def _may_trail(name: bytes) -> bool:
    plain = name.replace(b"_", b"-")
    return plain not in _NEVER_TRAILERS and not plain.startswith(b"if-") and not is_guarded(plain)
