"""Header hygiene: strip first, and whatever the spelling."""

from __future__ import annotations

import pytest

from skerry.errors import ServiceUnavailable, TooManyRequests, Unauthorized
from skerry.httpwire.answer import error_answer, warning
from skerry.httpwire.headers import (
    announced,
    bearer_from_protocols,
    clean_request,
    clean_response,
    clean_trailers,
    is_guarded,
)
from skerry.httpwire.headwriter import valid_headers


@pytest.mark.parametrize(
    "name",
    [
        b"authorization", b"cookie", b"impersonate-user", b"impersonate-group", b"impersonate-uid",
        b"impersonate-extra-scopes", b"impersonate", b"x-remote-user", b"x-remote-extra-a", b"x-forwarded-for",
        b"x-forwarded-prefix", b"forwarded", b"x-real-ip", b"referer", b"audit-id", b"impersonate_user", b"x_remote_group",
        b"x_forwarded_for", b"x_real_ip", b"audit_id", b"x-forwarded_host", b"x-original-url", b"x-http-method-override",
    ],
)  # fmt: skip
def test_guarded_headers_do_not_pass(name: bytes) -> None:
    assert clean_request([(name, b"v"), (b"accept", b"*/*")]) == [(b"accept", b"*/*")]
    assert is_guarded(name)
    assert is_guarded(name.upper())


@pytest.mark.parametrize(
    "name", [b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"proxy-authorization"]
)
def test_hop_by_hop_headers_do_not_pass_in_either_direction(name: bytes) -> None:
    assert clean_request([(name, b"v")]) == []
    assert clean_response([(name, b"v")]) == []


def test_every_token_of_connection_is_hop_by_hop() -> None:
    headers = [
        (b"connection", b"close, X-Secret"),
        (b"connection", b"accept"),
        (b"x-secret", b"1"),
        (b"accept", b"2"),
        (b"keep", b"3"),
    ]
    assert clean_request(headers) == [(b"keep", b"3")]
    assert clean_response(headers) == [(b"keep", b"3")]


def test_what_clients_need_passes_untouched() -> None:
    headers = [
        (b"accept", b"application/json;as=Table;v=v1;g=meta.k8s.io"),
        (b"if-none-match", b'"x"'),
        (b"content-type", b"application/apply-patch+yaml"),
        (b"accept-encoding", b"gzip"),
        (b"user-agent", b"kubectl"),
        (b"sec-websocket-protocol", b"v5.channel.k8s.io,v4.channel.k8s.io"),
        (b"x-stream-protocol-version", b"v4.channel.k8s.io"),
        (b"x-stream-protocol-version", b"v3.channel.k8s.io"),
        (b"my_header", b"kept"),
    ]
    assert clean_request(headers) == headers


def test_a_bearer_sub_protocol_is_taken_out_and_the_others_stay() -> None:
    pair = (b"sec-websocket-protocol", b"v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.c2Vj, x")
    assert clean_request([pair]) == [(b"sec-websocket-protocol", b"v4.channel.k8s.io, x")]
    assert bearer_from_protocols([pair]) == b"sec"
    assert clean_request([(b"sec-websocket-protocol", b"BASE64URL.bearer.authorization.k8s.io.eA")]) == []


def test_repeated_headers_of_an_answer_stay_in_order_and_cookies_go() -> None:
    answer = [(b"warning", b"1"), (b"set-cookie", b"a=b"), (b"warning", b"2"), (b"etag", b"x")]
    assert clean_response(answer) == [(b"warning", b"1"), (b"warning", b"2"), (b"etag", b"x")]


def test_an_error_has_its_message_in_a_warning_too() -> None:
    status, headers, body = error_answer(ServiceUnavailable('the agent of "edge" is away'))
    assert status == 503
    assert dict(headers)[b"warning"] == b'299 skerry "the agent of \\"edge\\" is away"'
    assert b"retry-after" not in dict(headers)
    assert b'"reason":"ServiceUnavailable"' in body


def test_retry_after_only_where_the_error_has_one() -> None:
    assert dict(error_answer(TooManyRequests("busy", retry_after_s=2))[1])[b"retry-after"] == b"2"


def test_a_401_says_how_to_authenticate() -> None:
    assert dict(error_answer(Unauthorized("no token"))[1])[b"www-authenticate"].startswith(b"Bearer")


@pytest.mark.parametrize("message", ["a\r\nX: y", "\x00\x1b[31m", "ü" * 5000, 'a"b\\c', "\udcff"])
def test_any_message_makes_a_valid_header(message: str) -> None:
    value = warning(message)
    assert valid_headers([(b"warning", value)])
    assert len(value) < 8192


@pytest.mark.parametrize(
    ("te", "kept"), [(b"trailers", True), (b"gzip, Trailers", True), (b"gzip", False), (b"", False)]
)
def test_of_te_only_the_wish_for_trailers_travels(te: bytes, kept: bool) -> None:
    assert clean_request([(b"te", te)]) == ([(b"te", b"trailers")] if kept else [])


def test_trailers_that_steer_or_name_somebody_do_not_travel() -> None:
    good = [(b"grpc-status", b"0"), (b"x-checksum", b"a")]
    bad = [(b"content-length", b"5"), (b"content_length", b"5"), (b"if-match", b"a"), (b"x-remote-user", b"root")]
    assert clean_trailers([*good, *bad]) == good


@pytest.mark.parametrize("trailers", [[(b"x-a", b"b")] * 10_000, [(b"x-a", b"b" * 1_000_000)]])
def test_more_trailers_than_anybody_needs_are_none(trailers: list[tuple[bytes, bytes]]) -> None:
    assert clean_trailers(trailers) == []


def test_trailers_are_announced_by_the_names_that_may_travel() -> None:
    assert announced([(b"trailer", b"X-A, Content-Length"), (b"trailer", b"x-b,")]) == [(b"trailer", b"X-A, x-b")]
    assert announced([(b"trailer", b"Host, If-Match")]) == []
    assert announced([(b"server", b"x-a")]) == []
