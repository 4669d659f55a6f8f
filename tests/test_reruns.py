"""Tests that were tried again are named, written down, and counted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FLAKY = """
import pytest
from pathlib import Path

@pytest.mark.parametrize("number", range({count}))
def test_flaky(number, request):
    seen = Path(request.config.rootpath, f"seen-{{number}}")
    if not seen.exists():
        seen.touch()
        raise RuntimeError(f"the first try of {{number}}")
"""

SHARING = """
import pytest
from pathlib import Path

def log(request, line):
    with Path(request.config.rootpath, "log").open("a") as file:
        file.write(line + "\\n")

@pytest.fixture(scope="session")
def machine(request):
    log(request, "machine")
    yield
    log(request, "machine ends")

@pytest.fixture(scope="module")
def bus(request, machine):
    log(request, "bus")
    yield {}
    log(request, "bus ends")

def test_before(bus):
    bus["before"] = True

def test_joins(bus, request):
    log(request, f"join of {sorted(bus)}")
    seen = "joined" in bus or Path(request.config.rootpath, "seen").exists()
    bus["joined"] = True
    Path(request.config.rootpath, "seen").touch()
    assert seen

def test_after(bus, request):
    log(request, f"after {sorted(bus)}")
"""


LEAKING = """
import asyncio
import gc
import socket
from pathlib import Path

def test_leaves_a_socket_open(request):
    async def leave():
        open = [socket.socket()]
        open.append(open)  # a circle: only the collector ends it
        raise RuntimeError("the first try")

    seen = Path(request.config.rootpath, "seen")
    if not seen.exists():
        seen.touch()
        asyncio.run(leave())
    gc.collect()
"""


def run(root: Path, count: int, *options: str) -> subprocess.CompletedProcess[str]:
    (root / "test_flaky.py").write_text(FLAKY.format(count=count))
    return again(root, *options)


def again(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (root / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    (root / "conftest.py").write_text('pytest_plugins = ["tests.fixtures.reruns"]\n')
    command = [sys.executable, "-m", "pytest", "--reruns", "1", "-p", "no:cacheprovider", *options, "."]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "two processes"])
def test_a_few_are_named_with_their_failure_and_written_to_a_file(tmp_path: Path, options: tuple[str, ...]) -> None:
    done = run(tmp_path, 3, *options)
    assert done.returncode == 0, done.stdout
    assert "tried again: 3 (races to be fixed)" in done.stdout
    kept = (tmp_path / "build" / "reruns.txt").read_text()
    assert all(f"RuntimeError: the first try of {number}" in kept for number in range(3))
    assert all(f"RuntimeError: the first try of {number}" in done.stdout for number in range(3))


def test_more_than_three_fail_the_run(tmp_path: Path) -> None:
    done = run(tmp_path, 4)
    assert done.returncode == 1
    assert "tried again: 4 (more than 3: the run has failed)" in done.stdout


def test_a_run_without_any_leaves_no_file_and_says_nothing(tmp_path: Path) -> None:
    run(tmp_path, 1)
    done = run(tmp_path, 1)
    assert done.returncode == 0
    assert "tried again" not in done.stdout
    assert not (tmp_path / "build" / "reruns.txt").exists()


def test_what_a_first_try_left_open_is_not_the_second_ones_failure(tmp_path: Path) -> None:
    (tmp_path / "test_leaking.py").write_text(LEAKING)
    done = again(tmp_path, "-W", "error::ResourceWarning", "-W", "error::pytest.PytestUnraisableExceptionWarning")
    assert done.returncode == 0, done.stdout
    assert "tried again: 1 (races to be fixed)" in done.stdout


@pytest.mark.parametrize("last", [False, True], ids=["in the middle", "at the end"])
@pytest.mark.parametrize("options", [(), ("-n", "1", "--dist", "loadscope")], ids=["one process", "a worker"])
def test_a_second_try_finds_nothing_of_the_first_and_the_first_was_ended_before(
    tmp_path: Path, options: tuple[str, ...], last: bool
) -> None:
    (tmp_path / "test_a.py").write_text(SHARING.partition("def test_after")[0] if last else SHARING)
    (tmp_path / "test_b.py").write_text("def test_another_module(): pass\n")
    done = again(tmp_path, *options)
    assert done.returncode == 0, done.stdout
    log = (tmp_path / "log").read_text().splitlines()
    tries = ["bus", "join of ['before']", "bus ends", "bus", "join of []"]
    after = [] if last else ["after ['joined']"]
    assert log == ["machine", *tries, *after, "bus ends", "machine ends"]
