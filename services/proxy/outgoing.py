"""Heads on their way through the proxy: strip first, set last, in both directions.

What leaves here has no credential, no identity and no hop-by-hop header of the client; the agent strips again and sets
the identity. `x-forwarded-for` is the client's real address, the only one that the proxy can vouch for.
"""

from __future__ import annotations

from skerry.httpwire.head import Headers, RequestHead, ResponseHead, first
from skerry.httpwire.headers import clean_request, clean_response
from skerry.httpwire.target import relocate
from skerry.link import Answer


def impersonates(headers: Headers) -> bool:
    """Whether the caller sent `Impersonate-*` headers, in any spelling that some server would take for them."""
    return any(name.replace(b"_", b"-").startswith(b"impersonate") for name, _ in headers)


class Asking:
    """What a head says about who asks, whatever it asks for. Clients repeat it, so it is worked out once per connection.

    A credential is named here, not trusted: whether it holds is looked up for every request.
    """

    __slots__ = ("credential", "headers", "impersonates", "traceparent")

    def __init__(self, head: RequestHead, client: str, credential: str) -> None:
        self.credential = credential
        """Name of the Credential whose token was sent."""
        self.headers = open_headers(head, client)
        self.impersonates = impersonates(head.headers)
        self.traceparent = (head.get(b"traceparent") or b"").decode("latin-1")


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
    if prefix and first(headers, b"location") is not None:
        headers = [(n, relocate(v, prefix) if n == b"location" else v) for n, v in headers]
    return ResponseHead(status=answer.status, reason=answer.reason, headers=headers)
