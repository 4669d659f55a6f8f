"""What kubectl waits for before each of its processes: `skerry login --exec` with a token that is kept, beside Python's own start.

Both are processes, one after the other in turn, so that a busy machine is busy for both. The limit is 60 ms over Python.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from skerry.cli.login.cache import LoginCache, StoredLogin
from skerry.cli.login.parameters import parameters

CALLS = 20
"""In each round, of each."""
TOKEN = ".".join(("a" * 60, "b" * 1200, "c" * 342))
"""As long as one with a few groups, signed with RSA."""


def measure(rounds: int) -> dict[str, Any]:
    """Milliseconds of wall clock from start to end, and of processor."""
    with tempfile.TemporaryDirectory() as directory:
        known = parameters("https://idp.example.com", "skerry", "email groups offline_access")
        where = os.path.join(directory, "skerry", "login")  # noqa: PTH118
        LoginCache(where, known.digest).write(StoredLogin(TOKEN, time.time() + 86400))
        environment = {"PATH": os.environ["PATH"], "XDG_CACHE_HOME": directory}
        skerry = str(Path(sysconfig.get_path("scripts")) / "skerry")
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "skerry login --exec": [skerry, *known.arguments()],
            "skerry version": [skerry, "version"],
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for number in range(rounds * CALLS + 1):
            for name, command in commands.items():
                figures = _run(command, environment)
                if number:  # the first fills caches
                    taken[name].append(figures)
    return {"calls": rounds * CALLS, "commands": {name: _figures(each) for name, each in taken.items()}}


def _run(command: Sequence[str], environment: dict[str, str]) -> tuple[float, float]:
    before, started = os.times(), time.perf_counter()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    seconds, after = time.perf_counter() - started, os.times()
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds * 1000, processor * 1000


def _figures(taken: list[tuple[float, float]]) -> dict[str, float]:
    wall, processor = zip(*taken, strict=True)
    return {
        "median_ms": round(statistics.median(wall), 1),
        "p90_ms": round(statistics.quantiles(wall, n=10)[-1], 1),
        "processor_ms": round(statistics.mean(processor), 1),
    }


def show(figures: dict[str, Any], console: Console) -> None:
    """A row for each command, and what it takes over Python itself."""
    columns = ("command", "median ms", "p90 ms", "processor ms", "median over Python", "processor over Python")
    table = Table(*columns, title=f"what kubectl waits for, {figures['calls']} calls of each; limit 60 ms over Python")
    floor = figures["commands"]["python -c pass"]
    for name, each in figures["commands"].items():
        over = [f"{each[key] - floor[key]:.1f}" for key in ("median_ms", "processor_ms")]
        table.add_row(name, *(str(each[key]) for key in ("median_ms", "p90_ms", "processor_ms")), *over)
    console.print(table)
