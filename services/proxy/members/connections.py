"""The data plane's connections: always one pair (interactive, bulk) that takes new requests.

A lost pair is never repaired: its streams are reset at once and a new pair is made, with new ids (LINK-1 in
docs/data-plane.md). Before the bus user's credential ends a new pair is made for new requests while the old one
keeps its streams until they end: moving a stream between connections would reorder its frames.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable

import msgspec

from skerry import bus
from skerry.bus import ConnectionPairs
from skerry.errors import InternalError, ServiceUnavailable, StatusError
from skerry.httpwire.room import Room
from skerry.identity.creds import Credentials
from skerry.link import Dialer, LinkSettings
from skerry.link.dialer import Beating
from skerry.tunnel.window import Budget

log = logging.getLogger("skerry.proxy")

CredentialsReader = Callable[[], Credentials]
BULK_PING_S = 30.0
"""Bulk connections may be busy for long: 30 s x 2, against 5 s x 2 on interactive ones."""
RENEW_CHECK_S = 10.0
"""How often the credential's file is looked at: whoever renews it does so long before the old one ends, and who replaces the
key that signed it waits for it."""


class DialerSupervisor:
    """Makes a Dialer over a pair of connections, and the next one when that is lost. `keep` runs for ever; `dialer()` is for a
    new request."""

    def __init__(
        self, settings: bus.Settings, source: CredentialsReader, *, drain_s: float, renew_check_s: float = RENEW_CHECK_S,
        on_flood: Callable[[str], None] | None = None, beating: Beating = lambda member, kind: (),
        link: LinkSettings | None = None, room: Room | None = None,
    ) -> None:  # fmt: skip
        self._room = room or Room()
        self._settings = settings
        self._source = source
        self._drain_s = drain_s
        self._renew_check_s = renew_check_s
        self._on_flood, self._beating = on_flood, beating
        self._link = link or LinkSettings()
        self._budget = Budget(self._link.budget)
        self._dialer: Dialer | None = None
        self._retired: set[Dialer] = set()
        self._stop = asyncio.Event()
        self.reason = "the data plane is not connected to the bus yet"
        """Why there is no pair, for people; empty if there is one."""

    @property
    def ready(self) -> bool:
        """True if new requests can be carried."""
        return self._dialer is not None

    @property
    def granted(self) -> int:
        """Bytes that members may still send, or that clients have not taken yet: bounded by the budget, over all pairs."""
        return self._budget.used

    def dialer(self) -> Dialer:
        """The pair for a new request. ServiceUnavailable while there is none: nothing was sent."""
        if self._dialer is None:
            raise ServiceUnavailable(f"this host cannot reach its members now: {self.reason}; nothing was sent")
        return self._dialer

    async def keep(self) -> None:
        """Hold a pair, for ever; ends by `drain` or by being cancelled."""
        pairs = self._pairs()
        previous: tuple[ConnectionPairs, Dialer, asyncio.Task[None]] | None = None
        async with asyncio.TaskGroup() as group:
            try:
                while (pair := await pairs.next()) is not None:
                    dialer = self._made(*pair)
                    if dialer is None:
                        continue
                    life = self._offer(dialer, group)
                    if previous is not None:
                        group.create_task(self._retire(*previous), name="dialers retiring")
                        previous = None
                    if await self._outlived(life):
                        previous, pairs = (pairs, dialer, life), self._pairs()
            finally:
                await pairs.close()
                if previous is not None:
                    await previous[0].close()
        if not self._stop.is_set():
            raise InternalError("the data plane's supervisor ended by itself")

    def _pairs(self) -> ConnectionPairs:
        return ConnectionPairs(
            self._connections("interactive", self._settings.ping_s), self._connections("bulk", BULK_PING_S)
        )

    def _connections(self, class_: str, ping_s: float) -> AsyncGenerator[bus.Connection]:
        settings = msgspec.structs.replace(self._settings, name=f"{self._settings.name}/{class_}", ping_s=ping_s)
        return bus.connections(settings, self._source, stop=self._stop, failed=self._failed)

    def _failed(self, error: StatusError) -> None:
        if self._dialer is None:
            self.reason = error.message

    def _made(self, interactive: bus.Connection, bulk: bus.Connection) -> Dialer | None:
        """None if this bus cannot carry streams: a failed attempt like any other."""
        try:
            return Dialer(
                interactive, bulk, self._link, on_flood=self._on_flood, beating=self._beating, budget=self._budget,
                room=self._room,
            )  # fmt: skip
        except StatusError as error:
            log.warning("the data plane cannot use the bus", extra={"reason": error.message})
            self._failed(error)
            return None

    def _offer(self, dialer: Dialer, group: asyncio.TaskGroup) -> asyncio.Task[None]:
        life = group.create_task(self._live(dialer), name="dialers")
        self._dialer, self.reason = dialer, ""
        return life

    async def _outlived(self, life: asyncio.Task[None]) -> bool:
        """Wait until the pair is lost (False), or a newer credential should replace the one that it uses (True)."""
        used = self._newest()
        while True:
            done, _ = await asyncio.wait([life], timeout=self._renew_check_s)
            if done:
                return False
            newest = self._newest()
            used = used or newest
            if used is not None and newest is not None and newest > used:
                return True

    def _newest(self) -> float | None:
        """When the stored credential ends, infinity for never; None if it cannot be read now: a failed look is no news."""
        try:
            expires = self._source().expires
        except (OSError, StatusError) as error:
            log.warning("the stored credential for the bus cannot be read", extra={"error": str(error)})
            return None
        return float("inf") if expires is None else float(expires)

    async def _live(self, dialer: Dialer) -> None:
        try:
            reason = await dialer.run()
        except Exception:
            log.exception("the data plane's connection failed")
            reason = "an internal error"
        self._lost(dialer, reason)

    def _lost(self, dialer: Dialer, reason: str) -> None:
        log.warning("the data plane's connection is lost", extra={"reason": reason})
        if self._dialer is dialer:
            self._dialer, self.reason = None, f"the connection to the bus is lost ({reason})"

    async def _retire(self, pairs: ConnectionPairs, dialer: Dialer, life: asyncio.Task[None]) -> None:
        self._retired.add(dialer)
        try:
            await dialer.drain(self._drain_s)
        finally:
            self._retired.discard(dialer)
            life.cancel()
            await pairs.close()

    async def drain(self, grace_s: float) -> None:
        """Take no new request, let the live ones finish within the grace, reset the rest, end `keep`."""
        self._stop.set()
        dialers = [*self._retired, *([self._dialer] if self._dialer else [])]
        await asyncio.gather(*(dialer.drain(grace_s) for dialer in dialers))
