"""Talking to a provider: over TLS that is checked, within bounds, and without telling what was sent."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from skerry.cli.failure import Failure
from skerry.cli.login.provider import MAX_BYTES, Provider, ProviderAway, ProviderRefused
from tests.cli.login.standin import Form, Said, Standin, running

SECRET = {"grant_type": "refresh_token", "refresh_token": "precious"}


def test_what_it_says_of_itself_is_asked_for_once_and_forms_come_from_the_client(standin: Standin) -> None:
    provider = Provider(standin.parameters)
    standin.answer("/token", {"id_token": "a.b.c"})
    assert provider.tokens(SECRET).id_token == provider.tokens(SECRET).id_token == "a.b.c"
    assert [path for path, _ in standin.asked] == ["/.well-known/openid-configuration", "/token", "/token"]
    assert standin.forms("/token")[0] == {"client_id": "skerry", **SECRET}


def test_an_issuer_may_have_a_path(standin: Standin) -> None:
    issuer = f"{standin.issuer}/realms/corp"
    document = {"issuer": issuer, "token_endpoint": f"{issuer}/token"}
    standin.answer("/realms/corp/.well-known/openid-configuration", document)
    assert Provider(standin.parameters._replace(issuer=issuer)).discovery.token_endpoint == f"{issuer}/token"


def test_tls_is_by_the_authority_that_is_given_alone(tmp_path: Path) -> None:
    with running(tmp_path) as standin:
        standin.answer("/token", {"id_token": "a.b.c"})
        assert Provider(standin.parameters).tokens(SECRET).id_token == "a.b.c"
        standin.asked.clear()
        with pytest.raises(ProviderAway, match=r"certificate is not trusted .*spec.certificateAuthority"):
            Provider(standin.parameters._replace(ca="")).tokens(SECRET)
        other = standin.parameters._replace(issuer=standin.issuer.replace("127.0.0.1", "localhost"))
        with pytest.raises(ProviderAway, match="certificate is not trusted"):
            Provider(other).tokens(SECRET)
        assert standin.asked == []


def test_authorities_that_are_none_are_told(standin: Standin) -> None:
    with pytest.raises(Failure, match="--ca-data"):
        Provider(standin.parameters._replace(issuer="https://a", ca="-----BEGIN CERTIFICATE-----\nx\n"))


@pytest.mark.parametrize("issuer", ["http://idp.example.com", "http://10.0.0.1", "https://"])
def test_nothing_is_asked_in_the_clear(issuer: str, standin: Standin) -> None:
    with pytest.raises(Failure, match="no https:// address"):
        Provider(standin.parameters._replace(issuer=issuer))


@pytest.mark.parametrize(
    ("said", "error", "told"),
    [
        ((400, {"error": "invalid_grant", "error_description": "gone"}), ProviderRefused, "gone"),
        ((401, {"error": "invalid_client"}), ProviderRefused, "registered there as a public one"),
        ((200, {"error": "server_error"}), ProviderAway, "server_error"),
        ((404, b"nothing"), Failure, "something else than tokens"),
        ((404, b"{}"), Failure, "answered with 404"),
        ((200, b"<html>"), Failure, "something else than tokens"),
        ((503, b""), ProviderAway, "503: try again"),
        ((429, b""), ProviderAway, "429: try again"),
        ((302, b""), Failure, "leads elsewhere"),
        ((307, b""), Failure, "leads elsewhere"),
        ((200, b"x" * (MAX_BYTES + 1)), Failure, "no OpenID provider"),
    ],
    ids=range(11),
)
def test_what_is_no_token_is_told_in_one_sentence_without_the_secret(
    standin: Standin, said: Any, error: type[Failure], told: str
) -> None:
    standin.answer("/token", said)
    with pytest.raises(error, match=told) as caught:
        Provider(standin.parameters).tokens(SECRET)
    assert type(caught.value) is error
    assert "precious" not in str(caught.value)


@pytest.mark.parametrize(("status", "error"), [(404, Failure), (500, ProviderAway)])
def test_a_provider_that_is_not_there_is_told(standin: Standin, status: int, error: type[Failure]) -> None:
    standin.answer("/.well-known/openid-configuration", b"", status=status)
    with pytest.raises(error, match=str(status)) as caught:
        Provider(standin.parameters).tokens(SECRET)
    assert type(caught.value) is error


def test_one_that_takes_for_ever_is_left(standin: Standin) -> None:
    def slow(form: Form) -> Said:
        time.sleep(2)
        return 200, b"{}"

    standin.answer("/token", slow)
    provider = Provider(standin.parameters, timeout_s=0.2)
    standin.answer("/token", slow)
    with pytest.raises(ProviderAway, match="does not answer in time"):
        provider.tokens(SECRET)


def test_one_that_is_gone_or_speaks_something_else_is_told(standin: Standin) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        there = standin.parameters._replace(issuer=f"http://127.0.0.1:{port}")
        with pytest.raises(ProviderAway, match="does not answer in time"):
            Provider(there, timeout_s=0.2).tokens(SECRET)
    with pytest.raises(ProviderAway, match="connection is refused"):
        Provider(there).tokens(SECRET)
    with pytest.raises(ProviderAway, match="cannot be resolved"):
        Provider(there._replace(issuer="https://idp.invalid")).tokens(SECRET)
