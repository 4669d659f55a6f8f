"""Whether a token of an identity provider holds, and whom it names. Pure: keys and the time are arguments.

Signatures are PyJWT's, on keys of `cryptography`; what a token *means* is decided here, claim by claim, because that is where
verifiers have been fooled: which key and algorithm may count is the provider's word and never the token's (RFC 8725), and a
token that says something twice, or tells us where to look for a key, is refused as a whole. Refusals say why, for the log:
who sent the token learns nothing of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from services.tenancy.providers import algorithms_of, groups_claim, user_claim
from skerry.api.identities import ALGORITHMS, LEEWAY_S, OLDEST_S, IdentityProviderSpec
from skerry.api.names import is_group, is_user
from skerry.errors import SkerryError

MAX_TOKEN = 16 * 1024
MAX_GROUPS = 500
MAX_KEYS = 64
RSA_BITS = (2048, 8192)
_TYPES = frozenset(("jwt", "at+jwt", "application/jwt", "application/at+jwt"))
_LED_ASTRAY = ("jku", "x5u", "jwk", "crit", "b64", "zip", "enc")
"""Headers that say where a key is, or that something else holds than is checked here."""
_CURVES = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}

Key = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
Claims = dict[str, Any]


class TokenRefused(SkerryError):
    """A token that does not hold. The message is for the log alone."""


class UnknownKey(TokenRefused):
    """Signed with a key that the provider did not have when it was asked last."""


class FromTheFuture(TokenRefused):
    """Issued later than now: its provider's clock, or ours, is wrong."""


class UnreadToken(NamedTuple):
    """A token in three parts, of which nothing is proved."""

    header: Claims
    claims: Claims

    @property
    def issuer(self) -> str:
        """Who it says that it is from; empty if that is no text."""
        issuer = self.claims.get("iss")
        return issuer if isinstance(issuer, str) else ""


class SigningKey(NamedTuple):
    """A public key of a provider. `algorithm`: the only one that it is for; empty: all of its type."""

    key: Key
    algorithm: str = ""


KeysById = Mapping[str, Sequence[SigningKey]]
"""By key id."""


class TokenIdentity(NamedTuple):
    """Whom a token names. Times are Unix seconds."""

    user: str
    groups: tuple[str, ...]
    issued: float
    expires: float
    """When it is refused."""
    dropped: int = 0
    """Groups that nobody can be in."""
    left_out: bool = False
    """The provider left groups out of the token, because there are too many."""
    fresh_until: float = math.inf
    """When it is to be asked for again."""


# Reading


def read(token: str) -> UnreadToken:
    """The parts of a token. TokenRefused if it is none."""
    if len(token) > MAX_TOKEN:
        raise TokenRefused(f"it is longer than {MAX_TOKEN} bytes")
    parts = token.split(".")
    if len(parts) != 3 or not token.isascii():
        raise TokenRefused("it is no JWT: three parts of base64url")
    return UnreadToken(_object(parts[0], "header"), _object(parts[1], "payload"))


def _object(part: str, what: str) -> Claims:
    try:
        raw = jwt.utils.base64url_decode(part.encode())
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise TokenRefused(f"its {what} cannot be read: {str(error)[:100]}") from error
    if not isinstance(value, dict):
        raise TokenRefused(f"its {what} is no object")
    return value


def _once(pairs: list[tuple[str, Any]]) -> Claims:
    named = dict(pairs)
    if len(named) != len(pairs):
        raise ValueError("a name is there twice")
    return named


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


# Keys


def keys_of(document: object) -> tuple[KeysById, int]:
    """The keys in a JWK set (RFC 7517) that can be used, and how many others there are. ValueError if it is none."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("there is no list of keys in it")  # noqa: TRY004 - what is read, not how it is called
    keys: dict[str, list[SigningKey]] = {}
    for each in listed[:MAX_KEYS]:
        key = _signing_key(each) if isinstance(each, dict) else None
        if key is not None:
            keys.setdefault(each["kid"], []).append(key)
    return keys, len(listed) - sum(map(len, keys.values()))


def _signing_key(fields: Claims) -> SigningKey | None:
    """None for one that is not for signatures, or too weak, or secret: that key is everybody's by now."""
    kid, algorithm = fields.get("kid"), fields.get("alg", "")
    if not isinstance(kid, str) or not kid or len(kid) > 256 or fields.get("use", "sig") != "sig" or "d" in fields:
        return None
    if algorithm and algorithm not in ALGORITHMS:
        return None
    loaders: dict[Any, Any] = {
        "RSA": jwt.algorithms.RSAAlgorithm,
        "EC": jwt.algorithms.ECAlgorithm,
        "OKP": jwt.algorithms.OKPAlgorithm,
    }
    loader = loaders.get(fields.get("kty")) if isinstance(fields.get("kty"), str) else None
    if loader is None:
        return None
    try:
        key = loader.from_jwk(fields)
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, KeyError, UnsupportedAlgorithm, OverflowError):
        return None
    return SigningKey(key, algorithm) if _strong(key) else None


def _strong(key: object) -> bool:
    if isinstance(key, rsa.RSAPublicKey):
        return RSA_BITS[0] <= key.key_size <= RSA_BITS[1] and key.public_numbers().e < 1 << 32
    return isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey)


def _fits(algorithm: str, signing: SigningKey) -> bool:
    """True if signatures by `algorithm` are made with such a key."""
    key = signing.key
    if signing.algorithm and signing.algorithm != algorithm:
        return False
    if algorithm in _CURVES:
        return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == _CURVES[algorithm]
    return isinstance(key, ed25519.Ed25519PublicKey if algorithm == "EdDSA" else rsa.RSAPublicKey)


# Verifying


def verify(token: str, unread: UnreadToken, spec: IdentityProviderSpec, keys: KeysById, now: float) -> TokenIdentity:
    """Whom a token of this provider names. TokenRefused; UnknownKey if another look at its keys may help."""
    _signed(token, unread.header, spec, keys)
    claims = unread.claims
    if claims.get("iss") != spec.issuer:
        raise TokenRefused(f"it is from {_shown(claims.get('iss'))}")
    _for_us(claims, spec)
    issued, expires = _times(claims, now)
    for name, value in spec.required_claims.items():
        if claims.get(name) != value:
            raise TokenRefused(f"its claim {name} is {_shown(claims.get(name))}, not {value!r}")
    groups, dropped = _groups(claims, spec)
    return TokenIdentity(_user(claims, spec), groups, issued, expires, dropped, _left_out(claims, spec))


def _signed(token: str, header: Claims, spec: IdentityProviderSpec, keys: KeysById) -> None:
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS or algorithm not in algorithms_of(spec):
        raise TokenRefused(f"it is signed by {_shown(algorithm)}, which the provider does not use")
    _headed(header)
    if not isinstance(kid, str):
        raise TokenRefused("it does not say with which key it is signed")
    known = keys.get(kid)
    if known is None:
        raise UnknownKey(f"it is signed with a key {_shown(kid)}, which the provider does not have")
    if not any(_fits(algorithm, each) and _verifies(token, algorithm, each) for each in known):
        raise TokenRefused("its signature does not hold")


def _headed(header: Claims) -> None:
    """Refuse what is not the kind of token that is read here."""
    if misleading := [name for name in _LED_ASTRAY if name in header]:
        raise TokenRefused(f"its header has {', '.join(misleading)}")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES or "cty" in header:
        raise TokenRefused(f"it is a {_shown(kind)}, or one inside another")


_JWS = jwt.PyJWS(ALGORITHMS, {"verify_signature": True, "enforce_minimum_key_length": True})


def _verifies(token: str, algorithm: str, signing: SigningKey) -> bool:
    try:
        _JWS.decode_complete(token, signing.key, [algorithm])
    except (jwt.PyJWTError, ValueError, NotImplementedError, UnsupportedAlgorithm):
        return False
    return True


def _for_us(claims: Claims, spec: IdentityProviderSpec) -> None:
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or not all(isinstance(each, str) for each in audiences):
        raise TokenRefused("it does not say for whom it is")
    if not set(audiences) & set(spec.audiences):
        raise TokenRefused(f"it is for {_shown(audience)}")
    if len(audiences) > 1 and claims.get("azp") not in spec.audiences:
        raise TokenRefused(f"it is for several, and was given to {_shown(claims.get('azp'))}")


def _times(claims: Claims, now: float) -> tuple[float, float]:
    """When it was issued, and when it is refused."""
    expires, issued, begins = (_time(claims, name) for name in ("exp", "iat", "nbf"))
    if expires is None or issued is None:
        raise TokenRefused("it does not say when it was issued, and when it ends")
    if expires + LEEWAY_S <= now:
        raise TokenRefused(f"it ended {now - expires:.0f} s ago")
    if issued - LEEWAY_S > now or (begins is not None and begins - LEEWAY_S > now):
        raise FromTheFuture(f"it begins in {max(issued, begins or issued) - now:.0f} s")
    if now - issued > OLDEST_S:
        raise TokenRefused(f"it was issued {(now - issued) / 86400:.0f} days ago")
    return issued, expires + LEEWAY_S


def _time(claims: Claims, name: str) -> float | None:
    """A NumericDate (RFC 7519, 2); None if it is not there."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11 or math.isnan(value):
        raise TokenRefused(f"its claim {name} is no time")
    return float(value)


def _user(claims: Claims, spec: IdentityProviderSpec) -> str:
    claim = user_claim(spec)
    value = claims.get(claim.claim)
    if not isinstance(value, str) or not value:
        raise TokenRefused(f"its claim {claim.claim} names no user")
    if claim.claim == "email" and claims.get("email_verified") is not True:
        raise TokenRefused("its email is not verified")
    user = claim.prefix + value
    if not is_user(user):
        raise TokenRefused(f"nobody can be called {_shown(user)}")
    return user


def _groups(claims: Claims, spec: IdentityProviderSpec) -> tuple[tuple[str, ...], int]:
    """The groups that can be, each once, and how many cannot."""
    claim = groups_claim(spec)
    value = None if claim is None else claims.get(claim.claim)
    if claim is None or value is None:
        return (), 0
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise TokenRefused(f"its claim {claim.claim} is no list of groups")
    if len(listed) > MAX_GROUPS:
        raise TokenRefused(f"it names {len(listed)} groups; at most {MAX_GROUPS} are taken")
    groups = [claim.prefix + each for each in listed]
    possible = [group for group in groups if is_group(group)]
    return tuple(dict.fromkeys(possible)), len(groups) - len(possible)


def _left_out(claims: Claims, spec: IdentityProviderSpec) -> bool:
    """True if the token says that groups must be asked for elsewhere (Microsoft Entra ID, beyond 200)."""
    claim, elsewhere = groups_claim(spec), claims.get("_claim_names")
    if claim is None:
        return False
    return (isinstance(elsewhere, dict) and claim.claim in elsewhere) or claims.get("hasgroups") is True


def _shown(value: object) -> str:
    """What a token says, for a log: it may be anything."""
    return repr(value)[:100] if value is not None else "nothing"
