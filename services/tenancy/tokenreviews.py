"""Answers to proxies that ask whom a bearer token names: `tenancy.tokens.review`.

Here and not in the proxy, so that what verifies RSA signatures stays out of it. A proxy asks once per token. The answer is
by the providers as they are stored when it is asked, so that no proxy is ever told what a change that it has seen took back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import msgspec

from services.tenancy.controllers import TenancyContext
from services.tenancy.keyring import KeyRing
from services.tenancy.providers import provider_of
from services.tenancy.providing import set_aside
from services.tenancy.verify import (
    MAX_TOKEN,
    FromTheFuture,
    TokenIdentity,
    TokenRefused,
    UnknownKey,
    UnreadToken,
    read,
    verify,
)
from skerry.api.identities import IdentityProvider
from skerry.api.kinds import IDENTITY_PROVIDER
from skerry.api.messages import TokenReview, TokenReviewAnswer
from skerry.errors import ServiceUnavailable
from skerry.informer import View

log = logging.getLogger("skerry.tenancy")


async def reviewed(context: TenancyContext, request: TokenReview) -> TokenReviewAnswer:
    """The endpoint."""
    return await review(context, request, time.time)


async def review(context: TenancyContext, request: TokenReview, now: Callable[[], float]) -> TokenReviewAnswer:
    """Whom a token names, or why nobody. ServiceUnavailable while that cannot be known."""
    await context.informer.current()
    try:
        return await _answer(context, request.token, now)
    except TokenRefused as error:
        return TokenReviewAnswer(refused=str(error))


async def _answer(context: TenancyContext, token: str, now: Callable[[], float]) -> TokenReviewAnswer:
    """By the provider that a token is from; by the host's cluster, if it is from none. TokenRefused, ServiceUnavailable."""
    try:
        unread = read(token)
        provider = _provider(context.informer, unread)
    except TokenRefused:
        if context.state.host_tokens is None or len(token) > MAX_TOKEN:
            raise
        return _told(await context.state.host_tokens.identity(token))
    answer = _told(await _identity(context, provider, token, unread, now))
    return msgspec.structs.replace(
        answer,
        provider=provider.metadata.name,
        provider_uid=provider.metadata.uid,
        provider_generation=provider.metadata.generation,
    )


def _told(identity: TokenIdentity) -> TokenReviewAnswer:
    return TokenReviewAnswer(
        user=identity.user,
        groups=identity.groups,
        issued=identity.issued,
        expires=identity.expires,
        fresh_until=min(identity.fresh_until, identity.expires),
    )


def _provider(informer: View, unread: UnreadToken) -> IdentityProvider:
    """The provider that a token says it is from. TokenRefused."""
    for item in informer.list(IDENTITY_PROVIDER):
        document = item.document()
        if document["spec"].get("issuer") != unread.issuer or "deletionTimestamp" in document["metadata"]:
            continue
        if not set_aside(informer, item.name):
            return provider_of(document)
    raise TokenRefused(f"no identity provider has the issuer {unread.issuer[:200]!r}")


async def _identity(
    context: TenancyContext, provider: IdentityProvider, token: str, unread: UnreadToken, now: Callable[[], float]
) -> TokenIdentity:
    """Whom a token of this provider names, by its keys as they are now. TokenRefused, ServiceUnavailable."""
    name, rings = provider.metadata.name, context.state.rings
    ring = rings.ring(name, provider.metadata.uid, provider.spec)
    if not ring.usable:
        await ring.refresh(provider.spec)
    if not ring.usable:
        raise ServiceUnavailable(
            f"the keys of identity provider {name} cannot be fetched: its condition Ready says why"
        )
    try:
        identity = await _verified(ring, provider, token, unread, now)
    except FromTheFuture:
        if ring.says("ClockSkew"):
            rings.changed(name)
        raise
    if identity.dropped:
        log.info(
            "groups of a token are nobody's", extra={"provider": name, "user": identity.user, "count": identity.dropped}
        )
    if identity.left_out and ring.says("GroupsLeftOut"):
        rings.changed(name)
    return identity


async def _verified(
    ring: KeyRing, provider: IdentityProvider, token: str, unread: UnreadToken, now: Callable[[], float]
) -> TokenIdentity:
    try:
        return verify(token, unread, provider.spec, ring.keys, now())
    except UnknownKey:
        await ring.look_again(provider.spec)
    return verify(token, unread, provider.spec, ring.keys, now())
