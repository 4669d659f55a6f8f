"""What the foreground becomes: signals reach the supervisor, also those that came before it listened."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.cli.test_up import DEADLINE_S, ignoring

pytestmark = pytest.mark.integration

_CHILD_THEN_FOLLOW = """
import os, signal, subprocess, sys
from skerry.cli import follow
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
signal.pthread_sigmask(signal.SIG_BLOCK, follow.SIGNALS)
for name in sys.argv[1:]:
    os.kill(os.getpid(), signal.Signals[name])
print("waiting", flush=True)
os.execv(sys.executable, [sys.executable, "-m", "skerry.cli.follow", str(child.pid)])
"""


def _follower(*already: str) -> list[str]:
    return [sys.executable, "-c", _CHILD_THEN_FOLLOW, *already]


@pytest.mark.parametrize("ignored", ["INT", "USR1"])
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 1)])
def test_a_signal_from_before_it_listened_is_heard(name: str, code: int, ignored: str) -> None:
    done = subprocess.run(ignoring(ignored, _follower(name)), capture_output=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == code


def test_under_nohup_the_end_of_the_terminal_is_not_its_own() -> None:
    with subprocess.Popen(ignoring("HUP", _follower("SIGHUP")), stdout=subprocess.PIPE) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == b"waiting\n"
        follower.send_signal(signal.SIGHUP)
        follower.send_signal(signal.SIGTERM)
        assert follower.wait(DEADLINE_S) == 1
