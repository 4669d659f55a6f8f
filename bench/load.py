"""A load generator in a process of its own: N connections, one request at a time each, for a number of seconds.

The same program drives the direct API server and the path through the host, so that what it costs cancels out of
the ratio. It reads bodies without keeping them and counts a response only when it is complete and 200.

    python -m bench.load --clients 16 --seconds 4 --url https://127.0.0.1:6443/version --kubeconfig F [--context C]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httptools
import uvloop

from bench.kubeconfig import Endpoint, endpoint


@dataclass
class Tally:
    """What one run saw: complete 200 answers, their body bytes, latencies in seconds, and failures by what they were."""

    requests: int = 0
    bytes: int = 0
    latencies: list[float] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)


class _Client(asyncio.Protocol):
    def __init__(self, request: bytes, tally: Tally, once: bool) -> None:
        self._request, self._tally, self._once = request, tally, once
        self.done = asyncio.get_running_loop().create_future()
        self.stopping = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._started = time.perf_counter()
        self._transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._tally.bytes += len(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status == 200:
            self._tally.requests += 1
            self._tally.latencies.append(time.perf_counter() - self._started)
        else:
            self._tally.failures[str(status)] = self._tally.failures.get(str(status), 0) + 1
        if self._once or self.stopping:
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            name = type(exc).__name__
            self._tally.failures[name] = self._tally.failures.get(name, 0) + 1
        if not self.done.done():
            self.done.set_result(None)


async def _worker(target: Endpoint, request: bytes, tally: Tally, stop_at: float, *, new_connections: bool) -> None:
    loop = asyncio.get_running_loop()
    parts = urlsplit(target.server)
    while (left := stop_at - loop.time()) > 0:
        _, client = await loop.create_connection(
            lambda: _Client(request, tally, new_connections),
            parts.hostname or "",
            parts.port or 443,
            ssl=target.context,
            server_hostname=target.server_name or parts.hostname,
        )
        await asyncio.wait([client.done], timeout=left if not new_connections else 30)
        client.stopping = True
        await asyncio.wait([client.done], timeout=30)


async def run(target: Endpoint, path: str, *, clients: int, seconds: float, new_connections: bool = False) -> Tally:
    """`seconds` of load on `path` (below the endpoint's own path) by `clients` connections."""
    parts = urlsplit(target.server)
    lines = [f"GET {parts.path.rstrip('/')}{path} HTTP/1.1", f"Host: {parts.netloc}", "Accept: application/json"]
    lines += [f"Authorization: Bearer {target.token}"] if target.token else []
    request = "\r\n".join([*lines, "", ""]).encode()
    tally = Tally()
    stop_at = asyncio.get_running_loop().time() + seconds
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(_worker(target, request, tally, stop_at, new_connections=new_connections))
    return tally


def main() -> None:
    """Print one JSON object: requests, requests per second, megabytes per second, p50 and p99 in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--context", default="")
    parser.add_argument("--path", default="/version")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--new-connections", action="store_true")
    options = parser.parse_args()
    target = endpoint(options.kubeconfig, options.context)
    started = time.perf_counter()
    tally = uvloop.run(
        run(
            target,
            options.path,
            clients=options.clients,
            seconds=options.seconds,
            new_connections=options.new_connections,
        )
    )
    elapsed = time.perf_counter() - started
    ordered = sorted(tally.latencies) or [0.0]
    result = {
        "requests": tally.requests,
        "rps": tally.requests / elapsed,
        "mbps": tally.bytes / elapsed / 1e6,
        "megabytes": tally.bytes / 1e6,
        "p50_ms": ordered[len(ordered) // 2] * 1e3,
        "p99_ms": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1e3,
        "failures": tally.failures,
    }
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
