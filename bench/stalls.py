"""Readers that stall in the middle of a LIST of 200 MB, and what a small request beside them notices of it."""

from __future__ import annotations

import socket
import ssl
import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

from bench import fill
from bench.compare import Way, requests, run
from bench.federation import say
from bench.kubeconfig import endpoint
from bench.processes import peak_mib

SMALL = requests("GET /version beside stalled readers", "/version", 1, seconds=3)
FIRST_BYTES_S = 60.0


@contextmanager
def stalled(way: Way, readers: int) -> Iterator[None]:
    """`readers` connections that asked for the LIST, read its first bytes and nothing more. Few: each costs the API server 200 MB."""
    target = endpoint(str(way.kubeconfig), way.context)
    parts = urlsplit(target.server)
    host, port = parts.hostname or "", parts.port or 443
    lines = (
        f"GET {parts.path.rstrip('/')}{fill.LARGE} HTTP/1.1",
        f"Host: {parts.netloc}",
        f"Authorization: Bearer {target.token}",
    )
    request = "\r\n".join([*lines, "", ""]).encode()
    with ExitStack() as stack:
        sockets: list[ssl.SSLSocket] = []
        for _ in range(readers):
            plain = socket.create_connection((host, port), timeout=FIRST_BYTES_S)
            made = stack.enter_context(target.context.wrap_socket(plain, server_hostname=target.server_name or host))
            made.sendall(request)
            sockets.append(made)
        for made in sockets:
            if not made.recv(1).startswith(b"H"):
                raise RuntimeError("a stalled reader was refused")
        yield


def measure(way: Way, rounds: int, readers: tuple[int, ...] = (1, 8)) -> dict[str, Any]:
    """p99 of a small GET alone and beside stalled readers, interleaved; medians in ms, and peaks of memory in MiB."""
    say(f"  stalled readers: {rounds} rounds of none, {', '.join(map(str, readers))}")
    found: dict[int, list[float]] = {count: [] for count in (0, *readers)}
    for _ in range(rounds):
        for count, seen in found.items():
            with stalled(way, count):
                answer = run(SMALL, way)
            if answer["failures"]:
                raise RuntimeError(f"requests beside stalled readers failed: {answer['failures']}")
            seen.append(answer["p99_ms"])
    return {
        "p99_ms": {str(count): statistics.median(seen) for count, seen in found.items()},
        "ratio": {
            str(count): statistics.median(one / alone for one, alone in zip(found[count], found[0], strict=True))
            for count in readers
        },
        "peak_mib": {name: peak_mib(pid) for name, pid in way.processes.items()},
    }
