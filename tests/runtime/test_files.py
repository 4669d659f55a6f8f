"""A process may open as many files as the hard limit allows: every watch of a member is a connection."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import resource
from skerry.runtime import allow_many_files

hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (256, min(hard, 4096) if hard > 0 else 4096))
allow_many_files()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_the_soft_limit_of_open_files_becomes_the_hard_one() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], stdout=subprocess.PIPE, check=True, text=True)
    assert done.stdout.split() == ["4096", "4096"]
