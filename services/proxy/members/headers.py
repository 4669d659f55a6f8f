"""Heads on their way through the proxy: strip first, set last, in both directions.

What leaves here has no credential, no identity and no hop-by-hop header of the client; the agent strips again and sets
the identity. `x-forwarded-for` is the client's real address, the only one that the proxy can vouch for.
"""

from __future__ import annotations

from typing import NamedTuple

from services.proxy.authn import Presented
from skerry.api.messages import Caller
from skerry.audit import event, shown
from skerry.httpwire.apps import AppPlace, LinkRewriter, app_base, cookie_set, cookies_sent, location
from skerry.httpwire.head import Headers, RequestHead, ResponseHead, first
from skerry.httpwire.headers import clean_request, clean_response, named_by_connection
from skerry.httpwire.target import relocate
from skerry.relay import Answer


def impersonates(headers: Headers) -> bool:
    """True if the caller sent `Impersonate-*` headers, in any spelling that some server would take for them."""
    return any(name.replace(b"_", b"-").startswith(b"impersonate") for name, _ in headers)


_PARTIAL = 206


def _has_cookies(headers: Headers) -> bool:
    return first(headers, b"cookie") is not None and b"cookie" not in named_by_connection(headers)


class CallerHeaders:
    """The part of a head that says who asks, whatever it asks for. Clients repeat it, so it is worked out once per connection.

    A credential is named here, not trusted: whether it holds is looked up for every request.
    """

    __slots__ = (
        "_agent",
        "_client",
        "_said",
        "_whose",
        "bearer",
        "cookies",
        "headers",
        "impersonates",
        "presented",
        "traceparent",
    )

    def __init__(self, head: RequestHead, client: str, presented: Presented) -> None:
        self._client, self._agent = client, (head.get(b"user-agent") or b"").decode("latin-1")
        self._whose: Caller | None = None
        self._said = ""
        self.presented = presented
        """The credential that was shown."""
        self.headers = open_headers(head, client)
        self.bearer = head.get(b"authorization") is not None
        """The credential came in the Authorization header, which no page can make a browser send by itself."""
        self.cookies = cookies_sent(head.headers) if self.bearer and _has_cookies(head.headers) else b""
        """What apps behind a member's API server may get of the client's cookies."""
        self.impersonates = impersonates(head.headers)
        self.traceparent = (head.get(b"traceparent") or b"").decode("latin-1")

    def who(self, caller: Caller) -> str:
        """Who asks, from where, with which program, as the audit log has it."""
        if caller is not self._whose:
            self._whose = caller
            self._said = event.who(caller.user, caller.groups, self._client, shown.clean(self._agent))
        return self._said


def open_headers(head: RequestHead, client: str) -> Headers:
    """The header pairs of an OPEN. An upgrade is told by `connection` and `upgrade`, set last, by us."""
    headers = clean_request(head.headers)
    if client:
        headers.append((b"x-forwarded-for", client.encode("ascii", "replace")))
    if head.upgrade is not None:
        headers += [(b"connection", b"Upgrade"), (b"upgrade", head.upgrade)]
    return headers


class ReturnPath(NamedTuple):
    """How links and cookies of an answer must be written to lead to where they came from."""

    prefix: bytes = b""
    """What the client has in front of the member's paths: nothing, or `/clusters/<name>`."""
    app: AppPlace | None = None
    """The app behind the member's API server that was asked, if it was one."""
    cookies: bool = False
    """The client may have the app's cookies."""


_AT_ROOT = ReturnPath()


def back(asking: CallerHeaders, target: bytes, prefix: bytes) -> ReturnPath:
    """For the answer to a request for a member's `target`, raw."""
    base = app_base(target)
    if not base:
        return ReturnPath(prefix) if prefix else _AT_ROOT
    return ReturnPath(prefix, AppPlace.of(prefix, base), asking.bearer)


def app_headers(asking: CallerHeaders, prefix: bytes) -> Headers:
    """The header pairs of an OPEN for an app: as any other's, and the cookies of a client that uses a bearer token.

    Where its links have to be rewritten, its answer must be readable.
    """
    headers = list(asking.headers)
    if asking.cookies:
        headers.append((b"cookie", asking.cookies))
    if prefix:
        headers = [(name, b"identity" if name == b"accept-encoding" else value) for name, value in headers]
    return headers


def response_head(answer: Answer, back: ReturnPath) -> ResponseHead:
    """A member's response head as the client gets it: framing is made anew, `Location` stays below the cluster."""
    headers = clean_response(answer.headers, cookies=back.cookies)
    if (back.prefix or back.app) and first(headers, b"location") is not None:
        headers = [(n, _location(v, back) if n == b"location" else v) for n, v in headers]
    if back.cookies and back.app is not None:
        headers = _with_cookies(headers, back.app)
    return ResponseHead(status=answer.status, reason=answer.reason, headers=headers)


def _location(value: bytes, back: ReturnPath) -> bytes:
    inside = value if back.app is None else location(value, back.app)
    return relocate(inside, back.prefix) if back.prefix else inside


def _with_cookies(headers: Headers, app: AppPlace) -> Headers:
    allowed_headers: Headers = []
    for name, value in headers:
        if name != b"set-cookie":
            allowed_headers.append((name, value))
        elif (allowed := cookie_set(value, app)) is not None:
            allowed_headers.append((name, allowed))
    return allowed_headers


def link_rewriter(answer: Answer, back: ReturnPath) -> LinkRewriter | None:
    """What the body of this answer has to go through: that of an app's HTML does, where there is a prefix, if it is
    whole and can be read. The API server rewrote the same answers.
    """
    if not back.prefix or back.app is None or not back.app.base or answer.status == _PARTIAL:
        return None
    kind = (first(answer.headers, b"content-type") or b"").partition(b";")[0].strip(b" \t").lower()
    if kind != b"text/html" or first(answer.headers, b"content-encoding") not in (None, b"identity"):
        return None
    return LinkRewriter(back.app)
