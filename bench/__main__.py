"""`make bench`: run every benchmark, print a table, and keep the figures as JSON beside it."""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import kernel


def main() -> None:
    """Measure, print, and write `bench/results/kernel.json` (or `--output`)."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds of each case")
    parser.add_argument("--output", type=Path, default=Path("bench/results/kernel.json"))
    options = parser.parse_args()
    figures = kernel.measure(options.rounds)
    figures["machine"] = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system()}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(figures, indent=2) + "\n")
    show(figures)


def show(figures: dict[str, Any]) -> None:
    """The tables that people read."""
    console = Console()
    starts = Table(title="Starting, and memory when idle", title_justify="left")
    for column in ("what", "measured", "aim"):
        starts.add_column(column)
    starts.add_row("skerry up to ready", f"{figures['up_s']:.2f} s", "≤ 3 s")
    starts.add_row("skerry agent to Ready", f"{figures['agent_s']:.2f} s", "≤ 3 s")
    starts.add_row("agent", f"{figures['idle_rss_mib']['agent']:.0f} MiB", "≤ 64 MiB")
    starts.add_row("host processes without nats-server", f"{figures['host_tree_mib']:.0f} MiB", "≤ 180 MiB")
    starts.add_row("floor: one fsync of 4 KiB", f"{figures['fsync_ms']:.2f} ms", "")
    console.print(starts)
    cases = Table(title="Through the agent against direct, interleaved, medians", title_justify="left")
    for column in ("case", "direct", "through", "ratio", "spread", "added p50", "CPU of ours per request or MB"):
        cases.add_column(column)
    for case in figures["cases"]:
        cpu = sum(case["cpu_ms_per_unit"].values())
        cases.add_row(
            case["case"],
            f"{case['direct']:.0f} {case['unit']}",
            f"{case['through']:.0f} {case['unit']}",
            f"{case['ratio']:.2f}",
            f"{case['spread'][0]:.2f} to {case['spread'][1]:.2f}",
            f"{case['added_p50_ms']:.2f} ms",
            f"{cpu:.2f} ms",
        )
    console.print(cases)


if __name__ == "__main__":
    main()
