"""Running processes: all of them stop, also when their parent is killed, and a failure carries the log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from skerry.localkube.errors import NotReadyInTime
from skerry.localkube.process import ProcessSpec, RunningCluster, tail, tied_to_parent

_PARENT = """
import subprocess, sys
from skerry.localkube.process import tied_to_parent
child = subprocess.Popen(tied_to_parent(["sleep", "1000"]))
print(child.pid, flush=True)
sys.stdin.read()
"""


def _spec(directory: Path, name: str, script: str, stop_grace_s: float = 5.0) -> ProcessSpec:
    argv = ("sh", "-c", script)
    return ProcessSpec(name=name, argv=argv, log=directory / f"{name}.log", stop_grace_s=stop_grace_s)


def test_stop_ends_every_process_and_last_started_first(tmp_path: Path) -> None:
    ends = tmp_path / "ends"
    script = "trap 'echo {} >> {}; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    specs = [_spec(tmp_path, name, script.format(name, ends)) for name in ("first", "second")]
    with RunningCluster(specs) as running:
        pids = running.pids
        _eventually(lambda: all(spec.log.read_text() == "up\n" for spec in specs))
    assert ends.read_text().split() == ["second", "first"]
    assert not any(_lives(pid) for pid in pids.values())


def test_a_process_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    spec = _spec(tmp_path, "deaf", "trap '' TERM; echo up; while :; do sleep 0.05; done", stop_grace_s=0.2)
    with RunningCluster([spec]) as running:
        pid = running.pids["deaf"]
        _eventually(lambda: spec.log.read_text() == "up\n")
    assert not _lives(pid)


def test_an_early_end_is_an_error_that_carries_the_log(tmp_path: Path) -> None:
    spec = _spec(tmp_path, "broken", "echo port is taken >&2; exit 3")
    with (
        RunningCluster([spec]) as running,
        pytest.raises(NotReadyInTime, match=r"broken ended with code 3.*\n.*port is taken"),
    ):
        running.wait_until(lambda: "never", spec, time.monotonic() + 20)


def test_a_deadline_is_an_error_that_carries_the_reason(tmp_path: Path) -> None:
    spec = _spec(tmp_path, "slow", "sleep 1000")
    with RunningCluster([spec]) as running, pytest.raises(NotReadyInTime, match=r"not ready in time \(no answer\)"):
        running.wait_until(lambda: "no answer", spec, time.monotonic())


def test_a_process_that_cannot_be_spawned_stops_what_was_started(tmp_path: Path) -> None:
    good = _spec(tmp_path, "good", "sleep 1000")
    bad = ProcessSpec(name="bad", argv=("/does/not/exist",), log=tmp_path / "missing" / "bad.log")
    running = RunningCluster([good, bad])
    with pytest.raises(FileNotFoundError):
        running.start()
    assert running.pids == {}


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
def test_a_child_dies_with_a_parent_that_is_killed() -> None:
    command = [sys.executable, "-c", _PARENT]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    _eventually(lambda: not _lives(child))


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
def test_a_child_whose_parent_is_gone_already_does_not_start(tmp_path: Path) -> None:
    command = tied_to_parent(["touch", str(tmp_path / "started")])
    someone_else = [part if part != str(os.getpid()) else "1" for part in command]
    assert subprocess.run(someone_else, check=False).returncode == 1
    assert not (tmp_path / "started").exists()


def test_the_tail_of_a_log_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    assert tail(tmp_path / "none") == ""


def _lives(pid: int) -> bool:
    """A zombie that init has not collected yet does not live."""
    status = Path(f"/proc/{pid}/status")
    try:
        return "State:\tZ" not in status.read_text()
    except OSError:
        return False


def _eventually(holds: Callable[[], bool], deadline_s: float = 10.0) -> None:
    until = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < until, "did not become true before the deadline"
        time.sleep(0.02)
