"""Running checks: each by its name, in its time, told in the order of the list whichever is done first.

Checks that stand on others are skipped when those failed, naming them: so each cause is told once.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence

from skerry.checks import report
from skerry.checks.report import Check, Outcome
from skerry.errors import SkerryError, StatusError
from skerry.member.identity import LASTING

log = logging.getLogger("skerry.checks")

LIMIT_S = 20.0
"""Of one check. What it asks others has limits of its own, which are shorter."""
_NOT_NOW = {429, 502, 503, 504}
WAIT_S = 2.0
"""After this it is told what a check waits for."""


class CheckFailed(SkerryError):
    """A named check failed; nothing has been changed."""

    def __init__(self, check: Check, *, may_pass: bool = False) -> None:
        """`may_pass`: the same may work later with nobody's help."""
        super().__init__(f"{check.name}: {check.found}" + (f": {check.next}" if check.next else ""))
        self.check, self.may_pass = check.name, may_pass


class Checks:
    """One run of the checks `names`, in this order, of `where`."""

    def __init__(
        self,
        where: str,
        names: Sequence[str],
        tell: Callable[[Check], None] = lambda check: None,
        waiting: Callable[[str, str], None] = lambda name, what: None,
        *,
        wait_s: float = WAIT_S,
        limit_s: float = LIMIT_S,
        until: float = math.inf,
    ) -> None:
        """`tell` gets each as soon as all before it are known; `waiting` the name of one that takes long, and for what.

        `until` is the loop's time at which all of them are over, done or not.
        """
        self._where, self._names = where, tuple(names)
        self._tell, self._waiting = tell, waiting
        self._wait_s, self._limit_s, self._until = wait_s, limit_s, until
        self.timed_out = False
        """Whether something did not end in its time."""
        self.unanswered: set[str] = set()
        """Checks that failed because who was asked gave no answer, or could not now."""
        self._known: dict[str, Check] = {}
        self._told = 0

    @property
    def checks(self) -> list[Check]:
        """Those that are known, in order."""
        return [self._known[name] for name in self._names if name in self._known]

    def knows(self, name: str) -> bool:
        """Whether it has an outcome."""
        return name in self._known

    def stands(self, name: str) -> bool:
        """Whether it passed, if only with a warning."""
        return name in self._known and self._known[name].result in {"pass", "warn"}

    def keep(self, name: str, outcome: Outcome, ms: float = 0.0) -> None:
        """Take an outcome that is known."""
        if name not in self._names:
            raise ValueError(f"there is no check {name}")
        self._known[name] = report.check(self._where, name, outcome, ms)
        while self._told < len(self._names) and self._names[self._told] in self._known:
            self._tell(self._known[self._names[self._told]])
            self._told += 1

    async def run(
        self,
        name: str,
        work: Callable[[], Awaitable[Outcome]],
        *,
        needs: Sequence[str] = (),
        waits_for: str = "",
        limit_s: float | None = None,
    ) -> bool:
        """Make one check; whether it stands. What it raises of our errors is a fail, what it may not take longer is too."""
        missing = next((each for each in needs if not self.stands(each)), "")
        if missing:
            self.keep(name, Outcome(f"not looked at, because {missing} did not pass", "skip"))
            return False
        loop, started = asyncio.get_running_loop(), time.perf_counter()
        timer = loop.call_later(self._wait_s, self._waiting, name, waits_for)
        try:
            async with asyncio.timeout_at(min(loop.time() + (limit_s or self._limit_s), self._until)):
                outcome = await work()
        except TimeoutError:
            self.timed_out = True
            self.unanswered.add(name)
            outcome = Outcome(
                f"no answer in time ({waits_for or name})", "fail", "try again; then look at who answers there"
            )
        except StatusError as error:
            if error.code in _NOT_NOW and not isinstance(error, LASTING):
                self.unanswered.add(name)
            outcome = report.told(error.message)
        except SkerryError as error:
            outcome = report.told(str(error))
        except OSError as error:
            outcome = Outcome(
                f"{error.filename or name}: {error.strerror or error}", "fail", "see that it is there and may be read"
            )
        except Exception:
            log.exception("a check could not be made", extra={"check": name})
            outcome = Outcome("it could not be made, by an internal error", "fail", "the log has it; please report it")
        finally:
            timer.cancel()
        self.keep(name, outcome, (time.perf_counter() - started) * 1000)
        return self.stands(name)

    def raise_failed(self) -> None:
        """CheckFailed for the first that failed."""
        for check in self.checks:
            if check.result == "fail":
                raise CheckFailed(check)
