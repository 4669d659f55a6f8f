"""`make bench`: run the benchmarks, print their tables, and keep the figures as JSON in `bench/results/`.

python -m bench                     all suites
python -m bench kernel tunnel       these
python -m bench --rounds 1 kernel   a quick look
python -m bench fleet --members 500 --only quiet,dead
python -m bench joining --rounds 1 --only floods
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console

SUITES = (
    "access",
    "grants",
    "kernel",
    "tunnel",
    "exec",
    "recording",
    "doctor",
    "login",
    "hostapi",
    "uploads",
    "audit",
    "events",
    "sinks",
    "appstore",
    "informer",
    "inventory",
    "memory",
    "registry",
    "fleet",
    "joining",
    "helm",
    "hostile",
    "releases",
    "catalogue",
    "preflight",
    "deploy",
)
RESULTS = Path(__file__).with_name("results")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, show, and write `<results>/<suite>.json`, one after the other."""
    available = [name for name in SUITES if importlib.util.find_spec(f"bench.{name}")]
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(available)}; default: all")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds of each case (default 5)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the JSON goes (default bench/results)")
    parser.add_argument("--members", type=int, help="of a fleet (default 2,000)")
    parser.add_argument("--only", metavar="SCENARIO[,…]", help="of a suite that has several")
    options = parser.parse_args(arguments)
    chosen = {} if options.members is None else {"members": options.members}
    if options.only:
        chosen["only"] = tuple(options.only.split(","))
    if options.members is not None and options.suites != ["fleet"]:
        parser.error("--members is of the suite fleet")
    if options.only and options.suites not in (["fleet"], ["joining"]):
        parser.error("--only is of the suites fleet and joining")
    unknown = [name for name in options.suites if name not in available]
    if unknown or options.rounds < 1:
        parser.error(f"no suite {unknown[0]}: use {', '.join(available)}" if unknown else "--rounds is at least 1")
    console = Console()
    if not console.is_terminal:  # a log or a file: as wide as the tables are
        console = Console(width=150)
    for name in options.suites or available:
        _run(importlib.import_module(f"bench.{name}"), name, options.rounds, options.results, console, chosen)


def _run(suite: ModuleType, name: str, rounds: int, results: Path, console: Console, chosen: Mapping[str, Any]) -> None:
    started = time.monotonic()
    figures: dict[str, Any] = suite.measure(rounds, **chosen)
    figures["command"] = " ".join(
        (f"python -m bench {name} --rounds {rounds}", *(f"--{key} {_text(value)}" for key, value in chosen.items()))
    )
    figures["seconds"] = round(time.monotonic() - started)
    figures["machine"] = {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
    }
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{'-'.join((name, *chosen.get('only', ())))}.json"
    path.write_text(json.dumps(figures, indent=2) + "\n")
    suite.show(figures, console)
    console.print(f"{figures['command']}: {figures['seconds']} s, {os.cpu_count()} cores; figures in {path}\n")


def _text(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


if __name__ == "__main__":
    main()
