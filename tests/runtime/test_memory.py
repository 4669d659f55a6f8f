"""What a process does with memory that it freed: keeps a little, so that large messages do not fault page by page."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_PROGRAM = """
import resource
from skerry.runtime import keep_freed_memory

if {keep}:
    keep_freed_memory()
for _ in range(50):  # the allocator's own adjustment has settled
    bytes(600_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(200):
    parts = [bytearray(b"x") * 400_000 for _ in range(12)]  # well beyond what it adjusts itself to
    del parts
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(*, keep: bool) -> int:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(keep=keep)], stdout=subprocess.PIPE, check=True, text=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt(3) of glibc")
def test_large_blocks_are_taken_from_what_was_freed() -> None:
    assert _faults(keep=True) * 10 < _faults(keep=False)


_READ = """
from pathlib import Path
from skerry.runtime import give_back_freed_memory, keep_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

keep_freed_memory()
parts = [bytearray(40_000) for _ in range(300)]
del parts
before = resident()
give_back_freed_memory()
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="elsewhere there is nothing to set")
def test_what_was_read_once_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", _READ], stdout=subprocess.PIPE, check=True, text=True)
    assert int(done.stdout) > 6_000_000
