"""From a verified assertion to the head that the API server sees. Pure.

The credential used may impersonate anybody, and RBAC cannot narrow `impersonate` to a prefix: these checks are
the barrier. Every user and group must carry the prefix `skerry:`, so no assertion, however it came to be, can name
`system:masters`, a node, a service account, or somebody whom the member's own administrators know.
Strip first, set last: what the tunnel carried is cleaned again before anything of ours is added.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from skerry.api.messages import Claims
from skerry.api.names import PREFIX
from skerry.errors import Forbidden
from skerry.httpwire.head import Headers, first
from skerry.httpwire.headers import clean_request

EXTRA = "skerry.dev/user"
"""The one extra key that travels: the host's own name of the user."""
EXTRA_HEADER = b"impersonate-extra-skerry.dev%2fuser"
MAX_GROUPS = 64
_NAME = re.compile(rf"{PREFIX}[^\x00-\x1f\x7f]{{1,253}}\Z")
_FORWARDED = re.compile(rb"[0-9A-Fa-f.:, \[\]]{2,256}\Z")
_ID = re.compile(r"[0-9A-Za-z-]{1,64}\Z")


def check(claims: Claims) -> None:
    """Refuse an identity that must never reach a member. Raises Forbidden naming it."""
    _check(claims.user, tuple(claims.groups))


@lru_cache(maxsize=1024)
def _check(user: str, groups: tuple[str, ...]) -> None:
    for name in (user, *groups):
        if _NAME.match(name) is None or name != name.strip() or name.removeprefix(PREFIX).startswith("system:"):
            raise Forbidden(f"nobody is impersonated as {name[:80]!r}: names must start with {PREFIX!r}")
    if len(groups) > MAX_GROUPS:
        raise Forbidden(f"nobody is impersonated with more than {MAX_GROUPS} groups")


def identity(claims: Claims) -> Headers:
    """The Impersonate-* headers: exactly one user, every group, the one extra."""
    return list(_identity(claims.user, tuple(claims.groups), tuple(claims.extra.get(EXTRA) or ())))


@lru_cache(maxsize=1024)
def _identity(user: str, groups: tuple[str, ...], extra: tuple[str, ...]) -> tuple[tuple[bytes, bytes], ...]:
    headers = [(b"impersonate-user", _value(user))]
    headers += [(b"impersonate-group", _value(group)) for group in groups]
    headers += [(EXTRA_HEADER, _value(value)) for value in extra or (user.removeprefix(PREFIX),) if value.isprintable()]
    return tuple(headers)


def _value(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def headers(
    received: Headers,
    mine: Sequence[tuple[bytes, bytes]],
    authorization: bytes,
    audit_id: str,
    *,
    cookies: bool = False,
) -> Headers:
    """The final headers: `received` without anything guarded, then our credential, the identity and the audit trail.

    `mine` is what `identity` made; `cookies` says that the request is for an app behind the API server, which gets its own. The real client's address is kept from the proxy's own X-Forwarded-For, if it looks
    like addresses; it is a proxy that sets it, and what their clients sent was dropped there.
    """
    final = clean_request(received, cookies=cookies)
    if authorization:
        final.append((b"authorization", authorization))
    final += mine
    if _ID.match(audit_id):
        final.append((b"audit-id", audit_id.encode()))
    address = first(received, b"x-forwarded-for")
    if address is not None and _FORWARDED.match(address):
        final.append((b"x-forwarded-for", address))
    return final
