"""What counting the pods of a large cluster costs whoever does it, against a stand-in for its API server in another process.

CPU and memory are this process's: of the pages that it reads, and of nothing else.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import random
import statistics
import tempfile
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
from rich.console import Console
from rich.table import Table

from bench.federation import say
from bench.fill import pod
from bench.processes import forget_peak, peak_mib, rss_mib
from skerry.http.exchange import Exchange
from skerry.inventory.counting import texts
from skerry.member import kubeconfig
from skerry.member.credentials import source
from skerry.member.inventory import PODS, InventoryCollector
from skerry.member.upstream import Upstream
from tests.member.apiserver import JSON, ApiServer, Route

NUMBER = 10_000


def measure(rounds: int) -> dict[str, Any]:
    """Seconds and MiB of one count, after one that warmed up."""
    say(f"inventory: {NUMBER} pods")
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    try:
        return asyncio.run(_measure(rounds, Path(ours.recv()), ours.recv()))
    finally:
        server.kill()
        server.join()


def _serve(pipe: Connection) -> None:
    asyncio.run(_api(pipe))


async def _api(pipe: Connection) -> None:
    items = [msgspec.Raw(msgspec.json.encode(running(number))) for number in range(NUMBER)]

    with tempfile.TemporaryDirectory() as directory:
        async with ApiServer(Path(directory)) as api:
            api.routes[PODS] = pages(items)
            pipe.send(str(api.kubeconfig()))
            pipe.send(sum(len(bytes(item)) for item in items))
            await asyncio.Event().wait()


def pages(items: list[msgspec.Raw]) -> Route:
    """Answer with a list, page by page; of pods that wait for a place there are none."""

    async def answer(exchange: Exchange) -> None:
        query = parse_qs(exchange.head.target.partition(b"?")[2].decode())
        listed = [] if "spec.nodeName=," in query.get("fieldSelector", [""])[0] else items
        start, limit = int(query.get("continue", ["0"])[0]), int(query["limit"][0])
        after = {"continue": str(start + limit)} if start + limit < len(listed) else {}
        document = {"metadata": after, "items": listed[start : start + limit]}
        await exchange.respond(200, JSON, msgspec.json.encode(document))

    return answer


def running(number: int, nodes: int = 100) -> dict[str, Any]:
    """A pod that a kubelet runs, on one of so many nodes."""
    document: dict[str, Any] = pod(random.Random(number), number)
    document["spec"] |= {"nodeName": f"node-{number % nodes}"}
    address = {"ip": f"10.0.{number % 200}.{number % 250}"}
    status = {
        "name": "web",
        "ready": True,
        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
        "restartCount": 0,
    }
    conditions = [
        {"type": name, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"} for name in _CONDITIONS
    ]
    document["status"] = {
        "phase": "Running",
        "podIPs": [address],
        "conditions": conditions,
        "containerStatuses": [status],
    }
    document["metadata"]["managedFields"] = [
        {"manager": manager, "operation": "Update", "fieldsV1": _fields(document[part])}
        for manager, part in (("kube-controller-manager", "spec"), ("kubelet", "status"))
    ]
    return document


_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


def _fields(value: Any) -> dict[str, Any]:
    """Who wrote what, as the API server keeps it."""
    if isinstance(value, dict):
        return {f"f:{key}": _fields(each) for key, each in value.items()}
    if isinstance(value, list):
        return {f"k:{msgspec.json.encode(str(each)[:40]).decode()}": {".": {}, **_fields(each)} for each in value}
    return {}


async def _measure(rounds: int, config: Path, size: int) -> dict[str, Any]:
    target = kubeconfig.load(str(config))
    upstream = Upstream(target, source(target))
    collector = InventoryCollector(upstream, lambda: None)
    total = await collector.count()
    gc.collect()
    before, peaks, seconds = rss_mib(os.getpid()), [], []
    for _ in range(rounds):
        forget_peak(os.getpid())
        started = time.process_time()
        await collector.count()
        seconds.append(time.process_time() - started)
        peaks.append(peak_mib(os.getpid()))
    await upstream.close()
    return {
        "pods": NUMBER,
        "pod_bytes": size // NUMBER,
        "requested": texts(total or {}, up=True),
        "cpu_s": statistics.median(seconds),
        "cpu_spread_s": [min(seconds), max(seconds)],
        "rss_mib": before,
        "peak_mib": max(peaks) - before,
    }


def show(figures: Mapping[str, Any], console: Console) -> None:
    """One table."""
    table = Table(title=f"counting {figures['pods']} pods of {figures['pod_bytes']} bytes")
    for column in ("", "measured", "aim"):
        table.add_column(column)
    low, high = figures["cpu_spread_s"]
    table.add_row("CPU of one count", f"{figures['cpu_s']:.2f} s ({low:.2f} to {high:.2f})", "0.3 s")
    table.add_row("memory beyond what it had, at the peak", f"{figures['peak_mib']:.1f} MiB", "8 MiB")
    console.print(table)
