"""Reading repositories of charts: the first look, one at which nothing changed, and one chart that changed among very many.

The App Store is a process of its own, its repository an HTTPS server in this one. A look is timed from the moment at which somebody
asks for it until its outcome lies in the store, so the ways over the bus are in it. Memory is the most that the service and the
process that reads for it had together in any sample, a hundred a second, beyond what the service had before.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import threading
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.federation import say
from skerry.api.conditions import condition_of
from skerry.api.kinds import APP_REPOSITORY
from skerry.api.meta import Document
from skerry.api.names import POOL
from tests.appstore.apart import Apart, apart, enabled
from tests.appstore.repositories.server import ChartServer, chart_server
from tests.fixtures.nats import NatsHost

SMALL = (41, 40)
"""Charts, and versions of each: 1,640, as the index of a company has."""
LARGE = (600, 40)
"""24,000 versions."""
SAMPLE_S = 0.01
AIMS = {"first": 2.0, "unchanged": 0.05, "changed": 3.0, "MiB": 150.0}


def measure(rounds: int) -> dict[str, Any]:
    """Seconds, and MiB."""
    return asyncio.run(_measure(rounds))


def index(charts: int, versions: int, changed: int = 0) -> bytes:
    """An index.yaml as real ones are: a kilobyte for a version. `changed` is another one each time, in one chart."""
    lines = ["apiVersion: v1", "entries:"]
    for number in range(charts):
        lines.append(f"  chart-{number:04}:")
        for minor in reversed(range(versions)):
            lines += _entry(f"chart-{number:04}", f"1.{minor}.{changed if number == 0 else 0}")
    return "\n".join([*lines, 'generated: "2026-01-01T00:00:00Z"', ""]).encode()


def _entry(chart: str, version: str) -> list[str]:
    digest = f"{abs(hash((chart, version))):064x}"[:64]
    return [
        "  - annotations:",
        "      artifacthub.io/license: Apache-2.0",
        "      category: Database",
        "    apiVersion: v2",
        f'    appVersion: "{version}"',
        '    created: "2026-01-01T00:00:00.000000000Z"',
        "    dependencies:",
        "    - name: common",
        "      repository: https://charts.example.org/common",
        "      version: 2.x.x",
        f"    description: {chart} is a chart that is as long as charts are, and has a sentence that says what it is for.",
        f"    digest: {digest}",
        "    home: https://example.org",
        f"    icon: https://example.org/{chart}.png",
        "    keywords:",
        "    - database",
        "    - sql",
        "    - replication",
        "    kubeVersion: '>=1.25.0-0'",
        "    maintainers:",
        "    - name: The maintainers",
        "      url: https://github.com/example/charts",
        f"    name: {chart}",
        "    sources:",
        f"    - https://github.com/example/charts/tree/main/{chart}",
        "    urls:",
        f"    - https://charts.example.org/{chart}-{version}.tgz",
        f"    version: {version}",
    ]


async def _measure(rounds: int) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="skerry-bench-")))
        host = NatsHost(directory)
        host.start()
        stack.callback(host.stop)
        charts = await stack.enter_async_context(chart_server(directory / "charts"))
        store = await stack.enter_async_context(apart(host, directory))
        process = await store.start()
        await enabled(store)
        say(f"appstore: an index of {SMALL[0] * SMALL[1]:,} versions")
        charts.index = index(*SMALL)
        first = [await _first(store, charts, f"small-{number}") for number in range(rounds)]
        unchanged = [await _again(store, "small-0") for _ in range(10 * rounds)]
        say(f"appstore: an index of {LARGE[0] * LARGE[1]:,} versions, {len(index(*LARGE)) / 2**20:.0f} MiB")
        charts.index = index(*LARGE)
        large = await _first(store, charts, "large")
        idle = _resident(process.pid)
        changed, peaks = [], []
        for number in range(1, rounds + 1):
            charts.index = index(*LARGE, changed=number)
            with _Peak(process.pid) as peak:
                changed.append(await _again(store, "large"))
            peaks.append(peak.most - idle)
    return {
        "first s": round(statistics.median(first), 3),
        "unchanged s": round(statistics.median(unchanged), 4),
        "large first s": round(large, 3),
        "changed s": round(statistics.median(changed), 3),
        "idle MiB": round(idle / 2**20, 1),
        "changed MiB": round(max(peaks) / 2**20, 1),
        "aims": AIMS,
    }


async def _first(store: Apart, charts: ChartServer, name: str) -> float:
    """Seconds until a new repository is read and all its versions lie in the store."""
    spec = {"url": charts.url, "tls": {"caBundle": charts.ca_pem}, "syncPeriod": "0s"}
    started = time.perf_counter()
    await store.create(APP_REPOSITORY, {"metadata": {"name": name, "namespace": POOL}, "spec": spec})
    await _until(store, name, lambda each: condition_of(each, "Ready").reason == "Synced")
    return time.perf_counter() - started


async def _again(store: Apart, name: str) -> float:
    """Seconds until a repository that somebody asks for is looked at."""
    started = time.perf_counter()
    asked = await store.act(APP_REPOSITORY, name, "sync", {}, namespace=POOL)
    requested = asked["status"]["sync"]["requested"]
    await _until(store, name, lambda each: each["status"]["sync"].get("finished", "") >= requested)
    return time.perf_counter() - started


async def _until(store: Apart, name: str, holds: Any) -> Document:
    while True:
        document = await store.stored(APP_REPOSITORY, name, POOL)
        if document is not None and holds(document):
            return document
        await asyncio.sleep(0.002)


class _Peak:
    """The most memory that a process and its children had, while it is entered."""

    def __init__(self, pid: int) -> None:
        self._pid, self._stop, self.most = pid, threading.Event(), 0
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> _Peak:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self.most = max(self.most, _resident(self._pid))


def _resident(pid: int) -> int:
    """Bytes in memory of a process and its children."""
    total = 0
    with suppress(OSError, ValueError, IndexError):
        total = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        total += sum(_resident(int(child)) for child in children)
    return total


def show(results: dict[str, Any], console: Console) -> None:
    """The figures beside their aims."""
    table = Table(title="Repositories of charts")
    for column in ("what", "measured", "aim"):
        table.add_column(column, justify="left" if column == "what" else "right")
    small, large = SMALL[0] * SMALL[1], LARGE[0] * LARGE[1]
    table.add_row(f"first look, {small:,} versions", f"{results['first s']:.2f} s", f"{AIMS['first']:.0f} s")
    table.add_row("nothing changed", f"{results['unchanged s'] * 1000:.0f} ms", f"{AIMS['unchanged'] * 1000:.0f} ms")
    table.add_row(f"first look, {large:,} versions", f"{results['large first s']:.2f} s", "")
    table.add_row(
        f"one chart of {large:,} versions changed", f"{results['changed s']:.2f} s", f"{AIMS['changed']:.0f} s"
    )
    table.add_row(
        "memory that it took, service and reader", f"{results['changed MiB']:.0f} MiB", f"{AIMS['MiB']:.0f} MiB"
    )
    table.add_row("memory of the service before", f"{results['idle MiB']:.0f} MiB", "")
    console.print(table)
