"""Heads through the proxy: what is stripped, what is set, and where redirects lead."""

from __future__ import annotations

import pytest

from services.proxy.authn import Presented
from services.proxy.members.headers import (
    CallerHeaders,
    ReturnPath,
    app_headers,
    back,
    impersonates,
    link_rewriter,
    open_headers,
    response_head,
)
from skerry.httpwire.head import Headers, RequestHead
from skerry.relay import Answer

HOSTILE: Headers = [
    (b"host", b"skerry.example"),
    (b"authorization", b"Bearer skerry_secret"),
    (b"cookie", b"a=b"),
    (b"x-remote-user", b"root"),
    (b"x_remote_group", b"system:masters"),
    (b"x-forwarded-for", b"10.0.0.1"),
    (b"forwarded", b"for=10.0.0.1"),
    (b"audit-id", b"forged"),
    (b"connection", b"keep-alive, x-mine"),
    (b"x-mine", b"1"),
    (b"te", b"trailers, deflate"),
    (b"accept", b"application/json"),
]


def test_only_harmless_headers_travel_and_the_client_address_is_set_last() -> None:
    head = RequestHead(method=b"GET", target=b"/api", headers=HOSTILE)
    assert open_headers(head, "192.0.2.7") == [
        (b"te", b"trailers"),
        (b"accept", b"application/json"),
        (b"x-forwarded-for", b"192.0.2.7"),
    ]


def test_a_connection_token_cannot_remove_what_is_set_last() -> None:
    headers: Headers = [(b"connection", b"upgrade, x-forwarded-for"), (b"upgrade", b"websocket")]
    head = RequestHead(method=b"GET", target=b"/api", headers=headers, upgrade=b"websocket")
    assert open_headers(head, "192.0.2.7") == [
        (b"x-forwarded-for", b"192.0.2.7"),
        (b"connection", b"Upgrade"),
        (b"upgrade", b"websocket"),
    ]


def test_a_websocket_bearer_protocol_is_stripped() -> None:
    headers = [(b"sec-websocket-protocol", b"v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.c2tl")]
    head = RequestHead(method=b"GET", target=b"/api", headers=headers)
    assert open_headers(head, "") == [(b"sec-websocket-protocol", b"v4.channel.k8s.io")]


@pytest.mark.parametrize("name", [b"impersonate-user", b"impersonate_group", b"impersonate-extra-x", b"impersonate"])
def test_impersonation_is_seen_in_any_spelling(name: bytes) -> None:
    assert impersonates([(name, b"x")])


def test_other_headers_are_not_impersonation() -> None:
    assert not impersonates([(b"x-impersonate", b"x"), (b"accept", b"impersonate-user")])


def test_a_redirect_stays_below_the_cluster() -> None:
    answer = Answer(status=301, headers=[(b"location", b"/openapi/v3/api?hash=1"), (b"connection", b"close")])
    assert response_head(answer, ReturnPath(b"/clusters/m1")).headers == [
        (b"location", b"/clusters/m1/openapi/v3/api?hash=1")
    ]


def test_repeated_warnings_stay_repeated() -> None:
    answer = Answer(status=200, headers=[(b"warning", b'299 - "a"'), (b"warning", b'299 - "b"')])
    assert len(response_head(answer, ReturnPath()).headers) == 2


APP = b"/api/v1/namespaces/d/services/web/proxy"
BEARER = (b"authorization", b"Bearer skerry_secret")


def _asking(*headers: tuple[bytes, bytes]) -> CallerHeaders:
    return CallerHeaders(RequestHead(method=b"GET", target=b"/", headers=list(headers)), "", Presented("name"))


def test_an_app_gets_its_cookies_from_a_client_with_a_token_and_is_asked_for_what_can_be_read() -> None:
    asking = _asking(BEARER, (b"cookie", b"sid=1; skerry=2"), (b"accept-encoding", b"gzip"))
    assert asking.headers == [(b"accept-encoding", b"gzip")]
    assert app_headers(asking, b"/clusters/m1") == [(b"accept-encoding", b"identity"), (b"cookie", b"sid=1")]
    assert app_headers(asking, b"") == [(b"accept-encoding", b"gzip"), (b"cookie", b"sid=1")]


def test_without_an_authorization_header_no_cookie_passes_either_way() -> None:
    asking = _asking((b"cookie", b"sid=1"))
    answer = Answer(status=200, headers=[(b"set-cookie", b"sid=1")])
    assert app_headers(asking, b"") == []
    assert response_head(answer, back(asking, APP + b"/", b"")).headers == []


def test_a_cookie_that_connection_names_does_not_pass() -> None:
    assert app_headers(_asking(BEARER, (b"cookie", b"sid=1"), (b"connection", b"Cookie")), b"") == []


def test_only_apps_set_cookies() -> None:
    answer = Answer(status=200, headers=[(b"set-cookie", b"sid=1; Path=/"), (b"set-cookie", b"skerry=1")])
    asking = _asking(BEARER)
    seen = response_head(answer, back(asking, APP + b"/x", b"/clusters/m1")).headers
    assert seen == [(b"set-cookie", b"sid=1; Path=/clusters/m1" + APP + b"/")]
    for target in (b"/api/v1/pods", b"/api/v1/nodes/n/proxy/", APP + b"x"):
        assert response_head(answer, back(asking, target, b"/clusters/m1")).headers == []


@pytest.mark.parametrize(
    ("prefix", "status", "headers", "rewrites"),
    [
        (b"/clusters/m1", 200, [(b"content-type", b"text/html; charset=utf-8")], True),
        (b"/clusters/m1", 404, [(b"content-type", b"Text/HTML")], True),
        (b"", 200, [(b"content-type", b"text/html")], False),
        (b"/clusters/m1", 206, [(b"content-type", b"text/html")], False),
        (b"/clusters/m1", 200, [(b"content-type", b"text/html"), (b"content-encoding", b"gzip")], False),
        (b"/clusters/m1", 200, [(b"content-type", b"application/json")], False),
        (b"/clusters/m1", 200, [], False),
    ],
)
def test_what_has_its_links_rewritten(prefix: bytes, status: int, headers: Headers, rewrites: bool) -> None:
    answer = Answer(status=status, headers=headers)
    assert (link_rewriter(answer, back(_asking(BEARER), APP + b"/", prefix)) is not None) is rewrites
    assert link_rewriter(answer, back(_asking(BEARER), b"/api/v1/pods", prefix)) is None


def test_a_redirect_of_an_app_to_its_members_own_address_is_a_path() -> None:
    answer = Answer(status=302, headers=[(b"location", b"http://127.0.0.1:6443" + APP + b"/login")])
    for prefix in (b"/clusters/m1", b""):
        seen = response_head(answer, back(_asking(BEARER), APP + b"/", prefix)).headers
        assert seen == [(b"location", prefix + APP + b"/login")]
