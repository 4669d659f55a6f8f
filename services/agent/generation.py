"""One generation of connections: a pair, and what accepts streams on it."""

from __future__ import annotations

from skerry import bus
from skerry.link import Acceptor
from skerry.relay import ResetCode


class Generation:
    """A pair of connections that live and end together. Renewed credentials, and another key, make a new one."""

    def __init__(self, interactive: bus.Connection, bulk: bus.Connection, acceptor: Acceptor) -> None:
        self.interactive, self.bulk, self.acceptor = interactive, bulk, acceptor

    @property
    def nkey(self) -> str:
        """The key with which it says who it is."""
        return self.interactive.user

    @property
    def nkeys(self) -> frozenset[str]:
        """The keys that it needs: another one may have come between its two connections."""
        return frozenset((self.interactive.user, self.bulk.user))

    async def live(self) -> str:
        """Until the pair is lost; returns why."""
        try:
            return await self.acceptor.run()
        finally:
            self.abort("the pair is given up")

    def reset(self, why: str) -> None:
        """End its streams: one that drains is over with them."""
        for connection in self.acceptor.connections:
            connection.reset_all(ResetCode.GOAWAY, why)

    def abort(self, why: str) -> None:
        """Cut both connections."""
        self.interactive.abort(why)
        self.bulk.abort(why)
