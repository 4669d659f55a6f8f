"""What an installation takes, beside what it asks for (skerry/requirements.toml): images, and each workload idle and under load.

Workloads are processes of a real host with one member behind its agent, below their pods' limits of CPU where the machine lets us
set them: then throughput is what the limits allow. Fifty members are their entries and heartbeats, with another host. An image is
what is laid above its base, file by file.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from bench import fill, limits, processes
from bench.federation import CONTEXT, Federation, federation, say
from bench.workloads import Members, workloads
from deploy.docker import context
from deploy.docker.install import stripped
from skerry import requirements
from skerry.api.quantity import NANO
from skerry.demand import written
from skerry.identity.services import CONTROLLER_MANAGER

IDLE_S, LOAD_S = 20.0, 8.0
CLIENTS = 16
MEMBERS = 50
LISTED = "/api/v1/namespaces/listed/configmaps"
WORKLOADS = {
    "controller-manager": "controller-manager",
    "tower": "tower",
    "nats-server": "nats-server",
    "agent": "agent",
}
"""Rows of the requirements, and the names of their processes."""
AIMS_MB = {"host": 170, "agent": 40}


def measure(rounds: int) -> dict[str, Any]:
    """Images in MB, and MiB and cores of each workload. Memory and idleness do not vary as times do: one round is measured."""
    with tempfile.TemporaryDirectory(prefix="skerry-bench-") as directory:
        images = _images(Path(directory))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        fleet = runner.run(_fleet())
    with federation() as running:
        fill.namespace(running.member.kubeconfig, "listed", objects=500, size=4096)
        return {"images_mb": images, "fleet": fleet, **_workloads(running)}


async def _fleet() -> dict[str, dict[str, float]]:
    """MiB and cores of the host's workloads with members that beat, and nothing else to do."""
    say(f"deploy: {MEMBERS} members")
    with workloads() as bench:
        async with bench.running(CONTROLLER_MANAGER, "services.controller_manager") as manager, bench.tower() as tower:
            members = Members(bench.host, MEMBERS)
            await members.join(accounts=True)
            async with members.beating():
                await asyncio.sleep(IDLE_S)
                pids = {"controller-manager": manager.pid, "tower": tower.pid, "nats-server": bench.host.pid}
                return await asyncio.to_thread(_idle, pids)


def _images(directory: Path) -> dict[str, float]:
    """Bytes above the base, in millions, of each image, as deploy/docker/install.py lays them."""
    say("deploy: images")
    context.make(directory / "context")
    sizes = {}
    for image in AIMS_MB:
        tree = directory / image
        listed = str(directory / "context" / f"{image}.txt")
        wheels = ("--no-index", "--no-deps", "--no-compile", "--find-links", str(directory / "context" / "wheels"))
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wheels)
        subprocess.run([*pip, "--requirement", listed, "--target", str(tree)], check=True)
        if image == "host":
            shutil.copy(directory / "context" / "helm", tree / "helm")
        for library in tree.rglob("*.so"):
            library.write_bytes(stripped(library.read_bytes()))
        subprocess.run([sys.executable, "-m", "compileall", "-q", str(tree)], check=True)
        sizes[image] = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file()) / 1e6
    return sizes


def _workloads(running: Federation) -> dict[str, Any]:
    pids = {row: running.ours[name] for row, name in WORKLOADS.items()}
    figures: dict[str, Any] = {"limited": limits.possible(), "load": {}}
    say(f"deploy: idle for {IDLE_S:g} s")
    figures["idle"] = _idle(pids)
    with ExitStack() as stack:
        throttled: dict[str, Callable[[], int]] = {}
        for row, pid in pids.items() if figures["limited"] else ():
            cores = requirements.workload(row).limits["cpu"] / NANO
            throttled[row] = stack.enter_context(limits.limited(pid, row, cores))
        for what, path in (("GET", "/version"), ("LIST of 2 MB", LISTED)):
            say(f"deploy: {what}")
            figures["load"][what] = _load(running.through, path, pids, throttled)
    return figures


def _idle(pids: Mapping[str, int]) -> dict[str, dict[str, float]]:
    """MiB and cores of processes to which nothing is done."""
    before, started = {row: processes.cpu_s(pid) for row, pid in pids.items()}, time.monotonic()
    time.sleep(IDLE_S)
    seconds = time.monotonic() - started
    return {
        row: {"rss_mib": processes.rss_mib(pid), "millicores": (processes.cpu_s(pid) - before[row]) / seconds * 1000}
        for row, pid in pids.items()
    }


def _load(
    config: Path, path: str, pids: Mapping[str, int], throttled: Mapping[str, Callable[[], int]]
) -> dict[str, Any]:
    for pid in pids.values():
        processes.forget_peak(pid)
    cpu, stops = (
        {row: processes.cpu_s(pid) for row, pid in pids.items()},
        {row: each() for row, each in throttled.items()},
    )
    started = time.monotonic()
    words = [
        "--clients",
        str(CLIENTS),
        "--seconds",
        str(LOAD_S),
        "--kubeconfig",
        str(config),
        "--context",
        CONTEXT,
        "--path",
        path,
    ]
    done = subprocess.run([sys.executable, "-m", "bench.load", *words], capture_output=True, text=True, check=True)
    seconds = time.monotonic() - started
    return {
        "answers": json.loads(done.stdout),
        "workloads": {
            row: {
                "peak_mib": processes.peak_mib(pid),
                "millicores": (processes.cpu_s(pid) - cpu[row]) / seconds * 1000,
                "throttled": throttled[row]() - stops[row] if row in throttled else None,
            }
            for row, pid in pids.items()
        },
    }


def documented(figures: Mapping[str, Any]) -> str:
    """The table of docs/sizing.md: what each workload asks for, and what it had. Under load CPU is told per answer, which depends
    little on what else the machine does."""
    loads = list(figures["load"])
    heads = ("asks for", "idle", f"{MEMBERS} members", *loads, "limits")
    lines = [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for row, idle in figures["idle"].items():
        workload, under_load = requirements.workload(row), list[str]()
        for each in figures["load"].values():
            spent = each["workloads"][row]
            under_load.append(f"{spent['millicores'] / each['answers']['rps']:.2f} ms, {spent['peak_mib']:.0f} MiB")
        least, most = (
            ", ".join(written(name, each[name]) for name in ("cpu", "memory"))
            for each in (workload.requests, workload.limits)
        )
        rests = (
            f"{each['millicores']:.0f}m, {each['rss_mib']:.0f} MiB" if each else ""
            for each in (idle, figures["fleet"].get(row))
        )
        lines.append(f"| {' | '.join((row, least, *rests, *under_load, most))} |")
    images = ", ".join(f"{image} {size:.0f} MB (aim {AIMS_MB[image]})" for image, size in figures["images_mb"].items())
    return "\n".join([*lines, "", *_carried(figures), "", f"Images above their base: {images}."]) + "\n"


def _carried(figures: Mapping[str, Any]) -> list[str]:
    """What a workload carries when it has used up its limit of CPU: the limit by what an answer takes."""
    carried = []
    for row in ("tower", "agent"):
        cores = requirements.workload(row).limits["cpu"] / NANO
        rates = (
            f"{cores * 1000 * each['answers']['rps'] / each['workloads'][row]['millicores']:,.0f} of {what}"
            for what, each in figures["load"].items()
        )
        carried.append(f"- {row}: {', or '.join(rates)}")
    return ["Answers per second at the limit of CPU, by what one takes:", "", *carried]


def show(figures: Mapping[str, Any], console: Console) -> None:
    """Two tables."""
    table = Table(title="images, MB above their base", title_justify="left")
    for column in ("image", "measured", "aim"):
        table.add_column(column)
    for image, size in figures["images_mb"].items():
        table.add_row(image, f"{size:.0f}", str(AIMS_MB[image]))
    console.print(table)
    limited = "below their limits of CPU" if figures["limited"] else "without limits, which cannot be set here"
    table = Table(title=f"workloads, {limited}", title_justify="left")
    for column in ("", "idle MiB", "asked", "idle mCPU", "asked", *(f"{what}: peak MiB, mCPU, stops" for what in figures["load"]), "limits"):  # fmt: skip
        table.add_column(column)
    for row, idle in figures["idle"].items():
        asked = requirements.workload(row)
        loads = (each["workloads"][row] for each in figures["load"].values())
        cells = [f"{each['peak_mib']:.0f}, {each['millicores']:.0f}, {each['throttled']}" for each in loads]
        sizes = [f"{idle['rss_mib']:.0f}", written("memory", asked.requests["memory"]), f"{idle['millicores']:.0f}", written("cpu", asked.requests["cpu"])]  # fmt: skip
        table.add_row(row, *sizes, *cells, " ".join(written(name, nano) for name, nano in asked.limits.items()))
    console.print(table)
    for what, each in figures["load"].items():
        console.print(f"{what}: {each['answers']}")
