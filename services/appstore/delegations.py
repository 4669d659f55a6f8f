"""As whom the App Store works on members: tokens of who changed a release, asked of tenancy and used again while they last (ADR 32).

For each object, user and set of clusters there is one token at a time, and one question. What is refused is asked anew by
whoever comes next: an error is not remembered. A token that a front door refuses is forgotten, and then tenancy says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from skerry import subjects
from skerry.api.decode import decoder
from skerry.api.delegations import LIFE_S, RENEWED_S, REVOKED, DelegationAnswer, DelegationRequest
from skerry.bus import Bus
from skerry.errors import ServiceUnavailable, StatusError

ASK_S = 10.0
"""How long tenancy is waited for."""

Ask = Callable[[DelegationRequest], Awaitable[DelegationAnswer]]
_encode = msgspec.json.Encoder().encode
_decode = decoder(DelegationAnswer)


def asking(bus: Bus) -> Ask:
    """Asks tenancy over a bus. StatusError: Forbidden with the cause REVOKED for a user whose credentials were taken back."""

    async def ask(request: DelegationRequest) -> DelegationAnswer:
        reply = await bus.request(subjects.DELEGATIONS, _encode(request), timeout_s=ASK_S)
        try:
            return _decode(reply.data)
        except msgspec.DecodeError as error:
            raise ServiceUnavailable("tenancy's answer to a delegation cannot be read", retry_after_s=1) from error

    return ask


def is_revoked(error: StatusError) -> bool:
    """True if a delegation was refused because its user's credentials were taken back: somebody else has to take over."""
    return any(cause.reason == REVOKED for cause in error.details.causes)


class Delegations:
    """The tokens that a process has. `now` is Unix time in seconds."""

    def __init__(self, ask: Ask, now: Callable[[], float]) -> None:
        self._ask, self._now = ask, now
        self._known: dict[DelegationRequest, DelegationAnswer] = {}
        self._asking: dict[DelegationRequest, asyncio.Task[DelegationAnswer]] = {}

    def __len__(self) -> int:
        return len(self._known)

    async def get(self, request: DelegationRequest, *, for_s: float = RENEWED_S) -> DelegationAnswer:
        """One that holds for `for_s` seconds at least, which are fewer than LIFE_S. StatusError.

        Its `lost` are built-in groups that the user had and has no more.
        """
        if not 0 <= for_s < LIFE_S:
            raise ValueError(f"a delegation holds for {LIFE_S} s, not for {for_s:.0f} s and more")
        known = self._known.get(request)
        if known is not None and known.expires - self._now() >= for_s:
            return known
        asking = self._asking.get(request)
        if asking is None:
            asking = self._asking[request] = asyncio.get_running_loop().create_task(self._new(request))
            asking.add_done_callback(lambda task: self._asked(request, task))
        return await asyncio.shield(asking)

    def forget(self, request: DelegationRequest, token: str) -> None:
        """The front door refused a token: the next one is asked for, if nobody has done so."""
        known = self._known.get(request)
        if known is not None and known.token == token:
            del self._known[request]

    async def _new(self, request: DelegationRequest) -> DelegationAnswer:
        answer = await self._ask(request)
        now = self._now()
        self._known = {each: other for each, other in self._known.items() if other.expires > now}
        self._known[request] = answer
        return answer

    def _asked(self, request: DelegationRequest, task: asyncio.Task[DelegationAnswer]) -> None:
        del self._asking[request]
        if not task.cancelled():
            task.exception()  # retrieved: whoever waited may have gone
