"""Clients that come, go and are cut for minutes: afterwards nothing is left of them.

`SKERRY_SOAK_S` says for how long (600 s by default). A line with what was seen goes to `SKERRY_SOAK_RESULT`, if set.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.kubeconfig import Endpoint, endpoint
from tests.e2e.federation import Host, eventually
from tests.kube.member import Member

pytestmark = [pytest.mark.soak, pytest.mark.kube, pytest.mark.timeout(0)]

CLIENTS = 24
SETTLE_S = 30.0


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, plain_cluster: Member) -> Iterator[Host]:
    """A host with one member behind its agent."""
    with Host(tmp_path_factory.mktemp("soak")) as made:
        made.up()
        made.join(plain_cluster, "churned")
        yield made


def _pids(host: Host) -> dict[str, int]:
    pids = {each["name"]: int(each["pid"]) for each in host.status()["processes"]}
    pids["agent"] = host.agents[0].process.pid
    return pids


def _files(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def _rss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def _request(target: Endpoint, method: str, path: str, body: bytes = b"") -> bytes:
    prefix = "/" + target.server.split("/", 3)[3]
    lines = [
        f"{method} {prefix}{path} HTTP/1.1",
        "Host: soak",
        f"Authorization: Bearer {target.token}",
        f"Content-Length: {len(body)}",
        "Content-Type: application/json",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _one(target: Endpoint, chance: random.Random, seen: Counter[str]) -> None:
    """One client: a request of some kind on a connection of its own, which it may cut at any moment."""
    address, port = target.server.split("/")[2].rsplit(":", 1)
    context: ssl.SSLContext = target.context
    reader, writer = await asyncio.open_connection(address, int(port), ssl=context, server_hostname=address)
    kind = chance.choice(("get", "list", "watch", "follow", "post", "upload", "upgrade"))
    try:
        if kind == "get":
            writer.write(_request(target, "GET", "/version"))
        elif kind == "list":
            writer.write(_request(target, "GET", "/openapi/v2"))
        elif kind in ("watch", "follow"):
            writer.write(_request(target, "GET", "/api/v1/configmaps?watch=true&resourceVersion=0"))
        elif kind == "post":
            document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "soak-"}}
            path = "/api/v1/namespaces/default/configmaps?dryRun=All"
            writer.write(_request(target, "POST", path, json.dumps(document).encode()))
        elif kind == "upload":
            head = _request(target, "POST", "/api/v1/namespaces/default/configmaps?dryRun=All", b"x" * 600_000)
            writer.write(head[: chance.randrange(300, len(head))])
        else:
            path = "/api/v1/namespaces/default/pods/none/exec?command=true&stdout=true"
            upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            request = _request(target, "GET", path).replace(b"Content-Length: 0\r\n", upgrade + key)
            writer.write(request)
        deadline = chance.choice((0.0, 0.01, 0.1, 0.5, 2.0))
        try:
            async with asyncio.timeout(deadline):
                while await reader.read(chance.choice((10, 4096, 262144))):
                    pass
        except TimeoutError:
            seen[f"{kind} cut"] += 1
        else:
            seen[f"{kind} ended"] += 1
    except OSError:
        seen[f"{kind} broke"] += 1
    finally:
        if chance.random() < 0.5:
            writer.transport.abort()
        else:
            writer.close()


async def _churn(target: Endpoint, seconds: float, seed: int) -> Counter[str]:
    seen: Counter[str] = Counter()
    end = time.monotonic() + seconds

    async def client(number: int) -> None:
        chance = random.Random(seed + number)
        while time.monotonic() < end:
            await _one(target, chance, seen)

    async with asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(client(number))
    return seen


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_nothing_is_left_of_clients_that_came_and_went(host: Host) -> None:
    seconds = float(os.environ.get("SKERRY_SOAK_S", "600"))
    target = endpoint(str(host.kubeconfig()), "skerry-churned")
    asyncio.run(_churn(target, 20, seed=1))
    time.sleep(SETTLE_S)
    pids = _pids(host)
    files = {name: _files(pid) for name, pid in pids.items()}
    memory = {name: _rss_mib(pid) for name, pid in pids.items()}
    seen = asyncio.run(_churn(target, seconds, seed=1000))
    assert _pids(host) == pids, "a process was replaced"
    eventually(lambda: "skerry_proxy_streams_live 0" in host.kubectl(None, "get", "--raw", "/metrics"), "no stream", 60)
    eventually(
        lambda: all(_files(pid) <= files[name] + 4 for name, pid in pids.items()),
        f"file descriptors as before: {files}",
        90,
    )
    after = {name: _rss_mib(pid) for name, pid in pids.items()}
    result = {"seconds": seconds, "requests": seen.total(), "seen": seen, "files": files, "rss": memory, "after": after}
    print(json.dumps(result))
    if path := os.environ.get("SKERRY_SOAK_RESULT"):
        Path(path).write_text(json.dumps(result, indent=2) + "\n")
    assert all(after[name] <= memory[name] * 1.25 + 8 for name in pids), (memory, after)
