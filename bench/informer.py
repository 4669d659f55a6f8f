"""The informer with 10,000 Clusters, in this process and without a bus: memory, the stop of a fill, and what a change costs."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.federation import say
from skerry.admission import Rules
from skerry.api.kinds import CLUSTER, KINDS
from skerry.api.meta import Document
from skerry.bus import Entry, Filled
from skerry.controller.controller import Controller
from skerry.controller.garbage import Garbage
from skerry.controller.recorder import Recorder
from skerry.informer import Informer
from skerry.storage import Store
from skerry.storage.documents import seal

CLUSTERS, CHANGED = 10_000, 2_000
WRITES = ("b2f1c7a0d9e84f63",) * 3


def measure(rounds: int) -> dict[str, Any]:
    """All figures: MiB; ms and us of CPU."""
    say(f"informer: {CLUSTERS} Clusters")
    return asyncio.run(_measure(rounds))


async def _measure(rounds: int) -> dict[str, Any]:
    values = [seal(_cluster(number), writes=WRITES) for number in range(CLUSTERS)]
    others = [seal(_cluster(number, nodes=4), writes=WRITES) for number in range(CHANGED)]
    gc.collect()
    before = _rss_mib()
    informer = Informer(KINDS)
    for number, value in enumerate(values):
        informer.take(_entry(number, bytes(bytearray(value)), number + 1))
    started = time.process_time()
    informer.take(Filled(CLUSTERS))
    fill_ms = (time.process_time() - started) * 1000
    gc.collect()
    figures: dict[str, Any] = {"mib": _rss_mib() - before, "fill_ms": fill_ms, "value_bytes": len(values[0])}
    sides = (values, others)
    figures["change_us"] = statistics.median(_change_us(informer, sides[turn % 2]) for turn in range(1, rounds + 1))
    started = time.process_time()
    _garbage(informer)
    figures["indexes_ms"] = (time.process_time() - started) * 1000
    figures["garbage_us"] = statistics.median(_change_us(informer, sides[turn % 2]) for turn in range(1, rounds + 1))
    return figures


def _garbage(informer: Informer) -> None:
    """That of each service, which all look at every change."""
    for owner in sorted({kind.owner for kind in KINDS}):
        stores = {Store(None, kind): Rules() for kind in KINDS if kind.owner == owner}  # type: ignore[arg-type]
        Garbage(informer, stores, Recorder(None, owner), lambda reconcile: Controller("garbage", reconcile))  # type: ignore[arg-type]


def _change_us(informer: Informer, values: list[bytes]) -> float:
    entries = [_entry(number, values[number], informer.revision + number + 1) for number in range(CHANGED)]
    started = time.process_time()
    for each in entries:
        informer.take(each)
    return (time.process_time() - started) / CHANGED * 1e6


def _entry(number: int, value: bytes, revision: int) -> Entry:
    return Entry(f"skerry=2Edev.cluster._.member-{number:05}", value, revision, 0.0)


def _cluster(number: int, *, nodes: int = 3) -> Document:
    now = "2030-01-31T12:00:00Z"
    conditions = [
        {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now}
        for kind, status, reason, message in (
            ("Joined", "True", "AgentJoined", "joined; waiting for the first heartbeat of its agent"),
            ("Ready", "True", "AgentConnected", "its agent is connected and its API server answers"),
            ("RightsComplete", "True", "Complete", "its account and the four bindings are as serving needs them"),
        )
    ]
    uid = f"0b5c7c3e-1111-4222-8333-{number:012}"
    return {
        "apiVersion": CLUSTER.api_version,
        "kind": CLUSTER.kind,
        "metadata": {"name": f"member-{number:05}", "uid": uid, "creationTimestamp": now, "generation": 1,
                     "labels": {"region": "eu"}, "finalizers": ["skerry.dev/eviction"]},
        "spec": {"role": "member", "connection": {"mode": "agent"}},
        "status": {"uid": uid, "kubernetesVersion": "v1.36.3", "nodes": nodes, "agent": {"replicas": 1},
                   "conditions": conditions, "credentials": {"expires": now}},
    }  # fmt: skip


def _rss_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def show(figures: Mapping[str, Any], console: Console) -> None:
    """The table that people read."""
    table = Table(title=f"An informer with {CLUSTERS:,} Clusters", title_justify="left")
    for column in ("what", "measured", "aim"):
        table.add_column(column)
    table.add_row(
        f"memory ({figures['value_bytes']} bytes each in the bucket)", f"{figures['mib']:.1f} MiB", "<= 22 MiB"
    )
    table.add_row("CPU of a fill as it takes effect, in one go", f"{figures['fill_ms']:.0f} ms", "")
    table.add_row("CPU of the indexes as they are made, in one go", f"{figures['indexes_ms']:.0f} ms", "")
    table.add_row("a change of a Cluster, CPU", f"{figures['change_us']:.1f} us", "")
    table.add_row("with garbage collection of all services", f"{figures['garbage_us']:.1f} us", "")
    console.print(table)
