"""Members that ask what they should have: one page of one member at a time, paid for by its size.

A page is a few bytes to ask for and 256 KiB to answer, 10 ms of this process's time. A member that asks for as many as it
can gets them one after the other, in a rate that its whole desired state fits several times; once it floods, what it has
begun is not gone on with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from weakref import WeakValueDictionary

from skerry.api.desired import SyncAnswer, SyncRequest
from skerry.errors import TooManyRequests

ENTRIES = 10
"""So many of an answer take as much of a member's rate as one more request."""


class Syncs:
    """See the module."""

    def __init__(
        self,
        page: Callable[[str, SyncRequest], Awaitable[SyncAnswer]],
        is_cut: Callable[[str], bool],
        spend: Callable[[str, str, float], None],
    ) -> None:
        """`page(member, request)` is what a member asks for; `is_cut(member)` says whether the bus is told to cut it,
        `spend(member, kind, requests)` takes from its rate."""
        self._page, self._is_cut, self._spend = page, is_cut, spend
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def answer(self, member: str, request: SyncRequest) -> SyncAnswer:
        """One page. TooManyRequests, and StatusError as of the store."""
        async with self._turns.setdefault(member, asyncio.Lock()):
            if self._is_cut(member):
                raise TooManyRequests(f"agents of cluster {member!r} flood this host: they are cut for a minute")
            page = await self._page(member, request)
        self._spend(member, "syncs", len(page.entries) / ENTRIES)
        return page
