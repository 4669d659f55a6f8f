"""A small chart put on a member by `skerry app install`, to Deployed, beside `helm upgrade --install` by hand through the same context.

Both go through the front door to one member behind its agent; `skerry app status` beside `helm status` likewise. One is measured
after the other in turn, each time a new release, as processes from start to end. What they cost is told beside it, by process:
CPU does not depend on what else the machine does as much as times do. Of `skerry app install` with `--wait 0s` the client alone.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from bench.federation import CONTEXT, SKERRY, Federation, federation, say, skerry
from bench.processes import children_cpu_s, cpu_s
from tests.appstore.charts import package
from tests.clients import tools
from tests.e2e.releasing import CONFIG, SECRET

RUNS = 4
"""Releases of each way in a round."""
NAMESPACE = "apps"
PYTHON, CLIENT = "python -c pass", "skerry app install --wait 0s"
BY_HAND, INSTALL = "helm upgrade --install", "skerry app install"
HELM_STATUS, STATUS = "helm status", "skerry app status"
AIMS = {(INSTALL, BY_HAND): 1.5, (STATUS, HELM_STATUS): 0.5}
"""Times the other one, at most."""
HELM = "helm, by Skerry"
"""What the controller-manager's children took: launchers and Helm."""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}}
spec: {ports: [{port: 80}]}
"""
ACCOUNT = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: {{ .Release.Name }}}
"""
FILES = {
    "values.yaml": "color: blue\n",
    "templates/config.yaml": CONFIG,
    "templates/secret.yaml": SECRET,
    "templates/service.yaml": SERVICE,
    "templates/account.yaml": ACCOUNT,
}


class Spent(NamedTuple):
    """What one command took, in seconds."""

    wall: float
    cpu: dict[str, float]
    """By process; the command itself is `client`."""


class Ways:
    """The commands that are compared, on one host and its member."""

    def __init__(self, running: Federation, helm: Path, chart: Path) -> None:
        self._running, self._helm, self._chart = running, helm, chart
        self._environment = {
            "HOME": str(running.directory),
            "PATH": os.environ["PATH"],
            "KUBECONFIG": str(running.through),
            "SKERRY_STATE": str(running.directory / "state"),
        }

    def commands(self, number: int) -> dict[str, Sequence[str]]:
        """In the order in which they run."""
        helm = (str(self._helm), "--kube-context", CONTEXT, "-n", NAMESPACE)
        app = (str(SKERRY), "app")
        hand, ours, alone = f"hand-{number}", f"ours-{number}", f"alone-{number}"
        where = ("web", "--cluster", "m1", "-n", NAMESPACE)
        return {
            PYTHON: (sys.executable, "-c", "pass"),
            BY_HAND: (*helm, "upgrade", "--install", hand, str(self._chart)),
            INSTALL: (*app, "install", ours, *where),
            HELM_STATUS: (*helm, "status", hand),
            STATUS: (*app, "status", ours),
            CLIENT: (*app, "install", alone, *where, "--wait", "0s"),
        }

    def settle(self, number: int) -> None:
        """Wait until a turn's last release is in place, so that nobody else pays for it."""
        soon(lambda: self.run([str(SKERRY), "app", "status", f"alone-{number}"]))

    def run(self, command: Sequence[str]) -> Spent:
        """One command from start to end. CalledProcessError."""
        before, client, started = self._cpu(), os.times(), time.perf_counter()
        subprocess.run(command, env=self._environment, check=True, capture_output=True, timeout=120)
        wall, after, ended = time.perf_counter() - started, self._cpu(), os.times()
        own = ended.children_user + ended.children_system - client.children_user - client.children_system
        return Spent(wall, {"client": own, **{name: after[name] - before[name] for name in after}})

    def _cpu(self) -> dict[str, float]:
        pids = {**self._running.ours, **self._running.theirs}
        spent = {name: cpu_s(pid) for name, pid in pids.items()}
        return spent | {HELM: children_cpu_s(pids["controller-manager"])}


def measure(rounds: int) -> dict[str, Any]:
    """Medians in seconds, and ratios of neighbours."""
    helm = tools.obtain(["helm-4"], say)["helm-4"]
    say("releases: a host, a member, its agent")
    with federation() as running:
        ways = prepared(running, helm)
        taken: dict[str, list[Spent]] = {}
        for number in range(rounds * RUNS + 1):
            for name, command in ways.commands(number).items():
                spent = ways.run(command)
                if number:  # the first fills caches
                    taken.setdefault(name, []).append(spent)
            ways.settle(number)
    every = {name: figures(each) for name, each in taken.items()}
    return {"runs": rounds * RUNS, "ways": every, "ratios": ratios(taken)}


def prepared(running: Federation, helm: Path) -> Ways:
    """The store on, a chart in it, and the namespace of the releases."""
    state, chart = running.directory / "state", running.directory / "web-1.0.0.tgz"
    chart.write_bytes(package("web", "1.0.0", files=FILES))
    skerry("app", "store", "enable", state=state)
    skerry("app", "push", chart, state=state)
    first = ("app", "install", "first", "web", "--cluster", "m1", "-n", NAMESPACE, "--create-namespace")
    soon(lambda: skerry(*first, state=state))
    return Ways(running, helm, chart)


def soon(work: Callable[[], object], deadline_s: float = 30.0) -> None:
    """Until a command succeeds: an app is there a moment after its package."""
    until = time.monotonic() + deadline_s
    while True:
        try:
            work()
            return
        except subprocess.CalledProcessError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


def figures(taken: Sequence[Spent]) -> dict[str, Any]:
    """Of one way."""
    wall = sorted(each.wall for each in taken)
    cpu = {name: round(statistics.mean(each.cpu[name] for each in taken), 4) for name in taken[0].cpu}
    return {"p50_s": round(statistics.median(wall), 3), "worst_s": round(wall[-1], 3), "cpu_s": cpu}


def ratios(taken: Mapping[str, Sequence[Spent]]) -> dict[str, Any]:
    """Of those that have aims: the median of the ratios of neighbours, and of all CPU together."""
    every: dict[str, Any] = {}
    for (ours, theirs), aim in AIMS.items():
        wall = [one.wall / other.wall for one, other in zip(taken[ours], taken[theirs], strict=True)]
        cpu = [sum(sum(each.cpu.values()) for each in taken[name]) for name in (ours, theirs)]
        every[f"{ours} / {theirs}"] = {
            "wall": round(statistics.median(wall), 2),
            "cpu": round(cpu[0] / cpu[1], 2),
            "aim": aim,
        }
    return every


def show(results: Mapping[str, Any], console: Console) -> None:
    """Times beside each other, what they cost, and the ratios that have aims."""
    ways = results["ways"]
    processes = [
        name
        for name in next(iter(ways.values()))["cpu_s"]
        if any(each["cpu_s"][name] >= 1e-3 for each in ways.values())
    ]
    title = f"{results['runs']} of each; CPU in ms by process"
    table = Table("command", "median, ms", "worst", *processes, title=title, title_justify="left")
    for name, each in ways.items():
        cpu = (f"{each['cpu_s'][process] * 1e3:.0f}" for process in processes)
        table.add_row(name, f"{each['p50_s'] * 1e3:.0f}", f"{each['worst_s'] * 1e3:.0f}", *cpu)
    console.print(table)
    for name, each in results["ratios"].items():
        console.print(f"{name}: {each['wall']:.2f} (CPU of all processes {each['cpu']:.2f}); aim {each['aim']}")
