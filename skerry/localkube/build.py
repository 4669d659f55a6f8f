"""Build Kubernetes binaries with the Go toolchain, once per machine.

Kubernetes publishes its server binaries on a download site only; its source comes through the Go module proxy, checked
against the go.sum that we commit. Minutes of CPU, so: one builder at a time (file lock), politely (`nice`, two
compilers), each binary appears whole or not at all (built aside, then renamed), and an interrupted build goes on
where it was, because Go's own cache has every package that was finished.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from skerry.localkube.errors import BuildFailed

# Minutes on two cores with an empty Go cache; later ones share the packages of the first.
_MINUTES_FIRST = 4
_MINUTES_MORE = 1
_SAY_EVERY_S = 15.0
_PACKAGE_LINE = re.compile(r"^[\w.\-]+(/[\w.\-~]+)*$")

OnProgress = Callable[[str], None]


def expected_minutes(names: Sequence[str]) -> int:
    """How long a cold build of these takes, roughly; 0 for none."""
    return _MINUTES_FIRST + _MINUTES_MORE * (len(names) - 1) if names else 0


def build(
    module: Path,
    target: Path,
    names: Sequence[str],
    *,
    version: str,
    progress: OnProgress,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Build the commands `names` of `k8s.io/kubernetes` into the directory `target`; those that are there are kept.

    Waits for another process that builds already. Raises BuildFailed with the last lines of the compiler.
    """
    target.mkdir(parents=True, exist_ok=True)
    with _one_builder(target / ".lock", progress):
        waiting = [name for name in names if not (target / name).exists()]
        if waiting:
            minutes = expected_minutes(waiting)
            what = ", ".join(waiting)
            progress(f"building {what} {version} from source: about {minutes} minutes, once per machine, into {target}")
            _build(module, target, waiting, version, progress, environ)


@contextmanager
def _one_builder(lock: Path, progress: OnProgress) -> Iterator[None]:
    """Hold the lock file; the kernel drops it when the holder dies, so that it cannot go stale."""
    with lock.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another process is building the same binaries: waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _build(
    module: Path, target: Path, names: Sequence[str], version: str, progress: OnProgress, environ: Mapping[str, str]
) -> None:
    """One run of the compiler for all: what they share is compiled once, while both cores have something to do."""
    started = time.monotonic()
    what = ", ".join(names)
    for left in target.glob(".building.*"):
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=target, prefix=".building.") as aside:
        process = subprocess.Popen(
            _command(names, version, Path(aside)),
            cwd=module,
            env={**environ, "CGO_ENABLED": "0", "GOWORK": "off"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        with process:
            try:
                tail = _follow(process, what, progress, started)
            except BaseException:
                process.terminate()
                raise
        if process.returncode != 0:
            raise BuildFailed(
                f"go could not build {what} {version} (exit {process.returncode}): " + " | ".join(tail),
                "check that the Go module proxy is reachable and that `go version` is what the module asks for, then repeat",
            )
        for name in names:
            (Path(aside) / name).rename(target / name)
    progress(f"built {what} {version} in {_spent(started)}")


def _command(names: Sequence[str], version: str, output: Path) -> list[str]:
    """Without the version in ldflags the server says v0.0.0-master and kubectl refuses to compare versions."""
    package = "k8s.io/component-base/version"
    major, minor = version.split(".")[:2]
    values = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    ldflags = " ".join(["-s", "-w", *(f"-X {package}.{key}={value}" for key, value in values.items())])
    nice = ["nice", "-n", "10"] if shutil.which("nice") else []
    flags = ["-v", "-p", "2", "-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags", ldflags]
    packages = [f"k8s.io/kubernetes/cmd/{name}" for name in names]
    return [*nice, "go", "build", *flags, "-o", f"{output}/", *packages]


def _follow(process: subprocess.Popen[str], what: str, progress: OnProgress, started: float) -> list[str]:
    """Read the compiler's output to its end: `-v` prints a package per line, everything else is kept as the tail."""
    packages = 0
    tail: deque[str] = deque(maxlen=8)
    said = started
    assert process.stderr is not None  # noqa: S101  PIPE was asked for
    for line in process.stderr:
        if _PACKAGE_LINE.match(line.strip()):
            packages += 1
        else:
            tail.append(line.strip())
        if time.monotonic() - said >= _SAY_EVERY_S:
            said = time.monotonic()
            progress(f"  {what}: {packages} packages compiled, {_spent(started)}")
    return list(tail)


def _spent(started: float) -> str:
    minutes, seconds = divmod(int(time.monotonic() - started), 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
