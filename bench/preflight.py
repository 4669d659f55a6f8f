"""What `skerry preflight` of a large cluster costs: the command as a whole process, against a stand-in for its API server in another.

The stand-in answers at once, so the time is the command's own; CPU and memory are of the process from its start to its end.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from bench.federation import SKERRY, say
from bench.inventory import pages, running
from skerry.http.exchange import Exchange
from skerry.member.inventory import NODES, PODS
from skerry.member.objects import PLACES
from tests.member.apiserver import JSON, ApiServer

NODE_COUNT, POD_COUNT = 1_000, 30_000
IMAGES = 40
"""Of a node, as kubelets tell them."""
NAMESPACE = "/api/v1/namespaces/skerry-system"
AIM_S, AIM_MIB = 5.0, 300.0


def measure(rounds: int) -> dict[str, Any]:
    """Seconds, CPU seconds and peak MiB of each run; one that warmed up came before."""
    say(f"preflight: {NODE_COUNT} nodes, {POD_COUNT} pods")
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    try:
        config = ours.recv()
        runs = [_run(config) for _ in range(rounds + 1)][1:]
    finally:
        server.kill()
        server.join()
    return {"nodes": NODE_COUNT, "pods": POD_COUNT, "bytes": ours.recv(), "runs": runs}


def _run(config: str) -> dict[str, float]:
    started = time.perf_counter()
    process = subprocess.Popen(
        [SKERRY, "preflight", "--agent", "--kubeconfig", config, "-o", "json"], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    report = msgspec.json.decode(process.stdout.read())
    _, status, usage = os.wait4(process.pid, 0)
    assert report["verdict"] == "pass", report
    assert status == 0
    assert report["workloads"][0]["placed"]
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "cpu_s": usage.ru_utime + usage.ru_stime, "peak_mib": usage.ru_maxrss / 1024}


def _serve(pipe: Connection) -> None:
    asyncio.run(_api(pipe))


async def _api(pipe: Connection) -> None:
    pods = [msgspec.Raw(msgspec.json.encode(running(number, NODE_COUNT))) for number in range(POD_COUNT)]
    nodes = [msgspec.Raw(msgspec.json.encode(_node(number))) for number in range(NODE_COUNT)]
    with tempfile.TemporaryDirectory() as directory:
        async with ApiServer(Path(directory)) as api:
            api.routes |= {PODS: pages(pods), NODES: pages(nodes), NAMESPACE: _taken}
            api.routes |= {f"{NAMESPACE}/{each}": _none for each in ("resourcequotas", "limitranges")}
            api.routes[f"{NAMESPACE}/pods"] = _pods
            pipe.send(str(api.kubeconfig()))
            pipe.send(sum(len(bytes(item)) for item in (*pods, *nodes)))
            for place in PLACES.values():
                for path in _objects(place.collection("skerry-system")):
                    api.routes.setdefault(path, _taken)
            await asyncio.Event().wait()


def _objects(collection: str) -> list[str]:
    from skerry.cli.agentmanifest import AgentInstallation, manifests

    documents = manifests(AgentInstallation(token="", replicas=1))
    paths = [PLACES[each["apiVersion"], each["kind"]].path(each) for each in documents]
    return [path for path in paths if path.rpartition("/")[0] == collection]


async def _taken(exchange: Exchange) -> None:
    await exchange.body(1 << 20)
    await exchange.respond(200, JSON, b'{"metadata":{}}')


async def _none(exchange: Exchange) -> None:
    await exchange.respond(200, JSON, b'{"items":[]}')


async def _pods(exchange: Exchange) -> None:
    await exchange.body(1 << 20)
    await exchange.respond(201 if exchange.head.method == b"POST" else 200, JSON, b'{"metadata":{},"items":[]}')


def _node(number: int) -> dict[str, Any]:
    name = f"node-{number}"
    room = {"cpu": "64", "memory": "256Gi", "pods": "110"}
    images = [{"names": [f"registry.example/team-{n}/app@sha256:{n:064x}", f"registry.example/team-{n}/app:v{n}"], "sizeBytes": n << 20} for n in range(IMAGES)]  # fmt: skip
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "topology.kubernetes.io/zone": f"zone-{number % 3}"}  # fmt: skip
    conditions = [{"type": "Ready", "status": "True", "message": "kubelet is posting ready status"}]
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"podCIDR": "10.0.0.0/24"},
        "status": {"allocatable": room, "capacity": room, "conditions": conditions, "images": images},
    }


def show(figures: Mapping[str, Any], console: Console) -> None:
    """One table."""
    title = (
        f"preflight of {figures['nodes']:,} nodes and {figures['pods']:,} pods, {figures['bytes'] / 1e6:.0f} MB of JSON"
    )
    table = Table(title=title, title_justify="left")
    for column in ("", "measured", "aim"):
        table.add_column(column)
    for name, key, aim in (
        ("from start to end, s", "seconds", f"{AIM_S:g}"),
        ("CPU, s", "cpu_s", ""),
        ("memory at the peak, MiB", "peak_mib", f"{AIM_MIB:g}"),
    ):
        values = [run[key] for run in figures["runs"]]
        table.add_row(name, f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})", aim)
    console.print(table)
