"""Start a supervisor on a directory, wait until everything is ready, and stop it again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from skerry.cli.failure import FAILED, TIMED_OUT, Failure
from skerry.cli.plan import RunStatus, is_locked, locked_by, read_status
from skerry.cli.term import ProgressLine, program

POLL_S = 0.04
STOP_S = 75.0
"""More than all processes together may take to stop."""
TAIL_LINES = 15


def start(directory: Path, lock_number: int, *, detach: bool) -> subprocess.Popen[bytes]:
    """Run the supervisor of `directory`, which has its plan.json; the lock goes over to it.

    Detached it has a session of its own; else it ends when this process does.
    """
    logs = directory / "logs"
    logs.mkdir(mode=0o700, exist_ok=True)
    (directory / "run.json").unlink(missing_ok=True)
    env = dict(os.environ)
    if not detach:
        env["SKERRY_PARENT_PID"] = str(os.getpid())
    with (logs / "supervisor.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "skerry.cli.supervisor", str(directory), "--lock-fd", str(lock_number)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=env,
            cwd=directory,
            pass_fds=(lock_number,),
            start_new_session=detach,
            process_group=None if detach else 0,
        )


def wait_ready(
    directory: Path, supervisor: subprocess.Popen[bytes] | None, limit_s: float, display: ProgressLine, what: str
) -> RunStatus:
    """Return when everything is ready. Failure 1 if the start failed, 5 when the time is over, with a log's tail."""
    deadline = time.monotonic() + limit_s
    while True:
        ended = supervisor is not None and supervisor.poll() is not None
        status = read_status(directory)
        if status is not None and status.ready:
            return status
        if ended or (status is not None and status.phase in ("failed", "stopped")):
            raise _start_failed(directory, status, what)
        if time.monotonic() > deadline:
            raise _not_in_time(directory, status, limit_s, what)
        display.show(f"{what}: {waiting_for(status)}")
        time.sleep(POLL_S)


def waiting_for(status: RunStatus | None) -> str:
    """The processes that are not ready yet, in a few words."""
    if status is None:
        return "starting"
    for process in status.processes:
        if not process.ready:
            return f"{process.name} {process.reason}".strip()
    return status.phase


def _start_failed(directory: Path, status: RunStatus | None, what: str) -> Failure:
    reason = status.message if status is not None and status.message else "the supervisor ended"
    return Failure(f"{what} could not start: {reason}", FAILED, tail=_blamed(directory, status, reason))


def _not_in_time(directory: Path, status: RunStatus | None, limit_s: float, what: str) -> Failure:
    reason = waiting_for(status)
    return Failure(
        f"{what} is not ready after {limit_s:g} s ({reason}); see {program()} status and {program()} logs, "
        f"or stop it with {program()} down",
        TIMED_OUT,
        tail=_blamed(directory, status, ""),
    )


def _blamed(directory: Path, status: RunStatus | None, reason: str) -> str:
    """The end of the log of the process that is to blame."""
    name = "supervisor"
    for process in status.processes if status is not None else []:
        if reason.startswith(f"{process.name} ") or (not reason and not process.ready):
            name = process.name
            break
    path = directory / "logs" / f"{name}.log"
    text = tail(path, TAIL_LINES)
    return f"--- the end of {path}:\n{text}" if text else f"--- {path} is empty"


def tail(path: Path, lines: int) -> str:
    """The last lines of a log; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 300 * lines))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def stop(lock: Path, limit_s: float, tick: Callable[[], None]) -> bool:
    """Ask the holder of `lock` to stop and wait; kill it when the time is over. Returns whether anything ran."""
    pid = _holder(lock)
    if pid is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline, killed = time.monotonic() + limit_s, False
    while is_locked(lock):
        if time.monotonic() > deadline:
            if killed:
                raise Failure(f"process {pid} cannot be stopped: end it by hand, then run the command again")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            deadline, killed = time.monotonic() + 5, True
        tick()
        time.sleep(POLL_S)
    return True


def _holder(lock: Path) -> int | None:
    """The pid of the holder; a start in progress gets a moment to say it."""
    deadline = time.monotonic() + 5
    while is_locked(lock):
        pid = locked_by(lock)
        if pid is not None and _alive(pid):
            return pid
        if time.monotonic() > deadline:
            raise Failure(f"{lock} is held by a process that does not say who it is: another command may be at work")
        time.sleep(POLL_S)
    return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
