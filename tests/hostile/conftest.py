"""One federation for the whole corpus: the real proxy, the same recording API server behind an agent and directly."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest_asyncio

from services.tenancy.service import SERVICE as TENANCY
from services.tenancy.settings import TenancySettings
from skerry import bus, subjects
from skerry.api.messages import ConnectAnswer, ConnectRequest
from skerry.identity.assertion import check_record
from skerry.identity.nkey import seal
from skerry.member.kubeconfig import DirectConnection, Target
from tests.fixtures.nats import NatsHost, eventually
from tests.fixtures.service import serving
from tests.http.peers import Peer, Upstream
from tests.proxy.conftest import World, settings_for, world
from tests.proxy.member import TOKEN, Agent

MODES = {"agent": "m1", "direct": "d1"}
RAW_MODES = {"agent": "m2", "direct": "d2"}
"""Members whose API server answers whatever a test says."""


class Sea:
    """The world, and the API server that answers raw bytes."""

    def __init__(self, made: World) -> None:
        self.world = made
        self.raw_answer = b""
        self.raw_seen: list[bytes] = []
        self.upstream = Upstream(self._talk)
        self.peers: list[Peer] = []
        """Connections of the test that runs."""

    async def _talk(self, peer: Peer) -> None:
        self.raw_seen.append(await peer.line(b"\r\n\r\n"))
        await peer.send(self.raw_answer)

    async def peer(self, context: ssl.SSLContext | None = None, name: str = "127.0.0.1") -> Peer:
        """A new connection to the front door, which ends with the test."""
        peer = await Peer.connect(self.world.address[1], context, name)
        self.peers.append(peer)
        return peer


@contextlib.asynccontextmanager
async def sea_of(nats: NatsHost, **settings: Any) -> AsyncIterator[Sea]:
    """Members m1 and m2 behind agents, d1 and d2 directly."""
    async with contextlib.AsyncExitStack() as stack:
        made = await stack.enter_async_context(world(nats, settings_for(nats, **settings)))
        sea = Sea(made)
        await sea.upstream.start(None)
        stack.push_async_callback(sea.upstream.close)
        raw = ("127.0.0.1", sea.upstream.port)
        addresses = {"d1": made.recorder.server.addresses[0], "d2": raw}
        await stack.enter_async_context(serving(nats, (TENANCY, TenancySettings())))
        registry = await stack.enter_async_context(nats.bus("registry"))

        async def tell(message: bus.Message) -> None:
            """Where a direct member is, as the registry answers."""
            name = message.subject.split(".")[1]
            ask = msgspec.json.decode(message.data, type=ConnectRequest)
            key = check_record(nats.authority.trust_roots(), ask.record, time.time()).key
            host, port = addresses[name]
            target = Target(scheme="http", host=host, port=port, token=TOKEN.decode())
            connection = DirectConnection(cluster=made.proxy.directory.uid(name), revision=1, target=target)
            await message.respond(msgspec.json.encode(ConnectAnswer(sealed=seal(key, msgspec.json.encode(connection)))))

        registry.subscribe(subjects.CONNECTIONS, tell)
        await registry.ready()
        for name in addresses:
            await made.cluster(name, mode="direct")
        await made.cluster("m2")
        _, credentials = await nats.member("m2")
        agent = Agent("m2", nats.authority.assertion_root.public, raw)
        await agent.start(nats.settings("agent-m2"), credentials)
        stack.push_async_callback(agent.close)
        yield sea


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sea(nats_host: NatsHost) -> AsyncIterator[Sea]:
    """One sea for all rows: each must leave it as it was."""
    async with sea_of(nats_host) as made:
        yield made


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def fresh(sea: Sea) -> AsyncIterator[None]:
    """Nothing recorded yet, and in the end nothing open: what a test that failed left would be found as a leak in another."""
    sea.world.recorder.heads.clear()
    sea.world.recorder.whole.clear()
    sea.raw_seen.clear()
    yield
    for peer in sea.peers:
        peer.writer.close()
    sea.peers.clear()


__all__ = ["MODES", "RAW_MODES", "Sea", "eventually"]
