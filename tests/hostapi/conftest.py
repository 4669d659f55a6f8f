"""The host API behind a plain HTTP server, over a real bus, with tenancy as the owner that takes writes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sysconfig
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.proxy.front import JSON, VERSION
from services.proxy.hostapi import Attributes, Forwarder, HostApi, Rule
from services.tenancy import service as tenancy
from services.tenancy.settings import TenancySettings
from skerry import subjects
from skerry.api.kinds import CLUSTER, EVENT, KINDS, SERVED, Tie
from skerry.api.messages import Caller
from skerry.bus import BucketConfig, Entry, Filled, Resync
from skerry.controller.recorder import Recorder
from skerry.errors import Forbidden, NotFound
from skerry.http import Client, ClientGone, Exchange, Response, Server
from skerry.httpwire.head import RequestHead
from skerry.informer import Informer
from skerry.storage import Store, make_bucket
from skerry.storage.documents import seal
from tests.fixtures.nats import NatsHost
from tests.fixtures.service import serving

DEADLINE_S = 15.0
ADMIN = Caller(user="admin", groups=("skerry:cluster-admin",))


class Answer(msgspec.Struct, frozen=True):
    """A whole answer."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def json(self) -> Any:
        """The decoded body."""
        return msgspec.json.decode(self.body)

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key.lower() == name), None)


class World:
    """A host API, a store to write Clusters with, and clients."""

    def __init__(self, cache: Informer, clusters: Store) -> None:
        self.cache = cache
        self.clusters = clusters
        self.port = 0
        self.recorder: Recorder
        self.rules: tuple[Rule, ...] = (Rule(("*",), ("*",), ("*",)),)
        self.denied: set[str] = set()
        self.live: dict[str, Mapping[str, object]] = {}

    def authorize(self, asked: Attributes) -> tuple[Tie, ...]:
        """Refuses the resources in `denied`."""
        if asked.resource in self.denied:
            raise Forbidden(f"{asked.resource} is forbidden")
        return ()

    async def made(self, name: str, **metadata: Any) -> int:
        """A Cluster that the cache has; its revision."""
        spec = {"role": "member", "connection": {"mode": "agent"}}
        item = await self.clusters.create({"metadata": {"name": name, **metadata}, "spec": spec})
        await self.cache.reached(item.revision)
        return item.revision

    def forget(self) -> None:
        """The proxy starts over: what it knew of the past is gone."""
        self.cache.take(Resync("a test"))
        for item in self.cache.list(CLUSTER):
            value = seal(item.document(), writes=item.writes)
            self.cache.take(Entry(self.clusters.key(item.name), value, item.revision, 0.0))
        self.cache.take(Filled(self.cache.revision))

    async def open(
        self, target: str, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[Client, Response]:
        """An answer whose body is to be read; close the client afterwards."""
        fields = [(b"host", b"test"), *((k.encode(), v.encode()) for k, v in (headers or {}).items())]
        client = Client("127.0.0.1", self.port)
        head = RequestHead(
            method=method.encode(), target=target.encode(), headers=fields, content_length=None if body is None else len(body)
        )  # fmt: skip
        return client, await client.request(head, body)

    async def ask(
        self, target: str, method: str = "GET", body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """A whole answer."""
        data = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        async with asyncio.timeout(DEADLINE_S):
            client, response = await self.open(target, method, data, headers)
            parts = []
            while part := await response.read():
                parts.append(part)
            await client.close()
        return Answer(response.status, response.headers, b"".join(parts))

    @contextlib.asynccontextmanager
    async def watching(self, target: str, headers: Mapping[str, str] | None = None) -> AsyncIterator[Lines]:
        """The events of a watch."""
        client, response = await self.open(target, headers=headers)
        try:
            yield Lines(response)
        finally:
            response.abort()
            await client.close()

    async def kubectl(self, *arguments: str, stdin: str = "", home: Path, editor: str = "") -> tuple[int, str, str]:
        """(exit code, stdout, stderr) of a real kubectl."""
        binary = Path(sysconfig.get_path("scripts")) / "kubectl"
        process = await asyncio.create_subprocess_exec(
            binary,
            f"--server=http://127.0.0.1:{self.port}",
            f"--cache-dir={home}",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={
                "HOME": str(home),
                "PATH": os.environ["PATH"],
                "KUBECONFIG": str(home / "none"),
                "KUBE_EDITOR": editor,
            },
        )
        async with asyncio.timeout(DEADLINE_S):
            out, err = await process.communicate(stdin.encode())
        return process.returncode or 0, out.decode(), err.decode()


class Lines:
    """Reads a watch line by line."""

    def __init__(self, response: Response) -> None:
        self.response = response
        self._left = b""

    async def next(self) -> Any:
        """The next event; None at the end of the watch."""
        async with asyncio.timeout(DEADLINE_S):
            while b"\n" not in self._left:
                part = await self.response.read()
                if not part:
                    return None
                self._left += part
        line, _, self._left = self._left.partition(b"\n")
        return msgspec.json.decode(line)

    async def told(self) -> tuple[str, str]:
        """(type, name) of the next event."""
        event = await self.next()
        return event["type"], event["object"]["metadata"].get("name", "")


@pytest.fixture
async def world(nats_host: NatsHost) -> AsyncIterator[World]:
    """A running host API."""
    async with (
        nats_host.bus("proxy") as bus,
        nats_host.bus("registry") as registry,
        serving(nats_host, (tenancy.SERVICE, TenancySettings())),
        asyncio.TaskGroup() as tasks,
    ):
        clusters = Store(await registry.bucket(subjects.RESOURCES, create=BucketConfig()), CLUSTER)
        cache, events = Informer(KINDS), Informer((EVENT,))
        feeding = tasks.create_task(cache.feed(await bus.bucket(subjects.RESOURCES)))
        recorder = Recorder(await make_bucket(registry, subjects.EVENTS), "registry")
        more = (tasks.create_task(recorder.run()), tasks.create_task(events.feed(await bus.bucket(subjects.EVENTS))))
        found = World(cache, clusters)
        found.recorder = recorder
        api = HostApi(
            cache, Forwarder(bus, nats_host.sign), SERVED, lambda name: found.live.get(name, {}), events=events
        )

        async def handle(exchange: Exchange) -> None:
            if exchange.head.target == b"/version":
                await exchange.respond(200, [JSON], VERSION)
                return
            try:
                await api.handle(exchange, ADMIN, found.authorize, rules=lambda namespace: found.rules)
            except ClientGone:
                return

        server = Server(handle)
        await server.start("127.0.0.1", 0)
        found.port = server.addresses[0][1]
        async with asyncio.timeout(DEADLINE_S):
            await cache.filled.wait()
            await events.filled.wait()
        try:
            yield found
        finally:
            for item in cache.list(CLUSTER):
                with contextlib.suppress(NotFound):
                    await clusters.delete(item.name)
            await server.close(0)
            for task in (feeding, *more):
                task.cancel()
