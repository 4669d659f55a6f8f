"""Modules that use clusters run in as many processes as there is memory for, and everything runs once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.suites import MIB_EACH, MIB_PROCESS, WITH_NODES, WITHOUT_NODES, cores, lanes, processes

_MODULE = """
import os
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range(4))
def test_it(number, request):
    with Path(request.config.rootpath, "ran").open("a") as file:
        file.write(f"{os.environ['PYTEST_XDIST_WORKER']} {request.node.nodeid}\\n")
"""


def run(root: Path, allowed: int, *directories: str, started: int = 3) -> list[tuple[str, str]]:
    """(process, test) of each run; two modules in each directory, three processes unless it is said."""
    (root / "pyproject.toml").write_text("[tool.pytest.ini_options]\naddopts = '--import-mode=importlib'\n")
    (root / "conftest.py").write_text('pytest_plugins = ["tests.fixtures.suites"]\n')
    for directory in directories:
        (root / directory).mkdir(parents=True)
        for number in range(2):
            (root / directory / f"test_{number}.py").write_text(_MODULE)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-n",
        str(started),
        "--no-loadscope-reorder",
        *directories,
    ]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "SKERRY_TEST_LANES": str(allowed)}
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split(" ", 1) for line in (root / "ran").read_text().splitlines()]
    return [(process, test) for process, test in lines]


def test_one_lane_has_all_clusters_and_the_others_the_rest(tmp_path: Path) -> None:
    ran = run(tmp_path, 1, "tests/e2e", "tests/clients", "tests/bus")
    assert len(ran) == len({test for _, test in ran}) == 24
    assert len({process for process, test in ran if "bus" not in test}) == 1


def test_where_only_clusters_are_wanted_the_other_processes_end(tmp_path: Path) -> None:
    ran = run(tmp_path, 2, "tests/e2e", "tests/kube", "tests/conformance")
    assert len(ran) == 24
    assert len({process for process, _ in ran}) == 2


def test_of_two_lanes_one_has_nodes_and_the_other_does_what_needs_none(tmp_path: Path) -> None:
    ran = run(tmp_path, 2, "tests/clients", "tests/conformance", "tests/kube", "tests/bus")
    assert len(ran) == 32
    nodes = {process for process, test in ran if "clients" in test or "kube" in test}
    assert len(nodes) == 1
    assert len({process for process, test in ran if "conformance" in test} - nodes) == 1


def test_one_process_more_works_as_long_as_clusters_are_used_and_on_nothing_that_uses_one(tmp_path: Path) -> None:
    more = processes(cores())
    ran = run(tmp_path, 1, "tests/e2e", "tests/clients", "tests/bus", started=more + 1)
    assert len(ran) == len({test for _, test in ran}) == 24
    assert len({process for process, test in ran if "bus" not in test}) <= more


def test_without_clusters_there_is_no_process_more(tmp_path: Path) -> None:
    more = processes(cores())
    places = [f"tests/bus{number}" for number in range(more)]
    ran = run(tmp_path, 1, *places, started=more + 1)
    assert len(ran) == 8 * more
    assert len({process for process, _ in ran}) <= more  # which one has nothing to do is whichever was ready last


def test_modules_are_listed_by_the_clusters_that_they_use(request: pytest.FixtureRequest) -> None:
    """Of this run: `make test` is a run of all."""
    for item in request.session.items:
        used = {"member_one", "member_two", "plain_cluster", "clusters"} & set(getattr(item, "fixturenames", ()))
        if used & {"member_one", "member_two"}:
            assert item.nodeid.startswith(WITH_NODES), item.nodeid
        elif used:
            assert item.nodeid.startswith(WITH_NODES + WITHOUT_NODES), item.nodeid


@pytest.mark.parametrize(("mib", "expected"), [(500, 1), (MIB_EACH * 2 + 1, 2), (MIB_EACH * 9, 9)])
def test_lanes_follow_the_memory_that_the_processes_leave(mib: int, expected: int) -> None:
    assert lanes(mib + 25 * MIB_PROCESS, 16, {}) == expected
    assert lanes(mib, 16, {"SKERRY_TEST_LANES": "3"}) == 3


@pytest.mark.parametrize(("number", "lent", "started"), [(1, 1, 2), (2, 3, 3), (4, 6, 6)])
def test_there_are_more_processes_than_cores_and_no_more_of_them_with_clusters(
    number: int, lent: int, started: int
) -> None:
    assert lanes(MIB_EACH * 9, number, {}) == lent
    assert processes(number) == started
