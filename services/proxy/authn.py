"""Who is calling: bearer tokens of the host.

A token is `skerry_` and 43 base64url characters. The name of its Credential is the first 32 hexadecimal digits of its
SHA-256: looking that name up in the cache *is* the check, no secret is stored anywhere, and 128 bits of a random
token's digest cannot be guessed. An ordinary request asks nobody. Client credentials are for the host alone: nothing
of the Authorization header travels further. Browsers, which cannot set that header on a WebSocket, offer the token as a
sub-protocol instead; it is read only where there is no Authorization header, and travels no further either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from skerry.api.messages import Caller
from skerry.api.names import TOKEN_PREFIX
from skerry.errors import Unauthorized
from skerry.httpwire.head import RequestHead
from skerry.httpwire.headers import bearer_from_protocols

_PREFIX = TOKEN_PREFIX.encode()
_LENGTH = len(_PREFIX) + 43


class CachedCredential(NamedTuple):
    """A bearer token as the cache knows it."""

    name: str
    """First 32 hexadecimal digits of the token's SHA-256."""
    caller: Caller
    expires: float
    """Unix seconds."""


Lookup = Callable[[str], CachedCredential | None]
"""From a Credential's name to it; None if there is none (any more)."""


def name_of(token: bytes) -> str:
    """The Credential's name that belongs to a token's text."""
    return hashlib.sha256(token).hexdigest()[:32]


class Unknown(Unauthorized):
    """The token is well formed, but this process knows no Credential of it: it may have been made a moment ago."""


class Authenticator:
    """Authenticates heads. `lookup` answers from memory; `now` is Unix time in seconds."""

    def __init__(self, lookup: Lookup, now: Callable[[], float]) -> None:
        self._lookup = lookup
        self._now = now

    def known(self, name: str) -> CachedCredential:
        """The Credential of this name, if it is there and has not expired; Unauthorized with the reason and the
        next step otherwise."""
        credential = self._lookup(name)
        if credential is None:
            raise Unknown(
                "the bearer token is unknown or was revoked; ask for a new one (skerry credential create) "
                "or write the kubeconfig anew (skerry kubeconfig)"
            )
        if credential.expires <= self._now():
            raise Unauthorized("the bearer token has expired; ask for a new one (skerry credential create)")
        return credential


def named(head: RequestHead) -> str:
    """The name of the Credential whose token the head carries, known or not; Unauthorized if it carries none."""
    return name_of(_bearer(head))


def _bearer(head: RequestHead) -> bytes:
    values = [value for name, value in head.headers if name == b"authorization"]
    if not values:
        if head.websocket and (offered := bearer_from_protocols(head.headers)) is not None:
            return _checked(offered)
        raise Unauthorized(
            "no credential: this host needs a bearer token (skerry credential create, skerry kubeconfig)"
        )
    if len(values) > 1:
        raise Unauthorized("more than one Authorization header: send exactly one bearer token")
    scheme, _, token = values[0].strip().partition(b" ")
    if scheme.lower() != b"bearer":
        raise Unauthorized("only bearer tokens are accepted here (Authorization: Bearer skerry_…)")
    return _checked(token.strip())


def _checked(token: bytes) -> bytes:
    if len(token) != _LENGTH or not token.startswith(_PREFIX):
        raise Unauthorized("this is not a bearer token of a Skerry host: they start with skerry_")
    return token
