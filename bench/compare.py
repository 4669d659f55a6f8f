"""The same load on several ways to one API server, interleaved, so that what drifts hits all of them.

A round is A B C, and ratios are taken within a round; what is reported is their median and their spread. The load
generator runs in a process of its own and is the same for all ways: what it costs cancels out of the ratios.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.federation import CONTEXT, Federation, say
from bench.processes import cpu_s

DIRECT, SKERRY = "direct", "skerry"
GO = "go tunnel"
"""The peer as Rancher sets it up: two idle connections to the API server."""
GO_POOLED = "go tunnel, pooled"
"""The same with a pool for all clients."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """How to reach the API server, and the processes that are on it (name: process id). `prefix` starts the load there."""

    name: str
    kubeconfig: Path
    context: str = ""
    processes: Mapping[str, int] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Case:
    """One comparison. `arguments` go to the module `program`; `figure` of its answer is compared."""

    name: str
    arguments: tuple[str, ...]
    figure: str
    unit: str
    counted: str = "requests"
    """What of the answer CPU is divided by."""
    program: str = "bench.load"


def ways(running: Federation) -> list[Way]:
    """Direct, and through the host and the agent."""
    return [
        Way(name=DIRECT, kubeconfig=running.member.kubeconfig, processes=running.theirs),
        Way(name=SKERRY, kubeconfig=running.through, context=CONTEXT, processes=running.ours),
    ]


def requests(name: str, path: str, clients: int, *more: str, seconds: float = 1.5) -> Case:
    """A case of small requests, compared by requests per second."""
    arguments = ("--path", path, "--clients", str(clients), "--seconds", str(seconds), *more)
    return Case(name=name, arguments=arguments, figure="rps", unit="req/s")


def megabytes(name: str, path: str, clients: int, seconds: float = 2.5) -> Case:
    """A case of large answers, compared by megabytes per second."""
    arguments = ("--path", path, "--clients", str(clients), "--seconds", str(seconds))
    return Case(name=name, arguments=arguments, figure="mbps", unit="MB/s", counted="megabytes")


def run(case: Case, way: Way) -> dict[str, Any]:
    """One round of one case on one way; the answer of the load generator."""
    to = ("--kubeconfig", str(way.kubeconfig), "--context", way.context)
    command = (*way.prefix, sys.executable, "-m", case.program, *to, *case.arguments)
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=Path(__file__).parent.parent)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def compare(case: Case, sides: Sequence[Way], rounds: int) -> dict[str, Any]:
    """`rounds` rounds of `case` on all `sides` (the first is what the others are divided by)."""
    say(f"  {case.name}: {rounds} rounds of {', '.join(side.name for side in sides)}")
    seen: dict[str, list[dict[str, Any]]] = {side.name: [] for side in sides}
    spent = {side.name: dict.fromkeys(side.processes, 0.0) for side in sides}
    for _ in range(rounds):
        for side in sides:
            before = {name: cpu_s(pid) for name, pid in side.processes.items()}
            seen[side.name].append(run(case, side))
            for name, pid in side.processes.items():
                spent[side.name][name] += cpu_s(pid) - before[name]
    first = seen[sides[0].name]
    return {
        "case": case.name,
        "unit": case.unit,
        "cpu_per": "MB" if case.counted == "megabytes" else case.counted.removesuffix("s"),
        "ways": {side.name: _way(case, seen[side.name], first, spent[side.name]) for side in sides},
    }


def _way(
    case: Case, answers: list[dict[str, Any]], first: list[dict[str, Any]], spent: Mapping[str, float]
) -> dict[str, Any]:
    units = sum(answer[case.counted] for answer in answers) or 1e-9
    ratios = [answer[case.figure] / (base[case.figure] or 1e-9) for answer, base in zip(answers, first, strict=True)]
    return {
        "value": _median(answers, case.figure),
        "ratio": statistics.median(ratios),
        "spread": [min(ratios), max(ratios)],
        "p50_ms": _median(answers, "p50_ms"),
        "p99_ms": _median(answers, "p99_ms"),
        "added_p50_ms": _median(answers, "p50_ms") - _median(first, "p50_ms"),
        "added_p99_ms": _median(answers, "p99_ms") - _median(first, "p99_ms"),
        "cpu_ms": {name: seconds * 1e3 / units for name, seconds in spent.items()},
        "failures": [answer["failures"] for answer in answers if answer["failures"]],
    }


def _median(answers: Sequence[Mapping[str, Any]], figure: str) -> float:
    return float(statistics.median(answer[figure] for answer in answers))


def show(console: Console, title: str, cases: Sequence[Mapping[str, Any]], aims: Mapping[str, str]) -> None:
    """What people read: one line per case and way; then where the CPU of each way went."""
    shown = Table(title=title, title_justify="left")
    for column in ("case", "way", "measured", "of direct", "spread", "p50 ms", "p99 ms", "aim"):
        shown.add_column(column)
    spent = Table(title="CPU of the processes on the way, ms per request, MB or event", title_justify="left")
    for column in ("case", "way", "together", "each"):
        spent.add_column(column)
    for case in cases:
        for number, (name, way) in enumerate(case["ways"].items()):
            shown.add_row(
                case["case"] if number == 0 else "",
                *_row(case, name, way),
                aims.get(case["case"], "") if name == SKERRY else "",
            )
            if way["cpu_ms"]:
                spent.add_row(case["case"] if number == 0 else "", name, *_spent(case, way))
        shown.add_section()
        spent.add_section()
    console.print(shown)
    console.print(spent)


def _row(case: Mapping[str, Any], name: str, way: Mapping[str, Any]) -> list[str]:
    failed = f" FAILED {way['failures']}" if way["failures"] else ""
    against = ["", ""]
    if name != DIRECT:
        against = [f"{way['ratio']:.2f}", f"{way['spread'][0]:.2f}-{way['spread'][1]:.2f}"]
    return [
        name,
        f"{way['value']:.0f} {case['unit']}{failed}",
        *against,
        f"{way['p50_ms']:.2f}",
        f"{way['p99_ms']:.2f}",
    ]


def _spent(case: Mapping[str, Any], way: Mapping[str, Any]) -> list[str]:
    worth = {process: ms for process, ms in way["cpu_ms"].items() if ms >= 0.01}
    each = ", ".join(f"{process} {ms:.2f}" for process, ms in worth.items())
    return [f"{sum(way['cpu_ms'].values()):.2f} per {case['cpu_per']}", each]
