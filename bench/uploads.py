"""Bytes to an action and from one, measured: 100 MB through the front door into the store and out of it, beside the store alone.

One real nats-server that syncs as in production; the host API and the owner of a kind share one process of their own. The
load is made here, over plain HTTP: what TLS costs is told by `tunnel`. Ratios are taken within a round.
"""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from bench.processes import cpu_s, peak_mib
from services.proxy.hostapi import Forwarder, HostApi
from skerry import subjects
from skerry.admission import Download, Rules, Upload
from skerry.api import v1alpha1
from skerry.api.kinds import Action, Kind
from skerry.api.messages import Caller
from skerry.api.meta import Struct
from skerry.bus import BucketConfig, ObjectStore, StoreConfig
from skerry.http import Exchange, Server
from skerry.identity.trust import pinned
from skerry.informer import Informer
from skerry.service import Process, Service
from skerry.settings import Settings
from tests.fixtures.nats import NatsHost

SIZE = 100 * 1000 * 1000
STORE = "bench"
PATH = "/apis/skerry.dev/v1alpha1/crates/c/content"
DEADLINE_S = 60.0
PIECE = hashlib.shake_128(b"piece").digest(1_000_000)
PUT, READ, UP, DOWN = "store alone, put", "store alone, read", "front door, upload", "front door, download"
BESIDE = {UP: PUT, DOWN: READ}


class Receipt(Struct, frozen=True, kw_only=True):
    """What came."""

    size: int = 0


class NoSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """None."""


def _action(verb: str, **more: Any) -> Action:
    return Action(subresource="content", verb=verb, streaming=True, timeout_s=DEADLINE_S, description="Bytes.", **more)


CRATE = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="Crate",
    plural="crates",
    singular="crate",
    owner="bench",
    type=v1alpha1.JoinToken,
    verbs=("get", "list"),
    actions=(_action("create", answer=Receipt, max_bytes=SIZE), _action("get")),
)


async def _load(context: Any, request: Any, upload: Upload) -> dict[str, Any]:
    """Reads it once, as an owner does that looks into it."""
    size = 0
    async for part in upload.read():
        size += len(part)
    return {"size": size}


async def _unload(context: Any, request: Any, parameters: None) -> Download:
    store: ObjectStore = await context.bus.objects(STORE)
    return Download.of_object(store, await store.stat("whole"))


SERVICE = Service(
    name="bench",
    settings=NoSettings,
    rules={CRATE: Rules},
    actions={(CRATE, "content", "create"): _load, (CRATE, "content", "get"): _unload},
)


async def _serve(host: NatsHost, port: Connection) -> None:
    """The child: the owner and a host API, until it is ended."""
    async with (
        host.open_bus("owner") as bus,
        host.open_bus("front") as front,
        front.another("streams") as streaming,
        asyncio.TaskGroup() as group,
    ):
        process = Process([(SERVICE, NoSettings())], bus, host.settings("owner"), trust_roots=pinned(host.trust_root))
        group.create_task(process.serve(asyncio.Event()))
        api = HostApi(Informer((CRATE,)), Forwarder(front, host.sign, streaming), (CRATE,))

        async def handle(exchange: Exchange) -> None:
            await api.handle(exchange, Caller(user="bench"), lambda asked: ())

        server = Server(handle)
        await server.start("127.0.0.1", 0)
        while process.problem:
            await asyncio.sleep(0.01)
        port.send(server.addresses[0][1])


def _child(host: NatsHost, port: Connection) -> None:
    uvloop.run(_serve(host, port))


async def _content(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // len(PIECE)):
        yield PIECE


async def _made(host: NatsHost) -> None:
    """The stores, and what is downloaded."""
    async with host.open_bus("maker") as bus:
        await bus.bucket(subjects.RESOURCES, create=BucketConfig())
        await bus.objects(subjects.UPLOADS, create=StoreConfig(ttl_s=3600))
        store = await bus.objects(STORE, create=StoreConfig())
        await store.put("whole", _content(SIZE), max_bytes=SIZE, deadline_s=DEADLINE_S)


async def _alone(host: NatsHost, what: str) -> float:
    """Seconds that the store takes without a front door."""
    async with host.open_bus("alone") as bus:
        store = await bus.objects(STORE)
        started = time.perf_counter()
        if what == PUT:
            await store.put("alone", _content(SIZE), max_bytes=SIZE, deadline_s=DEADLINE_S)
        else:
            async for _ in store.read(await store.stat("whole")):
                pass
        return time.perf_counter() - started


def _through(port: int, what: str) -> float:
    """Seconds through the front door: until the owner has read all, or the client has."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    try:
        started = time.perf_counter()
        if what == UP:
            pieces = (PIECE for _ in range(SIZE // len(PIECE)))
            connection.request("POST", PATH, body=pieces, headers={"Content-Length": str(SIZE)})
        else:
            connection.request("GET", PATH)
        answer = connection.getresponse()
        size = 0
        while data := answer.read(1 << 20):
            size += len(data)
        seconds = time.perf_counter() - started
    finally:
        connection.close()
    if answer.status not in (200, 201) or (what == DOWN and size != SIZE):
        raise RuntimeError(f"{what}: {answer.status}, {size} bytes")
    return seconds


def measure(rounds: int) -> dict[str, Any]:
    """Megabytes a second of each way, interleaved, with the CPU and the memory of the front door and the owner together."""
    samples: dict[str, list[float]] = {name: [] for name in (PUT, READ, UP, DOWN)}
    spent: dict[str, list[float]] = {name: [] for name in (UP, DOWN)}
    with tempfile.TemporaryDirectory(prefix="skerry-bench-") as directory:
        host = NatsHost(Path(directory))
        host.start()
        forked = multiprocessing.get_context("fork")
        here, there = forked.Pipe()
        child = forked.Process(target=_child, args=(host, there), daemon=True)
        try:
            uvloop.run(_made(host))
            child.start()
            port, pid = here.recv(), child.pid or 0
            before_mib = peak_mib(pid)
            for _ in range(rounds):
                for what in (PUT, UP, READ, DOWN):
                    cpu = cpu_s(pid)
                    seconds = _through(port, what) if what in BESIDE else uvloop.run(_alone(host, what))
                    samples[what].append(SIZE / 1e6 / seconds)
                    if what in BESIDE:
                        spent[what].append((cpu_s(pid) - cpu) / (SIZE / 1e6) * 1e3)
            grown_mib = peak_mib(pid) - before_mib
        finally:
            child.terminate()
            child.join()
            host.stop()
    ways = [
        {
            "name": name,
            "mbps": statistics.median(figures),
            "spread": [min(figures), max(figures)],
            "ratio": _ratio(samples, name),
            "cpu_ms_per_mb": statistics.median(spent[name]) if name in spent else None,
        }
        for name, figures in samples.items()
    ]
    return {"megabytes": SIZE / 1e6, "ways": ways, "grown_mib": grown_mib}


def _ratio(samples: Mapping[str, list[float]], name: str) -> float | None:
    """Of the same round's store alone."""
    if name not in BESIDE:
        return None
    return statistics.median(ours / alone for ours, alone in zip(samples[name], samples[BESIDE[name]], strict=True))


def show(figures: Mapping[str, Any], console: Console) -> None:
    """The table that people read."""
    table = Table(
        title=f"{figures['megabytes']:.0f} MB to an action and from one, interleaved, medians", title_justify="left"
    )
    for name in ("way", "MB/s", "spread", "of the store alone", "CPU ms/MB, front door and owner"):
        table.add_column(name, justify="left" if name == "way" else "right")
    for way in figures["ways"]:
        low, high = way["spread"]
        ratio, cpu = way["ratio"], way["cpu_ms_per_mb"]
        table.add_row(
            way["name"],
            f"{way['mbps']:.0f}",
            f"{low:.0f} - {high:.0f}",
            "" if ratio is None else f"{ratio:.2f} x",
            "" if cpu is None else f"{cpu:.1f}",
        )
    console.print(table)
    console.print(f"front door and owner grew by {figures['grown_mib']:.0f} MiB at most")
