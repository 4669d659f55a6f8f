"""A cluster whose processes a test kills, freezes and starts again; as a plain one otherwise."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from skerry.localkube.cluster import LocalCluster
from skerry.localkube.process import ProcessSpec, RunningCluster
from tests.kube.member import Member

READY_S = 60.0


class Processes(RunningCluster):
    """The processes of a cluster, each of which can end before the others."""

    def kill(self, spec: ProcessSpec) -> None:
        """kill -9, and wait."""
        process = self._processes[spec.name]
        process.kill()
        process.wait()


@dataclass(frozen=True, kw_only=True)
class BreakableCluster:
    """A cluster and its processes, by the names of their programs: `etcd`, `kube-apiserver`, `kube-controller-manager`."""

    member: Member
    prepared: LocalCluster
    processes: Processes

    def kill(self, program: str) -> None:
        """kill -9."""
        self.processes.kill(self._spec(program))

    def start(self, program: str) -> None:
        """Start what was killed, and return when the cluster can be used."""
        self.processes.add(self._spec(program))
        self.prepared.wait_ready(self.processes, READY_S)

    @contextmanager
    def frozen(self, program: str) -> Iterator[None]:
        """It stands still: its connections stay, and nobody answers on them."""
        pid = self.processes.pids[self._spec(program).name]
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def _spec(self, program: str) -> ProcessSpec:
        return next(each for each in self.prepared.specs if each.name.endswith(program))
