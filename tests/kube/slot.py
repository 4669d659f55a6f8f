"""A numbered place on this machine for one test run, and the removal of what a crashed run left in it.

Everything that a run makes outside its own memory carries its slot's number: directory, network namespaces, veth
pairs, addresses, cgroups. A slot is held by a lock that the kernel drops when the run dies, however it dies; so a
slot whose lock can be taken has no owner, and whatever lies in it is stale and is removed, by the next run that starts.
Several runs at once get different slots.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.kube import packages

PREFIX = "skerry-test"
MARK = "SKERRY_TEST_SLOT"
SLOTS = 64
_KILL_DEADLINE_S = 10.0


@dataclass(frozen=True)
class Slot:
    """A place that this run owns. Short paths: a UNIX socket's path may have 107 bytes."""

    number: int
    directory: Path

    @property
    def name(self) -> str:
        """The prefix of everything that is named machine-wide, for instance `skerry-test-0`."""
        return f"{PREFIX}-{self.number}"


def parent() -> Path:
    """Where slots are; only root uses them, and only root may look into them."""
    return Path(tempfile.gettempdir()) / PREFIX


@contextmanager
def hold() -> Iterator[Slot]:
    """Own a slot for the duration; stale ones of crashed runs are cleaned first, one's own at the end."""
    _make_parent()
    with contextlib.ExitStack() as stack:
        owned: Slot | None = None
        for number in range(SLOTS):
            candidate = Slot(number, parent() / str(number))
            if owned is not None and not candidate.directory.exists():
                continue
            lock = _try_lock(number)
            if lock is None:
                continue
            clean(candidate)
            if owned is None:
                owned = candidate
                stack.callback(os.close, lock)
            else:
                os.close(lock)
        if owned is None:
            raise RuntimeError(f"all {SLOTS} slots in {parent()} are taken by other test runs")
        owned.directory.mkdir(mode=0o700)
        stack.callback(clean, owned)
        yield owned


def clean(slot: Slot) -> None:
    """Remove everything of this slot: processes, mounts, namespaces, veth pairs, cgroups, the directory."""
    _kill_all(slot)
    _unmount_all(slot.directory)
    _delete_namespaces(slot)
    _remove_cgroups(slot)
    shutil.rmtree(slot.directory, ignore_errors=True)
    if slot.directory.exists():
        raise RuntimeError(f"could not remove {slot.directory}: still mounted or in use")


def leftovers(slot: Slot) -> list[str]:
    """What of this slot is still on the machine, one line each; empty when it is clean."""
    found = [f"process {pid}: {what}" for pid, what in _processes(slot).items()]
    found += [f"mount {path}" for path in _mounts(slot.directory)]
    found += [f"network namespace {name}" for name in _namespaces(slot)]
    found += [f"interface {path.name}" for path in Path("/sys/class/net").glob(f"{interface(slot, '')}*")]
    found += [f"cgroup {path}" for path in cgroups(slot)]
    return found + ([f"directory {slot.directory}"] if slot.directory.exists() else [])


def interface(slot: Slot, end: str) -> str:
    """Name of a veth end; 15 bytes at most. The dash after the number keeps slot 1 apart from slot 10."""
    return f"skt{slot.number}-{end}"


def cgroups(slot: Slot) -> list[Path]:
    """The top cgroups of this slot's nodes in every hierarchy (v1: one per controller; v2: one)."""
    root = Path("/sys/fs/cgroup")
    patterns = (f"{slot.name}-*", f"*/{slot.name}-*")
    return [path for pattern in patterns for path in root.glob(pattern) if path.is_dir()]


def _make_parent() -> None:
    parent().mkdir(mode=0o700, exist_ok=True)
    status = parent().lstat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise RuntimeError(f"{parent()} belongs to somebody else or is open to others: remove it")


def _try_lock(number: int) -> int | None:
    descriptor = os.open(parent() / f"{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _processes(slot: Slot) -> dict[int, str]:
    """Processes of this slot: those in its cgroups (containers) and those that carry its mark in their environment.

    The environment, because a containerd shim belongs to init and to no cgroup of ours, and inherits it; a match on the
    command line would also hit a developer's `tail -f` of one of our logs.
    """
    mark = f"{MARK}={slot.name}".encode()
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                marked = mark in (entry / "environ").read_bytes().split(b"\0")
                if marked or f"/{slot.name}-" in (entry / "cgroup").read_text():
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(entry.name)] = line.decode(errors="replace").strip()
    return found


def _kill_all(slot: Slot) -> None:
    until = time.monotonic() + _KILL_DEADLINE_S
    while remaining := _processes(slot):
        if time.monotonic() > until:
            raise RuntimeError(f"processes of {slot.name} do not end: {remaining}")
        for pid in remaining:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.05)


def _mounts(directory: Path) -> list[str]:
    """Mount points below `directory`, deepest first. Octal escapes cannot occur: the paths are ours."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4] for line in lines]
    return sorted({point for point in points if point.startswith(f"{directory}/")}, key=len, reverse=True)


def _unmount_all(directory: Path) -> None:
    while mounts := _mounts(directory):
        subprocess.run(["umount", "--lazy", *mounts], check=False, capture_output=True)
        if _mounts(directory) == mounts:
            raise RuntimeError(f"cannot unmount {mounts}")


def _namespaces(slot: Slot) -> list[str]:
    return [path.name for path in Path("/run/netns").glob(f"{slot.name}-*")]


def _delete_namespaces(slot: Slot) -> None:
    """A veth pair goes with the namespace that has one of its ends, once nothing keeps that; deleted first all the same."""
    for path in Path("/sys/class/net").glob(f"{interface(slot, '')}*"):
        subprocess.run([packages.required("ip"), "link", "del", path.name], check=False, capture_output=True)
    for name in _namespaces(slot):
        subprocess.run([packages.required("ip"), "netns", "del", name], check=True, capture_output=True)


def _remove_cgroups(slot: Slot) -> None:
    """rmdir from the leaves; a cgroup of a process that just died is busy for a moment."""
    until = time.monotonic() + _KILL_DEADLINE_S
    while tops := cgroups(slot):
        for top in tops:
            for directory, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    Path(directory).rmdir()
        if time.monotonic() > until:
            raise RuntimeError(f"cannot remove cgroups {tops}")
