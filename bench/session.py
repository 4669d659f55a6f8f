"""Sessions of kubectl as a load: bytes out of a pod, bytes into it, or commands one after the other.

    python -m bench.session --pod P --what download|upload|command --megabytes 200 --count 3 --kubeconfig F [--context C]

kubectl is the client that people use; what it costs itself is the same on every way.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from typing import IO

from skerry.localkube import binaries

_ZEROS = bytes(1 << 20)


def _download(command: list[str], megabytes: int, errors: IO[bytes]) -> int:
    source = ["--", "dd", "if=/dev/zero", "bs=65536", f"count={megabytes * 16}"]
    with subprocess.Popen([*command, *source], stdout=subprocess.PIPE, stderr=errors) as process:
        assert process.stdout is not None
        size = 0
        while piece := process.stdout.read(1 << 20):
            size += len(piece)
    return size if process.returncode == 0 else -1


def _upload(command: list[str], megabytes: int, errors: IO[bytes]) -> int:
    asked = [*command, "--stdin", "--", "wc", "-c"]
    with subprocess.Popen(asked, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):
            for _ in range(megabytes):
                process.stdin.write(_ZEROS)
            process.stdin.close()
        counted = process.stdout.read().strip()
    return int(counted) if process.returncode == 0 and counted else -1


def _command(command: list[str], megabytes: int, errors: IO[bytes]) -> int:
    done = subprocess.run([*command, "--", "true"], stdout=subprocess.DEVNULL, stderr=errors, check=False)
    return 0 if done.returncode == 0 else -1


def main() -> None:
    """Print one JSON object, as `bench.load` does. A session that failed or lost a byte is a failure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--context", default="")
    parser.add_argument("--pod", required=True)
    parser.add_argument("--what", choices=("download", "upload", "command"), required=True)
    parser.add_argument("--megabytes", type=int, default=0)
    parser.add_argument("--count", type=int, default=1)
    options = parser.parse_args()
    chosen = ["--context", options.context] if options.context else []
    kubectl = [str(binaries.kubectl(prefer_wheel=True)), "--kubeconfig", options.kubeconfig, *chosen]
    act = {"download": _download, "upload": _upload, "command": _command}[options.what]
    times: list[float] = []
    failures: Counter[str] = Counter()
    for _ in range(options.count):
        started = time.perf_counter()
        with tempfile.TemporaryFile() as errors:
            size = act([*kubectl, "exec", options.pod], options.megabytes, errors)
            if size == options.megabytes << 20:
                times.append(time.perf_counter() - started)
            else:
                errors.seek(0)
                failures[errors.read().decode(errors="replace").strip()[-200:] or f"{size} bytes"] += 1
    ordered = sorted(times) or [0.0]
    megabytes = len(times) * (options.megabytes << 20) / 1e6
    result = {
        "requests": len(times),
        "rps": len(times) / (sum(times) or 1e-9),
        "megabytes": megabytes,
        "mbps": megabytes / (sum(times) or 1e-9),
        "p50_ms": ordered[len(ordered) // 2] * 1e3,
        "p99_ms": ordered[-1] * 1e3,
        "failures": failures,
    }
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
