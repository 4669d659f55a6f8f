"""One request of the host API, from its path to its answer. Signatures first; filled in next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from services.proxy.hostapi.attributes import Authorize, Live
from skerry.api.kinds import Kind
from skerry.api.messages import Caller
from skerry.bus import Bus
from skerry.store import Cache


class HostApi:
    """Handles /api, /apis, /openapi of the host."""

    def __init__(self, cache: Cache, bus: Bus, kinds: Iterable[Kind], live: Live = lambda name: {}) -> None:
        raise NotImplementedError

    async def handle(self, exchange: Any, caller: Caller, authorize: Authorize) -> None:
        """Answer one exchange completely; raises StatusError before anything was written (the front door answers)."""
        raise NotImplementedError
