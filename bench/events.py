"""Events derived from what is stored, on a real nats-server: how late they are, how fast a backlog is told, and what keeping eight
writes of each key costs (interleaved with a bucket that keeps one).
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.federation import say
from skerry import subjects
from skerry.api.kinds import CLUSTER, KINDS
from skerry.bus import Bucket, BucketConfig, Bus, Message, Stream
from skerry.controller.derivation import Derivation, consumer_config
from skerry.controller.kubernetes import KubernetesEvents
from skerry.controller.publisher import EventPublisher, source_of
from skerry.informer import Informer
from skerry.storage import Store, make_all
from skerry.storage.documents import seal
from tests.fixtures.bucket import cluster
from tests.fixtures.nats import NatsHost, running_host

PER_S, SECONDS = 200, 10
KEYS, WRITES = 625, 8
OBJECTS = 10_000
OWNED = [kind for kind in KINDS if kind.owner == "registry"]
RESOURCES = subjects.stream_of(subjects.RESOURCES)


class Leading:
    """This process leads."""

    held = True

    def check(self) -> None:
        """It does."""

    async def changed(self) -> None:
        """Never."""
        await asyncio.Event().wait()


def measure(rounds: int) -> dict[str, Any]:
    """All figures."""
    say("events: a nats-server")
    with running_host() as host:
        return asyncio.run(_measure(host, rounds))


async def _measure(host: NatsHost, rounds: int) -> dict[str, Any]:
    async with host.bus("registry") as bus, host.open_bus("hearer") as hearer:
        await make_all(bus)
        store = Store(await bus.bucket(subjects.RESOURCES), CLUSTER)
        await store.create({"metadata": {"name": "host"}, "status": {"uid": "u"}})
        figures = {**await _backlog(bus, hearer, store), **await _latency(bus, hearer, store)}
        return {**figures, **await _history(hearer, rounds)}


async def _derivation(bus: Bus, store: Store) -> Derivation:
    resources = await bus.bucket(subjects.RESOURCES)
    config = consumer_config(OWNED, "registry", 1)
    publisher = EventPublisher(Stream(bus, subjects.EVENT_STREAM), "registry", source_of(resources, "registry"))
    kubernetes = KubernetesEvents(await bus.bucket(subjects.EVENTS), "registry")

    async def consumer() -> Any:
        return await bus.consumer(RESOURCES, subjects.derivation("registry"), config)

    return Derivation(consumer, Stream(bus, RESOURCES), OWNED, publisher, kubernetes, Leading())


async def _ready(store: Store, name: str, status: str) -> int:
    condition = {"type": "Ready", "status": status, "reason": "Bench", "message": status, "lastTransitionTime": ""}
    after = await store.modify(name, lambda document: {**document, "status": {"conditions": [condition]}})
    return after.revision


async def _backlog(bus: Bus, hearer: Bus, store: Store) -> dict[str, Any]:
    """Events a second, and the CPU of each here, of writes that waited, each with a predecessor, an event and a Kubernetes Event."""
    say(f"events: a backlog of {KEYS * WRITES} writes")
    await asyncio.gather(*(store.create(cluster(f"b{key}")) for key in range(KEYS)))
    for number in range(WRITES - 1):
        await asyncio.gather(*(_ready(store, f"b{key}", "False" if number % 2 else "True") for key in range(KEYS)))
    heard, done = 0, asyncio.Event()

    def hear(message: Message) -> None:
        nonlocal heard
        heard += 1
        if heard >= KEYS * WRITES:
            done.set()

    registration = hearer.subscribe("event.cluster.*.*", hear)
    await hearer.ready()
    task = asyncio.create_task((await _derivation(bus, store)).run())
    started, spent = time.perf_counter(), time.process_time()
    async with asyncio.timeout(600):
        await done.wait()
    took, spent = time.perf_counter() - started, time.process_time() - spent
    task.cancel()
    registration.stop()
    return {"backlog_per_s": heard / took, "backlog_cpu_us": spent / heard * 1e6}


async def _latency(bus: Bus, hearer: Bus, store: Store) -> dict[str, Any]:
    """Milliseconds from the acknowledgement of a write until somebody hears its event."""
    say(f"events: {PER_S} writes a second for {SECONDS} s")
    written: dict[int, float] = {}
    heard: dict[int, float] = {}

    def hear(message: Message) -> None:
        heard[int(message.headers["ce-id"].split(":")[1])] = time.perf_counter()

    registration = hearer.subscribe("event.cluster.b0.*", hear)
    others = [hearer.subscribe(f"event.cluster.b{key}.*", hear) for key in range(1, 50)]
    await hearer.ready()
    task = asyncio.create_task((await _derivation(bus, store)).run())

    async def write(number: int) -> None:
        revision = await _ready(store, f"b{number % 50}", f"{'False' if number // 50 % 2 else 'True'}")
        if revision > last:  # the first of each may find the state that it wants
            written[revision] = time.perf_counter()

    last = await (await bus.bucket(subjects.RESOURCES)).last_revision()
    begin, writes = time.perf_counter(), []
    for number in range(PER_S * SECONDS):
        await asyncio.sleep(max(begin + number / PER_S - time.perf_counter(), 0))
        writes.append(asyncio.create_task(write(number)))
    await asyncio.gather(*writes)
    async with asyncio.timeout(60):
        while not written.keys() <= heard.keys():
            await asyncio.sleep(0.1)
    task.cancel()
    for each in (registration, *others):
        each.stop()
    late = sorted(max(heard[revision] - at, 0.0) * 1000 for revision, at in written.items())
    return {"late_p50_ms": statistics.median(late), "late_p99_ms": late[int(len(late) * 0.99)], "told": len(late)}


async def _history(bus: Bus, rounds: int) -> dict[str, Any]:
    """Writes into buckets that keep one and eight, one after the other; and a fill of 10,000 objects written nine times."""
    say(f"events: what a history of eight costs, {rounds} rounds")
    buckets = {history: await bus.bucket(f"bench{history}", create=BucketConfig(history=history)) for history in (1, 8)}
    key = subjects.key(CLUSTER.group, CLUSTER.kind, "", "written")
    value = seal({**cluster("written"), "status": {"message": "x" * 2000}}, writes=("w",))
    revisions = {history: await bucket.create(key, value) for history, bucket in buckets.items()}
    spent: dict[int, list[float]] = {1: [], 8: []}
    for number in range(rounds * 1000):
        history = (1, 8)[number % 2]
        started = time.perf_counter()
        revisions[history] = await buckets[history].update(key, value, revisions[history])
        spent[history].append(time.perf_counter() - started)
    ratio = statistics.median(spent[8]) / statistics.median(spent[1])
    fills = {history: await _fill(bucket) for history, bucket in buckets.items()}
    return {"write_ratio": ratio, "fill_s": {str(history): fills[history] for history in fills}}


async def _fill(bucket: Bucket) -> float:
    """Seconds until an informer has 10,000 Clusters of which each was written nine times."""
    store = Store(bucket, CLUSTER)
    gate = asyncio.Semaphore(200)

    async def one(number: int) -> None:
        async with gate:
            item = await store.create(cluster(f"m{number}"))
            for turn in range(8):
                item = await store.update(item, {**item.document(), "status": {"turn": turn}})

    await asyncio.gather(*(one(number) for number in range(OBJECTS)))
    informer = Informer(KINDS)
    started = time.perf_counter()
    task = asyncio.create_task(informer.feed(bucket))
    await informer.filled.wait()
    took = time.perf_counter() - started
    task.cancel()
    return took


def show(figures: Mapping[str, Any], console: Console) -> None:
    """The table that people read."""
    table = Table(title="Events derived from what is stored", title_justify="left")
    for column in ("what", "measured", "aim"):
        table.add_column(column)
    late = f"{figures['late_p50_ms']:.1f} ms, {figures['late_p99_ms']:.1f} ms"
    table.add_row(f"after the acknowledged write at {PER_S}/s: p50, p99", late, "p99 <= 100 ms")
    table.add_row("a backlog", f"{figures['backlog_per_s']:.0f}/s", ">= 1,000/s")
    table.add_row("CPU of an event, with its Kubernetes Event", f"{figures['backlog_cpu_us']:.0f} us", "")
    table.add_row("a write with history 8 against one with 1", f"{figures['write_ratio']:.3f}", "<= 1.05")
    fill = f"{figures['fill_s']['1']:.2f} s, {figures['fill_s']['8']:.2f} s"
    table.add_row(f"an informer of {OBJECTS:,} objects, history 1 and 8", fill, "<= 3 s")
    console.print(table)
