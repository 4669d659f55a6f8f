"""Staying connected, for ever: a pair of bus connections with an Acceptor, heartbeats, and new credentials in time.

One epoch is a pair (interactive, bulk); losing either drops both, and a new pair with new ids is made. Renewed
credentials make a new pair for new streams while the old one keeps its streams until they end. A bus that swallows three
heartbeats in a row is given up even if TCP seems fine. The only ways out are the stop event and the host's word that
this member was removed.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable

import msgspec

from services.agent import membership as members
from services.agent.health import Health
from services.agent.membership import Removed
from services.agent.model import HostClock, Watchdog, backoff_s, renewal_due
from services.agent.settings import Settings
from services.agent.store import Membership, Store
from skerry import __version__, bus, subjects
from skerry.api.messages import Heartbeat, HeartbeatAnswer
from skerry.errors import GatewayTimeout, Gone, StatusError, Unauthorized
from skerry.identity.creds import Credentials
from skerry.link import Acceptor, Stream

log = logging.getLogger("skerry.agent")

ECHO_S = 5.0
"""How long the answer to a heartbeat is waited for."""
LEAVE_S = 1.0
QUIET_S = 60.0
"""A refused connection asks for a renewal at once, but not again within this after one that succeeded."""
_encode = msgspec.json.Encoder().encode
Handler = Callable[[Stream], "asyncio.Future[None]"]


class Epoch:
    """A pair of connections and what accepts streams on it."""

    def __init__(self, interactive: bus.Connection, bulk: bus.Connection, acceptor: Acceptor) -> None:
        self.interactive, self.bulk, self.acceptor = interactive, bulk, acceptor
        self.expires = 0

    async def live(self) -> str:
        """Until the pair is lost; returns why."""
        try:
            return await self.acceptor.run()
        finally:
            self.abort("the pair is given up")

    def abort(self, why: str) -> None:
        """Cut both connections."""
        self.interactive.abort(why)
        self.bulk.abort(why)
