"""Bearer tokens: what is accepted, and what each refusal says."""

from __future__ import annotations

import base64
import hashlib

import pytest

from services.proxy.authn import Authenticator, CachedCredential, name_of, named
from skerry.api.messages import Caller
from skerry.errors import Unauthorized
from skerry.httpwire.head import Headers, RequestHead

TOKEN = b"skerry_" + b"a" * 43
ALICE = CachedCredential(name_of(TOKEN), Caller(user="alice"), expires=1000.0)


def authenticate(*values: bytes, now: float = 0.0) -> CachedCredential:
    return known([(b"authorization", value) for value in values], now=now)


def known(headers: Headers, *, upgrade: bytes | None = None, now: float = 0.0) -> CachedCredential:
    head = RequestHead(method=b"GET", target=b"/api", headers=headers, upgrade=upgrade)
    return Authenticator({ALICE.name: ALICE}.get, lambda: now).known(named(head))


def protocol(token: bytes = TOKEN) -> bytes:
    return b"base64url.bearer.authorization.k8s.io." + base64.urlsafe_b64encode(token).rstrip(b"=")


def offering(*values: bytes, upgrade: bytes | None = b"websocket", more: Headers | None = None) -> CachedCredential:
    return known([(b"sec-websocket-protocol", value) for value in values] + (more or []), upgrade=upgrade)


def test_a_known_token_names_its_caller() -> None:
    assert authenticate(b"Bearer " + TOKEN) == ALICE


def test_the_scheme_is_case_insensitive() -> None:
    assert authenticate(b"bEARER  " + TOKEN) == ALICE


def test_the_name_is_the_digest() -> None:
    assert name_of(b"skerry_x") == hashlib.sha256(b"skerry_x").hexdigest()[:32]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((), "no credential"),
        ((b"Bearer " + TOKEN, b"Bearer " + TOKEN), "more than one"),
        ((b"Basic YTpi",), "only bearer"),
        ((b"Bearer",), "not a bearer token"),
        ((b"Bearer eyJhbGciOi",), "not a bearer token"),
        ((b"Bearer skerry_" + b"b" * 43,), "unknown or was revoked"),
        ((b"Bearer " + TOKEN + b"a",), "not a bearer token"),
    ],
)
def test_refused(values: tuple[bytes, ...], text: str) -> None:
    with pytest.raises(Unauthorized, match=text) as caught:
        authenticate(*values)
    assert TOKEN.decode() not in caught.value.message


def test_expired_by_the_hosts_clock() -> None:
    with pytest.raises(Unauthorized, match="expired"):
        authenticate(b"Bearer " + TOKEN, now=1000.0)


@pytest.mark.parametrize(
    "values",
    [
        (protocol() + b", base64.binary.k8s.io",),
        (b"v5.channel.k8s.io,v4.channel.k8s.io," + protocol(),),
        (b"v4.channel.k8s.io", protocol()),
    ],
)
def test_a_websocket_may_offer_its_token_as_a_sub_protocol(values: tuple[bytes, ...]) -> None:
    assert offering(*values) == ALICE
    assert offering(*values, upgrade=b"WebSocket") == ALICE


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((protocol(),), "another sub-protocol beside it"),
        ((protocol() + b",",), "another sub-protocol beside it"),
        ((protocol() + b", " + protocol() + b", v4.channel.k8s.io",), "more than one"),
        ((protocol(), protocol(), b"v4.channel.k8s.io"), "more than one"),
        ((protocol() + b"=, v4.channel.k8s.io",), "not base64url"),
        ((protocol() + b"AA, v4.channel.k8s.io",), "not base64url"),
        ((protocol() + b"+, v4.channel.k8s.io",), "not base64url"),
        ((protocol(b"\xff\xfe") + b", v4.channel.k8s.io",), "not a bearer token"),
        ((protocol(b"skerry_" + b"b" * 43) + b", v4.channel.k8s.io",), "unknown or was revoked"),
        ((b"base64url.bearer.authorization.k8s.io., v4.channel.k8s.io",), "no credential"),
        ((b"BASE64URL" + protocol()[9:] + b", v4.channel.k8s.io",), "no credential"),
    ],
)
def test_a_sub_protocol_that_is_refused(values: tuple[bytes, ...], text: str) -> None:
    with pytest.raises(Unauthorized, match=text) as caught:
        offering(*values)
    assert TOKEN.decode() not in caught.value.message
    assert protocol().decode() not in caught.value.message


def test_a_sub_protocol_is_no_credential_of_another_request() -> None:
    for upgrade in (None, b"SPDY/3.1"):
        with pytest.raises(Unauthorized, match="no credential"):
            offering(protocol() + b", v4.channel.k8s.io", upgrade=upgrade)


def test_an_authorization_header_is_the_only_credential_where_there_is_one() -> None:
    with pytest.raises(Unauthorized, match="only bearer"):
        offering(protocol() + b", v4.channel.k8s.io", more=[(b"authorization", b"Basic YTpi")])
