"""Servers of the bus that are configured as in pods: several find each other and nobody else does; a store stays what it is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from skerry import subjects
from skerry.api.kinds import CLUSTER
from skerry.bus import BucketConfig, Settings, connect
from skerry.bus.supervisor import Bus
from skerry.cli.failure import Failure
from skerry.cli.incluster.derived import HostNames, derivations
from skerry.cli.incluster.keys import lay, new_keys
from skerry.cli.incluster.nats import check_store, configuration
from skerry.cli.incluster.reloading import reload_servers, told
from skerry.errors import GatewayTimeout, ServiceUnavailable
from skerry.identity import nkey, x509
from skerry.identity.federation import Authority
from skerry.identity.natsconf import server_binary
from skerry.identity.nkey import KeyType
from tests.e2e.federation import eventually, free_port

KEY = subjects.key(CLUSTER.group, CLUSTER.kind, "", "a")
KEYS = new_keys("isle", "uid", nkey.create(KeyType.OPERATOR).seed)


class Place:
    """The Secret of the bus in a directory, and the authority whose it is."""

    def __init__(self, directory: Path) -> None:
        self.secret = directory / "secret"
        (directory / "keys").mkdir()
        derived = derivations(KEYS, directory / "keys", HostNames(name="isle", namespace="ns"))
        self.files = dict(derived["skerry-nats"]({}))
        self.ca = x509.X509KeyPair(certificate=KEYS["ca.crt"], key=KEYS["ca.key"])
        loopback = x509.issue_server(self.ca, ("127.0.0.1",), client=True)  # of pods it has the names of pods
        lay({**self.files, "routes.crt": loopback.certificate, "routes.key": loopback.key}, self.secret)
        self.authority = Authority.load(directory / "keys")

    def settings(self, port: int) -> Settings:
        """How to reach a server."""
        return Settings(servers=(f"tls://127.0.0.1:{port}",), ca_pem=KEYS["ca.crt"].decode(), name="test")


class Server:
    """One server, in its own ports: pods have addresses of their own instead."""

    def __init__(self, place: Place, directory: Path, number: int, ports: dict[int, tuple[int, int, int]]) -> None:
        self.directory, self.ports = directory, ports[number]
        self.port, route, self.monitor = self.ports
        directory.mkdir(exist_ok=True)
        peers = tuple(f"127.0.0.1:{ports[each][1]}" for each in ports) if len(ports) > 1 else ()
        text = configuration(place.secret, directory, f"skerry-nats-{number}", peers)
        text = text.replace(":6222", "").replace("port: 6222", f"port: {route}")
        text = text.replace("port: 4222", f"port: {self.port}").replace("http_port: 8222", f"http_port: {self.monitor}")
        (directory / "nats.conf").write_text(text)
        with (directory / "log").open("ab") as log:
            command = [str(server_binary()), "-c", str(directory / "nats.conf")]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def healthy(self, query: str) -> bool:
        """What a probe sees."""
        try:
            with urlopen(f"http://127.0.0.1:{self.monitor}/healthz?{query}=true", timeout=2) as answer:
                return bool(json.loads(answer.read())["status"] == "ok")
        except OSError:
            return False

    @property
    def log(self) -> str:
        """What it logged so far."""
        return (self.directory / "log").read_text()

    def routes(self) -> set[str]:
        """Names of the servers that it has routes to."""
        with urlopen(f"http://127.0.0.1:{self.monitor}/routez", timeout=5) as answer:
            return {each["remote_name"] for each in json.loads(answer.read())["routes"]}

    def stop(self) -> None:
        """SIGTERM."""
        self.process.terminate()
        self.process.wait(20)


def ports_of_one() -> tuple[int, int, int]:
    """For clients, routes and figures."""
    return free_port(), free_port(), free_port()


@contextmanager
def servers(place: Place, directory: Path, count: int) -> Iterator[list[Server]]:
    """So many, which have found each other."""
    ports = {number: ports_of_one() for number in range(count)}
    started = [Server(place, directory / f"data-{number}", number, ports) for number in range(count)]
    try:
        for each in started:
            eventually(lambda each=each: each.healthy("js-meta-only"), "the server is up", 60)  # type: ignore[misc]
        yield started
    finally:
        for each in started:
            each.stop()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def until_elected(bus: Bus, key: str) -> int:
    """The revision of an entry, asked for as services do until its store has a leader again: until then nobody answers."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(GatewayTimeout, ServiceUnavailable):
                entry = await (await bus.bucket("resources")).get(key)
                assert entry is not None
                return entry.revision


@pytest.mark.integration
async def test_three_servers_are_one_bus_that_outlives_one_of_them_and_lets_no_other_in(
    place: Place, tmp_path: Path
) -> None:
    with servers(place, tmp_path, 3) as running:
        credentials = place.authority.service_credentials("controller-manager")
        async with Bus(place.settings(running[0].port), lambda: credentials) as bus:
            bucket = await bus.bucket("resources", create=BucketConfig(replicas=3))
            revision = await bucket.create(KEY, b"1")
        running[0].stop()
        async with Bus(place.settings(running[1].port), lambda: credentials) as bus:
            assert await until_elected(bus, KEY) == revision
        lay({"route-password": b"wrong"}, place.secret)
        ports = {number: each.ports for number, each in enumerate(running)} | {3: ports_of_one()}
        stranger = Server(place, tmp_path / "stranger", 3, ports)
        try:
            eventually(lambda: "authorization violation" in stranger.log.lower(), "the stranger is refused")
            assert running[1].routes() == {"skerry-nats-2"}
        finally:
            stranger.stop()


@pytest.mark.integration
async def test_a_server_takes_its_new_certificate_and_no_connection_is_cut(place: Place, tmp_path: Path) -> None:
    with servers(place, tmp_path, 1) as (server,):
        assert server.healthy("js-server-only")
        assert server.healthy("js-enabled-only")
        settings = place.settings(server.port)
        connection = await connect(settings, place.authority.service_credentials("controller-manager"))
        assert await reload_servers(settings, place.authority, place.files["tls.crt"]) == []
        time.sleep(1.1)  # certificates count seconds
        newer = x509.issue_server(place.ca, ("127.0.0.1", "localhost"))
        lay({"tls.crt": newer.certificate, "tls.key": newer.key}, place.secret)
        assert await told(settings, place.authority, newer.certificate) == [
            "skerry-nats-0 was told to take its new certificate"
        ]
        assert await reload_servers(settings, place.authority, newer.certificate) == []
        await connection.flush()
        connection.abort()
    assert await told(settings, place.authority, newer.certificate) == []


@pytest.mark.integration
async def test_a_store_of_one_server_is_not_taken_into_a_cluster_nor_the_other_way_about(
    place: Place, tmp_path: Path
) -> None:
    stores = {}
    for count in (1, 3):
        directory = tmp_path / str(count)
        directory.mkdir()
        with servers(place, directory, count) as running:
            credentials = place.authority.service_credentials("controller-manager")
            async with Bus(place.settings(running[0].port), lambda c=credentials: c) as bus:  # type: ignore[misc]
                await bus.bucket("resources", create=BucketConfig(replicas=count))
        stores[count] = directory / "data-0"
    check_store(stores[1], clustered=False)
    check_store(stores[3], clustered=True)
    with pytest.raises(Failure, match=r"was written by a bus of one server, and bus\.replicas makes it one of several"):
        configuration(place.secret, stores[1], "a", ("a", "b", "c"))
    with pytest.raises(
        Failure, match=r"was written by a bus of several servers, and bus\.replicas makes it one of one"
    ):
        configuration(place.secret, stores[3], "a", ())


@pytest.mark.parametrize("clustered", [False, True])
def test_an_empty_store_is_anybodys(tmp_path: Path, *, clustered: bool) -> None:
    check_store(tmp_path, clustered=clustered)
    check_store(tmp_path / "missing", clustered=clustered)


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]"])
def test_a_secret_that_is_not_of_a_bus_is_told(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "accounts.json").write_bytes(content)
    with pytest.raises(Failure, match=r"accounts\.json is not the accounts of a bus: skerry bootstrap writes it"):
        configuration(tmp_path, tmp_path / "store", "a", ())
    with pytest.raises(Failure, match="route-password cannot be read"):
        configuration(tmp_path, tmp_path / "store", "a", ("a", "b"))
