"""From a grant that the host acknowledged to the first request that it lets through, on a member that is connected: in the whole
cluster, where the member has the binding already, and in a namespace, where it is brought there first.

Everything is real: API server, agent, host. One connection for who grants and one for who waits, both kept.
"""

from __future__ import annotations

import http.client
import json
import statistics
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from bench.federation import Federation, federation, say, skerry
from bench.kubeconfig import endpoint

TIMES = 40
"""Grants of each kind in a round."""
DEADLINE_S = 30.0
API = "/apis/skerry.dev/v1alpha1"


class Caller:
    """One kept connection to the host, as somebody."""

    def __init__(self, running: Federation, token: str = "") -> None:
        host = endpoint(str(running.directory / "state" / "host" / "admin.kubeconfig"))
        url = urlsplit(host.server)
        self._connection = http.client.HTTPSConnection(url.hostname or "", url.port, context=host.context, timeout=30)
        self._headers = {"Authorization": f"Bearer {token or host.token}", "Content-Type": "application/json"}

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> int:
        """The status."""
        data = None if body is None else json.dumps(body)
        self._connection.request(method, path, data, self._headers)
        response = self._connection.getresponse()
        response.read()
        return response.status


def measure(rounds: int) -> dict[str, Any]:
    """Milliseconds of every grant."""
    say(f"grants: {rounds} times {TIMES} of each kind, on a real member")
    taken: dict[str, list[float]] = {"whole": [], "namespace": []}
    with federation() as running:
        admin = Caller(running)
        waiting = Caller(running, skerry("credential", "create", "alice", state=running.directory / "state").strip())
        for turn in range(rounds):
            for number in range(TIMES):
                name = f"n{turn}-{number}"
                if admin.ask("POST", "/clusters/m1/api/v1/namespaces", {"metadata": {"name": name}}) != 201:
                    raise AssertionError(f"namespace {name} was not made")
                taken["whole"].append(_first(admin, waiting, f"w{name}", "", "/clusters/m1/api/v1/pods"))
                pods = f"/clusters/m1/api/v1/namespaces/{name}/pods"
                taken["namespace"].append(_first(admin, waiting, name, name, pods))
    return {
        f"{kind}_{key}": value
        for kind, times in taken.items()
        for key, value in (("p50_ms", statistics.median(times)), ("p99_ms", sorted(times)[int(len(times) * 0.99)]))
    }


def _first(admin: Caller, waiting: Caller, name: str, namespace: str, path: str) -> float:
    """Milliseconds from the acknowledgement to the answer; the grant is gone afterwards."""
    spec = {
        "subjects": [{"kind": "User", "name": "alice"}],
        "clusters": {"names": ["m1"]},
        "role": "cluster-admin",  # view and edit are filled by a controller that this cluster does without
        **({"namespaces": [namespace]} if namespace else {}),
    }
    body = {"apiVersion": "skerry.dev/v1alpha1", "kind": "AccessGrant", "metadata": {"name": name}, "spec": spec}
    if admin.ask("POST", f"{API}/accessgrants", body) != 201:
        raise AssertionError(f"grant {name} was not taken")
    started = time.perf_counter()
    while (status := waiting.ask("GET", path)) != 200:
        if time.perf_counter() - started > DEADLINE_S:
            raise AssertionError(f"grant {name} has no effect after {DEADLINE_S:.0f} s: {status}")
    took = (time.perf_counter() - started) * 1e3
    admin.ask("DELETE", f"{API}/accessgrants/{name}")
    while waiting.ask("GET", path) == 200:  # or the next one would rest on this
        pass
    return took


ROWS = (
    ("a grant in the whole cluster, to the first success (ms, p50)", "whole_p50_ms", 100.0),
    ("the same (ms, p99)", "whole_p99_ms", 2000.0),
    ("a grant in a namespace, to the first success (ms, p50)", "namespace_p50_ms", 100.0),
    ("the same (ms, p99)", "namespace_p99_ms", 2000.0),
)


def show(figures: Mapping[str, Any], console: Console) -> None:
    """One table."""
    table = Table(title="grants")
    for column in ("", "measured", "at most"):
        table.add_column(column, justify="left" if not column else "right")
    for text, key, most in ROWS:
        table.add_row(text, f"{figures[key]:.1f}", f"{most:.0f}")
    console.print(table)
