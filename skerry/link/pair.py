"""The two connections of a process, interactive and bulk, and their common life.

Losing either drops both: a client that is cut off on one connection and not on the other would make every failure a
puzzle. The supervisor of the process then makes two new connections with new ids.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Generic, TypeVar

from skerry.errors import StatusError
from skerry.link.connection import LinkConnection
from skerry.link.settings import LinkSettings
from skerry.relay import ResetCode
from skerry.tunnel.peer import stretch

C = TypeVar("C", bound=LinkConnection[Any])

_log = logging.getLogger(__name__)


class ConnectionPair(Generic[C]):
    """Runs two connections until one is lost."""

    def __init__(self, interactive: C, bulk: C, settings: LinkSettings) -> None:
        self.connections = (interactive, bulk)
        self.settings = settings
        self.draining = False

    @property
    def live(self) -> int:
        """Streams that are open now."""
        return sum(len(connection.streams) for connection in self.connections)

    async def run(self) -> str:
        """Timers and writers; the reason when a connection is lost. All streams are reset by then, and both
        connections are aborted. Cancelling does the same."""
        writers = (asyncio.create_task(connection.write()) for connection in self.connections)
        tasks = {asyncio.create_task(self._timers()), *writers}
        ends: set[asyncio.Future[Any]] = {*tasks, *(connection.bus.lost for connection in self.connections)}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done() and not task.cancelled():
                    task.result()
            return self._reason()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.abandon()

    async def finish(self, grace_s: float) -> None:
        """Wait for the streams to end; RESET(GOAWAY) those that have not when the grace is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                for connection in self.connections:
                    await connection.empty.wait()
        cut = sum(connection.reset_all(ResetCode.GOAWAY, "the process is leaving") for connection in self.connections)
        if cut:
            _log.warning("streams cut after the grace", extra={"streams": cut, "grace_s": grace_s})
            await self._flush()

    async def _timers(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.settings.tick_s)
            factor = stretch(sum(connection.active_peers for connection in self.connections))
            now = loop.time()
            for connection in self.connections:
                connection.tick(now, factor)

    async def abandon(self) -> None:
        """Tell whom we can still reach, then cut both."""
        reason = self._reason()
        for connection in self.connections:
            if not connection.down:
                connection.reset_all(ResetCode.PEER_LOST, reason)
        await self._flush()
        for connection in self.connections:
            connection.fail(reason)
            connection.bus.abort(reason)

    def _reason(self) -> str:
        return next((connection.down for connection in self.connections if connection.down), "stopped")

    async def _flush(self) -> None:
        for connection in self.connections:
            if not connection.down:
                with contextlib.suppress(StatusError, TimeoutError):
                    await connection.bus.flush(1.0)
