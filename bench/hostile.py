"""What hostile charts and repositories cost everybody else: the wait of who asks GET /version, and memory of the controller-manager.

A real host. Quiet stretches and stretches in which it is worked on what is hostile take turns (A B C A B C): all charts of
`tests/appstore/test_hostile_charts.py` are pushed and looked into, all repositories of `tests/appstore/repositories/test_hostile.py`
are looked at. Who sends them is another process, with the lowest priority, since it would be another machine; Helm in its jail is the
host's own. GET /version is asked 50 times a second over one connection, so the 99th percentile is of who does not add to the load.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import multiprocessing
import os
import ssl
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from bench.federation import say
from bench.processes import children, rss_mib
from tests.appstore.charts import package
from tests.e2e.federation import Host

PERIOD_S = 0.02
QUIET_S = 20.0
FETCH_S = 4
DEADLINE_S = 240.0
API = "/apis/skerry.dev/v1alpha1"
QUIET, CHARTS, REPOSITORIES = "nothing hostile", "hostile charts", "hostile repositories"
AIMS = {"MiB": 10.0, "p99": 1.5}


class Client:
    """The host API as its administrator, over one connection."""

    def __init__(self, url: str, ca: str, token: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPSConnection(
            str(parts.hostname), parts.port, context=ssl.create_default_context(cafile=ca), timeout=60
        )
        self._headers = {"Authorization": f"Bearer {token}"}

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> tuple[int, Any]:
        """Status and document."""
        self._connection.request(method, path, body, {**self._headers, "Content-Type": kind})
        answer = self._connection.getresponse()
        content = answer.read()
        with suppress(ValueError):
            return answer.status, json.loads(content)
        return answer.status, None

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Prober:
    """Asks GET /version, and samples the memory of a process meanwhile."""

    def __init__(self, client: Client, pid: int) -> None:
        self._client, self._pid = client, pid
        self.seconds: list[float] = []
        self.most_mib = 0.0
        self._over = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """While it does."""
        thread = threading.Thread(target=self._work)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _work(self) -> None:
        due = time.monotonic()
        while not self._over.is_set():
            started = time.perf_counter()
            status, _ = self._client.ask("GET", "/version")
            assert status == 200, status
            self.seconds.append(time.perf_counter() - started)
            self.most_mib = max(self.most_mib, rss_mib(self._pid))
            due = max(due + PERIOD_S, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))


def hostile(pipe: Connection, url: str, ca: str, token: str, directory: str) -> None:
    """The process that sends what is hostile: told `charts` or `repositories` and a round, it answers when that was worked on."""
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # of connections that were cut on purpose
    client = Client(url, ca, token)
    asyncio.run(_hostile(pipe, client, Path(directory)))


def _be_elsewhere() -> None:
    """Have the lowest priority: within this session, and as a session of its own where sessions share the processor (sched(7))."""
    os.nice(19)
    os.setsid()
    with suppress(OSError):
        pass


async def _hostile(pipe: Connection, client: Client, directory: Path) -> None:
    from tests.appstore.repositories.server import chart_server
    from tests.appstore.repositories.test_hostile import CASES, behaving
    from tests.appstore.test_hostile_charts import REFUSED

    refused = [row.content() if callable(row.content) else row.content for row in REFUSED.values()]
    _be_elsewhere()
    async with chart_server(directory) as server:
        server.answering = partial(behaving, server)
        repositories = {
            name: {
                "url": case.url.format(port=server.port, here=f"https://localhost:{server.port}/{name}"),
                "tls": {"caBundle": server.ca_pem},
                **case.spec,
            }
            for name, case in CASES.items()
        }
        pipe.send("ready")
        while (order := await asyncio.to_thread(pipe.recv)) is not None:
            what, round_ = order
            work = (
                partial(_push, client, refused, round_) if what == CHARTS else partial(_look_at, client, repositories)
            )
            pipe.send(await asyncio.to_thread(work))


def _push(client: Client, refused: list[bytes], round_: int) -> int:
    """Push all charts, and wait until those that were taken are looked into; how many there were."""
    from tests.appstore.test_hostile_charts import ACCEPTED, SHOWN

    packages = [*refused]
    charts = [*((row.files, "") for row in ACCEPTED.values()), *((row.files, row.more) for row in SHOWN.values())]
    for number, (files, more) in enumerate(charts):
        packages.append(package("web", f"{round_ + 1}.{number}.0", more=more, files=files))
    for each in packages:
        client.ask("POST", f"{API}/namespaces/default/apps/web/package", each, "application/gzip")
    _until(client, "appversions", lambda each: bool((each.get("status") or {}).get("conditions")))
    return len(packages)


def _look_at(client: Client, repositories: dict[str, Any]) -> int:
    """Make all repositories, wait until each was looked at, and take them away; how many there were."""
    for name, spec in repositories.items():
        head = {"apiVersion": "skerry.dev/v1alpha1", "kind": "AppRepository", "metadata": {"name": name}}
        document = {**head, "spec": {**spec, "syncPeriod": "0s"}}
        status, said = client.ask("POST", f"{API}/namespaces/default/apprepositories", json.dumps(document).encode())
        assert status == 201, said
    waiting = ("", "Syncing", "NeverSynced")
    _until(client, "apprepositories", lambda each: _reason(each) not in waiting)
    for name in repositories:
        client.ask("DELETE", f"{API}/namespaces/default/apprepositories/{name}")
    return len(repositories)


def _reason(document: dict[str, Any]) -> str:
    conditions = (document.get("status") or {}).get("conditions") or ()
    return next((str(each.get("reason")) for each in conditions if each.get("type") == "Ready"), "")


def _until(client: Client, plural: str, holds: Any) -> None:
    until = time.monotonic() + DEADLINE_S
    while time.monotonic() < until:
        _, found = client.ask("GET", f"{API}/namespaces/default/{plural}")
        if all(holds(each) for each in found["items"]):
            return
        time.sleep(0.5)
    raise TimeoutError(f"{plural} were not looked at within {DEADLINE_S:.0f} s")


def measure(rounds: int) -> dict[str, Any]:
    """Seconds, and MiB beyond what the controller-manager had before."""
    with tempfile.TemporaryDirectory(prefix="skerry-bench-") as directory:
        environment = {"SKERRY_APP_STORE_FETCH_S": str(FETCH_S)}
        with Host(Path(directory) / "host", environment=environment) as host:
            host.up()
            host.ok("app", "store", "enable")
            allow = json.dumps({"spec": {"network": {"allow": ["127.0.0.1/32"]}}})
            host.kubectl(None, "patch", "appstore", "host", "--type=merge", "-p", allow)
            return _measured(host, Path(directory) / "charts", rounds)


def _measured(host: Host, directory: Path, rounds: int) -> dict[str, Any]:
    url, ca = f"https://{host.listen}", str(host.state / "host" / "pki" / "ca.crt")
    token = (host.state / "host" / "admin.token").read_text().strip()
    manager = int(host.processes()["controller-manager"]["pid"])
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    sender = context.Process(target=hostile, args=(there, url, ca, token, str(directory)), daemon=True)
    sender.start()
    here.recv()
    try:
        say("hostile: once, for what a process needs once")
        for what in (CHARTS, REPOSITORIES):
            here.send((what, 0))
            here.recv()
        before = rss_mib(manager)
        seconds: dict[str, list[float]] = {QUIET: [], CHARTS: [], REPOSITORIES: []}
        grown: dict[str, list[float]] = {name: [] for name in seconds}
        ratios: dict[str, list[float]] = {CHARTS: [], REPOSITORIES: []}
        for round_ in range(1, rounds + 1):
            stretch = {}
            for what in seconds:
                say(f"hostile: {what}, round {round_}")
                _settled(manager)
                prober = Prober(Client(url, ca, token), manager)
                with prober.running():
                    if what == QUIET:
                        time.sleep(QUIET_S)
                    else:
                        here.send((what, round_))
                        here.recv()
                seconds[what] += prober.seconds
                grown[what].append(prober.most_mib - before)
                stretch[what] = _p99(prober.seconds)
            for what, values in ratios.items():
                values.append(stretch[what] / stretch[QUIET])
        here.send(None)
    finally:
        sender.join(10)
        sender.kill()
    return {
        "MiB before": before,
        **{
            what: {
                "requests": len(each),
                "p50 ms": statistics.median(each) * 1e3,
                "p99 ms": _p99(each) * 1e3,
                "MiB more at most": max(grown[what]),
                **({"p99 ratio": statistics.median(ratios[what])} if what in ratios else {}),
            }
            for what, each in seconds.items()
        },
    }


def _settled(pid: int) -> None:
    """Until nothing is worked on any more."""
    while children(pid):
        time.sleep(0.5)
    time.sleep(2.0)


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.99)]


def show(results: dict[str, Any], console: Console) -> None:
    """The figures beside their aims."""
    table = Table(title="GET /version while others send what is hostile")
    for column in ("what", "requests", "p50", "p99", "p99 beside nothing hostile", "MiB more at most"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for what in (QUIET, CHARTS, REPOSITORIES):
        each = results[what]
        ratio = f"{each['p99 ratio']:.2f} (aim {AIMS['p99']})" if "p99 ratio" in each else ""
        more = f"{each['MiB more at most']:.1f} (aim {AIMS['MiB']:.0f})"
        table.add_row(what, str(each["requests"]), f"{each['p50 ms']:.2f} ms", f"{each['p99 ms']:.2f} ms", ratio, more)
    console.print(table)
