"""Bearer tokens: what is accepted, and what each refusal says."""

from __future__ import annotations

import hashlib

import pytest

from services.proxy.authn import Authenticator, Credential, name_of, named
from skerry.api.messages import Caller
from skerry.errors import Unauthorized

TOKEN = b"skerry_" + b"a" * 43
ALICE = Credential(name_of(TOKEN), Caller(user="alice"), expires=1000.0)


def authenticate(*values: bytes, now: float = 0.0) -> Credential:
    known = {ALICE.name: ALICE}
    return Authenticator(known.get, lambda: now).known(named([(b"authorization", value) for value in values]))


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
