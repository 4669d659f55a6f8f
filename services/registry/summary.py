"""All members in a few numbers, for who looks inside with `nats request registry.fleet`: by state, and what is not in place."""

from __future__ import annotations

import asyncio

from skerry.api.fleet import FleetCount, FleetSummary
from skerry.api.kinds import CLUSTER
from skerry.controller.lease import Lease
from skerry.informer import View

AT_ONCE = 50
"""Clusters that are counted in one turn of the loop: half a millisecond."""
FRESH_S = 1.0
"""A count serves all that ask within so long."""


class Summary:
    """Counts members when it is asked to."""

    def __init__(self, informer: View, lease: Lease) -> None:
        self._informer, self._lease = informer, lease
        self._counting = asyncio.Lock()
        self._count, self._counted = FleetCount(), float("-inf")

    async def fleet(self) -> FleetSummary:
        """As of now, or of a second ago."""
        now = asyncio.get_running_loop().time
        async with self._counting:
            if now() - self._counted >= FRESH_S:
                self._count = await self._counted_anew()
                self._counted = now()
            return self._count.summary(self._lease.leader)

    async def _counted_anew(self) -> FleetCount:
        count = FleetCount()
        for number, item in enumerate(self._informer.list(CLUSTER)):
            if number and number % AT_ONCE == 0:
                await asyncio.sleep(0)
            count.add(item.document())
        return count
