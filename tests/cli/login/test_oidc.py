"""What is asked of a provider, and what of its answers is believed."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from skerry.cli.failure import FAILED, Failure
from skerry.cli.login.cache import MAX_TIME
from skerry.cli.login.oidc import (
    LEEWAY_S,
    MAX_TOKEN,
    ProviderMetadata,
    Question,
    TokenAnswer,
    authorization_url,
    check_url,
    code_of,
    device_answer,
    discovery,
    interval,
    is_answer,
    on_this_machine,
    question,
    refused,
    shown,
    signed_in,
    token_answer,
)
from skerry.cli.login.parameters import parameters

ISSUER = "https://idp.example.com"
PARAMETERS = parameters(ISSUER, "skerry", "email")
FOUND = ProviderMetadata(issuer=ISSUER, token_endpoint=f"{ISSUER}/token", authorization_endpoint=f"{ISSUER}/auth")
NOW = 1_800_000_000.0


def jwt(**claims: Any) -> str:
    usual = {"iss": ISSUER, "sub": "u1", "aud": "skerry", "exp": NOW + 300, "nonce": "n"}
    return ".".join(encoded(each) for each in ({"alg": "RS256"}, {**usual, **claims}, "signature"))


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def believed(text: str, **expected: str) -> Any:
    answer = TokenAnswer(id_token=text, refresh_token="r")
    return signed_in(answer, PARAMETERS, NOW, **{"nonce": "n", **expected})


# What is asked


def test_the_page_is_asked_for_with_all_that_makes_the_answer_ours() -> None:
    asked = Question("state", "nonce", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    url = urlsplit(authorization_url(f"{ISSUER}/auth?tenant=1", PARAMETERS, asked, "http://127.0.0.1:1/callback"))
    assert {name: value for name, (value,) in parse_qs(url.query).items()} == {
        "tenant": "1",
        "response_type": "code",
        "client_id": "skerry",
        "redirect_uri": "http://127.0.0.1:1/callback",
        "scope": "openid email",
        "state": "state",
        "nonce": "nonce",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",  # RFC 7636, appendix B
        "code_challenge_method": "S256",
    }
    plain = authorization_url(f"{ISSUER}/auth", PARAMETERS, asked, "http://127.0.0.1:1/")
    assert plain.startswith(f"{ISSUER}/auth?response_type=code&client_id=skerry&")
    assert "?" not in plain.partition("?")[2]


def test_nothing_of_a_question_is_used_twice() -> None:
    texts = [text for _ in range(20) for text in question()]
    assert len(set(texts)) == 60
    assert [len(text) for text in question()] == [43, 43, 64]


# Redirects


@pytest.mark.parametrize(
    ("answer", "ours"), [({"state": "s"}, True), ({"state": "t"}, False), ({}, False), ({"state": "ü"}, False)]
)
def test_only_our_state_is_an_answer(answer: dict[str, str], ours: bool) -> None:
    assert is_answer(answer, Question("s", "n", "v")) is ours


def test_a_code_is_taken_from_our_provider_alone() -> None:
    strict = ProviderMetadata(issuer=ISSUER, token_endpoint="", authorization_response_iss_parameter_supported=True)
    assert code_of({"code": "c"}, FOUND) == code_of({"code": "c", "iss": ISSUER}, strict) == "c"
    for answer, found in (({"code": "c", "iss": "https://evil"}, FOUND), ({"code": "c"}, strict)):
        with pytest.raises(Failure, match="instead of"):
            code_of(answer, found)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"error": "access_denied", "error_description": "not\x1b[2J today"}, r"access_denied: not\?\[2J today"),
        ({"error": "login_required"}, r"\(login_required\): log in again"),
        ({"error": "access_denied"}, "or ask an administrator of the provider"),
        ({"error": "invalid_client"}, "registered there as a public one"),
        ({"error": "unauthorized_client"}, "allowed to log in this way there"),
        ({"error": "invalid_scope"}, "scopes of the IdentityProvider must be known"),
        ({"error": "redirect_uri_mismatch"}, "register http://127.0.0.1/callback"),
        ({}, "without a code"),
        ({"code": ""}, "without a code"),
    ],
)
def test_a_refusal_is_one_sentence_with_the_next_step(answer: dict[str, str], told: str) -> None:
    with pytest.raises(Failure, match=told) as caught:
        code_of(answer, FOUND)
    assert caught.value.code == FAILED
    assert "\x1b" not in str(caught.value)


def test_what_a_provider_says_is_shown_in_one_line_and_not_for_ever() -> None:
    assert shown("a\nb\x00‮c") == "a?b??c"
    assert shown("x" * 200) == "x" * 200
    assert shown("x" * 201) == shown("x" * 5000) == "x" * 200 + "…"
    assert len(str(refused(ISSUER, "e" * 5000, None))) < 400


# Discovery


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"issuer": f"{ISSUER}/"}, "to the character"),
        ({"issuer": None}, "does not describe itself"),
        ({"token_endpoint": None}, "does not describe itself"),
        ({"token_endpoint": "http://idp.example.com/token"}, "no https:// address"),
        ({"token_endpoint": "http://127.0.0.1/token"}, "no https:// address"),
        ({"token_endpoint": "https://idp.example.com:port/"}, "no https:// address"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "no https:// address"),
        ({"authorization_endpoint": "https://user@idp.example.com/"}, "no https:// address"),
        ({"device_authorization_endpoint": "https://idp.example.com/\x1b"}, "no https:// address"),
        ({"revocation_endpoint": "file:///etc/passwd"}, "no https:// address"),
    ],
)
def test_a_provider_that_is_another_or_leads_elsewhere_is_refused(change: dict[str, Any], told: str) -> None:
    usual = {"issuer": ISSUER, "token_endpoint": f"{ISSUER}/token", "authorization_endpoint": None, "more": [1]}
    assert discovery(json.dumps(usual).encode(), PARAMETERS).token_endpoint == f"{ISSUER}/token"
    with pytest.raises(Failure, match=told):
        discovery(json.dumps({**usual, **change}).encode(), PARAMETERS)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"\xff", b'{"a":' * 5000], ids=range(5))
def test_what_is_no_description_is_told(body: bytes) -> None:
    with pytest.raises(Failure, match="does not describe itself"):
        discovery(body, PARAMETERS)


@pytest.mark.parametrize(
    ("url", "issuer", "taken"),
    [
        ("https://a/b", ISSUER, True),
        ("http://127.0.0.1:5556/b", "http://127.0.0.1:5556", True),
        ("http://[::1]:5556/b", "http://localhost:5556", True),
        ("http://localhost/b", "http://localhost", True),
        ("http://10.0.0.1/b", "http://localhost", False),
        ("http://idp.example.com/b", "http://localhost", False),
        ("http://localhost/b", ISSUER, False),
        ("https:///b", ISSUER, False),
        ("https://a/b c", ISSUER, False),
        ("https://a/#b", ISSUER, False),
    ],
)
def test_secrets_go_over_tls_or_stay_on_this_machine(url: str, issuer: str, taken: bool) -> None:
    if taken:
        check_url(url, issuer)
    else:
        with pytest.raises(Failure):
            check_url(url, issuer)
    assert on_this_machine("127.1.2.3")


# Tokens


def test_an_id_token_that_answers_us_is_believed() -> None:
    signed = believed(jwt(aud=["other", "skerry"], azp="skerry"), subject="u1")
    assert (signed.refresh_token, signed.claims.sub, signed.claims.exp) == ("r", "u1", NOW + 300)
    assert signed_in(TokenAnswer(id_token=jwt()), PARAMETERS, NOW).refresh_token == ""


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({}, "u1"),
        ({"email": "a@b", "preferred_username": "a"}, "a@b"),
        ({"email": "", "preferred_username": "a"}, "a"),
        ({"email": ["a@b"], "preferred_username": 1}, "u1"),
        ({"sub": ""}, ""),
        ({"email": "a\x1b[2J"}, "a?[2J"),
    ],
)
def test_people_are_told_a_name(claims: dict[str, Any], name: str) -> None:
    assert believed(jwt(**claims)).name == name


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"iss": "https://evil"}, "is from https://evil"),
        ({"aud": "other"}, "not for client skerry"),
        ({"aud": "skerry-web"}, "not for client skerry"),
        ({"aud": []}, "not for client skerry"),
        ({"azp": "other"}, "another client, other"),
        ({"nonce": "m"}, "not the answer to this login"),
        ({"nonce": None}, "not the answer to this login"),
        ({"sub": "u2"}, "somebody else"),
        ({"exp": NOW - LEEWAY_S}, "set the clock"),
        ({"exp": MAX_TIME}, "set the clock"),
        ({"exp": "soon"}, "cannot be read"),
        ({"exp": None}, "cannot be read"),
        ({"aud": 1}, "cannot be read"),
        ({"sub": None}, "cannot be read"),
    ],
)
def test_one_that_does_not_is_refused_and_never_shown(claims: dict[str, Any], told: str) -> None:
    text = jwt(**claims)
    with pytest.raises(Failure, match=told) as caught:
        believed(text, subject="u1")
    assert text.split(".")[1] not in str(caught.value)


@pytest.mark.parametrize("exp", [NOW - LEEWAY_S + 1, NOW + 1, MAX_TIME - 1])
def test_one_that_ended_a_moment_ago_by_this_clock_is_believed(exp: float) -> None:
    assert believed(jwt(exp=exp)).claims.exp == exp


def test_base64_is_that_of_urls_and_length_is_that_of_the_host() -> None:
    text = jwt(sub="??? >>> ???? >>>> ??>>??")
    assert {"-", "_"} <= set(text.split(".")[1])
    assert believed(text).claims.sub == "??? >>> ???? >>>> ??>>??"
    longest = f"{text}{'s' * (MAX_TOKEN - len(text))}"
    assert believed(longest).id_token == longest
    with pytest.raises(Failure, match="three parts of base64url, at most 16384 bytes"):
        believed(f"{longest}s")


@pytest.mark.parametrize("form", ["a.{0}", "a.{0}.b.c", "a.{0}.b c", "a.{0}.é", "a.{0}.\x7f", "a.%%%%{0}.c"])
def test_around_good_claims_all_must_be_a_jwt(form: str) -> None:
    with pytest.raises(Failure, match="cannot be read"):
        believed(form.format(jwt().split(".")[1]))


@pytest.mark.parametrize(
    "text",
    ["a.b", "a.b.c.d", "a.b c.d", "a.%%%.c", "a.é.c", f"a.{encoded([])}.c", jwt(more="x" * MAX_TOKEN), "a.\n.c"],
    ids=range(8),
)
def test_what_is_no_jwt_is_refused(text: str) -> None:
    with pytest.raises(Failure, match="cannot be read"):
        believed(text)


@pytest.mark.parametrize("answer", [TokenAnswer(), TokenAnswer(id_token="")])
def test_an_answer_without_an_id_token_says_what_is_missing(answer: TokenAnswer) -> None:
    with pytest.raises(Failure, match="openid must be among the scopes"):
        signed_in(answer, PARAMETERS, NOW)


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"id_token": 1}'], ids=range(4))
def test_what_is_no_answer_of_a_token_endpoint_is_told(body: bytes) -> None:
    with pytest.raises(Failure, match="something else than tokens"):
        token_answer(body, ISSUER)


# Devices


def device(**fields: Any) -> bytes:
    usual = {"device_code": "d", "user_code": "ABCD", "verification_uri": f"{ISSUER}/device", "expires_in": 300}
    return json.dumps({**usual, **fields}).encode()


@pytest.mark.parametrize(("wanted", "pause"), [(None, 5.0), (1, 1.0), (0, 5.0), (-1, 5.0), (60, 60.0), (60.5, 5.0)])
def test_a_device_is_asked_as_often_as_the_provider_wants_within_reason(wanted: float | None, pause: float) -> None:
    assert interval(device_answer(device(interval=wanted), ISSUER)) == pause


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (device(verification_uri="http://idp.example.com/device"), "no https:// address"),
        (device(verification_uri_complete="javascript:1"), "no https:// address"),
        (device(user_code=None), "no code for another device"),
        (
            b'{"error": "unauthorized_client", "error_description": "no codes"}',
            r"no codes\): .* be allowed to log in this way",
        ),
        (b"[]", "something else than tokens"),
    ],
    ids=range(5),
)
def test_a_device_is_sent_nowhere_else(body: bytes, told: str) -> None:
    with pytest.raises(Failure, match=told):
        device_answer(body, ISSUER)
