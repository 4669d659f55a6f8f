"""NATS JWTs."""

from __future__ import annotations

import time

import pytest

from skerry.errors import BadRequest, Unauthorized
from skerry.identity import jwt, nkey
from skerry.identity.nkey import KeyType

SIGNER = nkey.create(KeyType.ACCOUNT)
TRUSTED = frozenset({SIGNER.public})


def minted(expires: int = 0) -> str:
    return jwt.encode(SIGNER, "UABC", "someone", {"type": "user", "version": 2}, expires=expires)


def test_claims_come_back_as_they_were_signed() -> None:
    claims = jwt.verify(minted(), TRUSTED)
    assert (claims.sub, claims.name, claims.iss, claims.exp) == ("UABC", "someone", SIGNER.public, 0)
    assert claims.nats["type"] == "user"
    assert claims.jti


def test_another_issuer_is_refused() -> None:
    with pytest.raises(Unauthorized, match="not signed by a key that is trusted"):
        jwt.verify(minted(), frozenset({nkey.create(KeyType.ACCOUNT).public}))


def test_a_changed_body_is_refused() -> None:
    header, _, signature = minted().split(".")
    other = minted(expires=2**31).split(".")[1]
    with pytest.raises(Unauthorized):
        jwt.verify(f"{header}.{other}.{signature}", TRUSTED)


@pytest.mark.parametrize("signature", ["", "*", "AAAA"])
def test_a_garbled_signature_is_refused(signature: str) -> None:
    with pytest.raises(Unauthorized):
        jwt.verify(minted().rpartition(".")[0] + "." + signature, TRUSTED)


def test_an_expired_jwt_is_refused() -> None:
    text = minted(expires=int(time.time()) + 60)
    assert jwt.verify(text, TRUSTED)
    with pytest.raises(Unauthorized, match="expired"):
        jwt.verify(text, TRUSTED, now=time.time() + 61)


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c", "a.*.c", "ä.ö.ü", "e30.bnVsbA.c"])
def test_what_is_not_a_jwt_is_a_bad_request(text: str) -> None:
    with pytest.raises(BadRequest, match="not a NATS JWT"):
        jwt.decode(text)
