"""Tokens of identity providers and of the host's own cluster: asked of tenancy once, and known by their digest from then on.

What is known holds until the token ends or its provider is another, so tenancy may be away: whoever works, works on. Unknown
tokens cost a question on the bus and a signature's check, so each address of a client may show only so many in a second; one that
was refused is refused for some seconds without a question. Nothing keeps a token itself.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import math
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable

from services.proxy.authn import REFUSED, CachedCredential, ProviderVersion
from skerry.api.messages import Caller, TokenReviewAnswer
from skerry.errors import ServiceUnavailable, StatusError, TooManyRequests, Unauthorized

log = logging.getLogger("skerry.proxy")

KEPT = 10_000
KEPT_BYTES = 32 * 1024 * 1024
"""Of users and groups that are known: a token may name five hundred groups."""
REFUSED_S = 5.0
UNKNOWN_PER_SECOND = 20
OVERHEAD = 512

AskReview = Callable[[str], Awaitable[TokenReviewAnswer]]
"""From a token to whom it names. StatusError."""


class Tokens:
    """The tokens that this process knows. `now` is Unix time, `clock` any, both in seconds."""

    def __init__(
        self,
        ask: AskReview,
        provider: Callable[[str], ProviderVersion | None],
        caught_up: Callable[[], Awaitable[object]],
        now: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        """`provider` is an IdentityProvider as this process knows it, `caught_up` waits until that is what was stored at the call."""
        self._ask, self._provider, self._caught_up = ask, provider, caught_up
        self._now, self._clock = now, clock
        self._known: OrderedDict[str, CachedCredential] = OrderedDict()
        self._bytes = 0
        self._refused: OrderedDict[str, float] = OrderedDict()
        self._asking: dict[str, asyncio.Task[CachedCredential]] = {}
        self._second = 0
        self._unknown: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, name: str) -> CachedCredential | None:
        """The credential of this name, if it is known and holds."""
        credential = self._known.get(name)
        if credential is None:
            return None
        if credential.expires <= self._now() or self._stored(credential) != credential.provider:
            self._drop(name)
            return None
        self._known.move_to_end(name)
        return credential

    async def of(self, name: str, token: Callable[[], str], address: str) -> CachedCredential:
        """The credential of this name, asked for if it is not known or not fresh; what is known holds while it cannot be asked for.

        Unauthorized, TooManyRequests, ServiceUnavailable.
        """
        known = self.get(name)
        if known is not None and self._now() < known.fresh_until:
            return known
        try:
            return await self.review(name, token(), address)
        except (ServiceUnavailable, TooManyRequests):
            if known is None:
                raise
            return known
        except Unauthorized:
            self._drop(name)
            raise

    def refused(self, name: str) -> bool:
        """True if a token was refused a moment ago."""
        return self._clock() < self._refused.get(name, 0.0)

    async def review(self, name: str, token: str, address: str) -> CachedCredential:
        """The credential of a token that is not known, shown by a client. Unauthorized, TooManyRequests, ServiceUnavailable."""
        if self.refused(name):
            raise Unauthorized(REFUSED)
        asking = self._asking.get(name)
        if asking is None:
            self._count(address)
            asking = asyncio.get_running_loop().create_task(self._reviewed(name, token, address))
            self._asking[name] = asking
            asking.add_done_callback(lambda task: self._asked(name, task))
        return await asyncio.shield(asking)

    def _asked(self, name: str, task: asyncio.Task[CachedCredential]) -> None:
        del self._asking[name]
        if not task.cancelled():
            task.exception()  # retrieved: whoever waited may have gone

    async def _reviewed(self, name: str, token: str, address: str) -> CachedCredential:
        try:
            answer = await self._ask(token)
        except StatusError as error:
            log.warning("a token cannot be checked", extra={"error": error.message, "client": address})
            raise ServiceUnavailable(
                "this credential cannot be checked now: the host's tenancy does not answer; try again in a moment",
                retry_after_s=1,
            ) from error
        if answer.refused:
            log.warning("a token was refused", extra={"reason": answer.refused, "client": address, "token": name[:22]})
            self._remember_refused(name)
            raise Unauthorized(REFUSED)
        version = ProviderVersion(answer.provider, answer.provider_uid, answer.provider_generation)
        caller = Caller(user=answer.user, groups=answer.groups)
        credential = CachedCredential(
            name,
            caller,
            answer.expires,
            answer.issued,
            version if answer.provider else None,
            fresh_until=answer.fresh_until or math.inf,
        )
        if self._stored(credential) != credential.provider:
            await self._caught_up()
        if self._stored(credential) != credential.provider:
            raise ServiceUnavailable("the identity provider is being changed: try again in a moment", retry_after_s=1)
        self._remember(credential)
        return credential

    def _stored(self, credential: CachedCredential) -> ProviderVersion | None:
        return None if credential.provider is None else self._provider(credential.provider.name)

    def _remember(self, credential: CachedCredential) -> None:
        self._drop(credential.name)
        self._known[credential.name] = credential
        self._bytes += _size(credential)
        while len(self._known) > KEPT or self._bytes > KEPT_BYTES:
            self._drop(next(iter(self._known)))

    def _drop(self, name: str) -> None:
        credential = self._known.pop(name, None)
        if credential is not None:
            self._bytes -= _size(credential)

    def _remember_refused(self, name: str) -> None:
        self._refused[name] = self._clock() + REFUSED_S
        self._refused.move_to_end(name)
        while len(self._refused) > KEPT:
            self._refused.popitem(last=False)

    def _count(self, address: str) -> None:
        second = int(self._clock())
        if second != self._second:
            self._second = second
            self._unknown.clear()
        whose = network(address)
        self._unknown[whose] += 1
        if self._unknown[whose] > UNKNOWN_PER_SECOND:
            raise TooManyRequests(
                f"more than {UNKNOWN_PER_SECOND} unknown tokens came from this address in one second, the limit; "
                "repeat it in a second",
                retry_after_s=1,
            )


def network(address: str) -> str:
    """Whose an address is: of IPv6 the first 64 bits, of which a client has all."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    return str(parsed.ipv4_mapped or ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))


def _size(credential: CachedCredential) -> int:
    """About how many bytes it takes."""
    return OVERHEAD + len(credential.caller.user) + sum(len(group) + 64 for group in credential.caller.groups)
