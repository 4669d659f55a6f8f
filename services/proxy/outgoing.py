"""Heads on their way through the proxy: strip first, set last, in both directions.

What leaves here has no credential, no identity and no hop-by-hop header of the client; the agent strips again and sets
the identity. `x-forwarded-for` is the client's real address, the only one that the proxy can vouch for.
"""

from __future__ import annotations

from skerry.httpwire.head import Headers, RequestHead, ResponseHead
from skerry.httpwire.headers import clean_request, clean_response
from skerry.httpwire.target import relocate
from skerry.link import Answer


def impersonates(headers: Headers) -> bool:
    """Whether the caller sent `Impersonate-*` headers, in any spelling that some server would take for them."""
    return any(name.replace(b"_", b"-").startswith(b"impersonate") for name, _ in headers)


def open_headers(head: RequestHead, client: str) -> Headers:
    """The header pairs of an OPEN. An upgrade is told by `connection` and `upgrade`, set last, by us."""
    headers = clean_request(head.headers)
    if client:
        headers.append((b"x-forwarded-for", client.encode("ascii", "replace")))
    if head.upgrade is not None:
        headers += [(b"connection", b"Upgrade"), (b"upgrade", head.upgrade)]
    return headers


def response_head(answer: Answer, prefix: bytes) -> ResponseHead:
    """A member's response head as the client gets it: framing is made anew, `Location` stays below the cluster."""
    headers = clean_response(answer.headers)
    if prefix and any(name == b"location" for name, _ in headers):
        headers = [(n, relocate(v, prefix) if n == b"location" else v) for n, v in headers]
    return ResponseHead(status=answer.status, reason=answer.reason, headers=headers)
