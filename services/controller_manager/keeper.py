"""Keeping services up beside each other: one that fails is started again, and takes no other down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from skerry.errors import SkerryError, StatusError

log = logging.getLogger("skerry.controller_manager")

FIRST_S, LONGEST_S = 0.25, 15.0
STABLE_S = 30.0
"""A service that ran so long starts over with the shortest pause."""

Service = Callable[[Callable[[str], None], asyncio.Event], Awaitable[None]]
"""Takes `ready(reason)` and `stop`; returns after `stop`."""


class Keeper:
    """Runs services by name. `reason` is empty when all of them serve; `moved` hears of every change of it."""

    def __init__(self, moved: Callable[[], None]) -> None:
        self._moved = moved
        self._reasons: dict[str, str] = {}

    @property
    def reason(self) -> str:
        """Why not everything serves, for people."""
        return "; ".join(f"{name}: {reason}" for name, reason in self._reasons.items() if reason)

    async def keep(self, name: str, service: Service, stop: asyncio.Event) -> None:
        """Run a service until `stop`, again after each failure, with growing pauses."""
        loop = asyncio.get_running_loop()
        pause = FIRST_S
        while not stop.is_set():
            started = loop.time()
            self._tell(name, "starting")
            failure = await self._once(name, service, stop)
            if stop.is_set():
                return
            pause = FIRST_S if loop.time() - started > STABLE_S else min(pause * 2, LONGEST_S)
            self._tell(name, failure)
            await _until(stop, pause)

    def _tell(self, name: str, reason: str) -> None:
        if self._reasons.get(name) != reason:
            self._reasons[name] = reason
            self._moved()

    async def _once(self, name: str, service: Service, stop: asyncio.Event) -> str:
        """Why it ended, in words for people; a bug is logged in full and named without its text."""
        try:
            await service(lambda reason: self._tell(name, reason), stop)
        except Exception as error:
            known = expected(error)
            if known is not None:
                log.error("a service failed", extra={"service": name, "error": str(known)})  # noqa: TRY400
                return str(known)
            log.critical("a service ended by a bug", extra={"service": name}, exc_info=error)
            return "it failed; the log says why"
        return "it ended by itself"


def expected(error: BaseException) -> SkerryError | None:
    """The error on purpose inside `error`, if there is nothing else in it."""
    if isinstance(error, BaseExceptionGroup):
        found = [expected(inner) for inner in error.exceptions]
        return next((one for one in found if one is not None), None) if all(found) else None
    return error if isinstance(error, StatusError | SkerryError) else None


async def _until(stop: asyncio.Event, pause_s: float) -> None:
    try:
        async with asyncio.timeout(pause_s):
            await stop.wait()
    except TimeoutError:
        return
