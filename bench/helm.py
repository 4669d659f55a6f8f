"""What the walls around Helm cost: the same chart rendered by `helm template` alone and by the engine, one after the other.

By the library in a wheel too, where it is installed. The engine's figure has all of it: a directory, files, the launcher, the
jail, reading the answer.
"""

from __future__ import annotations

import asyncio
import importlib.util
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.federation import say
from services.appstore.helm import rooms
from services.appstore.helm.commandline import CommandLine
from services.appstore.helm.engine import Engine, RenderRequest
from services.appstore.helm.jail import walls
from services.appstore.helm.lookup import SDK
from services.appstore.helm.sdk import Sdk
from tests.clients import tools

RUNS = 10
"""Of each, in a round."""


def measure(rounds: int) -> dict[str, Any]:
    """Milliseconds: medians of each way, and what the jail adds."""
    say("helm: template of `helm create`")
    program = tools.obtain(["helm-4"], say)["helm-4"]
    with tempfile.TemporaryDirectory(prefix="bench-helm-") as directory:
        chart = _chart(program, Path(directory))
        request = RenderRequest(chart=chart, release="web", namespace="shop")
        bare = [str(program), "template", "web", str(chart), "--namespace=shop", "--include-crds"]

        async def alone() -> None:
            subprocess.run(bare, capture_output=True, check=True, env={"HOME": directory}, timeout=60)

        async def jailed(engine: Engine) -> None:
            with rooms.directory() as own:
                await engine.template(request, own / "manifest.yaml")

        ways: dict[str, Callable[[], Awaitable[object]]] = {
            "alone": alone,
            "jail": partial(jailed, CommandLine(program)),
        }
        if importlib.util.find_spec(SDK) is not None:
            ways["library"] = partial(jailed, Sdk())
        taken = asyncio.run(_measure(rounds, ways))
    figures = {f"{name}_ms": round(statistics.median(times) * 1e3, 1) for name, times in taken.items()}
    overhead = [jail - bare for jail, bare in zip(taken["jail"], taken["alone"], strict=True)]
    return {"walls": list(walls()), **figures, "overhead_ms": round(statistics.median(overhead) * 1e3, 1)}


def _chart(program: Path, directory: Path) -> Path:
    environ = {"HOME": str(directory)}
    for command in (["create", "web"], ["package", "web"]):
        subprocess.run(
            [str(program), *command], cwd=directory, env=environ, capture_output=True, check=True, timeout=60
        )
    return next(directory.glob("*.tgz"))


async def _measure(rounds: int, ways: dict[str, Callable[[], Awaitable[object]]]) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        await way()
    for _ in range(rounds * RUNS):
        for name, way in ways.items():
            started = time.perf_counter()
            await way()
            taken[name].append(time.perf_counter() - started)
    return taken


def show(results: dict[str, Any], console: Console) -> None:
    """One line a way."""
    table = Table(title=f"helm template, walls: {', '.join(results['walls'])}")
    table.add_column("way")
    table.add_column("median, ms", justify="right")
    for key, value in results.items():
        if key.endswith("_ms"):
            table.add_row(key.removesuffix("_ms"), str(value))
    console.print(table)
