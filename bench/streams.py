"""Memory under streams: watches that are held open, and a LIST that is far larger than any buffer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import fill
from bench.compare import Case, Way, run
from bench.federation import Federation, say
from bench.processes import forget_peak, peak_mib, rss_mib

HOLD_S = 600.0
"""Longer than any measurement; the holder is ended when it is done."""


@contextmanager
def watches(way: Way, count: int) -> Iterator[int]:
    """`count` idle watches through `way`; how many are connected."""
    command = (
        *(sys.executable, "-m", "bench.watching", "--kubeconfig", str(way.kubeconfig), "--context", way.context),
        *("--watches", str(count), "--seconds", str(HOLD_S), "--announce"),
    )
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent)
    try:
        assert holder.stdout is not None
        yield int(json.loads(holder.stdout.readline())["connected"])
    finally:
        holder.terminate()
        holder.wait(10)


def measure(running: Federation, way: Way) -> dict[str, Any]:
    """Peak of the agent under 100 watches and a LIST of 200 MB; the proxy with 1,000 idle watches. MiB."""
    say("  memory: 100 watches and a LIST of 200 MB; 1,000 idle watches")
    fill.namespace(running.member.kubeconfig, "bench-large", objects=200, size=1_000_000)
    large = Case(
        name="LIST 200 MB",
        arguments=("--path", fill.LARGE, "--clients", "1", "--seconds", "0.5"),
        figure="mbps",
        unit="MB/s",
    )
    names = ("tower", "agent", "nats-server")
    with watches(way, 100) as connected:
        for name in names:
            forget_peak(running.ours[name])
        answer = run(large, way)
        peaks = {name: peak_mib(running.ours[name]) for name in names}
    before = {name: rss_mib(running.ours[name]) for name in names}
    with watches(way, 1000) as idle:
        held = {name: rss_mib(running.ours[name]) for name in names}
    return {
        "large": {"watches": connected, "megabytes": answer["megabytes"], "mbps": answer["mbps"], "peak_mib": peaks}
        | {"failures": answer["failures"]},
        "idle_watches": {"watches": idle, "before_mib": before, "rss_mib": held},
    }
