"""Tokens of identity providers: which hold, whom they name, and every way in which they are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from services.tenancy.verify import (
    MAX_GROUPS,
    FromTheFuture,
    TokenIdentity,
    TokenRefused,
    UnknownKey,
    keys_of,
    read,
    verify,
)
from skerry.api.identities import IdentityProviderSpec, NameClaim, UserClaim
from tests.tenancy.tokens import (
    EC,
    EC384,
    ED,
    ISSUER,
    JWKS,
    KEYS,
    NOW,
    OTHER_RSA,
    RSA,
    SPEC,
    claims,
    jwk,
    part,
    signed,
    token,
)


def checked(text: str, spec: IdentityProviderSpec = SPEC, now: float = NOW) -> TokenIdentity:
    return verify(text, read(text), spec, KEYS, now)


def changed(**changes: Any) -> IdentityProviderSpec:
    return msgspec.structs.replace(SPEC, **changes)


# What holds


def test_a_token_names_a_user_and_groups() -> None:
    assert checked(token()) == TokenIdentity("alice", ("org:shop", "ops"), NOW - 10, NOW + 360)


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ({"alg": "RS256", "kid": "r"}, RSA),
        ({"alg": "PS256", "kid": "r", "typ": "at+jwt"}, RSA),
        ({"alg": "ES256", "kid": "e", "typ": "JWT"}, EC),
        ({"alg": "ES384", "kid": "e384", "typ": "application/jwt"}, EC384),
        ({"alg": "EdDSA", "kid": "d", "x5t": "whatever"}, ED),
    ],
    ids=lambda value: value.get("alg") if isinstance(value, dict) else "",
)
def test_each_algorithm_of_the_provider_holds(header: dict[str, Any], key: Any) -> None:
    assert checked(signed(claims(), key=key, header=header)).user == "alice"


@pytest.mark.parametrize(
    ("changes", "spec"),
    [
        ({"aud": ["other", "skerry"], "azp": "skerry"}, {}),
        ({"aud": ["skerry"], "azp": "somebody"}, {}),
        ({"exp": NOW - 59}, {}),
        ({"iat": NOW + 59, "nbf": NOW + 59}, {}),
        ({"groups": None}, {}),
        ({"hd": "example.com"}, {"required_claims": {"hd": "example.com"}}),
        ({"sub": "auth0|x"}, {}),
        ({"sub": "Łukasz Żółć"}, {}),
        ({"sub": "a" * 253}, {}),
        ({"groups": [f"g{n}" for n in range(MAX_GROUPS)]}, {}),
    ],
    ids=[
        "azp",
        "one audience",
        "just over",
        "just before",
        "no groups",
        "required",
        "pipe",
        "letters",
        "long",
        "500 groups",
    ],
)
def test_what_is_just_right_holds(changes: dict[str, Any], spec: dict[str, Any]) -> None:
    checked(token(**changes), changed(**spec))


def test_users_and_groups_have_the_providers_prefixes() -> None:
    spec = changed(username=UserClaim(claim="email", prefix="corp:"), groups=NameClaim(claim="roles", prefix="corp/"))
    identity = checked(token(email="a@example.com", email_verified=True, roles="dba"), spec)
    assert (identity.user, identity.groups) == ("corp:a@example.com", ("corp/dba",))


def test_without_a_claim_for_them_nobody_has_groups() -> None:
    assert checked(token(), changed(groups=msgspec.UNSET)).groups == ()


def test_groups_that_nobody_can_be_in_are_dropped_and_counted() -> None:
    listed = [
        "ok",
        "ok",
        "skerry:cluster-admin",
        "SKERRY:admin",
        "system:masters",
        "System:nodes",
        "a\nb",
        " x",
        "",
        "x" * 254,
    ]
    identity = checked(token(groups=listed))
    assert (identity.groups, identity.dropped) == (("ok",), 8)


@pytest.mark.parametrize("marker", [{"_claim_names": {"groups": "src1"}}, {"hasgroups": True}])
def test_groups_that_were_left_out_are_noticed(marker: dict[str, Any]) -> None:
    assert checked(token(groups=None, **marker)).left_out
    assert not checked(token(**marker), changed(groups=msgspec.UNSET)).left_out
    assert not checked(token()).left_out


# What does not: each row is one token

PUBLIC = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def unsigned(header: dict[str, Any]) -> Callable[[], str]:
    return lambda: f"{part(header)}.{part(claims())}."


def by_hand(header: object, payload: object) -> Callable[[], str]:
    """Signed by the provider's own key over bytes that no library would write."""

    def make() -> str:
        text = f"{part(header)}.{part(payload)}"
        signature = jwt.PyJWS().get_algorithm_by_name("RS256").sign(text.encode(), RSA)
        return f"{text}.{part(signature)}"

    return make


def headed(**more: Any) -> Callable[[], str]:
    return lambda: signed(claims(), header={"alg": "RS256", "kid": "r", "typ": "JWT", **more})


def without_pem_check() -> str:
    """HS256 with the public key as the secret: what fooled verifiers that believed the header."""
    import hashlib
    import hmac

    text = f"{part({'alg': 'HS256', 'kid': 'r', 'typ': 'JWT'})}.{part(claims())}"
    return f"{text}.{part(hmac.digest(PUBLIC, text.encode(), hashlib.sha256))}"


def swapped_payload() -> str:
    head, _, signature = token().split(".")
    return f"{head}.{part(claims(sub='admin'))}.{signature}"


def stretched_signature() -> str:
    return token() + "AAAA"


HOSTILE: dict[str, Callable[[], str]] = {
    # form
    "empty": lambda: "",
    "one part": lambda: "abc",
    "two parts": lambda: "a.b",
    "four parts": lambda: token() + ".x",
    "five parts, as encrypted ones have": lambda: "a.b.c.d.e",
    "17 KiB": lambda: token(pad="x" * 17_000),
    "no base64": lambda: "!!!." + token().split(".", 1)[1],
    "not ASCII": lambda: token() + "é",
    "header is no JSON": by_hand(b"{", claims()),
    "header is a list": by_hand([], claims()),
    "header is not UTF-8": by_hand(b'{"alg":"RS256","kid":"\xff"}', claims()),
    "payload is no JSON": by_hand({"alg": "RS256", "kid": "r"}, b"alice"),
    "payload is a text": by_hand({"alg": "RS256", "kid": "r"}, "alice"),
    "payload is nested deep": by_hand({"alg": "RS256", "kid": "r"}, b"[" * 6000),
    "payload has NaN": by_hand({"alg": "RS256", "kid": "r"}, json.dumps(claims(exp=float("nan"))).encode()),
    "payload has Infinity": by_hand({"alg": "RS256", "kid": "r"}, json.dumps(claims(exp=float("inf"))).encode()),
    "payload has a huge number": by_hand(
        {"alg": "RS256", "kid": "r"}, json.dumps(claims())[:-1].encode() + b',"x":' + b"9" * 5000 + b"}"
    ),
    "a claim twice": by_hand({"alg": "RS256", "kid": "r"}, json.dumps(claims())[:-1].encode() + b',"sub":"admin"}'),
    "a claim twice inside": by_hand(
        {"alg": "RS256", "kid": "r"}, json.dumps(claims())[:-1].encode() + b',"x":{"a":1,"a":2}}'
    ),
    "a header twice": by_hand(b'{"alg":"RS256","kid":"r","kid":"e"}', claims()),
    # signature
    "none": unsigned({"alg": "none", "kid": "r"}),
    "None": unsigned({"alg": "None", "kid": "r"}),
    "nOnE without a kid": unsigned({"alg": "nOnE"}),
    "RS256 without a signature": unsigned({"alg": "RS256", "kid": "r"}),
    "HS256 with the public key": without_pem_check,
    "an algorithm that the provider does not use": lambda: signed(claims(), header={"alg": "RS384", "kid": "r"}),
    "an algorithm that the key is not for": lambda: signed(
        claims(), key=OTHER_RSA, header={"alg": "RS256", "kid": "pinned"}
    ),
    "another type of key": lambda: signed(claims(), header={"alg": "RS256", "kid": "e"}),
    "another curve": lambda: signed(claims(), key=EC, header={"alg": "ES256", "kid": "e384"}),
    "ES384 by a key of ES256": lambda: signed(claims(), key=EC, header={"alg": "ES384", "kid": "e"}),
    "alg is a list": by_hand({"alg": ["RS256"], "kid": "r"}, claims()),
    "alg is missing": by_hand({"kid": "r"}, claims()),
    "another's signature": lambda: signed(claims(), key=OTHER_RSA),
    "changed payload": swapped_payload,
    "bytes behind the signature": stretched_signature,
    # headers
    "no kid": lambda: signed(claims(), header={"alg": "RS256"}),
    "kid is a number": headed(kid=1),
    "unknown kid": headed(kid="elsewhere"),
    "kid is a path": headed(kid="../../dev/null"),
    "jku": headed(jku="https://evil.example/keys"),
    "x5u": headed(x5u="https://evil.example/cert"),
    "jwk": headed(jwk=jwk(OTHER_RSA, "r")),
    "crit": headed(crit=["exp"]),
    "b64": headed(b64=True),
    "zip": headed(zip="DEF"),
    "nested": headed(cty="JWT"),
    "a logout token": headed(typ="logout+jwt"),
    "typ is an object": headed(typ={}),
    # whose, for whom
    "other issuer": lambda: token(iss="https://evil.example"),
    "issuer with a slash more": lambda: token(iss=ISSUER + "/"),
    "issuer in other case": lambda: token(iss=ISSUER.upper()),
    "no issuer": lambda: token(iss=None),
    "issuer is a list": lambda: token(iss=[ISSUER]),
    "other audience": lambda: token(aud="other"),
    "no audience": lambda: token(aud=None),
    "empty audience": lambda: token(aud=[]),
    "audience is an object": lambda: token(aud={"skerry": True}),
    "audience has a number": lambda: token(aud=["skerry", 1]),
    "several audiences without azp": lambda: token(aud=["skerry", "other"]),
    "several audiences, another's azp": lambda: token(aud=["skerry", "other"], azp="other"),
    "a required claim is missing": lambda: token(),
    "a required claim is another": lambda: token(hd="evil.example"),
    "a required claim is a list": lambda: token(hd=["example.com"]),
    # when
    "expired": lambda: token(exp=NOW - 61),
    "no exp": lambda: token(exp=None),
    "exp is a text": lambda: token(exp="2100-01-01"),
    "exp is true": lambda: token(exp=True),
    "exp is far": lambda: token(exp=1e300),
    "exp is negative": lambda: token(exp=-1),
    "no iat": lambda: token(iat=None),
    "iat in the future": lambda: token(iat=NOW + 61),
    "iat long ago": lambda: token(iat=NOW - 1831 * 86400),
    "not yet": lambda: token(nbf=NOW + 61),
    "nbf is a text": lambda: token(nbf="now"),
    # who
    "no user": lambda: token(sub=None),
    "user is empty": lambda: token(sub=""),
    "user is a number": lambda: token(sub=7),
    "user is reserved": lambda: token(sub="skerry:admin"),
    "user is reserved in capitals": lambda: token(sub="SKERRY:admin"),
    "user is Kubernetes' own": lambda: token(sub="system:masters"),
    "user is Kubernetes' own in capitals": lambda: token(sub="System:serviceaccount:a:b"),
    "user is a service account": lambda: token(sub="serviceaccount:kube-system:admin"),
    "user in long s": lambda: token(sub="ſystem:masters"),
    "user with a control character": lambda: token(sub="al\x1bice"),
    "user with a new line": lambda: token(sub="alice\n"),
    "user with NUL": lambda: token(sub="alice\x00"),
    "user written from right to left": lambda: token(sub="\u202eecila"),
    "user with half a character": lambda: token(sub="\ud800"),
    "user with a blank in front": lambda: token(sub=" alice"),
    "user too long": lambda: token(sub="ł" * 127),
    "501 groups": lambda: token(groups=[f"g{n}" for n in range(501)]),
    "groups are an object": lambda: token(groups={"admin": True}),
    "a group is a number": lambda: token(groups=["ops", 1]),
}
SPECS = {name: changed(required_claims={"hd": "example.com"}) for name in HOSTILE if "required" in name}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_token_is_refused(name: str) -> None:
    with pytest.raises(TokenRefused) as caught:
        checked(HOSTILE[name](), SPECS.get(name, SPEC))
    reason = str(caught.value)
    assert reason.isprintable()
    assert len(reason) < 300


def test_there_are_at_least_sixty_of_them() -> None:
    assert len(HOSTILE) >= 60


@pytest.mark.parametrize("verified", [None, False, "true", 1])
def test_an_email_that_is_not_verified_names_nobody(verified: object) -> None:
    with pytest.raises(TokenRefused, match="not verified"):
        checked(token(email="a@example.com", email_verified=verified), changed(username=UserClaim(claim="email")))


def test_unknown_keys_and_times_to_come_are_told_apart() -> None:
    with pytest.raises(UnknownKey):
        checked(HOSTILE["unknown kid"]())
    with pytest.raises(FromTheFuture):
        checked(HOSTILE["not yet"]())


@settings(max_examples=50)
@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_whatever_is_sent_is_refused_and_not_stumbled_over(text: str) -> None:
    with pytest.raises(TokenRefused):
        checked(text)


@settings(max_examples=50)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    )
)
def test_whatever_a_claim_is_nothing_else_is_raised(value: Any) -> None:
    for name in ("iss", "aud", "azp", "exp", "iat", "nbf", "sub", "groups", "_claim_names"):
        with suppress(TokenRefused):
            checked(token(**{name: value}))


# Keys


SMALL = rsa.generate_private_key(public_exponent=65537, key_size=1024)


@pytest.mark.parametrize(
    "fields",
    [
        {**jwk(RSA, "x"), "kid": None},
        {**jwk(RSA, "x"), "kid": ""},
        {**jwk(RSA, "x"), "kid": "k" * 257},
        {**jwk(RSA, "x"), "kid": 3},
        {**jwk(RSA, "x"), "use": "enc"},
        {**jwk(RSA, "x"), "alg": "RSA-OAEP"},
        {**jwk(RSA, "x"), "alg": ["RS256"]},
        {**jwk(RSA, "x"), "kty": "oct", "k": "AAAA"},
        {**jwk(RSA, "x"), "kty": ["RSA"]},
        {**jwk(RSA, "x"), "n": "!!"},
        {**jwk(RSA, "x"), "n": 5},
        {**jwk(RSA, "x"), "n": "AQ"},
        {**jwk(RSA, "x"), "e": "AA"},
        {**jwk(RSA, "x"), "d": "AAAA"},
        {**jwk(EC, "x"), "crv": "P-999"},
        {**jwk(EC, "x"), "crv": "P-384"},
        {**jwk(EC, "x"), "x": jwk(EC384, "x")["x"]},
        {**jwk(EC, "x"), "y": jwk(EC, "x")["x"]},
        {**jwk(ED, "x"), "crv": "X25519"},
        {**jwk(ED, "x"), "x": "AA"},
        {"kid": "x", "kty": "RSA"},
        {"kid": "x"},
        jwk(SMALL, "x"),
        "x",
        None,
    ],
)
def test_a_key_that_cannot_be_used_is_left_out(fields: object) -> None:
    assert keys_of({"keys": [fields, jwk(ED, "good")]}) == ({"good": KEYS["d"]}, 1)


@pytest.mark.parametrize("document", [None, [], {}, {"keys": {}}, {"keys": "x"}, "x", 1])
def test_what_is_no_set_of_keys_is_told(document: object) -> None:
    with pytest.raises(ValueError, match="list of keys"):
        keys_of(document)


def test_of_very_many_keys_the_first_are_taken() -> None:
    keys, unusable = keys_of({"keys": [jwk(ED, str(n)) for n in range(100)]})
    assert (len(keys), unusable) == (64, 36)


def test_keys_with_one_id_are_all_tried() -> None:
    keys, _ = keys_of({"keys": [jwk(OTHER_RSA, "r"), jwk(EC, "r"), jwk(RSA, "r")]})
    text = token()
    assert verify(text, read(text), SPEC, keys, NOW).user == "alice"


def test_all_published_keys_are_there() -> None:
    assert set(KEYS) == {each["kid"] for each in JWKS["keys"]}
