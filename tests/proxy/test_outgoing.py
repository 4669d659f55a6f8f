"""Heads through the proxy: what is stripped, what is set, and where redirects lead."""

from __future__ import annotations

import pytest

from services.proxy.outgoing import impersonates, open_headers, response_head
from skerry.httpwire.head import Headers, RequestHead
from skerry.link import Answer

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
    (b"te", b"trailers"),
    (b"accept", b"application/json"),
]


def test_only_harmless_headers_travel_and_the_client_address_is_set_last() -> None:
    head = RequestHead(method=b"GET", target=b"/api", headers=HOSTILE)
    assert open_headers(head, "192.0.2.7") == [(b"accept", b"application/json"), (b"x-forwarded-for", b"192.0.2.7")]


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
    assert response_head(answer, b"/clusters/m1").headers == [(b"location", b"/clusters/m1/openapi/v3/api?hash=1")]


def test_repeated_warnings_stay_repeated() -> None:
    answer = Answer(status=200, headers=[(b"warning", b'299 - "a"'), (b"warning", b'299 - "b"')])
    assert len(response_head(answer, b"").headers) == 2
