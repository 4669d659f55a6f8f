"""What each service of the host keeps in memory: with no Cluster, and with 10,000 members that beat, beside the limits.

A service's own part is that of a process that has it alone beyond one that has none: its code and what it holds. A process
without one has what all of them share: the informer keeps of every object what garbage collection needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from bench.federation import say
from bench.services import available
from bench.workloads import Members, Workloads, quiet, workloads
from services.registry.model import BEAT_S
from skerry.identity.services import CONTROLLER_MANAGER, TOWER

CLUSTERS = 10_000
LIMITS_MIB = {CONTROLLER_MANAGER: 512, TOWER: 256}
"""What a workload may have (docs/architecture.md)."""
STILL_S = BEAT_S + 2.0
"""A process has come to rest when nothing was written for so long; every member was heard meanwhile."""
DEADLINE_S = 300.0
NOTHING, ALL, JOINING = "no service", "all of them", "all of them, as the members become ready"


def measure(rounds: int) -> dict[str, Any]:
    """Resident and peak memory of each process in MiB. Memory does not vary as times do: one round is measured."""
    with workloads() as bench, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(bench))


async def _measure(bench: Workloads) -> dict[str, Any]:
    every = available()
    parts = {JOINING: every, ALL: every, NOTHING: [], **{name: [name] for name in every}}
    say("memory: without a Cluster")
    empty = await _each(bench, Members(bench.host, 0), parts)
    members = Members(bench.host, CLUSTERS)
    say(f"memory: {CLUSTERS} members join")
    await members.join(accounts=False)
    full = await _each(bench, members, parts)
    return {"clusters": CLUSTERS, "empty": empty, "full": full}


async def _each(bench: Workloads, members: Members, parts: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """Of each process: resident and peak, when it has come to rest. The first writes the status of every member."""
    figures = {}
    async with members.beating() as bus:
        for what, names in parts.items():
            say(f"  {CONTROLLER_MANAGER}: {what}")
            async with bench.running(CONTROLLER_MANAGER, "bench.services", *names) as process:
                await quiet(bus, STILL_S, DEADLINE_S)
                figures[what] = {"rss_mib": process.memory_mib("VmRSS"), "peak_mib": process.memory_mib()}
                if what == ALL:
                    say(f"  {TOWER}")
                    async with bench.running("proxy", "services.tower") as tower:
                        await asyncio.sleep(STILL_S)
                        figures[TOWER] = {"rss_mib": tower.memory_mib("VmRSS"), "peak_mib": tower.memory_mib()}
    return figures


def show(figures: Mapping[str, Any], console: Console) -> None:
    """The table that people read."""
    empty, full = figures["empty"], figures["full"]
    table = Table(title="Memory of the host's workloads, MiB", title_justify="left")
    for column in ("what", "empty", f"{figures['clusters']:,} Clusters", "peak", "limit"):
        table.add_column(column)
    for name in empty:
        if name not in (NOTHING, ALL, JOINING, TOWER):
            added = [each[name]["rss_mib"] - each[NOTHING]["rss_mib"] for each in (empty, full)]
            table.add_row(f"{CONTROLLER_MANAGER}: {name} adds", *(f"{mib:.1f}" for mib in added), "", "")
    for name, what, limit in (
        (NOTHING, f"{CONTROLLER_MANAGER}, {NOTHING}", CONTROLLER_MANAGER),
        (ALL, f"{CONTROLLER_MANAGER}, {ALL}", CONTROLLER_MANAGER),
        (JOINING, f"{CONTROLLER_MANAGER}, {JOINING}", CONTROLLER_MANAGER),
        (TOWER, TOWER, TOWER),
    ):
        sizes = (empty[name]["rss_mib"], full[name]["rss_mib"], full[name]["peak_mib"])
        table.add_row(what, *(f"{mib:.1f}" for mib in sizes), str(LIMITS_MIB[limit]))
    console.print(table)
