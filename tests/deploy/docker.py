"""A Docker for tests of images: one that runs, else a dockerd of the suite's own, in a network namespace of its own (it would
turn on forwarding for the whole machine), and a base image of Debian's packages.

Where neither can be had the tests are skipped with the reason; `SKERRY_TEST_DOCKER_REQUIRED=1` makes that a failure.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

START_S = 60.0
SUITE = "bookworm"
PYTHON = (3, 11)
"""Of the base image: what the wheels are for."""
BASE = "skerry-test-base"


class Unavailable(Exception):
    """There is no Docker here; one line that says why."""


class Docker:
    """`docker` against one daemon."""

    def __init__(self, host: str = "") -> None:
        self._environ = {**os.environ, "DOCKER_BUILDKIT": "0", **({"DOCKER_HOST": host} if host else {})}

    def __call__(self, *words: str, deadline_s: float = 900.0) -> str:
        """The output of a command; what failed, with what it said."""
        done = subprocess.run(
            ["docker", *words], env=self._environ, capture_output=True, text=True, timeout=deadline_s, check=False
        )
        if done.returncode:
            raise AssertionError(f"docker {' '.join(words)}: {done.stdout[-2000:]} {done.stderr[-2000:]}")
        return done.stdout.strip()

    @property
    def answers(self) -> bool:
        """Whether its daemon runs."""
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
            return bool(self("info", "--format", "{{.ServerVersion}}", deadline_s=20.0))
        return False

    def export(self, image: str, target: Path) -> None:
        """All files of an image as a tar."""
        container = self("create", "--network=none", image)
        try:
            self("export", "--output", str(target), container)
        finally:
            self("rm", "--force", container)


@contextlib.contextmanager
def running() -> Iterator[Docker]:
    """A daemon. Unavailable."""
    if shutil.which("docker") is None:
        raise Unavailable("there is no docker: apt-get install docker.io")
    there = Docker()
    if there.answers:
        yield there
        return
    if shutil.which("dockerd") is None or shutil.which("ip") is None or os.geteuid() != 0:
        raise Unavailable("no docker daemon answers, and none can be started: it takes root, dockerd and ip")
    with tempfile.TemporaryDirectory(prefix="skerry-docker-") as directory, _daemon(Path(directory)) as own:
        yield own


@contextlib.contextmanager
def _daemon(directory: Path) -> Iterator[Docker]:
    name, socket = f"skerry-docker-{os.getpid()}", f"unix://{directory}/docker.sock"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        command = ["nsenter", f"--net=/run/netns/{name}", "dockerd", "--data-root", f"{directory}/data"]
        command += ["--exec-root", f"{directory}/exec", "-H", socket, "-p", f"{directory}/pid"]
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            docker, until = Docker(socket), time.monotonic() + START_S
            while not docker.answers:
                if process.poll() is not None or time.monotonic() > until:
                    raise Unavailable(f"dockerd does not start: {(directory / 'log').read_text()[-500:]}")
                time.sleep(0.2)
            yield docker
        finally:
            process.terminate()
            process.wait(60)
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False)


def base(docker: Docker) -> str:
    """The base image: Debian with Python and certificates, made with debootstrap where it is not there. Unavailable."""
    if sys.version_info[:2] != PYTHON:
        raise Unavailable(f"the base image has Python {PYTHON[0]}.{PYTHON[1]}, these wheels are for another one")
    with contextlib.suppress(AssertionError):
        docker("image", "inspect", f"{BASE}:{SUITE}")
        return f"{BASE}:{SUITE}"
    if shutil.which("debootstrap") is None:
        raise Unavailable("the base image is made with debootstrap: apt-get install debootstrap")
    with tempfile.TemporaryDirectory(prefix="skerry-base-") as directory:
        root, archive = f"{directory}/root", f"{directory}/base.tar"
        packages = "--include=python3,python3-venv,ca-certificates"
        made = subprocess.run(
            ["debootstrap", "--variant=minbase", packages, SUITE, root], capture_output=True, text=True, check=False
        )
        if made.returncode:
            raise Unavailable(f"debootstrap: {made.stdout[-300:]} {made.stderr[-300:]}")
        subprocess.run(["tar", "-C", root, "-cf", archive, "."], check=True)
        docker("import", archive, f"{BASE}:{SUITE}")
    return f"{BASE}:{SUITE}"
