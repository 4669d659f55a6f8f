"""A registry that starts again with 2,000 members: how long until it has looked at each, and that it writes nothing.

Its predecessor ended orderly, so the lease is free; the members beat on. What it wrote is counted from before the start until
well after the time in which a member that is silent counts as lost: nothing had changed, so there is nothing to write.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from bench.federation import say
from bench.processes import cpu_s, kept_waiting_s
from bench.workloads import Members, Workloads, quiet, workloads
from services.registry.model import BEAT_S, LOST_S
from skerry import subjects
from skerry.bus import Bus
from skerry.errors import StatusError

MEMBERS = 2_000
CONTROLLER = "registry/clusters"
AFTER_S = LOST_S + BEAT_S
"""How long writes are counted after the start."""
DEADLINE_S = 120.0


def measure(rounds: int) -> dict[str, Any]:
    """Seconds of each start, and what was written."""
    with workloads() as bench, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(bench, rounds))


async def _measure(bench: Workloads, rounds: int) -> dict[str, Any]:
    members = Members(bench.host, MEMBERS)
    say(f"registry: {MEMBERS} members join")
    await members.join(accounts=True)
    async with members.beating() as bus:
        async with bench.running("registry", "services.registry"):
            await quiet(bus, BEAT_S + 2, DEADLINE_S)
        bucket = await bus.bucket(subjects.RESOURCES)
        before = await bucket.last_revision()
        starts = []
        for turn in range(rounds):
            say(f"  start {turn + 1}")
            started = time.monotonic()
            async with bench.running("registry", "services.registry") as process:
                ready_s = time.monotonic() - started
                await _looked(bus)
                looked_s = time.monotonic() - started
                spent_s, waited_s = cpu_s(process.pid), kept_waiting_s(process.pid)
                if turn == rounds - 1:
                    await asyncio.sleep(AFTER_S)
            starts.append({"ready_s": ready_s, "looked_s": looked_s, "cpu_s": spent_s, "waited_s": waited_s})
        written = await bucket.changes(">", before)
    return {
        "members": MEMBERS,
        "starts": starts,
        "written": len(written.entries),
        "keys": [entry.key for entry in written.entries[:10]],
    }


async def _looked(bus: Bus) -> None:
    """Wait until the controller of statuses has had every member once, and has none left."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            for each in await _figures(bus):
                if each["controller"] == CONTROLLER and each["reconciles"] >= MEMBERS and each["depth"] == 0:
                    return
            await asyncio.sleep(0.02)


async def _figures(bus: Bus) -> list[dict[str, Any]]:
    try:
        answer = await bus.request("$SRV.STATS.registry", timeout_s=1.0)
    except StatusError:
        return []
    return list(msgspec.json.decode(answer.data)["data"])


def show(figures: Mapping[str, Any], console: Console) -> None:
    """The table that people read."""
    table = Table(title=f"A registry starts again with {figures['members']:,} members that beat", title_justify="left")
    for column in ("what", "median", "worst", "aim"):
        table.add_column(column)
    for key, what, aim in (
        ("ready_s", "from the start of its process until it is ready", ""),
        ("looked_s", "until it has looked at every member", "<= 2 s"),
        ("cpu_s", "CPU of it until then", ""),
        ("waited_s", "of it kept waiting for a CPU, by nats-server and this bench too", ""),
    ):
        seconds = [start[key] for start in figures["starts"]]
        table.add_row(what, f"{statistics.median(seconds):.2f} s", f"{max(seconds):.2f} s", aim)
    table.add_row(f"objects written, {AFTER_S:.0f} s after the last start too", str(figures["written"]), "", "0")
    console.print(table)
    if figures["keys"]:
        console.print(f"written: {', '.join(figures['keys'])}")
