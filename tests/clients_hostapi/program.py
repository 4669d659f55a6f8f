"""The Go program in `go/`, built once per machine and content into the cache outside the tree."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.clients.tools import Unavailable, cache_dir

SOURCE = Path(__file__).parent / "go"
BUILD_S = 1500.0


def obtain(say: Callable[[str], None]) -> Path:
    """Where it is. Unavailable: one line that says how to get it."""
    directory = cache_dir()
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / f"hostclients-{_digest()}"
    with (directory / ".lock-hostclients").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel drops it when the holder dies
        if not target.exists():
            started = time.monotonic()
            say(f"building {target.name} from source, once per machine, into {directory}: about a minute")
            _build(target)
            say(f"  hostclients: {time.monotonic() - started:.0f} s")
    return target


def _digest() -> str:
    files = sorted(path for path in SOURCE.iterdir() if path.suffix in {".go", ".mod", ".sum"})
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:12]


def _build(target: Path) -> None:
    """Whole or not at all."""
    go = shutil.which("go")
    if go is None:
        raise Unavailable("the client programs are built with Go: install Go (https://go.dev/doc/install)")
    aside = target.with_name(f".{target.name}.part")
    flags = ["-p", "2", "-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w", "-o", str(aside)]
    nice = ["nice", "-n", "10"] if shutil.which("nice") else []
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    done = subprocess.run(
        [*nice, go, "build", *flags, "."],
        cwd=SOURCE,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=BUILD_S,
    )
    if done.returncode != 0:
        raise Unavailable(f"go could not build {target.name}: {' | '.join(done.stderr.strip().splitlines()[-6:])}")
    aside.rename(target)
