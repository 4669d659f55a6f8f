"""A pod that cannot join yet: what may pass by itself is tried again, what a person must mend ends the process with one line.

Nobody watches a pod start, and a restart by kubelet takes up to five minutes. So DNS, the way to the host, its silence and an API
server that is not well are waited out, not ready, with the reason in readiness. What is refused, missing or wrong is not: it
would be the same a minute later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from services.agent.membership import JoinUnanswered
from skerry.backoff import Backoff
from skerry.checks.run import CheckFailed
from skerry.errors import SkerryError, StatusError, TooManyRequests
from skerry.member.identity import LASTING
from skerry.runtime import Runtime

log = logging.getLogger("skerry.agent")

FIRST_S, LONGEST_S = 2.0, 60.0
"""Between two attempts."""
T = TypeVar("T")


def may_pass(error: SkerryError) -> bool:
    """Whether the same may work later with nobody's help."""
    if isinstance(error, CheckFailed):
        return error.may_pass
    if isinstance(error, StatusError):
        return isinstance(error, TooManyRequests) or (error.code >= 500 and not isinstance(error, LASTING))
    return isinstance(error, JoinUnanswered)


async def patiently(runtime: Runtime, work: Callable[[], Awaitable[T]], backoff: Backoff | None = None) -> T | None:
    """What `work` gives when it works at last; None if the process is stopped before. Raises what does not pass by itself."""
    pauses = backoff or Backoff(FIRST_S, LONGEST_S)
    while not runtime.stop.is_set():
        try:
            return await work()
        except SkerryError as error:
            if not may_pass(error):
                raise
            reason = error.message if isinstance(error, StatusError) else str(error)
        pause_s = pauses.next()
        runtime.not_ready(f"cannot join yet, and tries again: {reason}")
        log.warning("cannot join yet", extra={"reason": reason, "again_s": round(pause_s, 1)})
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await runtime.stop.wait()
    return None
