"""What a test starts ends with it, however it hangs, and hears the signals that a program hears."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_up import ignoring
from tests.fixtures.children import begun_since, children

_HANGING = """
import signal, subprocess, sys
import pytest
SLEEP = ["sh", "-c", "echo here; sleep 600; true"]

@pytest.fixture(scope="session")
def server():
    with subprocess.Popen(SLEEP, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process
        process.kill()

@pytest.mark.timeout(2)
def test_that_hangs(server):
    with subprocess.Popen(["sh", "-c", '"$@"; true', "sh", *SLEEP], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.read()

@pytest.fixture
def hanging_teardown():
    yield
    subprocess.run(SLEEP, check=False)

@pytest.mark.timeout(2)
def test_that_fails_and_hangs_afterwards(hanging_teardown):
    raise RuntimeError("failed")

def test_that_needs_the_server(server):
    assert server.poll() is None

def test_signals():
    program = "import signal as s; print(s.getsignal(s.SIGINT) is s.default_int_handler, s.getsignal(s.SIGHUP) is s.SIG_DFL)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout
    assert said == "True True\\n"
"""


@pytest.mark.parametrize("options", [("-p", "no:xdist"), ("-n", "2")], ids=["one process", "two processes"])
def test_a_hanging_child_ends_with_its_test(tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["tests.fixtures.children"]\n')
    (tmp_path / "test_hanging.py").write_text(_HANGING)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, "."]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    shell = ignoring("INT HUP", command)
    done = subprocess.run(shell, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=100, check=False)
    assert "2 failed, 2 passed, 1 error" in done.stdout, done.stdout
    assert done.stdout.count("Timeout") >= 2
    assert "RuntimeError: failed" in done.stdout


def test_descendants_are_told_from_those_of_before() -> None:
    before = children(os.getpid())
    with subprocess.Popen(["sh", "-c", "sleep 600 & echo here; wait"], stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        shell.stdout.readline()
        begun = begun_since(before)
        for pid in begun:
            os.kill(pid, signal.SIGKILL)
    assert shell.pid in begun
    assert len(begun) == 2
