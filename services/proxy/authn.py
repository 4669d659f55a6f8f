"""Who is calling: bearer tokens of the host, client certificates, tokens of identity providers. Exactly one of them.

A token of the host is `skerry_` and 43 base64url characters. The name of its Credential is the first 32 hexadecimal digits of
its SHA-256: looking that name up in the cache *is* the check, no secret is stored anywhere, and 128 bits of a random
token's digest cannot be guessed. Any other token is asked of tenancy once, and known by its digest from then on (`tokens`);
a client certificate was verified in the handshake, and its names are read here. An ordinary request asks nobody. Client
credentials are for the host alone: nothing of the Authorization header travels further. Browsers, which cannot set that
header on a WebSocket, offer the token as a sub-protocol instead; it is read only where there is no Authorization header, and
travels no further either.
"""

from __future__ import annotations

import hashlib
import math
import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from skerry.access import held
from skerry.api.identities import OLDEST_S
from skerry.api.messages import Caller
from skerry.api.names import TOKEN_PREFIX, is_group, is_user
from skerry.errors import Unauthorized
from skerry.httpwire.head import RequestHead
from skerry.httpwire.headers import bearer_from_protocols

_PREFIX = TOKEN_PREFIX.encode()
_LENGTH = len(_PREFIX) + 43
MAX_TOKEN = 16 * 1024
MAX_GROUPS = 500
_OTHERS = re.compile(rb"[A-Za-z0-9._~+/-]+=*")
"""A bearer token of whatever kind (RFC 6750, 2.1)."""
CERTIFICATE, REVIEWED = "certificate:", "token:"
"""Beginnings of the names of credentials that are not Credentials."""
UNKNOWN = (
    "the bearer token is unknown or was revoked; ask for a new one (skerry credential create) "
    "or write the kubeconfig anew (skerry kubeconfig)"
)
REFUSED = "the credential is not accepted: it may have ended or been taken back; get a new one where it came from (the log of the host says why)"
"""Of a token or certificate that is not the host's own: who sent it learns no more."""


class ProviderVersion(NamedTuple):
    """An IdentityProvider as it was when something was believed of it."""

    name: str
    uid: str
    generation: int


class DelegationScope(NamedTuple):
    """What the token of a service is good for: nothing but these members."""

    of: str
    """What is carried on with it, for people: `AppRelease/shop/web`."""
    clusters: frozenset[str]


class CachedCredential(NamedTuple):
    """A credential as this process knows it, and whom it names. Times are Unix seconds."""

    name: str
    """Of a token of the host the first 32 hexadecimal digits of its SHA-256; of others their kind, and the whole digest."""
    caller: Caller
    expires: float
    issued: float = 0.0
    provider: ProviderVersion | None = None
    """Of a token of an identity provider: while this is what is stored of it, the token holds."""
    authority: int = 0
    """Of a client certificate: which one in a row of authorities it was verified by."""
    fresh_until: float = math.inf
    """Of a token: when it is to be asked for again."""
    delegation: DelegationScope | None = None
    """Of a token that a service has: `issued` is when its user changed what is carried on."""


class RevokedUser(NamedTuple):
    """A user whose credentials hold no more."""

    user: str
    before: float
    """What was issued up to then, in Unix seconds, is refused: everything, if the user is disabled."""


CredentialLookup = Callable[[str], CachedCredential | None]
"""From a Credential's name to it; None if there is none (any more)."""


class Presented(NamedTuple):
    """What a request shows: the name of its credential, known or not."""

    name: str
    certificate: CachedCredential | None = None


def name_of(token: bytes) -> str:
    """The Credential's name that belongs to a token's text."""
    return hashlib.sha256(token).hexdigest()[:32]


class Unknown(Unauthorized):
    """The token is well formed, but this process knows no Credential of it: it may have been made a moment ago."""


class Authenticator:
    """Says whether credentials hold. `lookup` and `provider` answer from memory; `now` is Unix time in seconds."""

    def __init__(
        self,
        lookup: CredentialLookup,
        now: Callable[[], float],
        *,
        provider: Callable[[str], ProviderVersion | None] = lambda name: None,
        authority: Callable[[], int] = lambda: 0,
        revoked: Callable[[str], RevokedUser | None] = lambda user: None,
        refused: Callable[[str], bool] = lambda name: False,
        own: Callable[[str], Iterable[CachedCredential]] = lambda user: (),
    ) -> None:
        """`provider` is an IdentityProvider as it is stored now, `authority` that of client certificates; `revoked` is by user,
        `refused` says whether a token was refused a moment ago; `own` are the Credentials that give a user built-in groups, but
        for delegations.
        """
        self._own = own
        self._lookup = lookup
        self._now = now
        self._provider = provider
        self._authority = authority
        self._revoked = revoked
        self._refused = refused

    def known(self, name: str) -> CachedCredential:
        """The Credential of this name, if it is there and holds; Unauthorized with the reason and the next step otherwise."""
        credential = self._lookup(name)
        if credential is None:
            raise Unknown(UNKNOWN)
        if self._taken_back(credential):
            raise Unauthorized(UNKNOWN)
        if credential.expires <= self._now():
            raise Unauthorized("the bearer token has expired; ask for a new one (skerry credential create)")
        return credential

    def checked(self, credential: CachedCredential) -> CachedCredential:
        """A credential of another kind, if it holds; Unauthorized otherwise."""
        if credential.expires <= self._now() or not self.holds(credential):
            raise Unauthorized(REFUSED)
        return credential

    def holds(self, credential: CachedCredential) -> bool:
        """True if nothing took a credential back; that time ends it is another question."""
        if self._taken_back(credential):
            return False
        if credential.name.startswith(CERTIFICATE):
            return credential.authority == self._authority()
        if credential.provider is not None:
            return self._provider(credential.provider.name) == credential.provider
        if credential.name.startswith(REVIEWED):
            return not self._refused(credential.name)
        return self._lookup(credential.name) is not None

    def _taken_back(self, credential: CachedCredential) -> bool:
        """True if it was issued before all of its user's were revoked, or is a delegation of more than its user has. Most credentials
        say whole seconds.
        """
        revoked = self._revoked(credential.caller.user)
        if revoked is not None and math.floor(credential.issued) <= revoked.before:
            return True
        return credential.delegation is not None and not self._has_now(credential)

    def _has_now(self, delegation: CachedCredential) -> bool:
        """True if its user has the built-in groups of a delegation by credentials that hold now."""
        groups = held(delegation.caller)
        if not groups:
            return True
        now = self._now()
        own = [each for each in self._own(delegation.caller.user) if each.expires > now and not self._taken_back(each)]
        return all(any(group in each.caller.groups for each in own) for group in groups)


def named(head: RequestHead) -> str:
    """The name of the credential whose token the head carries, known or not; Unauthorized if it carries none."""
    token = _bearer(head)
    if token is None:
        raise Unauthorized(
            "no credential: this host needs a bearer token (skerry credential create, skerry kubeconfig)"
        )
    return _name(token)


def presented(head: RequestHead, certificate: CachedCredential | None) -> Presented:
    """What a request shows, given the client certificate of its connection. Unauthorized for nothing, and for more than one."""
    if certificate is None:
        return Presented(named(head))
    if _bearer(head) is not None:
        raise Unauthorized("more than one credential: send a bearer token or show a client certificate, not both")
    return Presented(certificate.name, certificate)


def token_of(head: RequestHead) -> str:
    """The bearer token of a head that `named` took, as text."""
    return (_bearer(head) or b"").decode("ascii", "replace")


def certified(fields: Mapping[str, Any], der: bytes, authority: int, now: float) -> CachedCredential:
    """Whom a verified client certificate names, as `ssl` reads it: CN is the user, each O a group. Unauthorized."""
    names = [pair for relative in fields.get("subject", ()) for pair in relative]
    users = [value for key, value in names if key == "commonName"]
    groups = tuple(dict.fromkeys(value for key, value in names if key == "organizationName" and is_group(value)))
    if len(users) != 1 or not is_user(users[0]) or len(groups) > MAX_GROUPS:
        raise Unauthorized(REFUSED)
    issued = float(ssl.cert_time_to_seconds(fields["notBefore"]))
    if now - issued > OLDEST_S:
        raise Unauthorized(REFUSED)
    return CachedCredential(
        CERTIFICATE + hashlib.sha256(der).hexdigest(),
        Caller(user=users[0], groups=groups),
        float(ssl.cert_time_to_seconds(fields["notAfter"])),
        issued,
        authority=authority,
    )


def _bearer(head: RequestHead) -> bytes | None:
    values = [value for name, value in head.headers if name == b"authorization"]
    if not values:
        return bearer_from_protocols(head.headers) if head.websocket else None
    if len(values) > 1:
        raise Unauthorized("more than one Authorization header: send exactly one bearer token")
    scheme, _, token = values[0].strip().partition(b" ")
    if scheme.lower() != b"bearer":
        raise Unauthorized("only bearer tokens are accepted here (Authorization: Bearer skerry_…)")
    return token.strip()


def _name(token: bytes) -> str:
    """The name of the credential that a token stands for."""
    if token.startswith(_PREFIX):
        if len(token) != _LENGTH:
            raise Unauthorized("this is not a bearer token of a Skerry host: they are skerry_ and 43 characters")
        return name_of(token)
    if len(token) > MAX_TOKEN:
        raise Unauthorized(f"the bearer token is longer than {MAX_TOKEN} bytes")
    if _OTHERS.fullmatch(token) is None:
        raise Unauthorized("this is not a bearer token: those of a Skerry host start with skerry_")
    return REVIEWED + hashlib.sha256(token).hexdigest()
