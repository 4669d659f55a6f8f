"""The proxy's end of the tunnel. Signatures first; filled in next."""

from __future__ import annotations

from collections.abc import Callable

from skerry.bus import Connection
from skerry.link.contract import OpenRequest
from skerry.link.settings import LinkSettings
from skerry.link.stream import Stream
from skerry.tunnel.codes import ResetCode


class Dialer:
    """Opens streams to members over one pair of connections (one epoch).

    When either connection is lost (`await dialer.run()` returns), every stream is RESET(PEER_LOST) at once; the
    caller makes new connections and a new Dialer. `on_flood(member)` asks for quarantine of a flooding member.
    Use: `async with TaskGroup() as tg: dialer = Dialer(i, b); tg.create_task(dialer.run())`.
    """

    def __init__(
        self,
        interactive: Connection,
        bulk: Connection,
        settings: LinkSettings = LinkSettings(),
        *,
        on_flood: Callable[[str], None] | None = None,
    ) -> None:
        raise NotImplementedError

    async def run(self) -> str:
        """Timers and the writers; returns the reason when a connection is lost. Cancel it to stop (streams: PEER_LOST)."""
        raise NotImplementedError

    async def open(self, member: str, request: OpenRequest) -> Stream:
        """A stream that an agent of `member` took (ACK or RESP).

        Raises AgentAway (nothing was executed), OutcomeUnknown (a mutation, no ACK), TooManyRequests (a limit, which
        one), ServiceUnavailable (draining, or this connection is lost: nothing was sent),
        RequestHeaderFieldsTooLarge.
        """
        raise NotImplementedError

    @property
    def live(self) -> int:
        """Streams that are open now."""
        raise NotImplementedError

    def reset_member(self, member: str, code: ResetCode, message: str = "") -> int:
        """RESET all streams of a member (removed, revoked); returns how many."""
        raise NotImplementedError

    async def drain(self, grace_s: float) -> None:
        """Refuse new streams, let the live ones finish within the grace, RESET(GOAWAY) the rest."""
        raise NotImplementedError
