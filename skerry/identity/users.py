"""User JWTs: one user of one account, with what it may publish and hear."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from skerry.errors import BadRequest
from skerry.identity import jwt, nkey
from skerry.identity.jwt import Permissions
from skerry.identity.nkey import KeyPair, KeyType


def user(
    signer: KeyPair, account: str, public: str, name: str, allowed: Permissions, ttl_s: int, *, bearer: bool = False
) -> str:
    """The JWT of the user `public` in `account`, signed by a key of that; `ttl_s` 0: it does not end by itself."""
    nats = {**fields(allowed), "subs": -1, "data": -1, "payload": -1, "type": "user", "version": jwt.VERSION}
    if signer.public != account:
        nats["issuer_account"] = account
    if bearer:
        nats["bearer_token"] = True
    return jwt.encode(signer, public, name, nats, expires=expiry(ttl_s))


def fields(allowed: Permissions) -> dict[str, Any]:
    """Permissions as a JWT or a scope has them."""
    claims: dict[str, Any] = msgspec.to_builtins(allowed)
    return {"pub": {}, "sub": {}, **claims}


def expiry(ttl_s: int) -> int:
    """Unix seconds at which what is made now ends; 0 for never."""
    return int(time.time()) + ttl_s if ttl_s else 0


def user_key(public: str) -> str:
    """`public`, if it is the key of a user. BadRequest."""
    if nkey.kind_of(public) is not KeyType.USER:
        raise BadRequest(f"{public[:60]!r} is not the public key of a user: it must be an nkey that starts with U")
    return public
