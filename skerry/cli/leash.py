"""Run a foreign program so that it ends with its parent: `python leash.py PROGRAM ARG…`, SKERRY_PARENT_PID in the environment.

On Linux the death signal is set and the program replaces this process (the setting survives execve(2)); nothing is left
in memory. Elsewhere there is no such signal: this process stays, runs the program, passes signals on and polls its
parent. Standard library only, run with -I -S: it costs some 10 ms.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Never returns."""
    parent = int(os.environ.pop("SKERRY_PARENT_PID", "0"))
    argv = sys.argv[1:]
    if sys.platform == "linux":
        if parent:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
            if os.getppid() != parent:
                sys.exit(1)
        os.execv(argv[0], argv)  # noqa: S606 - the program is named by the plan
    sys.exit(_watch(argv, parent))


def _watch(argv: list[str], parent: int) -> int:
    with subprocess.Popen(argv) as child:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda got, _frame: child.send_signal(got))
        while child.poll() is None:
            if parent and os.getppid() != parent:
                child.terminate()
            time.sleep(0.5)
        return child.returncode if child.returncode >= 0 else 128 - child.returncode


if __name__ == "__main__":
    main()
