"""What is read from an account as a server holds it, whatever it answers."""

from __future__ import annotations

import time

import pytest

from skerry.cli.keys.held import held, signers
from skerry.identity import jwt, nkey
from skerry.identity.federation import Authority
from skerry.identity.nkey import KeyType

AUTHORITY = Authority.create("isle")
NOW = time.time()


def test_a_member_is_signed_by_two_keys() -> None:
    member = AUTHORITY.member_account("m1")
    found = held(member.public, member.jwt, NOW)
    assert found is not None
    assert (found.name, found.tombstone) == ("m1", False)
    assert signers(found, "") == {AUTHORITY.active("signing")}
    assert signers(found, AUTHORITY.public.host) == {AUTHORITY.active("host")}
    assert signers(found, AUTHORITY.public.sys) == frozenset()


def test_the_host_imports_of_the_system_account() -> None:
    found = held(AUTHORITY.public.host, AUTHORITY.host_jwt, NOW)
    assert found is not None
    assert signers(found, AUTHORITY.public.sys) == {AUTHORITY.active("sys")}


def test_a_tombstone_is_one() -> None:
    public = nkey.create(KeyType.ACCOUNT).public
    found = held(public, AUTHORITY.tombstone("gone", public), NOW)
    assert found is not None
    assert found.tombstone


def test_a_token_that_is_over_counts_no_more() -> None:
    public, text = AUTHORITY.token_account("j"), AUTHORITY.join_account("j", int(NOW) + 10)
    assert held(public, text, NOW) is not None
    assert held(public, text, NOW + 10) is None


KEY = nkey.create(KeyType.OPERATOR)


def signed(nats: object, name: str = "x") -> str:
    return jwt.encode(KEY, KEY.public, name, nats)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    ["", "x", "a.b.c", signed({"imports": [{}]}), signed({"imports": ["x"]}), signed({"imports": [{"account": "A", "token": "x"}]})],
)  # fmt: skip
def test_what_cannot_be_read_is_none(text: str) -> None:
    assert held(KEY.public, text, NOW) is None


def test_another_account_than_was_asked_for_is_none() -> None:
    member = AUTHORITY.member_account("m1")
    assert held(AUTHORITY.public.host, member.jwt, NOW) is None


def test_an_account_without_a_name_is_called_by_its_key_and_an_import_without_a_token_is_nobodys() -> None:
    found = held(KEY.public, signed({"imports": [{"account": "A"}]}, name=""), NOW)
    assert found is not None
    assert (found.name, found.activations, found.tombstone) == (KEY.public, (("A", ""),), False)
