"""The host API, measured: lists of 10,000 Clusters, 1,000 watches, creation, a cold start, and memory.

One real nats-server that syncs as in production and one proxy process of its own, over TLS; the load is made here. Objects
are written with the registry's rights straight into the bucket, so that no other service is measured along.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import secrets
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from bench.processes import cpu_s, peak_mib, rss_mib
from services.tenancy.model import administrator, name_of
from skerry import subjects
from skerry.api.kinds import CLUSTER, CREDENTIAL
from skerry.bus import Bucket, BucketConfig
from skerry.storage import Store, make_bucket, utc_now
from skerry.storage.documents import seal
from tests.fixtures.nats import NatsHost

OBJECTS, WATCHES, PAGE = 10_000, 1_000, 500
CHANGES = 20
CLUSTERS = "/apis/skerry.dev/v1alpha1/clusters"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
DEADLINE_S = 60.0


@dataclass
class Proxy:
    """A running proxy and how to ask it."""

    process: subprocess.Popen[bytes]
    port: int
    token: str
    tls: ssl.SSLContext

    def get(self, path: str, accept: str = "application/json") -> tuple[int, bytes]:
        """(status, body) over a connection of its own, as `kubectl` would."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.tls, timeout=DEADLINE_S)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {self.token}", "Accept": accept})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def cluster(name: str) -> dict[str, Any]:
    """A Cluster of usual size."""
    conditions = [
        {"type": kind, "status": "True", "reason": "AgentConnected", "message": "one agent is connected",
         "lastTransitionTime": "2026-01-01T00:00:00Z"}
        for kind in ("Joined", "Ready")
    ]  # fmt: skip
    return {
        "apiVersion": CLUSTER.api_version,
        "kind": CLUSTER.kind,
        "metadata": {
            "name": name, "uid": f"00000000-0000-4000-8000-{name[-6:]:0>12}", "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"env": "prod", "region": "eu-1"},
            "finalizers": ["skerry.dev/account"],
        },
        "spec": {"role": "member", "connection": {"mode": "agent"}},
        "status": {
            "conditions": conditions, "kubernetesVersion": "v1.36.0", "uid": secrets.token_hex(16), "nodes": 12,
            "agent": {"version": "0.1.0", "replicas": 1}, "ceiling": {},
        },
    }  # fmt: skip


async def fill(bucket: Bucket) -> None:
    """All objects, several at a time."""
    names = iter(range(OBJECTS))

    async def some() -> None:
        for number in names:
            document = cluster(f"cluster-{number:06}")
            key = subjects.key(CLUSTER.group, CLUSTER.kind, "", document["metadata"]["name"])
            await bucket.create(key, seal(document, writes=("bench",)))

    async with asyncio.TaskGroup() as group:
        for _ in range(64):
            group.create_task(some())


@contextmanager
def proxy(host: NatsHost, directory: Path, token: str) -> Iterator[Proxy]:
    """A proxy process; its port is free a moment before."""
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    credentials = directory / "proxy.creds"
    host.service("proxy").save(credentials)
    environment = {
        **os.environ,
        "SKERRY_BUS_SERVERS": host.servers[0],
        "SKERRY_BUS_CA_FILE": str(host.directory / "ca.crt"),
        "SKERRY_BUS_CREDENTIALS_FILE": str(credentials),
        "SKERRY_LISTEN": f"127.0.0.1:{port}",
        "SKERRY_TLS_CERT_FILE": str(host.directory / "tls.crt"),
        "SKERRY_TLS_KEY_FILE": str(host.directory / "tls.key"),
        "SKERRY_LOG_LEVEL": "error",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "services.proxy"], env=environment, stderr=(directory / "proxy.log").open("wb")
    )
    try:
        yield Proxy(process, port, token, ssl.create_default_context(cadata=host.ca_pem))
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def until_served(running: Proxy) -> float:
    """Seconds from now until a whole list is answered."""
    started = time.perf_counter()
    while time.perf_counter() - started < DEADLINE_S:
        with suppress(OSError, http.client.HTTPException):
            status, _ = running.get(f"{CLUSTERS}?limit=1&resourceVersion=0")
            if status == 200:
                return time.perf_counter() - started
        time.sleep(0.01)
    raise TimeoutError("the proxy did not answer a list in time")


def timed(running: Proxy, path: str, rounds: int, accept: str = "application/json") -> dict[str, float]:
    """Milliseconds of one request, connection and TLS included: median and worst."""
    samples, size = [], 0
    for _ in range(rounds):
        started = time.perf_counter()
        status, body = running.get(path, accept)
        samples.append((time.perf_counter() - started) * 1e3)
        size = len(body)
        if status != 200:
            raise RuntimeError(f"{path}: {status} {body[:200]!r}")
    return {"p50_ms": statistics.median(samples), "max_ms": max(samples), "megabytes": size / 1e6}


async def watches(running: Proxy, store: Store) -> dict[str, float]:
    """Milliseconds from before a write until each watch has the event."""
    _, body = running.get(f"{CLUSTERS}?limit=1")
    since = json.loads(body)["metadata"]["resourceVersion"]
    path = f"{CLUSTERS}?watch=1&resourceVersion={since}"
    request = f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {running.token}\r\n\r\n".encode()
    arrivals: dict[str, list[float]] = {}
    opened = asyncio.Semaphore(64)

    async def one(ready: asyncio.Future[None]) -> None:
        async with opened:
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port, ssl=running.tls)
            writer.write(request)
            await reader.readuntil(b"\r\n\r\n")
        ready.set_result(None)
        with suppress(asyncio.IncompleteReadError):
            while True:
                line = await reader.readuntil(b"\n")
                if line.startswith(b'{"type"'):
                    arrived = time.perf_counter()
                    mark = line.partition(b'"kubernetesVersion":"bench-')[2].partition(b'"')[0].decode()
                    arrivals.setdefault(mark, []).append(arrived)

    loop = asyncio.get_running_loop()
    heads = [loop.create_future() for _ in range(WATCHES)]
    following = [asyncio.create_task(one(head)) for head in heads]
    await asyncio.wait_for(asyncio.gather(*heads), DEADLINE_S)
    idle = rss_mib(running.process.pid)
    latencies: list[float] = []
    spent = cpu_s(running.process.pid)
    for number in range(CHANGES):
        started = time.perf_counter()
        mark = str(number)
        await store.modify("cluster-000007", lambda d, m=mark: {**d, "status": {"kubernetesVersion": f"bench-{m}"}})
        deadline = time.perf_counter() + DEADLINE_S
        while len(arrivals.get(mark, ())) < WATCHES and time.perf_counter() < deadline:
            await asyncio.sleep(0.005)
        latencies += [(arrived - started) * 1e3 for arrived in arrivals.get(mark, ())]
    spent = cpu_s(running.process.pid) - spent
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)
    ordered = sorted(latencies)
    return {
        "p50_ms": statistics.median(ordered),
        "p99_ms": ordered[int(len(ordered) * 0.99)],
        "missing": float(WATCHES * CHANGES - len(ordered)),
        "rss_mib": idle,
        "cpu_us_per_event": spent * 1e6 / max(1, len(ordered)),
    }


async def creates(store: Store, rounds: int) -> float:
    """Median milliseconds of one stored create with the server's sync on every write."""
    samples = []
    for number in range(rounds):
        started = time.perf_counter()
        await store.create(cluster(f"made-{number:06}"))
        samples.append((time.perf_counter() - started) * 1e3)
    return statistics.median(samples)


async def _measure(host: NatsHost, directory: Path, rounds: int) -> dict[str, Any]:
    token = f"skerry_{secrets.token_urlsafe(32)}"
    async with host.bus("registry") as registry, host.bus("tenancy") as tenancy:
        bucket = await registry.bucket(subjects.RESOURCES, create=BucketConfig())
        await make_bucket(registry, subjects.EVENTS)
        credentials = Store(await tenancy.bucket(subjects.RESOURCES), CREDENTIAL)
        await credentials.create(administrator(token, utc_now()))
        store = Store(bucket, CLUSTER)
        with proxy(host, directory, token) as running:
            await asyncio.to_thread(until_served, running)
            await asyncio.sleep(2)
            idle = rss_mib(running.process.pid)
        await fill(bucket)
        starts = []
        for _ in range(rounds):
            with proxy(host, directory, token) as running:
                starts.append(await asyncio.to_thread(until_served, running))
        with proxy(host, directory, token) as running:
            await asyncio.to_thread(until_served, running)
            full = rss_mib(running.process.pid)
            cases = {
                "list": await asyncio.to_thread(timed, running, CLUSTERS, rounds * 5),
                "first page": await asyncio.to_thread(timed, running, f"{CLUSTERS}?limit={PAGE}", rounds * 20),
                "table": await asyncio.to_thread(timed, running, CLUSTERS, rounds * 3, TABLE),
                "one object": await asyncio.to_thread(timed, running, f"{CLUSTERS}/cluster-000001", rounds * 20),
            }
            watched = await watches(running, store)
            created = await creates(store, rounds * 20)
            peak = peak_mib(running.process.pid)
    return {
        "objects": OBJECTS, "credential": name_of(token)[:6], "cold_start_s": statistics.median(starts),
        "idle_rss_mib": idle, "full_rss_mib": full, "peak_rss_mib": peak, "cases": cases,
        "watches": {"count": WATCHES, "changes": CHANGES, **watched}, "store_create_p50_ms": created,
    }  # fmt: skip


def measure(rounds: int = 3) -> dict[str, Any]:
    """All figures of the host API."""
    with tempfile.TemporaryDirectory(prefix="skerry-bench-") as name:
        host = NatsHost(Path(name))
        host.start()
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(_measure(host, Path(name), rounds))
        finally:
            host.stop()


def show(figures: Mapping[str, Any], console: Console) -> None:
    """The table that people read."""
    table = Table(title=f"Host API with {figures['objects']} Clusters, one proxy, TLS", title_justify="left")
    for column in ("what", "measured", "aim"):
        table.add_column(column)
    aims = {"list": "p50 <= 300 ms", "first page": "p50 <= 25 ms"}
    for name, case in figures["cases"].items():
        table.add_row(f"{name} ({case['megabytes']:.2f} MB)", f"p50 {case['p50_ms']:.1f} ms", aims.get(name, ""))
    watched = figures["watches"]
    table.add_row(
        f"{watched['count']} watches, a change", f"p50 {watched['p50_ms']:.0f} ms, p99 {watched['p99_ms']:.0f} ms",
        "p99 <= 200 ms",
    )  # fmt: skip
    table.add_row("  CPU of the proxy per event", f"{watched['cpu_us_per_event']:.0f} us", "")
    table.add_row("stored create", f"p50 {figures['store_create_p50_ms']:.1f} ms", "<= 15 ms")
    table.add_row("cold start to the first list", f"{figures['cold_start_s']:.2f} s", "<= 3 s")
    table.add_row("idle memory", f"{figures['idle_rss_mib']:.0f} MiB", "<= 90 MiB")
    table.add_row("memory with all objects", f"{figures['full_rss_mib']:.0f} MiB", "")
    table.add_row("memory with the watches", f"{watched['rss_mib']:.0f} MiB", "")
    console.print(table)
