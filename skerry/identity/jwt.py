"""NATS JWTs, version 2: what github.com/nats-io/jwt writes, as far as Skerry uses it.

`typ` JWT, `alg` ed25519-nkey, signed by an nkey, base64url without padding. The server decides what a JWT is worth;
`decode` here is for reading our own (expiry, subject), `verify` for what others hand us.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import time
from typing import Any

import msgspec

from skerry.errors import BadRequest, Unauthorized
from skerry.identity import nkey
from skerry.identity.nkey import KeyPair

VERSION = 2


class _Struct(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Absent when default, as the reference encoder writes them."""


class Subjects(_Struct, frozen=True, kw_only=True):
    """Subjects that are allowed or denied; an empty `allow` allows all."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


class Replies(_Struct, frozen=True, kw_only=True, omit_defaults=False):
    """May answer a message on its reply subject: `max` times within `ttl` nanoseconds. Services that share a user answer one
    question of `nats micro` each."""

    max: int = 64
    ttl: int = 120_000_000_000


class Permissions(_Struct, frozen=True, kw_only=True):
    """The subjects that a user may publish and subscribe to, and whether it may answer."""

    pub: Subjects = Subjects()
    sub: Subjects = Subjects()
    resp: Replies | None = None


class Export(_Struct, frozen=True, kw_only=True):
    """A subject that an account offers to others. `response_threshold` in nanoseconds."""

    name: str
    subject: str
    type: str
    token_req: bool = False
    response_type: str = ""
    response_threshold: int = 0


class Import(_Struct, frozen=True, kw_only=True):
    """A subject that an account takes from `account`, with the activation `token` of that account."""

    name: str
    subject: str
    account: str
    token: str
    type: str


class AccountLimits(_Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Account limits; -1 = none. JetStream is off when both storages are 0."""

    subs: int = -1
    data: int = -1
    payload: int = -1
    imports: int = -1
    exports: int = -1
    wildcards: bool = True
    disallow_bearer: bool = True
    conn: int = -1
    leaf: int = 0
    mem_storage: int = 0
    disk_storage: int = 0
    streams: int = 0
    consumer: int = 0


class NatsClaims(_Struct, frozen=True, kw_only=True):
    """The envelope of any NATS JWT; `nats` holds the part that depends on the type. Times in seconds."""

    jti: str = ""
    iat: int = 0
    iss: str = ""
    name: str = ""
    sub: str = ""
    exp: int = 0
    nats: dict[str, Any] = {}


def encode(signer: KeyPair, subject: str, name: str, nats: dict[str, Any], *, expires: int = 0) -> str:
    """A JWT about `subject`, signed by `signer`, `expires` in seconds since the epoch (0 = never)."""
    claims = NatsClaims(iat=int(time.time()), iss=signer.public, name=name, sub=subject, exp=expires, nats=nats)
    claims = msgspec.structs.replace(claims, jti=_digest(msgspec.json.encode(claims)))
    signed = f"{_HEADER}.{_b64(msgspec.json.encode(claims))}"
    return f"{signed}.{_b64(signer.sign(signed.encode()))}"


def decode(text: str) -> NatsClaims:
    """The claims of a JWT, *not* verified. BadRequest if it is not one."""
    parts = text.strip().split(".")
    try:
        if len(parts) != 3:
            raise ValueError("a JWT has three parts")
        return msgspec.json.decode(_unb64(parts[1]), type=NatsClaims)
    except (ValueError, msgspec.DecodeError, binascii.Error) as e:
        raise BadRequest("not a NATS JWT: the credentials are damaged; get new ones") from e


def verify(text: str, issuers: frozenset[str], now: float | None = None) -> NatsClaims:
    """The claims of a JWT that one of `issuers` signed and that has not ended. Unauthorized otherwise."""
    claims = decode(text)
    signed, _, signature = text.strip().rpartition(".")
    if claims.iss not in issuers or not nkey.verify(claims.iss, signed.encode(), _signature(signature)):
        raise Unauthorized("the JWT was not signed by a key that is trusted here")
    if claims.exp and (time.time() if now is None else now) >= claims.exp:
        raise Unauthorized(f"the JWT of {claims.name or claims.sub} has expired")
    return claims


def same_account(one: str, other: str) -> bool:
    """Whether two account JWTs say the same, whenever they were made. False if one is none."""
    try:
        return _meaning(one) == _meaning(other)
    except BadRequest:
        return False


def _meaning(text: str) -> dict[str, Any]:
    nats = decode(text).nats
    imports = [{**each, "token": ""} for each in nats.get("imports") or ()]
    return {**nats, "imports": imports}


def _signature(text: str) -> bytes:
    try:
        return _unb64(text)
    except (ValueError, binascii.Error):
        return b""


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _digest(data: bytes) -> str:
    return base64.b32encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


_HEADER = _b64(b'{"typ":"JWT","alg":"ed25519-nkey"}')
