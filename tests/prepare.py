"""What the suites need and a clone does not have: system packages, Kubernetes, client programs, tests as pytest compiles them.
Once per machine.

`make test` runs this first, where progress can be shown: the suites themselves run in two processes, and each finds
everything in the cache. Where something cannot be had, its tiers are skipped later with the same line, or fail where
`SKERRY_TEST_KUBE_REQUIRED=1` says that they may not be.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.clients import tools
from tests.clients_hostapi import program
from tests.fixtures.suites import cores
from tests.kube.packages import PackagesMissing, ensure
from tests.kube.provider import Unavailable, choose


def say(line: str) -> None:
    """One line of progress."""
    print(line, flush=True)


def compile_tests(processes: int) -> None:
    """Have pytest compile all modules of tests, each once: where none is compiled, each process of a run would compile all of them,
    which takes it twelve of its eighteen seconds before the first test. What cannot be collected the run will tell."""
    directory = Path(__file__).parent
    if sys.dont_write_bytecode or any(directory.glob("__pycache__/test_*-pytest-*.pyc")):
        return
    rooms = sorted(str(each) for each in directory.iterdir() if each.is_dir() or each.name.startswith("test_"))
    command = [sys.executable, "-m", "pytest", "--collect-only", "-qq"]
    parts = [rooms[first::processes] for first in range(processes)]
    running = [subprocess.Popen([*command, *part], stdout=subprocess.DEVNULL) for part in parts if part]
    for each in running:
        each.wait()


def main() -> int:
    """0, or 1 where a required tier cannot run."""
    compile_tests(cores())
    try:
        ensure(say)
        provider = choose(say)
        say(f"kube tier: {provider.description}")
        provider.close()
        tools.obtain([name for name in tools.PROGRAMS if name not in tools.LONG], say)
        program.obtain(say)
    except (PackagesMissing, Unavailable, tools.Unavailable) as error:
        say(f"some tiers will be skipped: {error}")
        return 1 if os.environ.get("SKERRY_TEST_KUBE_REQUIRED") == "1" else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
