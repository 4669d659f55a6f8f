"""One host for all clients of this package, and the Go program, made when collection has ended: a fixture would build
inside the first test's timeout.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.clients.tools import Unavailable
from tests.clients_hostapi import program
from tests.e2e.federation import Host

_MADE = pytest.StashKey[Path | str]()
DEADLINE_S = 60.0


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the program if a collected test asks for it."""
    wanted = any("clients" in getattr(item, "fixturenames", ()) for item in session.items)
    if session.config.option.collectonly or not wanted or _MADE in session.config.stash:
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    try:
        session.config.stash[_MADE] = program.obtain(reporter.write_line if reporter else print)
    except Unavailable as error:
        session.config.stash[_MADE] = str(error)


@pytest.fixture(scope="session")
def binary(request: pytest.FixtureRequest) -> Path:
    """The program; skips, or fails where it is required, with the reason."""
    found = request.config.stash.get(_MADE, "the client program was not made")
    if isinstance(found, Path):
        return found
    if os.environ.get("SKERRY_TEST_KUBE_REQUIRED") == "1":
        pytest.fail(f"SKERRY_TEST_KUBE_REQUIRED=1, but: {found}", pytrace=False)
    pytest.skip(found)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host without members."""
    with Host(tmp_path_factory.mktemp("host")) as made:
        made.up()
        yield made


class Running:
    """The program in one mode: its lines, decoded."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)

    def next(self) -> dict[str, Any]:
        """The next line; fails the test at the deadline, or when the program has ended."""
        try:
            line = self._lines.get(timeout=DEADLINE_S)
        except queue.Empty:
            raise AssertionError(f"no line within {DEADLINE_S} s") from None
        if line is None:
            assert self.process.stderr is not None
            raise AssertionError(f"the program ended: {self.process.stderr.read()}")
        return line

    def until(self, **wanted: str) -> dict[str, Any]:
        """Read lines until one has these values."""
        while True:
            line = self.next()
            if all(line.get(key) == value for key, value in wanted.items()):
                return line

    def ask(self, text: str) -> None:
        """One line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def end(self) -> int:
        """Close its standard input and wait; its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            return self.process.wait(DEADLINE_S)
        finally:
            self.process.kill()
            self._reader.join(DEADLINE_S)
            for pipe in (self.process.stdout, self.process.stderr):
                assert pipe is not None
                pipe.close()


Start = Callable[..., Any]


@pytest.fixture
def clients(binary: Path, host: Host) -> Start:
    """Starts the program in a mode against the host, as a context manager: by the administrator, or with another kubeconfig."""

    @contextmanager
    def start(mode: str, kubeconfig: Path | None = None) -> Iterator[Running]:
        process = subprocess.Popen(
            [str(binary), mode],
            env={**os.environ, "KUBECONFIG": str(kubeconfig or host.admin), "HOME": str(host.directory)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running = Running(process)
        try:
            yield running
        finally:
            running.end()

    return start
