"""The data plane against direct access and against a Go tunnel that does the same job, interleaved in one run.

Exec needs a node and has a suite of its own (`exec`).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import compare, fill, peer, stalls, streams
from bench.compare import DIRECT, GO, GO_POOLED, SKERRY, Case, megabytes, requests
from bench.federation import Federation, federation, say
from bench.processes import rss_mib

ONE, SIXTEEN, NEW, LIST, PODS = (
    "GET /version, 1 client",
    "GET /version, 16 keep-alive clients",
    "GET /version, 16 clients, new connection each",
    "LIST of 6 MB of ConfigMaps, 4 clients",
    "LIST of 2,000 Pods (8 MB), 4 clients",
)
WATCH = "100 watches, 500 events/s (latency of an event)"
AIMS = {
    ONE: "p50 <= direct + 0.6 ms",
    SIXTEEN: ">= 0.5; >= 1.5 x go",
    NEW: ">= 0.9; >= 2 x go",
    LIST: ">= 0.65; >= 1 x go; <= 4 ms/MB",
    PODS: ">= 0.65; >= 1 x go; <= 4 ms/MB",
}


def cases(running: Federation) -> list[Case]:
    """What is compared."""
    watching = ("--watches", "100", "--rate", "5", "--seconds", "5", "--writer", str(running.member.kubeconfig))
    return [
        requests(ONE, "/version", 1),
        requests(SIXTEEN, "/version", 16),
        requests(NEW, "/version", 16, "--new-connections"),
        megabytes(LIST, fill.LIST, 4),
        megabytes(PODS, fill.PODS, 4),
        Case(name=WATCH, arguments=watching, figure="eps", unit="events/s", counted="events", program="bench.watching"),
    ]


def measure(rounds: int) -> dict[str, Any]:
    """All comparisons, then memory."""
    program = peer.build()
    say("tunnel: starting a host, a member, its agent and the Go peer")
    with ExitStack() as stack:
        running = stack.enter_context(federation())
        fill.namespace(running.member.kubeconfig, "bench", objects=600, size=10_000)
        fill.namespace(running.member.kubeconfig, "bench-watch")
        fill.pods(running.member.kubeconfig)
        fill.clock(running.member.kubeconfig)
        sides = compare.ways(running)
        if program is not None:
            one = running.member
            place = peer.Place(directory=running.directory, upstream=one.url, ca=one.ca, pki=one.directory / "pki")
            for name, idle in ((GO, 2), (GO_POOLED, 200)):
                sides.append(stack.enter_context(peer.running(program, place, name, idle=idle)))
        measured = cases(running)
        for side in sides[1:]:
            for case in measured[:-1]:
                compare.run(case, side)
        compared = [compare.compare(case, sides, rounds) for case in measured]
        rss = {side.name: {name: rss_mib(pid) for name, pid in side.processes.items()} for side in sides}
        return {
            "cases": compared,
            "rss_mib": rss,
            "memory": streams.measure(running, sides[1]),
            "stalls": stalls.measure(sides[1], rounds),
            "peer": "built from bench/gopeer" if program else "not measured: no Go toolchain",
        }


def show(figures: Mapping[str, Any], console: Console) -> None:
    """The tables that people read."""
    compare.show(console, "Direct, Skerry and a Go tunnel, interleaved, medians", figures["cases"], AIMS)
    shown = Table(title="Against the Go tunnel, and memory", title_justify="left")
    for column in ("what", "measured", "aim"):
        shown.add_column(column)
    for case in figures["cases"]:
        for name in (GO, GO_POOLED):
            if name in case["ways"]:
                times = case["ways"][SKERRY]["value"] / (case["ways"][name]["value"] or 1e-9)
                shown.add_row(f"{case['case']}: {SKERRY} / {name}", f"{times:.2f}", _against_go(case["case"]))
    for way, processes in figures["rss_mib"].items():
        if way == DIRECT:
            continue
        for name, mib in processes.items():
            shown.add_row(f"RSS after the cases: {way}, {name}", f"{mib:.0f} MiB", "")
    large, idle = figures["memory"]["large"], figures["memory"]["idle_watches"]
    what = f"{large['watches']} watches and a LIST of {large['megabytes']:.0f} MB"
    for name, mib in large["peak_mib"].items():
        shown.add_row(f"peak of {name}: {what}", f"{mib:.0f} MiB", "<= 96 MiB" if name == "agent" else "")
    for name, mib in idle["rss_mib"].items():
        aim = "<= 150 MiB" if name == "tower" else ""
        shown.add_row(f"RSS of {name}: {idle['watches']} idle watches", f"{mib:.0f} MiB", aim)
    for readers, times in figures["stalls"]["ratio"].items():
        aim = "<= 1.2" if readers == "1" else ""
        shown.add_row(f"p99 of GET /version beside {readers} stalled bulk readers / alone", f"{times:.2f}", aim)
    console.print(shown)


def _against_go(case: str) -> str:
    aim = AIMS.get(case, "")
    return next((part.strip() for part in aim.split(";") if "go" in part), "")
