"""Run the processes of a local cluster and leave none behind.

What a cluster consists of is data (`ProcessSpec`), so that `skerry up --demo` can give it to its own supervisor; `RunningCluster`
is the plain way to run the same data, for tests and tools. Each process gets a session of its own (Ctrl-C in the terminal
must not reach etcd before the API server) and, on Linux, PR_SET_PDEATHSIG, so that even `kill -9` of the parent leaves
no orphan. That signal is tied to the *thread* that forks: start from a thread that lives as long as the cluster.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from skerry.localkube import probe
from skerry.localkube.errors import NotReadyInTime

_POLL_S = 0.1
_TAIL_LINES = 15
_MAX_RESTARTS = 2

# A process of its own between fork and exec, because code after fork (preexec_fn) can deadlock in a threaded parent.
# The parent may have died before the signal was armed: hence the question whose child we are.
_LAUNCH = (
    "import ctypes, os, sys\n"
    "ctypes.CDLL(None).prctl(1, 9)\n"
    "if os.getppid() != int(sys.argv[1]): os._exit(1)\n"
    "os.execvp(sys.argv[2], sys.argv[2:])\n"
)

Enter = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """One process: `env` is added to the parent's, `log` gets both outputs, `ready_url` answers 200 when it is ready.

    Order in a list of specs is start order; stop order is the reverse. Restarting is for who runs them: a supervisor
    has a policy of its own.
    """

    name: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    ready_url: str | None = None
    ready_ca: Path | None = None
    stop_grace_s: float = 5.0

    def why_not_ready(self) -> str | None:
        """None when ready (or when there is nothing to ask), else the reason. Blocks for 2 s at most."""
        if self.ready_url is None or self.ready_ca is None:
            return None
        return probe.why_not_ready(self.ready_url, self.ready_ca)


def tied_to_parent(argv: Sequence[str]) -> list[str]:
    """`argv` so that it dies (SIGKILL) with the calling thread's process, where the kernel can do that (Linux)."""
    if sys.platform != "linux":
        return list(argv)
    return [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), *argv]


def tail(log: Path, lines: int = _TAIL_LINES) -> str:
    """The last lines of a log, for an error message; empty when there is none."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


class RunningCluster:
    """The processes of one cluster, started and stopped together; a context manager.

    `enter` is entered around readiness checks: tests give the network namespace in which the cluster listens.
    """

    def __init__(self, specs: Sequence[ProcessSpec], *, enter: Enter = nullcontext) -> None:
        self._specs = tuple(specs)
        self._enter = enter
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._restarts: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name, of those that were started and not stopped."""
        return {name: process.pid for name, process in self._processes.items()}

    def start(self) -> None:
        """Spawn all, at once: each waits for what it needs. Returns before they are ready."""
        for spec in self._specs:
            self.add(spec)

    def add(self, spec: ProcessSpec) -> None:
        """Spawn one more; it is stopped first. On failure to spawn, nothing that was started stays."""
        try:
            with spec.log.open("ab") as log:
                self._processes[spec.name] = subprocess.Popen(
                    tied_to_parent(spec.argv),
                    env={**os.environ, **spec.env},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError:
            self.stop()
            raise
        if spec not in self._specs:
            self._specs = (*self._specs, spec)

    def wait_ready(self, deadline_s: float) -> None:
        """Return when every process is ready. Raises NotReadyInTime, with the log's tail, at the deadline or an early end."""
        until = time.monotonic() + deadline_s
        for spec in self._specs:
            self.wait_until(lambda spec=spec: spec.why_not_ready(), spec, until)  # type: ignore[misc]

    def wait_until(self, why_not: Callable[[], str | None], spec: ProcessSpec, until: float) -> None:
        """Poll `why_not` until it gives None; `until` is on time.monotonic(); `spec` is whose log explains a failure."""
        while True:
            with self._enter():
                reason = why_not()
            if reason is None:
                return
            self.check_alive()
            if time.monotonic() > until:
                raise NotReadyInTime(
                    f"{spec.name} is not ready in time ({reason}); end of {spec.log}:\n{tail(spec.log)}"
                )
            time.sleep(_POLL_S)

    def check_alive(self) -> None:
        """Start again what has ended: on a busy machine the controller manager gives an API server up that is late.

        Raises NotReadyInTime when one process keeps ending.
        """
        for spec in self._specs:
            process = self._processes.get(spec.name)
            if process is not None and process.poll() is not None:
                self._restarts[spec.name] += 1
                if self._restarts[spec.name] <= _MAX_RESTARTS:
                    self.add(spec)
                    continue
                raise NotReadyInTime(
                    f"{spec.name} ended with code {process.returncode}; end of {spec.log}:\n{tail(spec.log)}"
                )

    def stop(self) -> None:
        """Stop all, last started first: SIGTERM, then SIGKILL after each one's grace. Idempotent."""
        for spec in reversed(self._specs):
            process = self._processes.pop(spec.name, None)
            if process is not None:
                _stop(process, spec.stop_grace_s)


def _stop(process: subprocess.Popen[bytes], grace_s: float) -> None:
    process.terminate()
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
