"""The agent's end of the tunnel. Signatures first; filled in next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from skerry.bus import Connection
from skerry.link.settings import LinkSettings
from skerry.link.stream import Stream


class Acceptor:
    """Takes streams for one member over one pair of connections (one epoch).

    `handler(stream)` runs as one task per stream under a guard: an exception RESETs that stream only (UPSTREAM,
    logged), its return closes the stream. When the other side resets, the task is cancelled.
    """

    def __init__(
        self,
        interactive: Connection,
        bulk: Connection,
        member: str,
        handler: Callable[[Stream], Awaitable[None]],
        settings: LinkSettings = LinkSettings(budget=32 << 20),
    ) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        """Subscribe to the own inbox first, then join the queue group; returns behind the barrier."""
        raise NotImplementedError

    async def run(self) -> str:
        """`start`, timers and writers; returns the reason when a connection is lost, after all streams were reset."""
        raise NotImplementedError

    @property
    def live(self) -> int:
        """Streams that are open now."""
        raise NotImplementedError

    async def drain(self, grace_s: float) -> None:
        """DRAIN to the proxies, leave the queue group, finish within the grace, RESET(GOAWAY) the rest."""
        raise NotImplementedError
