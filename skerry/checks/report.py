"""What a check is, and how its result is shown: one line each, the next step below it, or a document. Pure.

Our messages say what happened up to the first `: ` or `; `, and from there what to do; what is in parentheses is said
by others. `told` takes them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from skerry.api.meta import Struct
from skerry.api.text import clean

CheckResult = Literal["pass", "warn", "fail", "skip"]

JOIN = (
    "token", "bus.dns", "bus.tcp", "bus.tls", "bus.auth", "clock", "host.version", "host.name", "api.reach",
    "api.version", "identity", "owner", "duplicate", "impersonation", "roles", "bindings", "desired", "resources",
)  # fmt: skip
"""The checks of a cluster that is to join, in order."""
LONGEST = 600
"""Characters of a text: others may have a part in it."""
_WORST: tuple[CheckResult, ...] = ("fail", "warn")


class Outcome(NamedTuple):
    """What a check found."""

    found: str
    result: CheckResult = "pass"
    next: str = ""
    """What to do, of a warn or fail."""


class Check(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A check that was made."""

    where: str
    name: str
    result: CheckResult
    found: str
    next: str = ""
    ms: float = 0.0


class CheckReport(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """All of them."""

    result: CheckResult
    checks: list[Check]
    would_make: list[str] = []


def check(where: str, name: str, outcome: Outcome, ms: float = 0.0) -> Check:
    """A check with its outcome; texts of others lose what does not print."""
    return Check(
        where=where,
        name=name,
        result=outcome.result,
        found=clean(outcome.found, LONGEST),
        next=clean(outcome.next, LONGEST),
        ms=round(ms, 1),
    )


def report(checks: Sequence[Check], would_make: Iterable[str] = ()) -> CheckReport:
    """The whole, with the worst result; nothing would be made if one failed."""
    results = {each.result for each in checks}
    worst: CheckResult = next((each for each in _WORST if each in results), "pass")
    return CheckReport(result=worst, checks=list(checks), would_make=[] if worst == "fail" else list(would_make))


def told(message: str, result: CheckResult = "fail") -> Outcome:
    """A message of ours, taken apart into what was found and what to do."""
    depth = 0
    for place, letter in enumerate(message):
        depth += (letter == "(") - (letter == ")")
        if depth <= 0 and message[place : place + 2] in {": ", "; "}:
            return Outcome(message[:place], result, message[place + 2 :])
    return Outcome(message, result)


def lines(check: Check, *, where: int = 0) -> list[str]:
    """A check for people: its line, and below a warn or fail the next step. `where`: width of that column; 0: none."""
    place = f"{check.where:<{where}}  " if where else ""
    head = f"{place}{check.result}  {check.name:<{_WIDTH}}  {check.found}".rstrip()
    return [head, f"{' ' * len(place)}      {check.next}"] if check.next and check.result in _WORST else [head]


_WIDTH = max(map(len, JOIN))
