"""Bearer tokens: what is accepted, and what each refusal says."""

from __future__ import annotations

import base64
import hashlib
import math

import pytest

from services.proxy.authn import (
    REFUSED,
    Authenticator,
    CachedCredential,
    ProviderVersion,
    RevokedUser,
    certified,
    name_of,
    named,
    presented,
    token_of,
)
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
        ((b"Bearer skerry_short",), "not a bearer token of a Skerry host"),
        ((b"Bearer two words",), "not a bearer token"),
        ((b"Bearer \xff\xfe",), "not a bearer token"),
        ((b"Bearer " + b"a" * (16 * 1024 + 1),), "longer than 16384 bytes"),
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


# Other credentials


def head(*values: bytes) -> RequestHead:
    return RequestHead(method=b"GET", target=b"/api", headers=[(b"authorization", value) for value in values])


def test_any_other_token_is_known_by_its_digest() -> None:
    name = named(head(b"Bearer eyJ.a.b"))
    assert name == "token:" + hashlib.sha256(b"eyJ.a.b").hexdigest()
    assert token_of(head(b"Bearer  eyJ.a.b ")) == "eyJ.a.b"
    assert "token:" + name_of(TOKEN) != named(head(b"Bearer " + TOKEN))


def nobody(name: str) -> CachedCredential | None:
    return None


CORP = ProviderVersion("corp", "u1", 3)
REVIEWED_ALICE = CachedCredential("token:x", Caller(user="alice"), 1000.0, 10.0, CORP)


@pytest.mark.parametrize(
    ("stored", "now", "holds"),
    [
        (CORP, 0.0, True),
        (CORP, 1000.0, False),
        (CORP._replace(generation=4), 0.0, False),
        (CORP._replace(uid="u2"), 0.0, False),
        (None, 0.0, False),
    ],
    ids=["as it was", "over", "changed", "made anew", "gone"],
)
def test_a_token_holds_as_long_as_it_and_its_provider_as_it_was(
    stored: ProviderVersion | None, now: float, holds: bool
) -> None:
    authenticator = Authenticator(nobody, lambda: now, provider={"corp": stored}.get)
    if holds:
        assert authenticator.checked(REVIEWED_ALICE) is REVIEWED_ALICE
        return
    with pytest.raises(Unauthorized) as caught:
        authenticator.checked(REVIEWED_ALICE)
    assert caught.value.message == REFUSED


def subject(*names: tuple[str, str], before: str = "Jan  1 00:00:00 2030 GMT") -> dict[str, object]:
    return {"subject": tuple((name,) for name in names), "notBefore": before, "notAfter": "Jan  1 00:00:00 2031 GMT"}


JANUARY = 1893456000.0
"""2030-01-01."""
CN, ORG = "commonName", "organizationName"


def test_a_certificate_names_a_user_and_groups() -> None:
    fields = subject(
        (CN, "alice"), (ORG, "ops"), (ORG, "org:shop"), (ORG, "system:masters"), (ORG, "ops"), ("countryName", "AT")
    )
    credential = certified(fields, b"der", 1, JANUARY)
    assert credential.caller == Caller(user="alice", groups=("ops", "org:shop"))
    assert (credential.issued, credential.expires) == (JANUARY, JANUARY + 365 * 86400)
    assert credential.name == "certificate:" + hashlib.sha256(b"der").hexdigest()


@pytest.mark.parametrize(
    "fields",
    [
        subject(),
        subject((ORG, "ops")),
        subject((CN, "alice"), (CN, "bob")),
        subject((CN, "")),
        subject((CN, "system:admin")),
        subject((CN, "SYSTEM:admin")),
        subject((CN, "skerry:alice")),
        subject((CN, "serviceaccount:a:b")),
        subject((CN, "alice\x00.example.com")),
        subject((CN, " alice")),
        subject((CN, "alice"), *((ORG, f"g{n}") for n in range(501))),
        subject((CN, "alice"), before="Jan  1 00:00:00 2020 GMT"),
    ],
    ids=str,
)
def test_a_certificate_that_names_nobody_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(Unauthorized) as caught:
        certified(fields, b"der", 1, JANUARY)
    assert caught.value.message == REFUSED


def test_a_certificate_and_a_token_are_one_credential_too_many() -> None:
    certificate = certified(subject((CN, "alice")), b"der", 1, JANUARY)
    assert presented(head(), certificate).certificate is certificate
    assert presented(head(b"Bearer " + TOKEN), None).name == name_of(TOKEN)
    for value in (b"Bearer " + TOKEN, b"Bearer eyJ.a.b", b"Bearer"):
        with pytest.raises(Unauthorized, match="more than one credential"):
            presented(head(value), certificate)
    with pytest.raises(Unauthorized, match="only bearer"):
        presented(head(b"Basic YTpi"), certificate)


def test_a_certificate_holds_for_the_authority_that_verified_it() -> None:
    certificate = certified(subject((CN, "alice")), b"der", 1, JANUARY)
    assert Authenticator(nobody, lambda: JANUARY, authority=lambda: 1).holds(certificate)
    assert not Authenticator(nobody, lambda: JANUARY, authority=lambda: 2).holds(certificate)


@pytest.mark.parametrize(
    ("issued", "before", "holds"),
    [
        (100.0, 99.0, True),
        (100.0, 100.0, False),
        (100.9, 100.0, False),
        (101.0, 100.0, True),
        (0.0, 1.0, False),
        (1e9, math.inf, False),
    ],
)
@pytest.mark.parametrize("kind", ["Credential", "token", "certificate"])
def test_what_was_issued_to_a_user_before_a_revocation_is_refused(
    kind: str, issued: float, before: float, holds: bool
) -> None:
    names = {"Credential": ALICE.name, "token": "token:x", "certificate": "certificate:x"}
    provider = CORP if kind == "token" else None
    credential = CachedCredential(names[kind], Caller(user="alice"), 2e9, issued, provider, 1)
    authenticator = Authenticator(
        {ALICE.name: credential}.get,
        lambda: 1.0,
        provider={"corp": CORP}.get,
        authority=lambda: 1,
        revoked={"alice": RevokedUser("alice", before), "bob": RevokedUser("bob", math.inf)}.get,
    )
    assert authenticator.holds(credential) == holds

    def check() -> CachedCredential:
        return authenticator.known(ALICE.name) if kind == "Credential" else authenticator.checked(credential)

    if holds:
        assert check() is credential
    else:
        with pytest.raises(Unauthorized):
            check()
