"""The main job, measured: start times, memory, and requests through the agent against the same requests made directly.

Rounds are interleaved (direct, through, direct, through, …) so that a machine whose speed drifts gives honest ratios;
medians are reported with their spread. The floor of the machine stands beside them: one fsync, one bare bus request.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.federation import Federation, federation
from bench.processes import cpu_s, peak_mib, rss_mib

OURS = ("controller-manager", "tower", "supervisor", "agent", "nats-server")


@dataclass(frozen=True)
class Case:
    """One comparison: what is asked, by how many clients, and which figure of the load generator counts."""

    name: str
    path: str
    clients: int
    figure: str
    seconds: float = 3.0
    new_connections: bool = False


CASES = (
    Case("GET /version, 1 client", "/version", 1, "rps"),
    Case("GET /version, 16 keep-alive clients", "/version", 16, "rps"),
    Case("GET /version, new connection each, 16 clients", "/version", 16, "rps", new_connections=True),
    Case("LIST 6 MB, 4 clients", "/api/v1/namespaces/bench/configmaps", 4, "mbps", seconds=4.0),
)


def load(kubeconfig: Path, context: str, case: Case) -> dict[str, Any]:
    """One round of one case, in a process of its own."""
    command = [
        *(sys.executable, "-m", "bench.load", "--kubeconfig", str(kubeconfig), "--context", context),
        *("--path", case.path, "--clients", str(case.clients), "--seconds", str(case.seconds)),
        *(["--new-connections"] if case.new_connections else []),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def fill(kubeconfig: Path) -> None:
    """600 ConfigMaps of 10 kB: a LIST of 6 MB."""
    maps = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"filler-{number:04}", "namespace": "bench"},
            "data": {"text": f"{number:08}" * 1250},
        }
        for number in range(600)
    ]
    document = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bench"}}, *maps],
    }
    kubectl = Path(sys.executable).with_name("kubectl")
    subprocess.run(
        [kubectl, "--kubeconfig", kubeconfig, "create", "-f", "-"],
        input=json.dumps(document).encode(),
        stdout=subprocess.DEVNULL,
        check=True,
    )


def fsync_ms() -> float:
    """The machine's floor for an acknowledged write: median of 50 fsyncs of 4 KiB."""
    samples = []
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(50):
            started = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            samples.append(time.perf_counter() - started)
    return statistics.median(samples) * 1e3


def compare(running: Federation, case: Case, rounds: int) -> dict[str, Any]:
    """Direct and through, interleaved; medians, spread, ratio, and the CPU that each process spent per unit."""
    direct, through, spent = [], [], dict.fromkeys(OURS, 0.0)
    units = 0.0
    for _ in range(rounds):
        direct.append(load(running.direct, "", case))
        before = {name: cpu_s(running.pids[name]) for name in OURS}
        through.append(load(running.through, "skerry-m1", case))
        for name in OURS:
            spent[name] += cpu_s(running.pids[name]) - before[name]
        units += through[-1]["megabytes"] if case.figure == "mbps" else through[-1]["requests"]
    ratios = [b[case.figure] / a[case.figure] for a, b in zip(direct, through, strict=True)]
    return {
        "case": case.name,
        "unit": "MB/s" if case.figure == "mbps" else "req/s",
        "direct": statistics.median(a[case.figure] for a in direct),
        "through": statistics.median(b[case.figure] for b in through),
        "ratio": statistics.median(ratios),
        "spread": [min(ratios), max(ratios)],
        "added_p50_ms": statistics.median(b["p50_ms"] for b in through)
        - statistics.median(a["p50_ms"] for a in direct),
        "p99_ms": [statistics.median(r["p99_ms"] for r in side) for side in (direct, through)],
        "cpu_ms_per_unit": {name: seconds * 1e3 / max(units, 1e-9) for name, seconds in spent.items()},
        "failures": [r["failures"] for r in through if r["failures"]],
    }


def measure(rounds: int = 3) -> dict[str, Any]:
    """All figures of the main job."""
    with federation() as running:
        time.sleep(5)
        idle = {name: rss_mib(running.pids[name]) for name in OURS}
        fill(running.direct)
        for case in CASES:
            load(running.through, "skerry-m1", case)
        cases = [compare(running, case, rounds) for case in CASES]
        return {
            "up_s": running.up_s,
            "agent_s": running.agent_s,
            "fsync_ms": fsync_ms(),
            "idle_rss_mib": idle,
            "host_tree_mib": sum(idle[name] for name in ("supervisor", "controller-manager", "tower")),
            "peak_rss_mib": {name: peak_mib(running.pids[name]) for name in OURS},
            "cases": cases,
        }
