"""A process below the limit of CPU that its pod would have: a cgroup, of version 1 or 2, where this machine lets us make one.

Memory is not limited so: what a process had before it came into the group is not counted there. Its peak is in /proc.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000


def _root() -> Path:
    return ROOT if (ROOT / "cgroup.controllers").exists() else ROOT / "cpu"


def possible() -> bool:
    """Whether limits can be set here."""
    return os.access(_root(), os.W_OK)


@contextmanager
def limited(pid: int, name: str, cores: float) -> Iterator[Callable[[], int]]:
    """Keep a running process, with all its threads, below `cores`. Gives what counts the periods of 100 ms in which it had to stop.

    OSError where that is not possible.
    """
    group = _root() / f"skerry-bench-{os.getpid()}-{name}"
    group.mkdir()
    try:
        quota = int(cores * PERIOD_US)
        if (group / "cpu.cfs_quota_us").exists():
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
        (group / "cgroup.procs").write_text(str(pid))
        yield lambda: _throttled(group)
    finally:
        for left in (group / "cgroup.procs").read_text().split():
            (group.parent / "cgroup.procs").write_text(left)
        group.rmdir()


def _throttled(group: Path) -> int:
    lines = (line.split() for line in (group / "cpu.stat").read_text().splitlines())
    return next((int(words[1]) for words in lines if words[0] == "nr_throttled"), 0)
