"""The main job, measured: start times, memory, and requests through the agent against the same requests made directly."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import compare, fill, floor
from bench.compare import Case, megabytes, requests
from bench.federation import federation, say
from bench.processes import peak_mib, rss_mib

HOST_TREE = ("supervisor", "controller-manager", "tower")
SETTLE_S = 5.0
"""Idle means: so long after the start."""

CASES: tuple[tuple[Case, str], ...] = (
    (requests("GET /version, 1 client", "/version", 1), ""),
    (requests("GET /version, 16 keep-alive clients", "/version", 16), ">= 0.45"),
    (requests("GET /version, 16 clients, new connection each", "/version", 16, "--new-connections"), ""),
    (megabytes("LIST 6 MB, 4 clients", fill.LIST, 4), ">= 0.55"),
)


def measure(rounds: int) -> dict[str, Any]:
    """All figures of the main job."""
    figures: dict[str, Any] = {"fsync_ms": floor.fsync_ms(), "bus_request_ms": floor.bus_request_ms()}
    say("kernel: starting a host, a member and its agent")
    with federation() as running:
        time.sleep(SETTLE_S)
        idle = {name: rss_mib(pid) for name, pid in running.ours.items()}
        fill.namespace(running.member.kubeconfig, "bench", objects=600, size=10_000)
        sides = compare.ways(running)
        for case, _ in CASES:
            compare.run(case, sides[-1])
        cases = [compare.compare(case, sides, rounds) for case, _ in CASES]
        return figures | {
            "up_s": running.up_s,
            "agent_s": running.agent_s,
            "idle_rss_mib": idle,
            "host_tree_mib": sum(idle[name] for name in HOST_TREE),
            "peak_rss_mib": {name: peak_mib(pid) for name, pid in running.ours.items()},
            "cases": cases,
        }


def show(figures: Mapping[str, Any], console: Console) -> None:
    """The tables that people read."""
    starts = Table(title="Starting, and memory when idle", title_justify="left")
    for column in ("what", "measured", "aim"):
        starts.add_column(column)
    starts.add_row("skerry up to ready", f"{figures['up_s']:.2f} s", "<= 3 s")
    starts.add_row("skerry agent to Ready", f"{figures['agent_s']:.2f} s", "<= 3 s")
    starts.add_row("agent", f"{figures['idle_rss_mib']['agent']:.0f} MiB", "<= 64 MiB")
    starts.add_row("host processes without nats-server", f"{figures['host_tree_mib']:.0f} MiB", "<= 180 MiB")
    for name, mib in figures["idle_rss_mib"].items():
        starts.add_row(f"  {name}", f"{mib:.0f} MiB", "")
    starts.add_row("floor: one fsync of 4 KiB", f"{figures['fsync_ms']:.2f} ms", "")
    starts.add_row("floor: one bare bus request", f"{figures['bus_request_ms']:.2f} ms", "")
    console.print(starts)
    aims = {case.name: aim for case, aim in CASES}
    compare.show(console, "Through the agent against direct, interleaved, medians", figures["cases"], aims)
