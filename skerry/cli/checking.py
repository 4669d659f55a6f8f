"""Checks on the terminal: as they come on stderr, or all of them as a result on stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skerry.cli.failure import FAILED, USAGE, Failure
from skerry.cli.term import out, say

if TYPE_CHECKING:
    from skerry.checks.report import Check, CheckReport


def check_style(style: str, *, dry_run: bool = True) -> None:
    """Failure (usage) for a format of which a report cannot be, or where nothing is reported."""
    if style not in ("", "json"):
        raise Failure(f"-o {style}: use json", USAGE)
    if style and not dry_run:
        raise Failure("-o json goes with --dry-run", USAGE)


def tell(check: Check) -> None:
    """A check as it comes, on stderr."""
    from skerry.checks.report import lines

    for line in lines(check):
        say(line)


def waiting(name: str, what: str) -> None:
    """For what it is waited, on stderr."""
    say(f"waiting for check {name}" + (f" ({what})" if what else ""))


def shown(report: CheckReport, style: str, *, where: bool = False) -> None:
    """All of them on stdout. Failure naming those that failed. `where`: with the column of whom they are."""
    from skerry.checks.report import lines

    if style:
        import msgspec

        out(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        width = max((len(each.where) for each in report.checks), default=0) if where else 0
        for each in report.checks:
            for line in lines(each, where=width):
                out(line)
        for made in report.would_make:
            say(f"would make: {made}")
    if report.result == "fail":
        raise Failure(failed(report), FAILED)


def failed(report: CheckReport) -> str:
    """The names of those that failed, in one line."""
    names = [f"{each.where} {each.name}" for each in report.checks if each.result == "fail"]
    return f"failed: {', '.join(names)}"
