"""What people and groups may be called."""

from __future__ import annotations

import pytest

from skerry.api.names import is_audit_id, is_group, is_user, namespaced_group


@pytest.mark.parametrize("name", ["org:team", "Domain Admins", "auth0|x", "a@b.example", "jörg", "x" * 253])
def test_names_as_providers_have_them(name: str) -> None:
    assert is_group(name)
    assert is_user(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " a",
        "a ",
        "a\nb",
        "a\x00",
        "\u2028",
        "\ud800",
        "x" * 254,
        "ö" * 127,
        "skerry:a",
        "SKERRY:a",
        "System:masters",
        "ſystem:a",
    ],
)
def test_names_that_are_nobodys(name: str) -> None:
    assert not is_group(name)
    assert not is_user(name)


def test_users_that_are_service_accounts_are_no_persons() -> None:
    assert not is_user("ServiceAccount:a:b")
    assert is_group("serviceaccount:a:b")


def test_the_group_of_a_role_in_a_namespace() -> None:
    assert namespaced_group("shop", "edit") == "skerry:ns:shop:edit"


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("6f0c1d52-8a3b-4e57-9d1c-0a7b5c3e2f10", True),
        ("6F0C1D52-8A3B-4E57-9D1C-0A7B5C3E2F10", True),
        ("6f0c1d528a3b4e579d1c0a7b5c3e2f10", False),
        ("6f0c1d52-8a3b-4e57-9d1c-0a7b5c3e2f10\n", False),
        ("", False),
    ],
)
def test_an_audit_id_is_a_uuid(text: str, good: bool) -> None:
    assert is_audit_id(text) is good
