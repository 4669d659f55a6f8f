"""Webhooks, measured: from an event's acknowledgement to its receipt, how many a second, and what one receiver that hangs costs the others.

One real nats-server that syncs as in production; the service events is a process of its own, with its own rights, and so are the
receivers, over TLS. Latency is that of one sink with an event every LATENCY_PAUSE_S; throughput is of SINKS sinks that are told the same.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from bench.processes import cpu_s, peak_mib, rss_mib
from services.events.service import SERVICE
from skerry.bus import Bus
from skerry.http import Exchange, Server
from skerry.http.tls import server_context
from skerry.identity.trust import pinned
from skerry.identity.x509 import create_ca, issue_server
from skerry.service import Process
from tests.events.world import World, event, settings
from tests.fixtures.nats import NatsHost

SINKS = 10
EVENTS = 500
"""Of a burst: each goes to every sink."""
LATENCIES = 200
LATENCY_PAUSE_S = 0.02
OBJECTS = 64
"""That the events are about: of one object one is sent at a time."""
DEADLINE_S = 120.0
ALL, HANGING = "all take", "one hangs"


async def _serve(host: NatsHost, ready: Connection) -> None:
    """The child: the service, until it is ended."""
    async with (
        Bus(host.settings("events"), lambda: host.service("events")) as bus,
        asyncio.TaskGroup() as group,
    ):
        process = Process(
            [(SERVICE, settings(host))], bus, host.settings("events"), trust_roots=pinned(host.trust_root)
        )
        group.create_task(process.serve(asyncio.Event()))
        while process.problem:
            await asyncio.sleep(0.01)
        ready.send(None)


async def _receive(directory: Path, pipe: Connection) -> None:
    """The other child: receivers by path. A path that begins with /hang is never answered. Of others path, id and time."""
    arrivals: list[tuple[str, str, float]] = []
    never = asyncio.Event()

    async def handle(exchange: Exchange) -> None:
        path = exchange.head.target.decode()
        at = time.time()
        await exchange.body(1 << 20)
        if path.startswith("/hang"):
            await never.wait()
        arrivals.append((path, (exchange.head.get(b"webhook-id") or b"").decode(), at))
        await exchange.respond(204, [])

    server = Server(handle, server_context(directory / "tls.crt", directory / "tls.key"))
    await server.start("127.0.0.1", 0)
    pipe.send(server.addresses[0][1])
    loop = asyncio.get_running_loop()

    def answer() -> None:
        os.set_blocking(pipe.fileno(), True)  # the loop has it otherwise, and what is sent may be large
        count = pipe.recv()
        pipe.send(len(arrivals) if count else arrivals[:])
        if not count:
            arrivals.clear()

    loop.add_reader(pipe.fileno(), answer)
    await never.wait()


def _child(what: Any, *arguments: Any) -> None:
    uvloop.run(what(*arguments))


class _Receivers:
    """What came to the other child."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.port: int = pipe.recv()

    def count(self) -> int:
        """Requests since the last `take`."""
        self._pipe.send(1)
        return int(self._pipe.recv())

    def take(self) -> list[tuple[str, str, float]]:
        """Path, id and time of each."""
        self._pipe.send(0)
        arrivals: list[tuple[str, str, float]] = self._pipe.recv()
        return arrivals

    async def until(self, count: int) -> None:
        """Wait until so many came."""
        async with asyncio.timeout(DEADLINE_S):
            while self.count() < count:
                await asyncio.sleep(0.02)


async def _measure(host: NatsHost, receivers: _Receivers, ca_pem: str, pid: int, rounds: int) -> dict[str, Any]:
    async with (
        Bus(host.settings("proxy"), lambda: host.service("proxy")) as front,
        host.open_bus("anybody") as anybody,
    ):
        one = World(host, front, anybody)

        async def sink(name: str, path: str) -> None:
            url = f"https://localhost:{receivers.port}/{path}"
            await one.write("create", name, {"spec": {"url": url, "caBundle": ca_pem}})
            await one.act(name, "secret", "update")

        idle_mib = rss_mib(pid)
        await sink("s0", "take-0")
        await one.happen(event("warm"))
        await receivers.until(1)
        receivers.take()
        latencies = await _latencies(one, receivers)
        for number in range(1, SINKS):
            await sink(f"s{number}", f"take-{number}")
        await one.happen(event("warm"))
        await receivers.until(SINKS)
        receivers.take()
        bursts: dict[str, list[float]] = {ALL: [], HANGING: []}
        cpu: list[float] = []
        for _ in range(rounds):
            spent = cpu_s(pid)
            bursts[ALL].append(await _burst(one, receivers, SINKS))
            cpu.append((cpu_s(pid) - spent) * 1e3 / (EVENTS * SINKS))
            await one.write("patch", "s9", {"spec": {"url": f"https://localhost:{receivers.port}/hang"}})
            bursts[HANGING].append(await _burst(one, receivers, SINKS - 1))
            await one.write("delete", "s9")
            await asyncio.sleep(1.0)
            await sink("s9", "take-9")
            await one.happen(event("warm"))
            await receivers.until(SINKS)
            receivers.take()
        return {
            "latency_ms": latencies,
            "bursts": bursts,
            "cpu_ms": statistics.median(cpu),
            "idle_mib": idle_mib,
            "rss_mib": rss_mib(pid),
            "peak_mib": peak_mib(pid),
        }


async def _latencies(one: World, receivers: _Receivers) -> list[float]:
    """Milliseconds from the stream's acknowledgement to the receipt."""
    acknowledged = {}
    for number in range(LATENCIES):
        happened = event(f"m{number % OBJECTS}")
        await one.happen(happened)
        acknowledged[happened.id] = time.time()
        await asyncio.sleep(LATENCY_PAUSE_S)
    await receivers.until(LATENCIES)
    return sorted((at - acknowledged[name]) * 1e3 for _, name, at in receivers.take())


async def _burst(one: World, receivers: _Receivers, sinks: int) -> float:
    """Deliveries a second, from the first event's publication to the last receipt."""
    started = time.time()
    for number in range(0, EVENTS, 50):
        await asyncio.gather(*(one.happen(event(f"m{each % OBJECTS}")) for each in range(number, number + 50)))
    await receivers.until(sinks * EVENTS)
    arrivals = [at for _, _, at in receivers.take()]
    return len(arrivals) / (max(arrivals) - started)


def measure(rounds: int) -> dict[str, Any]:
    """Latencies in ms, deliveries a second of each burst, CPU of the service in ms a delivery, its memory in MiB."""
    with tempfile.TemporaryDirectory(prefix="skerry-bench-") as directory:
        host, place = NatsHost(Path(directory)), Path(directory)
        host.start()
        ca = create_ca("receivers")
        pair = issue_server(ca, ("127.0.0.1", "localhost"))
        receiving = place / "receivers"
        receiving.mkdir()
        (receiving / "tls.crt").write_bytes(pair.certificate)
        (receiving / "tls.key").write_bytes(pair.key)
        uvloop.run(host.make_buckets())
        forked = multiprocessing.get_context("fork")
        ready, there = forked.Pipe()
        service = forked.Process(target=_child, args=(_serve, host, there), daemon=True)
        pipe, other = forked.Pipe()
        receivers = forked.Process(target=_child, args=(_receive, receiving, other), daemon=True)
        try:
            receivers.start()
            service.start()
            ready.recv()
            return uvloop.run(_measure(host, _Receivers(pipe), ca.certificate.decode(), service.pid or 0, rounds))
        finally:
            for each in (service, receivers):
                each.terminate()
                each.join()
            host.stop()


def show(figures: Mapping[str, Any], console: Console) -> None:
    """The tables that people read."""
    latencies = figures["latency_ms"]
    console.print(
        f"webhook from acknowledgement to receipt: p50 {statistics.median(latencies):.1f} ms (target 50), "
        f"p99 {latencies[int(len(latencies) * 0.99) - 1]:.1f} ms, of {len(latencies)}"
    )
    table = Table(title=f"{EVENTS} events to {SINKS} sinks at once, interleaved", title_justify="left")
    for name in ("", "deliveries/s (target 1,000)", "spread"):
        table.add_column(name, justify="left" if not name else "right")
    for name, samples in figures["bursts"].items():
        table.add_row(name, f"{statistics.median(samples):.0f}", f"{min(samples):.0f} - {max(samples):.0f}")
    console.print(table)
    console.print(
        f"CPU of the service {figures['cpu_ms']:.2f} ms a delivery; its memory {figures['idle_mib']:.0f} MiB without a sink, "
        f"{figures['rss_mib']:.0f} with {SINKS}, peak {figures['peak_mib']:.0f}"
    )
