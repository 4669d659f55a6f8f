"""Memory that this process and its children may still take before their cgroup kills them (cgroup v2, docs.kernel.org).

What the kernel keeps of files it gives back, so it does not count as taken: the kubelet's working set counts alike.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def memory_room(root: Path = ROOT, own: Path = Path("/proc/self/cgroup")) -> int | None:
    """Bytes; the least of this cgroup's and those above it. None where nothing limits it, or it cannot be known."""
    with suppress(OSError, StopIteration):
        line = next(line for line in own.read_text().splitlines() if line.startswith("0::"))
        group = root / line.removeprefix("0::").strip("/")
        levels = [group, *(each for each in group.parents if each.is_relative_to(root))]
        rooms = [room for level in levels if (room := _room(level)) is not None]
        return min(rooms, default=None)
    return None


def _room(group: Path) -> int | None:
    with suppress(OSError, ValueError):
        most = (group / "memory.max").read_text().strip()
        if most == "max":
            return None
        taken = int((group / "memory.current").read_text())
        lines = (line.split() for line in (group / "memory.stat").read_text().splitlines())
        files = next((int(value) for name, value in lines if name == "inactive_file"), 0)
        return max(0, int(most) - max(0, taken - files))
    return None
