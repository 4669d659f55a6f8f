"""Whoever takes part in an operation on a release is killed at each step of each operation: it comes to what is wanted by itself.

`docs/app-store-faults.md` has what the user read meanwhile, and is written by a run with SKERRY_TEST_WRITE_TABLE=1.
"""

from __future__ import annotations

import os
import time
from itertools import product
from pathlib import Path
from typing import get_args

import pytest

from tests.e2e.killing import Case, Ground, Operation, Step, Victim

pytestmark = [pytest.mark.kube, pytest.mark.soak, pytest.mark.timeout(600)]

TABLE = Path(__file__).parents[2] / "docs" / "app-store-faults.md"
HEAD = "| killed | operation, and its step | seconds | read meanwhile in `status.message` of the AppInstance |"
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
STEPS: tuple[Step, ...] = ("before", "after")


def cases() -> list[Case]:
    """All, two moments at a time: two releases are worked on at once."""
    moments = list(product(OPERATIONS, STEPS))
    half = len(moments) // 2
    pairs = list(zip(moments[:half], moments[half:], strict=True))
    launches = [(operation, "launch") for operation in OPERATIONS]
    every: list[Case] = [Case("launcher", (moment,)) for moment in launches]  # type: ignore[arg-type]
    return every + [Case(victim, pair) for victim, pair in product(get_args(Victim), pairs) if victim != "launcher"]


@pytest.mark.parametrize("case", cases(), ids=str)
def test_who_is_killed_at_any_step_leaves_what_is_wanted(killing: Ground, case: Case) -> None:
    started = time.monotonic()
    said = killing.runs(case, hurry=False, deadline_s=100.0)
    if os.environ.get("SKERRY_TEST_WRITE_TABLE"):
        written(case, time.monotonic() - started, said)


def written(case: Case, seconds: float, said: str) -> None:
    """The table with a row of this run."""
    head, _, body = TABLE.read_text().partition(f"{HEAD}\n")
    first = f"| {case.victim} | {', '.join(f'{operation}: {step}' for operation, step in case.moments)} |"
    rows = [row for row in body.splitlines() if not row.startswith(first)]
    text = said.replace("|", "\\|").replace("\n", " ") or "nothing: it went on by itself"
    TABLE.write_text("\n".join([f"{head}{HEAD}", *rows, f"{first} {seconds:.0f} | {text} |", ""]))
