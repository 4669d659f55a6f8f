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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from skerry.localkube import binaries, cluster
from skerry.localkube.process import Running

_SKERRY = Path(sys.executable).with_name("skerry")


@dataclass(frozen=True, kw_only=True)
class Federation:
    """What the benchmarks need to know of the running system. Times in seconds."""

    directory: Path
    direct: Path
    """kubeconfig of the member itself."""
    through: Path
    """kubeconfig of the host; context `skerry-m1` is the member through the agent."""
    up_s: float
    agent_s: float
    pids: dict[str, int] = field(default_factory=dict)


def free_port() -> int:
    """A TCP port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def skerry(*arguments: str | Path, state: Path, stdin: str | None = None) -> str:
    """Run the command line against the state in `state`; its stdout. Raises CalledProcessError."""
    environment = os.environ | {"SKERRY_STATE": str(state), "KUBECONFIG": str(state / "none")}
    done = subprocess.run(
        [_SKERRY, *map(str, arguments)], env=environment, input=stdin, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


@contextmanager
def member(directory: Path) -> Iterator[cluster.LocalCluster]:
    """One real API server without a node."""
    executables = binaries.obtain(("etcd", "kube-apiserver"))
    prepared = cluster.prepare(directory, name="m1", executables=executables)
    running = Running(prepared.specs)
    running.start()
    try:
        prepared.wait_ready(running, 60)
        yield prepared
    finally:
        running.stop()


@contextmanager
def federation() -> Iterator[Federation]:
    """Host, member and agent, ready; all stopped and deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="skerry-bench-") as name:
        directory = Path(name)
        state = directory / "state"
        with member(directory / "member") as one:
            started = time.perf_counter()
            listen, bus = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
            skerry("up", "--state", state, "--listen", listen, "--bus", bus, "--detach", state=state)
            up_s = time.perf_counter() - started
            try:
                token = skerry("token", "create", "m1", state=state)
                started = time.perf_counter()
                skerry(
                    *("agent", "--token-file", "-", "--kubeconfig", one.kubeconfig, "--state", state, "--detach"),
                    state=state,
                    stdin=token,
                )
                agent_s = time.perf_counter() - started
                through = directory / "through.kubeconfig"
                skerry("kubeconfig", "m1", "--output", through, state=state)
                yield Federation(
                    directory=directory,
                    direct=one.kubeconfig,
                    through=through,
                    up_s=up_s,
                    agent_s=agent_s,
                    pids=_pids(state),
                )
            finally:
                subprocess.run(
                    [_SKERRY, "agent", "stop", "m1", "--state", state], check=False, stdout=subprocess.DEVNULL
                )
                skerry("down", "--state", state, state=state)


def _pids(state: Path) -> dict[str, int]:
    status = json.loads(skerry("status", "--state", state, "-o", "json", state=state))
    pids = {process["name"]: int(process["pid"]) for process in status["processes"]}
    run = json.loads((state / "host" / "run.json").read_text())
    pids["supervisor"] = int(run["pid"])
    pids["agent"] = int((state / "agents" / "m1" / "pid").read_text())
    return pids
