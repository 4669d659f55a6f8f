"""What the supervisor is told to run, and what it tells about it: two small JSON files in one directory.

The supervisor knows nothing of Skerry: a plan names processes, in starting order, and how each shows that it is ready.
So the host, and the demo's control planes, are run by the same code, and the supervisor stays small in memory.
Each directory holds `plan.json`, `run.json`, `lock` and `logs/<process>.log`.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TypeVar

import msgspec

from skerry.identity.files import write_private

FORMAT = 1
"""Version of plan.json and run.json."""


class ChildProcess(msgspec.Struct, frozen=True, kw_only=True):
    """One child process.

    `ready`: "notify" (sd_notify datagrams), "file" (a file that matches the pattern `address` appears), or "" (at once).
    """

    name: str
    argv: list[str]
    env: dict[str, str] = {}
    ready: str = ""
    address: str = ""
    stop_s: float = 10.0
    revision: str = ""
    """Another one: what it reads at its start is other, so it is to start anew."""


class UpOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `up`, which a second `up` compares."""

    name: str = "skerry"
    addresses: list[str] = []
    listen: str = "127.0.0.1:8443"
    bus: str = "127.0.0.1:4222"
    nats: str = ""
    nats_keys: str = ""
    client_ca: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one supervisor runs. `renew` is a command run every `renew_every_s`, for credentials."""

    format: int = FORMAT
    version: str = ""
    api: str = ""
    bus: str = ""
    options: UpOptions = UpOptions()
    processes: list[ChildProcess] = []
    renew: list[str] = []
    renew_every_s: float = 1800.0


class ProcessStatus(msgspec.Struct, kw_only=True):
    """One process as it is now. `reason` says why it is not ready, or what it does."""

    name: str
    pid: int = 0
    ready: bool = False
    reason: str = "not started"
    log: str = ""
    restarts: int = 0


class RunStatus(msgspec.Struct, kw_only=True):
    """A supervisor as it is now. `phase`: starting, running, stopping, failed, stopped."""

    format: int = FORMAT
    version: str = ""
    pid: int = 0
    phase: str = "starting"
    message: str = ""
    api: str = ""
    bus: str = ""
    options: UpOptions = UpOptions()
    processes: list[ProcessStatus] = []

    @property
    def ready(self) -> bool:
        """True if everything serves."""
        return self.phase == "running" and all(process.ready for process in self.processes)


def write_json(path: Path, value: object) -> None:
    """Write `value` as JSON, atomically and 0600. What a machine that fails forgets, the next `up` writes again."""
    write_private(path, msgspec.json.format(msgspec.json.encode(value)) + b"\n", durable=False)


def read_plan(directory: Path) -> Plan | None:
    """The plan of a directory; None if there is none or it cannot be read."""
    return _read(directory / "plan.json", Plan)


def read_status(directory: Path) -> RunStatus | None:
    """The last status of a supervisor; None if there is none. It may be dead: ask `is_locked`."""
    return _read(directory / "run.json", RunStatus)


T = TypeVar("T")


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None


class Locked(Exception):
    """Another process holds the lock."""


def lock(path: Path) -> int:
    """Take the lock file and return its descriptor; the lock lasts as long as a process has it open.

    The kernel drops it when the last holder dies, so a lock can be stale only in what its text says.
    Raises Locked, OSError.
    """
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(number)
        raise Locked from None
    return number


def is_locked(path: Path) -> bool:
    """True if a process holds the lock now."""
    if not path.exists():
        return False
    try:
        os.close(lock(path))
    except Locked:
        return True
    return False


def write_pid(lock_number: int) -> None:
    """Say in the lock file who holds it."""
    os.ftruncate(lock_number, 0)
    os.pwrite(lock_number, f"{os.getpid()}\n".encode(), 0)


def locked_by(path: Path) -> int | None:
    """The pid of the lock's holder; None if nobody holds it or it has not said so yet."""
    if not is_locked(path):
        return None
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
