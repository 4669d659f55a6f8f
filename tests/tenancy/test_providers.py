"""What an IdentityProvider may say, and which of two that exclude each other counts."""

from __future__ import annotations

from typing import Any

import pytest

from services.tenancy.providers import admit, algorithms_of, on_this_machine, provider_of, taken
from skerry.errors import Invalid
from skerry.identity.x509 import create_ca

CA = create_ca("idp").certificate.decode()


def provider(
    name: str = "corp", *, created: str = "2030-01-01T00:00:00Z", uid: str = "u1", **spec: Any
) -> dict[str, Any]:
    usual = {"issuer": "https://idp.example.com", "audiences": ["skerry"]}
    given = {key: value for key, value in {**usual, **spec}.items() if value is not None}
    metadata = {"name": name, "creationTimestamp": created, "uid": uid}
    return {"apiVersion": "skerry.dev/v1alpha1", "kind": "IdentityProvider", "metadata": metadata, "spec": given}


WHOLE: dict[str, Any] = {
    "certificateAuthority": CA,
    "username": {"claim": "email", "prefix": "corp:"},
    "groups": {"claim": "groups", "prefix": "corp:"},
    "requiredClaims": {"hd": "example.com"},
    "algorithms": ["RS256", "EdDSA"],
    "login": {"clientID": "skerry", "scopes": ["openid", "offline_access"], "flow": "Device"},
    "console": {"clientID": "skerry-web"},
}


def test_a_whole_provider_and_a_small_one_are_admitted_as_they_are() -> None:
    assert admit(provider(**WHOLE)) == provider(**WHOLE)
    assert admit(provider()) == provider()
    assert provider_of(provider(**WHOLE)).spec.login.client_id == "skerry"  # type: ignore[union-attr]
    newer = {**provider(**WHOLE), "status": {"conditions": "of another shape"}}
    assert provider_of(newer).spec.login.client_id == "skerry"  # type: ignore[union-attr]


@pytest.mark.parametrize("issuer", ["http://127.0.0.1:5556", "http://localhost:5556/dex", "http://[::1]:1"])
def test_a_provider_on_this_machine_may_be_asked_by_http(issuer: str) -> None:
    admit(provider(issuer=issuer))
    assert on_this_machine(issuer)


HTTPS, TEXT = "use https; http is for 127.0.0.1, ::1, localhost alone", "use 1 to 253 bytes of printable characters"


@pytest.mark.parametrize(
    ("spec", "field", "said"),
    [
        ({"issuer": "http://idp.example.com"}, "spec.issuer", HTTPS),
        ({"issuer": "http://127.0.0.1.example.com"}, "spec.issuer", HTTPS),
        ({"issuer": "ftp://idp.example.com"}, "spec.issuer", "must begin with https://"),
        ({"issuer": "idp.example.com"}, "spec.issuer", "must begin with https://"),
        ({"issuer": ""}, "spec.issuer", "must begin with https://"),
        ({"issuer": "https://user:pw@idp.example.com"}, "spec.issuer", "must name a host, without a user, a fragment"),
        ({"issuer": "https://idp.example.com?tenant=1"}, "spec.issuer", "an issuer has no query"),
        ({"issuer": "https://idp.example.com#x"}, "spec.issuer", "must name a host, without a user, a fragment"),
        ({"issuer": "https://idp.example.com/\n"}, "spec.issuer", "is no URL: printable ASCII"),
        ({"audiences": []}, "spec.audiences", "name at least one: tokens for others are not for you"),
        ({"audiences": [""]}, "spec.audiences[0]", TEXT),
        ({"audiences": ["ok", "a\x00"]}, "spec.audiences[1]", TEXT),
        ({"audiences": ["\ud800"]}, "spec.audiences[0]", TEXT),
        ({"audiences": [str(n) for n in range(17)]}, "spec.audiences", "Too many: 17: must have at most 16 items"),
        ({"certificateAuthority": "no PEM"}, "spec.certificateAuthority", "use certificates in PEM"),
        ({"certificateAuthority": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
         "spec.certificateAuthority", "use certificates in PEM"),
        ({"certificateAuthority": "a" * 300_000}, "spec.certificateAuthority", "may not be more than 262144 bytes"),
        ({"username": {"claim": ""}}, "spec.username.claim", TEXT),
        ({"username": {"claim": "sub", "prefix": "skerry:"}}, "spec.username.prefix", "reserved, in upper and lower case"),
        ({"username": {"claim": "sub", "prefix": "System:"}}, "spec.username.prefix", "reserved, in upper and lower case"),
        ({"username": {"claim": "sub", "prefix": "serviceaccount:"}}, "spec.username.prefix", "are reserved"),
        ({"username": {"claim": "sub", "prefix": " x"}}, "spec.username.prefix", "not a blank first"),
        ({"username": {"claim": "sub", "prefix": "x\n"}}, "spec.username.prefix", "printable characters"),
        ({"groups": {"claim": "groups", "prefix": "p" * 127}}, "spec.groups.prefix", "at most 126 printable"),
        ({"groups": {"claim": " groups"}}, "spec.groups.claim", TEXT),
        ({"requiredClaims": {"": "x"}}, "spec.requiredClaims", TEXT),
        ({"requiredClaims": {"hd": ""}}, "spec.requiredClaims[hd]", TEXT),
        ({"requiredClaims": {str(n): "x" for n in range(17)}}, "spec.requiredClaims", "at most 16 items"),
        ({"algorithms": ["HS256"]}, "spec.algorithms[0]", 'supported values: "RS256"'),
        ({"algorithms": ["RS256", "none"]}, "spec.algorithms[1]", 'supported values: "RS256"'),
        ({"login": {"clientID": ""}}, "spec.login.clientID", TEXT),
        ({"login": {"clientID": "x", "scopes": ["openid email"]}}, "spec.login.scopes[0]", "one scope each, without blanks"),
        ({"login": {"clientID": "x", "scopes": [str(n) for n in range(33)]}}, "spec.login.scopes", "at most 32 items"),
        ({"console": {"clientID": "\t"}}, "spec.console.clientID", TEXT),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_field_and_what_may_be(spec: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        admit(provider(**spec))
    assert caught.value.details.causes[0].field == field
    assert said in caught.value.message
    assert len(caught.value.message) < 2000


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"issuer": "https://idp.example.com", "username": {"prefix": "b:"}}, "spec.issuer"),
        ({"issuer": "https://two.example.com"}, "spec.username.prefix"),
        ({"issuer": "https://two.example.com", "username": {"claim": "email", "prefix": "a:"}}, "spec.username.prefix"),
        (
            {
                "issuer": "https://two.example.com",
                "username": {"prefix": "b:"},
                "groups": {"claim": "g", "prefix": "a:"},
            },
            "spec.groups.prefix",
        ),
    ],
)
def test_two_providers_do_not_name_the_same_people(spec: dict[str, Any], field: str) -> None:
    plain = field == "spec.username.prefix" and "username" not in spec
    username: dict[str, Any] = {} if plain else {"username": {"prefix": "a:"}}
    first = provider("one", **username, groups={"claim": "groups", "prefix": "a:"})
    with pytest.raises(Invalid, match="is that of provider one already") as caught:
        admit(provider("two", **spec), [first])
    assert [cause.field for cause in caught.value.details.causes] == [field]


def test_providers_with_other_prefixes_are_beside_each_other() -> None:
    other = provider("two", issuer="https://two.example.com", username={"prefix": "two:"})
    admit(provider("one", groups={"claim": "groups"}), [other])


def test_of_two_that_were_admitted_at_once_the_older_counts() -> None:
    older = provider("one", created="2030-01-01T00:00:00Z")
    younger = provider("two", created="2030-01-01T00:00:01Z")
    assert taken(older, [younger]) == ""
    assert "spec.issuer" in taken(younger, [older])
    twin = provider("three", created="2030-01-01T00:00:00Z", uid="u0")
    assert taken(older, [twin])
    assert not taken(twin, [older])
    assert taken(provider("four", issuer="https://x.example", username={"prefix": "x"}, uid="u9"), [older]) == ""


def test_where_no_algorithm_is_named_the_usual_ones_are_meant() -> None:
    assert algorithms_of(provider_of(provider()).spec) == ("RS256", "ES256", "EdDSA")
    assert algorithms_of(provider_of(provider(algorithms=["PS512"])).spec) == ("PS512",)
