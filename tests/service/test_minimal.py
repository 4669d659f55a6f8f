"""Adding a service takes five files and under a hundred lines: this one is run as it stands, and kubectl uses it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.proxy.hostapi import Forwarder, HostApi, Rule
from skerry import subjects
from skerry.api.kinds import KINDS, SERVED, Kind, owned_by
from skerry.api.messages import Caller
from skerry.http import ClientGone, Exchange, Server
from skerry.identity import permissions, services
from skerry.informer import Informer
from tests.fixtures.kubectl import kubectl
from tests.fixtures.nats import NatsHost
from tests.service.minimal import FILES

pytestmark = pytest.mark.integration
ADMIN = Caller(user="admin", groups=("skerry:cluster-admin",))


def written(directory: Path) -> Path:
    """The service's folder; its parent is to be on the path."""
    folder = directory / "harbour"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def environment(host: NatsHost, directory: Path, **more: str) -> dict[str, str]:
    """Of a process of services: the whole of it."""
    host.anybody().save(directory / "harbour.creds")
    (directory / "ca.crt").write_text(host.ca_pem)
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join((str(directory), *sys.path)),
        "SKERRY_BUS_SERVERS": ",".join(host.servers),
        "SKERRY_BUS_CA_FILE": str(directory / "ca.crt"),
        "SKERRY_BUS_CREDENTIALS_FILE": str(directory / "harbour.creds"),
        "SKERRY_TRUST_ROOT": host.trust_root,
        "SKERRY_STRICT": "1",
        **more,
    }


def listed(monkeypatch: pytest.MonkeyPatch, kind: Kind) -> None:
    """Have the kind and its owner in the tables: a row, and its name among those that write buckets."""
    row = services.ServiceRights(name=kind.owner, workload=kind.owner, endpoints=(f"{kind.owner}.count",))
    shared = (subjects.RESOURCES, subjects.EVENTS, subjects.LEADERS)
    buckets = tuple(
        dataclasses.replace(each, writers=(*each.writers, kind.owner)) if each.name in shared else each
        for each in services.BUCKETS
    )
    monkeypatch.setitem(services._BY_NAME, kind.owner, row)
    monkeypatch.setattr(permissions, "BUCKETS", buckets)
    monkeypatch.setattr(services, "KINDS", (*KINDS, kind))
    monkeypatch.setattr(permissions, "owned_by", lambda name: (kind,) if name == kind.owner else owned_by(name))


@contextlib.asynccontextmanager
async def front(host: NatsHost, kinds: tuple[Kind, ...]) -> AsyncIterator[int]:
    """The port of a host API that serves these kinds."""
    async with host.open_bus("proxy") as bus, asyncio.TaskGroup() as tasks:
        cache = Informer(kinds)
        await eventually_there(bus)
        feeding = tasks.create_task(cache.feed(await bus.bucket(subjects.RESOURCES)))
        api = HostApi(cache, Forwarder(bus, host.sign), kinds, lambda name: {})

        async def handle(exchange: Exchange) -> None:
            with contextlib.suppress(ClientGone):
                await api.handle(
                    exchange, ADMIN, lambda asked: (), rules=lambda namespace: (Rule(("*",), ("*",), ("*",)),)
                )

        server = Server(handle)
        await server.start("127.0.0.1", 0)
        await asyncio.wait_for(cache.filled.wait(), 10)
        yield server.addresses[0][1]
        await server.close(0)
        feeding.cancel()


async def eventually_there(bus: Any) -> None:
    """Wait until the service answers."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(Exception):
                await bus.request("harbour.count", b"{}", timeout_s=1.0)
                return
            await asyncio.sleep(0.05)


def test_it_is_five_files_and_under_a_hundred_lines() -> None:
    assert len(FILES) == 5
    assert sum(len(text.splitlines()) for text in FILES.values()) < 100


async def test_kubectl_uses_it(nats_host: NatsHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    from importlib import import_module

    berth = import_module("harbour.berth").BERTH
    env = environment(nats_host, tmp_path, SKERRY_HARBOUR_WORD="full", SKERRY_LOG_FORMAT="human")
    listed(monkeypatch, berth)
    nats_host.service("harbour").save(tmp_path / "harbour.creds")  # what the tables give, and nothing more
    await nats_host.make_buckets()
    log = tmp_path / "harbour.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", folder.name, stdout=out, stderr=out, env=env
        )
    try:
        async with front(nats_host, (*SERVED, berth)) as port, nats_host.open_bus("asking") as bus:
            client = kubectl(port, tmp_path)
            manifest = {
                "apiVersion": berth.api_version,
                "kind": "Berth",
                "metadata": {"name": "north"},
                "spec": {"ship": "Rover"},
            }
            code, out_text, err = await client("apply", "-f", "-", stdin=msgspec.json.encode(manifest).decode())
            assert (code, out_text.strip(), err) == (0, "berth.skerry.dev/north created", "")
            code, out_text, err = await client(
                "wait", "berth/north", "--for=jsonpath={.status.state}=full", "--timeout=10s"
            )
            assert code == 0, err
            code, out_text, err = await client("get", "berths")
            assert out_text.split() == ["NAME", "STATE", "north", "full"]
            ghost = {**manifest, "metadata": {"name": "ghost"}, "spec": {"ship": "Dutchman"}}
            code, out_text, err = await client("create", "-f", "-", stdin=msgspec.json.encode(ghost).decode())
            assert code == 1
            assert "the Flying Dutchman never lies at a berth" in err
            assert (await bus.request("harbour.count", b"{}")).data == b'{"berths":1}'
            info = msgspec.json.decode((await bus.request("$SRV.INFO.harbour")).data)
            (counting,) = (each for each in info["endpoints"] if each["subject"] == "harbour.count")
            assert "How many berths there are." in counting["metadata"]["answer"]
            stats = msgspec.json.decode((await bus.request("$SRV.STATS.harbour")).data)
            assert {each["controller"] for each in stats["data"]} == {
                "harbour/moorings",
                "harbour/sweep",
                "harbour/garbage",
            }
            code, out_text, err = await client("delete", "berth", "north")
            assert out_text.startswith('berth.skerry.dev "north" deleted')
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        print(log.read_text())
