"""What a full App Store costs where nothing happens: memory of the workloads by what is in it, and a search through the front door.

Memory of the controller-manager is told as what it has beyond the same process without the App Store; of the tower beyond one before
there were apps. Each is started anew and has come to rest. Searches are whole requests of one client on a connection that is kept.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from bench.federation import say
from bench.services import available
from bench.workloads import Workloads, quiet, workloads
from skerry import subjects
from skerry.api.kinds import APP_VERSION
from skerry.api.names import POOL
from skerry.bus import BucketConfig
from skerry.identity.services import CONTROLLER_MANAGER
from skerry.storage import Store
from tests.faults.fleet import Tower

APPS, VERSIONS = 10_000, 2
"""Apps, and versions of each."""
STILL_S, DEADLINE_S = 5.0, 600.0
SEARCHES = 40
"""Of each text in a round."""
TEXTS = ("redis", "data 42", "databse", "c-0123", "replication")
"""Many matches, two words, a misspelt one, one app, a keyword of all."""
WORDS = ("redis", "postgres", "nginx", "kafka", "database", "grafana", "gateway", "queue", "vault", "mail")
AIMS = {"off": 6.0, "on": 35.0, "full": 80.0, "tower": 40.0, "p50_ms": 30.0}


def measure(rounds: int) -> dict[str, Any]:
    """MiB that are added, and milliseconds."""
    with workloads() as bench, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(bench, rounds))


async def _measure(bench: Workloads, rounds: int) -> dict[str, Any]:
    every = available()
    without = await _rss(bench, [name for name in every if name != "appstore"])
    off = await _rss(bench, every)
    async with bench.running(CONTROLLER_MANAGER, "bench.services", *every), bench.tower() as tower:
        await _enable(tower)
        await asyncio.sleep(STILL_S)
        empty_tower = tower.memory_mib("VmRSS")
    on = await _rss(bench, every)
    say(f"catalogue: {APPS} apps of {VERSIONS} versions")
    await _fill(bench)
    async with bench.running(CONTROLLER_MANAGER, "bench.services", *every):
        await _at_rest(bench)  # apps follow their versions
    full = await _rss(bench, every)
    async with bench.running(CONTROLLER_MANAGER, "bench.services", *every), bench.tower() as tower:
        await _at_rest(bench)
        full_tower = tower.memory_mib("VmRSS")
        searches = await _searched(tower, rounds)
    added = {"off": off - without, "on": on - without, "full": full - without, "tower": full_tower - empty_tower}
    return {"added_mib": {name: round(mib, 1) for name, mib in added.items()}, "searches": searches, "aims": AIMS}


async def _rss(bench: Workloads, names: list[str]) -> float:
    async with bench.running(CONTROLLER_MANAGER, "bench.services", *names) as process:
        await _at_rest(bench)
        return process.memory_mib("VmRSS")


async def _at_rest(bench: Workloads) -> None:
    async with bench.host.open_bus("rest") as bus:
        await bus.ready()
        await quiet(bus, STILL_S, DEADLINE_S)


async def _enable(tower: Tower) -> None:
    path = b"/apis/skerry.dev/v1alpha1/appstores/host"
    head = tower.head(path, b"PATCH", headers=[(b"content-type", b"application/merge-patch+json")])
    response = await tower.client.request(head, b'{"spec":{"enabled":true}}')
    answer = await response.body(1 << 20)
    if response.status != 200:
        raise AssertionError(answer)


async def _fill(bench: Workloads) -> None:
    """As a repository of the pool lists them."""
    numbers = iter(range(APPS))
    async with bench.host.bus("appstore") as bus:
        await bus.ready()
        store = Store(await bus.bucket(subjects.RESOURCES, create=BucketConfig()), APP_VERSION)

        async def some() -> None:
            for number in numbers:
                for minor in range(VERSIONS):
                    await store.create(version(number, f"1.{minor}.0"))

        async with asyncio.TaskGroup() as tasks:
            for _ in range(32):
                tasks.create_task(some())


def version(number: int, text: str) -> dict[str, Any]:
    """An AppVersion of usual size."""
    word = WORDS[number % len(WORDS)]
    name = f"stable.{word}-c-{number:05}"
    chart = {
        "name": f"{word}-c-{number:05}", "version": text, "appVersion": text, "type": "application",
        "description": f"{word} is a chart that is as long as charts are, and has a sentence that says what it is for.",
        "keywords": [word, "data", "replication"], "home": "https://example.org", "license": "Apache-2.0",
        "icon": f"https://example.org/{name}.png", "sources": [f"https://github.com/example/charts/tree/main/{name}"],
    }  # fmt: skip
    conditions = [
        {"type": "Upstream", "status": "True", "reason": "Listed", "message": "its repository lists it",
         "lastTransitionTime": "2026-01-01T00:00:00Z"}
    ]  # fmt: skip
    return {
        "metadata": {"name": f"{name}-{text}", "namespace": POOL},
        "spec": {"app": name, "version": text, "chart": chart["name"], "repository": "stable"},
        "status": {
            "phase": "Active", "digest": f"sha256:{number:064x}", "chart": chart, "conditions": conditions,
            "urls": [f"https://charts.example.org/{name}-{text}.tgz"],
        },
    }  # fmt: skip


async def _searched(tower: Tower, rounds: int) -> dict[str, Any]:
    """Milliseconds by text, and how many apps are found."""
    taken: dict[str, list[float]] = {text: [] for text in TEXTS}
    matches = {}
    for _ in range(rounds * SEARCHES):
        for text, times in taken.items():
            path = f"/apis/skerry.dev/v1alpha1/namespaces/{POOL}/apps?search={quote(text)}&limit=50"
            started = time.perf_counter()
            answer = await tower.ask(path.encode())
            times.append((time.perf_counter() - started) * 1000)
            matches[text] = len(msgspec.json.decode(answer.body)["items"]) if answer.status == 200 else answer.status
    every = [each for times in taken.values() for each in times]
    return {
        "p50_ms": round(statistics.median(every), 1),
        "p99_ms": round(statistics.quantiles(every, n=100)[-1], 1),
        "texts": {
            text: {"p50_ms": round(statistics.median(times), 1), "apps": matches[text]} for text, times in taken.items()
        },
    }


def show(results: Mapping[str, Any], console: Console) -> None:
    """The figures beside their aims."""
    added, aims, searches = results["added_mib"], results["aims"], results["searches"]
    table = Table("what", "measured", "aim", title=f"App Store, {APPS:,} apps", title_justify="left")
    names = {
        "off": "controller-manager, off", "on": "on, empty", "full": f"{APPS * VERSIONS:,} versions",
        "tower": f"tower, {APPS * VERSIONS:,} versions",
    }  # fmt: skip
    for name, what in names.items():
        table.add_row(what, f"{added[name]:.1f} MiB", f"{aims[name]:.0f} MiB")
    table.add_row("search, p50 (p99)", f"{searches['p50_ms']} ms ({searches['p99_ms']})", f"{aims['p50_ms']:.0f} ms")
    for text, each in searches["texts"].items():
        table.add_row(f"search {text!r}, {each['apps']} shown", f"{each['p50_ms']} ms", "")
    console.print(table)
