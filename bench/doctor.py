"""How long `skerry doctor` takes for a host with 20 direct members, all well, and with one of them that hangs.

Members are stand-ins for API servers in this process; host and command are what users start.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.federation import say
from skerry.http.exchange import Exchange
from tests.e2e.federation import Host
from tests.member.apiserver import ApiServer

MEMBERS = 20
PATHS = ("/version", "/readyz", "/api/v1/namespaces/kube-system")


def measure(rounds: int) -> dict[str, Any]:
    """Seconds from the start of the command to its end."""
    return asyncio.run(_measure(rounds))


async def _measure(rounds: int) -> dict[str, Any]:
    say(f"doctor: a host and {MEMBERS} members")
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        host = stack.enter_context(Host(directory / "h"))
        await asyncio.to_thread(host.up)
        apis = []
        for number in range(MEMBERS):
            api = await stack.enter_async_context(ApiServer(directory / f"m{number}", uid=f"uid-{number}"))
            words = ("cluster", "join", f"m{number}", "--direct", "--kubeconfig", str(api.kubeconfig()))
            await asyncio.to_thread(host.ok, *words)
            apis.append(api)
        well = [await _seconds(host) for _ in range(rounds)]
        ended = asyncio.Event()

        async def hang(exchange: Exchange) -> None:
            await ended.wait()

        apis[0].routes |= dict.fromkeys(PATHS, hang)
        hung = [await _seconds(host) for _ in range(rounds)]
        ended.set()
    return {"members": MEMBERS, "well": _figures(well), "one hangs": _figures(hung)}


async def _seconds(host: Host) -> float:
    started = time.perf_counter()
    await asyncio.to_thread(host.skerry, "doctor", "-o", "json")
    return time.perf_counter() - started


def _figures(seconds: list[float]) -> dict[str, float]:
    return {"median_s": round(statistics.median(seconds), 2), "max_s": round(max(seconds), 2)}


def show(figures: dict[str, Any], console: Console) -> None:
    """A row for each case."""
    table = Table("skerry doctor", "median s", "max s", "at most s", title=f"a host and {figures['members']} members")
    for name, most in (("well", "3"), ("one hangs", "16")):
        row = figures[name]
        table.add_row(name, f"{row['median_s']:.2f}", f"{row['max_s']:.2f}", most)
    console.print(table)
