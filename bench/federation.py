"""A real host with one member behind its agent, on loopback, in a temporary directory: what a user would start.

Everything goes through the command line, so that what is measured is what is shipped.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from skerry.localkube import binaries, cluster
from skerry.localkube.process import RunningCluster

SKERRY = Path(sys.executable).with_name("skerry")
CONTEXT = "skerry-m1"


@dataclass(frozen=True, kw_only=True)
class Federation:
    """What the benchmarks need to know of the running system. Times in seconds."""

    directory: Path
    member: cluster.LocalCluster
    through: Path
    """kubeconfig of the host; context `skerry-m1` is the member through the agent."""
    up_s: float
    agent_s: float
    ours: Mapping[str, int]
    """Process ids of what Skerry runs: supervisor, controller-manager, tower, nats-server, agent."""
    theirs: Mapping[str, int]
    """Process ids of the member: kube-apiserver, etcd."""


def say(line: str) -> None:
    """Progress, on stderr: stdout is for the tables."""
    print(line, file=sys.stderr, flush=True)


def free_port() -> int:
    """A TCP port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def skerry(*arguments: str | Path, state: Path, stdin: str | None = None) -> str:
    """Run the command line against the state in `state`; its stdout. Raises CalledProcessError.

    What it says on stderr is kept back: the line to copy has the join token in it.
    """
    environment = os.environ | {
        "SKERRY_STATE": str(state),
        "KUBECONFIG": str(state / "none"),
    }
    done = subprocess.run(
        [SKERRY, *map(str, arguments)], env=environment, input=stdin, capture_output=True, text=True, check=True
    )
    return done.stdout


@contextmanager
def member(directory: Path) -> Iterator[tuple[cluster.LocalCluster, Mapping[str, int]]]:
    """One real API server without a node, and its process ids."""
    executables = binaries.obtain(("etcd", "kube-apiserver"), progress=say)
    prepared = cluster.prepare(directory, name="m1", executables=executables)
    running = RunningCluster(prepared.specs)
    running.start()
    try:
        prepared.wait_ready(running, 60)
        yield prepared, {name.removeprefix("m1-"): pid for name, pid in running.pids.items()}
    finally:
        running.stop()


@contextmanager
def federation() -> Iterator[Federation]:
    """Host, member and agent, ready; all stopped and deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="skerry-bench-") as name:
        directory = Path(name)
        with member(directory / "member") as (one, theirs):
            yield from _joined(directory, one, theirs)


def _joined(directory: Path, one: cluster.LocalCluster, theirs: Mapping[str, int]) -> Iterator[Federation]:
    state = directory / "state"
    listen, bus = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    up_s = _timed("up", "--state", state, "--listen", listen, "--bus", bus, "--detach", state=state)
    try:
        token = skerry("token", "create", "m1", state=state)
        joining = ("agent", "--token-file", "-", "--kubeconfig", one.kubeconfig, "--state", state, "--detach")
        agent_s = _timed(*joining, state=state, stdin=token)
        through = directory / "through.kubeconfig"
        skerry("kubeconfig", "m1", "--output", through, state=state)
        yield Federation(
            directory=directory,
            member=one,
            through=through,
            up_s=up_s,
            agent_s=agent_s,
            ours=_pids(state),
            theirs=theirs,
        )
    finally:
        subprocess.run(
            [SKERRY, "agent", "stop", "m1", "--state", state],
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        skerry("down", "--state", state, state=state)


def _timed(*arguments: str | Path, state: Path, stdin: str | None = None) -> float:
    started = time.perf_counter()
    skerry(*arguments, state=state, stdin=stdin)
    return time.perf_counter() - started


def _pids(state: Path) -> dict[str, int]:
    status = json.loads(skerry("status", "--state", state, "-o", "json", state=state))
    pids = {process["name"]: int(process["pid"]) for process in status["processes"]}
    run = json.loads((state / "host" / "run.json").read_text())
    pids["supervisor"] = int(run["pid"])
    pids["agent"] = int((state / "agents" / "m1" / "lock").read_text())
    return pids
