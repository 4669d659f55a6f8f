"""Bearer tokens of the host's own cluster: its API server is asked whom they name (authentication.k8s.io/v1 TokenReview).

For all tokens that no identity provider is for, where a setting says so. A token is good for the audience
`skerry`, or for the API server's own. Service accounts are `serviceaccount:<namespace>:<name>` here; what else is Kubernetes'
own (`system:…`) is nobody. When a token was issued and when it ends is in its claims, which the API server verified.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from services.tenancy.verify import MAX_GROUPS, TokenIdentity, TokenRefused, read
from skerry.api.identities import OLDEST_S
from skerry.api.meta import Document
from skerry.api.names import SERVICE_ACCOUNT, is_group, is_user
from skerry.api.validation import is_label, is_subdomain
from skerry.errors import ServiceUnavailable, StatusError
from skerry.member.upstream import WholeAnswer

AUDIENCE = "skerry"
PATH = "/apis/authentication.k8s.io/v1/tokenreviews"
AGAIN_S = 60.0
"""An answer is believed for so long: a pod or its service account may be deleted before their token ends."""
KUBERNETES_ACCOUNT = "system:serviceaccount:"
CONNECTIONS = 16
"""To the host's cluster, at once."""

TokenReviewer = Callable[[str], Awaitable[TokenIdentity]]


class ApiServer(Protocol):
    """The part of an Upstream that is needed here."""

    async def call(self, method: str, path: str, *, body: bytes = b"") -> WholeAnswer: ...


class HostTokens:
    """Asks one API server about tokens. `now` is Unix time in seconds."""

    def __init__(self, server: ApiServer, now: Callable[[], float]) -> None:
        self._server, self._now = server, now

    async def identity(self, token: str) -> TokenIdentity:
        """Whom a token names. TokenRefused, ServiceUnavailable."""
        if not token.isascii() or not token.isprintable():
            raise TokenRefused("it is no bearer token")
        status = await self._asked(token, [AUDIENCE])
        if AUDIENCE not in (status.get("audiences") or ()):
            status = await self._asked(token, [])
        if status.get("authenticated") is not True:
            raise TokenRefused(
                f"the host's cluster does not know it: {status.get('error') or 'not authenticated'!s:.200}"
            )
        return named(status.get("user") or {}, token, self._now())

    async def _asked(self, token: str, audiences: list[str]) -> Document:
        """The status of one TokenReview."""
        spec = {"token": token, **({"audiences": audiences} if audiences else {})}
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        try:
            answer = await self._server.call("POST", PATH, body=json.dumps(review).encode())
        except StatusError as error:
            raise ServiceUnavailable(f"the host's cluster cannot be asked about a token: {error.message}") from error
        if answer.status not in (200, 201):
            raise ServiceUnavailable(f"the host's cluster reviews no tokens: {answer.message()}")
        status = answer.document().get("status")
        return status if isinstance(status, dict) else {}


def named(user: Document, token: str, now: float) -> TokenIdentity:
    """Whom a UserInfo of Kubernetes is here. TokenRefused."""
    name, groups = str(user.get("username") or ""), user.get("groups") or []
    if name.startswith(KUBERNETES_ACCOUNT):
        namespace, _, account = name.removeprefix(KUBERNETES_ACCOUNT).partition(":")
        if not is_label(namespace) or not is_subdomain(account):
            raise TokenRefused(f"{name!r:.200} is no service account")
        name = f"{SERVICE_ACCOUNT}{namespace}:{account}"
    elif not is_user(name):
        raise TokenRefused(f"nobody can be called {name!r:.200}")
    possible = [group for group in groups if isinstance(group, str) and is_group(group)]
    if len(possible) > MAX_GROUPS:
        raise TokenRefused(f"it names {len(possible)} groups; at most {MAX_GROUPS} are taken")
    issued, expires = _times(token, now)
    return TokenIdentity(name, tuple(dict.fromkeys(possible)), issued, expires, fresh_until=now + AGAIN_S)


def _times(token: str, now: float) -> tuple[float, float]:
    """When a verified token was issued, long ago if it does not say, and when it ends, in a minute if it does not."""
    try:
        claims: dict[str, Any] = read(token).claims
    except TokenRefused:
        claims = {}
    issued, expires = (_seconds(claims.get(name)) for name in ("iat", "exp"))
    if issued is not None and now - issued > OLDEST_S:
        raise TokenRefused(f"it was issued {(now - issued) / 86400:.0f} days ago")
    return issued or 0.0, now + AGAIN_S if expires is None else expires


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e11:
        return None
    return float(value)
