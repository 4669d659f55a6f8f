"""What a process's files hold is renewed by a short-lived child: keys are in memory for a moment only, and in none that stays."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import NoReturn

from skerry.backoff import Backoff

log = logging.getLogger("skerry.service")

SOON_S, EVERY_S = 30.0, 1800.0
"""Before the first renewal, which sees what came when everything had started, and between two."""
FIRST_S, LONGEST_S = 5.0, 300.0
"""The pause after a renewal that failed, at first and at last."""
DEADLINE_S = 300.0
"""Of one renewal."""
_LAST_WORDS = 2000


async def renewing(command: Sequence[str], soon_s: float = SOON_S, every_s: float = EVERY_S) -> NoReturn:
    """Run `command` soon, and then every so many seconds. One that fails is logged with what it said last, and tried again after a
    pause that grows."""
    backoff = Backoff(FIRST_S, LONGEST_S)
    pause_s = soon_s
    while True:
        await asyncio.sleep(pause_s)
        code, words = await _run(command)
        if code == 0:
            backoff.reset()
            pause_s = every_s
            if words:
                log.info("renewed", extra={"by": command[0], "said": words})
        else:
            pause_s = min(backoff.next(), every_s)
            log.error("a renewal failed", extra={"code": code, "said": words, "again_s": round(pause_s, 1)})


async def _run(command: Sequence[str]) -> tuple[int, str]:
    """Exit code and last words of the child, which ends with this task."""
    pipe = asyncio.subprocess.PIPE
    try:
        child = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=asyncio.subprocess.STDOUT
        )
    except OSError as error:
        return 127, str(error)
    try:
        async with asyncio.timeout(DEADLINE_S):
            said, _ = await child.communicate()
    except TimeoutError:
        return 124, f"no end within {DEADLINE_S:g} s"
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    return child.returncode or 0, said.decode(errors="replace").strip()[-_LAST_WORDS:]
