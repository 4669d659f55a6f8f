"""What a kubeconfig says of a login: read back as it was written, and refused by the name of the argument."""

from __future__ import annotations

import base64

import pytest

from skerry.cli.login.parameters import (
    MAX_CA,
    MAX_TEXT,
    LoginParameters,
    ParameterError,
    of_arguments,
    parameters,
)

ISSUER = "https://idp.example.com"
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
CA = base64.b64encode(PEM.encode()).decode()


@pytest.mark.parametrize(
    "known",
    [
        LoginParameters(ISSUER, "skerry"),
        LoginParameters(ISSUER, "a b=c", ("openid", "email", "offline_access"), "Device", PEM),
    ],
)
def test_arguments_are_read_as_they_were_written(known: LoginParameters) -> None:
    assert of_arguments(known.arguments()) == known


def test_openid_is_always_asked_for_and_nothing_twice() -> None:
    assert parameters(ISSUER, "skerry", "email openid  email").scopes == ("openid", "email")
    assert parameters(ISSUER, "skerry").scopes == ("openid",)


def test_what_is_kept_is_named_by_issuer_client_and_scopes() -> None:
    known = parameters(ISSUER, "skerry", "email groups")
    assert known.digest == parameters(ISSUER, "skerry", "groups email", "Device", CA).digest
    assert len({known.digest, parameters(ISSUER, "skerry").digest, parameters(ISSUER, "b", "email groups").digest}) == 3
    assert len(known.digest) == 32


@pytest.mark.parametrize("words", [["login", "--exec", "--issuer", ISSUER, "--client-id", "skerry"]])
def test_values_may_stand_alone(words: list[str]) -> None:
    assert of_arguments(words) == LoginParameters(ISSUER, "skerry")


@pytest.mark.parametrize("words", [[], ["login"], ["get-token", "--exec"], ["login", "--issuer=https://a"]])
def test_another_plugin_is_not_ours(words: list[str]) -> None:
    assert of_arguments(words) is None


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "--issuer is missing"),
        ([f"--issuer={ISSUER}"], "--client-id is missing"),
        ([f"--issuer={ISSUER}", "--client-id"], "--client-id is missing"),
        (["--issuer=ftp://a", "--client-id=c"], "--issuer"),
        (["--issuer=https://a b", "--client-id=c"], "--issuer"),
        (["--issuer=https://user@a", "--client-id=c"], "--issuer"),
        (["--issuer=https://a?b", "--client-id=c"], "--issuer"),
        ([f"--issuer={ISSUER}", "--client-id=\x1b[2J"], "--client-id"),
        ([f"--issuer={ISSUER}", "--client-id=ü"], "--client-id"),
        ([f"--issuer={ISSUER}", "--client-id=c", f"--scopes={'a' * (MAX_TEXT + 1)}"], "--scopes"),
        ([f"--issuer={ISSUER}", "--client-id=c", "--flow=Guess"], "--flow"),
        ([f"--issuer={ISSUER}", "--client-id=c", "--ca-data=%"], "--ca-data"),
        ([f"--issuer={ISSUER}", "--client-id=c", "--ca-data=aGk="], "--ca-data"),
        ([f"--issuer={ISSUER}", "--client-id=c", "--ca-data=//8="], "--ca-data"),
        ([f"--issuer={ISSUER}", "--client-id=c", f"--ca-data={'A' * (MAX_CA + 4)}"], "--ca-data"),
        ([f"--issuer={ISSUER}", "--client-id=c", "--token=secret"], "'--token' is no argument"),
        ([f"--issuer={ISSUER}", "--client-id=c", "more"], "'more' is no argument"),
    ],
    ids=range(17),
)
def test_arguments_that_say_nothing_are_refused_by_name(words: list[str], named: str) -> None:
    with pytest.raises(ParameterError, match=named):
        of_arguments(["login", "--exec", *words])
