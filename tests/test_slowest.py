"""Seconds are added up by module, the slowest module comes first."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from tests.fixtures.slowest import SHOWN, Modules


def report(nodeid: str, when: Literal["setup", "call", "teardown"], seconds: float) -> pytest.TestReport:
    return pytest.TestReport(nodeid, ("", 0, ""), {}, "passed", None, when, duration=seconds)


def test_phases_of_all_tests_of_a_module_are_one_line() -> None:
    modules = Modules()
    for number in range(3):
        modules.pytest_runtest_logreport(report(f"tests/a.py::test[{number}::x]", "setup", 1.0))
        modules.pytest_runtest_logreport(report(f"tests/a.py::test[{number}::x]", "call", 2.0))
    modules.pytest_runtest_logreport(report("tests/b.py::Test::test", "teardown", 10.0))
    first, second = modules.lines()
    assert first.split() == ["10.0", "s", "setup", "0.0", "call", "0.0", "teardown", "10.0", "CPU", "0.0", "tests/b.py"]
    assert second.split() == ["9.0", "s", "setup", "3.0", "call", "6.0", "teardown", "0.0", "CPU", "0.0", "tests/a.py"]


def test_only_the_slowest_are_shown() -> None:
    modules = Modules()
    for number in range(SHOWN + 5):
        modules.pytest_runtest_logreport(report(f"tests/{number}.py::test", "call", number))
    assert [line.split()[-1] for line in modules.lines()][:2] == [f"tests/{SHOWN + 4}.py", f"tests/{SHOWN + 3}.py"]
    assert len(modules.lines()) == SHOWN


TESTS = """
import subprocess, sys

def test_busy():
    subprocess.run([sys.executable, "-c", {busy!r}], check=True)

def test_idle():
    pass
"""
BUSY = "import time\nwhile time.process_time() < 0.5: pass"


@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["one process", "a worker"])
def test_what_children_spent_is_counted_in_whichever_process(tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / "test_busy.py").write_text(TESTS.format(busy=BUSY))
    words = [sys.executable, "-m", "pytest", "-p", "tests.fixtures.slowest", "--durations=1", *options, str(tmp_path)]
    root = Path(__file__).parent.parent
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, timeout=100, check=False)
    (line,) = [line for line in done.stdout.splitlines() if line.endswith("test_busy.py") and "CPU" in line]
    match = re.search(r"CPU +([\d.]+)", line)
    assert match is not None
    assert 0.5 <= float(match[1]) < 5, done.stdout
