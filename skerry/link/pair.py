"""The two lanes of a process in one epoch, interactive and bulk, and their common life.

Losing either drops both: a client that is cut off on one connection and not on the other would make every failure a
puzzle. The supervisor of the process then makes two new connections with new ids.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Generic, TypeVar

from skerry.errors import StatusError
from skerry.link.lane import Lane
from skerry.link.settings import LinkSettings
from skerry.relay import ResetCode
from skerry.tunnel.peer import stretch

L = TypeVar("L", bound=Lane[Any])

_log = logging.getLogger(__name__)


class Pair(Generic[L]):
    """Runs two lanes until one is lost."""

    def __init__(self, interactive: L, bulk: L, settings: LinkSettings) -> None:
        self.lanes = (interactive, bulk)
        self.settings = settings
        self.draining = False

    @property
    def live(self) -> int:
        """Streams that are open now."""
        return sum(len(lane.streams) for lane in self.lanes)

    async def run(self) -> str:
        """Timers and writers; the reason when a connection is lost. All streams are reset by then, and both
        connections are aborted. Cancelling does the same."""
        tasks = {asyncio.create_task(self._timers()), *(asyncio.create_task(lane.write()) for lane in self.lanes)}
        ends: set[asyncio.Future[Any]] = {*tasks, *(lane.wire.lost for lane in self.lanes)}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done() and not task.cancelled():
                    task.result()
            return next((lane.down for lane in self.lanes if lane.down), "stopped")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.abandon()

    async def finish(self, grace_s: float) -> None:
        """Wait for the streams to end; RESET(GOAWAY) those that have not when the grace is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                for lane in self.lanes:
                    await lane.empty.wait()
        cut = sum(lane.reset_all(ResetCode.GOAWAY, "the process is leaving") for lane in self.lanes)
        if cut:
            _log.warning("streams cut after the grace", extra={"streams": cut, "grace_s": grace_s})
            await self._flush()

    async def _timers(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.settings.tick_s)
            factor = stretch(sum(lane.active_peers for lane in self.lanes))
            now = loop.time()
            for lane in self.lanes:
                lane.tick(now, factor)

    async def abandon(self) -> None:
        """Tell whom we can still reach, then cut both."""
        reason = next((lane.down for lane in self.lanes if lane.down), "stopped")
        for lane in self.lanes:
            if not lane.down:
                lane.reset_all(ResetCode.PEER_LOST, reason)
        await self._flush()
        for lane in self.lanes:
            lane.fail(reason)
            lane.wire.abort(reason)

    async def _flush(self) -> None:
        for lane in self.lanes:
            if not lane.down:
                with contextlib.suppress(StatusError, TimeoutError):
                    await lane.wire.flush(1.0)
