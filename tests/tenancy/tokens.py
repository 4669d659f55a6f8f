"""Tokens as a provider would sign them, and as nobody should: for tests."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from services.tenancy.verify import KeysById, keys_of
from skerry.api.identities import IdentityProviderSpec, NameClaim

ISSUER = "https://idp.example.com"
NOW = 1_900_000_000.0
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
EC384 = ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()
SPEC = IdentityProviderSpec(
    issuer=ISSUER,
    audiences=["skerry"],
    groups=NameClaim(claim="groups"),
    algorithms=["RS256", "PS256", "ES256", "ES384", "EdDSA"],
)


def jwk(key: Any, kid: str, **more: Any) -> dict[str, Any]:
    """A key's public half as the provider publishes it."""
    of = {
        rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm,
        ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm,
        ed25519.Ed25519PrivateKey: jwt.algorithms.OKPAlgorithm,
    }
    algorithm: Any = next(loader for kind, loader in of.items() if isinstance(key, kind))
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig", **more}


JWKS = {"keys": [jwk(RSA, "r"), jwk(EC, "e"), jwk(EC384, "e384"), jwk(ED, "d"), jwk(OTHER_RSA, "pinned", alg="RS512")]}
KEYS: KeysById = keys_of(JWKS)[0]


def claims(**changes: Any) -> dict[str, Any]:
    """Claims that hold, with changes; None takes a claim away."""
    usual = {
        "iss": ISSUER, "aud": "skerry", "sub": "alice", "iat": NOW - 10, "exp": NOW + 300, "groups": ["org:shop", "ops"],
    }  # fmt: skip
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


def part(value: object) -> str:
    """One part of a token."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(payload: object, *, key: Any = RSA, header: dict[str, Any] | None = None) -> str:
    """A token with this header and payload, signed as the header says, whatever it says."""
    head = {"alg": "RS256", "kid": "r", "typ": "JWT"} if header is None else header
    text = f"{part(head)}.{part(payload)}"
    signature = jwt.PyJWS().get_algorithm_by_name(str(head["alg"])).sign(text.encode(), key)
    return f"{text}.{part(signature)}"


def token(**changes: Any) -> str:
    """A token that holds but for these changes of its claims."""
    return signed(claims(**changes))
