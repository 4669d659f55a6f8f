"""What a test has opened is closed whatever its time-out interrupts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.finalizers import _ended

_HANGING = """
import asyncio, time
from pathlib import Path
import pytest

@pytest.fixture(scope="module")
def cluster():
    yield
    Path("ended").write_text("cluster ")

@pytest.fixture
def server(cluster):
    yield
    Path("server").write_text("ended")

@pytest.fixture
async def client(server):
    yield
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(0.1))
        group.create_task(hang())

async def hang():
    time.sleep(600)

@pytest.mark.timeout(2)
async def test_whose_client_does_not_end(client):
    pass

async def test_that_follows(cluster):
    assert Path("server").read_text() == "ended"
"""


def test_what_stands_behind_a_teardown_that_hangs_is_taken_down(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\nasyncio_mode = 'auto'\n")
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["tests.fixtures.finalizers"]\n')
    (tmp_path / "test_hanging.py").write_text(_HANGING)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "."]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=100, check=False)
    assert "2 passed, 1 error" in done.stdout, done.stdout
    assert "Failed: Timeout" in done.stdout
    assert (tmp_path / "ended").exists()


@pytest.mark.parametrize(
    ("raised", "comes"),
    [
        (
            BaseExceptionGroup("g", [BaseExceptionGroup("h", [pytest.fail.Exception("late")]), OSError()]),
            pytest.fail.Exception,
        ),
        (BaseExceptionGroup("g", [KeyboardInterrupt(), pytest.fail.Exception("late")]), BaseExceptionGroup),
        (ExceptionGroup("g", [OSError()]), ExceptionGroup),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_only_failures_of_tests_are_made_plain(raised: BaseException, comes: type[BaseException]) -> None:
    def finalizer() -> None:
        raise raised

    with pytest.raises(comes) as caught:
        _ended(finalizer)
    assert type(caught.value) is comes
