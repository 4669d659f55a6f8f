"""Watches as load: N connections that watch one namespace, and a writer that changes an object in it at a given rate.

Each change reaches all watches, so 100 watches and 5 changes a second are 500 events a second. The writer always goes
to the API server directly; latency is from before its request to the event at the watcher, by one clock.

Prints `{"connected": N}` when all watches have their response head, and the result at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import re
import ssl
import sys
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import uvloop

from bench.fill import WATCHED
from bench.kubeconfig import Endpoint, endpoint

_STAMP = re.compile(rb'"at":"(\d+\.\d+)"')
_OBJECT = "clock"


@dataclass
class Seen:
    """What all watches saw: events of changes that were made in the run, latencies in seconds, and failures."""

    since: float = math.inf
    heads: int = 0
    events: int = 0
    latencies: list[float] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)

    def failed(self, why: str) -> None:
        """Count one failure."""
        self.failures[why] = self.failures.get(why, 0) + 1


def _head(target: Endpoint, method: str, path: str, body: bytes = b"", content_type: str = "") -> bytes:
    parts = urlsplit(target.server)
    lines = [f"{method} {parts.path.rstrip('/')}{path} HTTP/1.1", f"Host: {parts.netloc}", "Accept: application/json"]
    lines += [f"Authorization: Bearer {target.token}"] if target.token else []
    lines += [f"Content-Type: {content_type}", f"Content-Length: {len(body)}"] if content_type else []
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _open(target: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(target.server)
    context: ssl.SSLContext = target.context
    return await asyncio.open_connection(
        parts.hostname, parts.port, ssl=context, server_hostname=target.server_name or parts.hostname, limit=1 << 20
    )


async def _watch(target: Endpoint, seen: Seen, connecting: asyncio.Semaphore) -> None:
    try:
        async with connecting:
            reader, writer = await _open(target)
            writer.write(_head(target, "GET", f"{WATCHED}?watch=1&resourceVersion=0&timeoutSeconds=3600"))
            head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            seen.failed(head.split(b"\r\n", 1)[0].decode())
            return
        seen.heads += 1
        while line := await reader.readline():
            _event(line, seen)
        seen.failed("ended")
    except (OSError, asyncio.IncompleteReadError) as error:
        seen.failed(type(error).__name__)


def _event(line: bytes, seen: Seen) -> None:
    found = _STAMP.search(line)
    if found and (at := float(found[1])) >= seen.since:
        seen.events += 1
        seen.latencies.append(time.perf_counter() - at)


async def _write(target: Endpoint, rate: float, seconds: float) -> None:
    """Patch the object `rate` times a second; the answer is read before the next."""
    reader, writer = await _open(target)
    until = time.perf_counter() + seconds
    due = time.perf_counter()
    while due < until:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        body = json.dumps({"data": {"at": f"{time.perf_counter():.6f}"}}).encode()
        writer.write(_head(target, "PATCH", f"{WATCHED}/{_OBJECT}", body, "application/merge-patch+json"))
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise RuntimeError(f"the writer was answered {head!r}")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        due += 1 / rate
    writer.close()


async def run(options: argparse.Namespace) -> Seen:
    """Connect all watches, tell, make changes (or hold still) for the time asked."""
    seen = Seen()
    target = endpoint(options.kubeconfig, options.context)
    connecting = asyncio.Semaphore(32)
    tasks = [asyncio.create_task(_watch(target, seen, connecting)) for _ in range(options.watches)]
    until = time.perf_counter() + 120
    while seen.heads + sum(seen.failures.values()) < options.watches and time.perf_counter() < until:
        await asyncio.sleep(0.05)
    if options.announce:
        print(json.dumps({"connected": seen.heads}), flush=True)
    await asyncio.sleep(0.5)
    seen.since = time.perf_counter()
    if options.rate:
        await _write(endpoint(options.writer), options.rate, options.seconds)
        await asyncio.sleep(0.3)
    else:
        await asyncio.sleep(options.seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return seen


def main() -> None:
    """Print one JSON object: events, events per second, p50 and p99 of the latency in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--context", default="")
    parser.add_argument("--writer", default="", help="kubeconfig of the API server, for the changes")
    parser.add_argument("--watches", type=int, default=100)
    parser.add_argument("--rate", type=float, default=0.0, help="changes a second; 0: none")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--announce", action="store_true", help="print a line when all watches are connected")
    options = parser.parse_args()
    seen = uvloop.run(run(options))
    ordered = sorted(seen.latencies) or [0.0]
    result = {
        "events": seen.events,
        "eps": seen.events / options.seconds,
        "p50_ms": ordered[len(ordered) // 2] * 1e3,
        "p99_ms": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1e3,
        "failures": seen.failures,
    }
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
