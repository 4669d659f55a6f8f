"""Two proxies in front of one store: a client that alternates never sees time run backwards."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from services.proxy.hostapi import Forwarder, HostApi
from skerry import subjects
from skerry.api.kinds import CLUSTER, KINDS, SERVED
from skerry.http import ClientGone, Exchange, Server
from skerry.informer import Informer
from tests.fixtures.nats import NatsHost
from tests.hostapi.conftest import ADMIN, DEADLINE_S, World

pytestmark = pytest.mark.integration

CLUSTERS = "/apis/skerry.dev/v1alpha1/clusters"


@pytest.fixture
async def other(world: World, nats_host: NatsHost) -> AsyncIterator[World]:
    """A second proxy; what it hears of the store comes late, and never when `heard` is cleared."""
    async with nats_host.bus("proxy") as bus:
        cache = Informer(KINDS)
        feeding = asyncio.ensure_future(cache.feed(await bus.bucket(subjects.RESOURCES)))
        found = World(cache, world.clusters)
        api = HostApi(cache, Forwarder(bus, nats_host.sign), SERVED)

        async def handle(exchange: Exchange) -> None:
            with contextlib.suppress(ClientGone):
                await api.handle(exchange, ADMIN, found.authorize)

        server = Server(handle)
        await server.start("127.0.0.1", 0)
        found.port = server.addresses[0][1]
        async with asyncio.timeout(DEADLINE_S):
            await cache.filled.wait()
        try:
            yield found
        finally:
            await server.close(0)
            feeding.cancel()
            await asyncio.wait((feeding,))


async def test_reads_through_either_are_never_older_than_the_last_one(world: World, other: World) -> None:
    await world.made("clock")
    writing = asyncio.ensure_future(tick(world))
    last = 0
    proxies = (world, other)
    for number in range(60):
        document = (await proxies[number % 2].ask(f"{CLUSTERS}/clock")).json()
        revision = int(document["metadata"]["resourceVersion"])
        assert revision >= last
        last = revision
    writing.cancel()
    await asyncio.wait((writing,))


async def tick(world: World) -> None:
    for number in range(10_000):
        await world.clusters.modify("clock", lambda d, n=number: {**d, "status": {"nodes": n}})  # type: ignore[misc]


async def test_a_write_is_seen_at_once_through_the_other(world: World, other: World) -> None:
    for number in range(20):
        item = await world.clusters.create(
            {"metadata": {"name": f"m{number}"}, "spec": {"role": "member", "connection": {"mode": "agent"}}}
        )
        listed = (await other.ask(CLUSTERS)).json()
        assert f"m{number}" in {one["metadata"]["name"] for one in listed["items"]}
        assert int(listed["metadata"]["resourceVersion"]) >= item.revision


async def test_a_list_can_go_on_at_the_other(world: World, other: World) -> None:
    for name in "abcd":
        await world.made(name)
    await other.cache.reached(world.cache.revision)
    first = (await world.ask(f"{CLUSTERS}?limit=2")).json()
    await world.clusters.delete("c")
    rest = (await other.ask(f"{CLUSTERS}?continue={first['metadata']['continue']}")).json()
    assert [item["metadata"]["name"] for item in rest["items"]] == ["c", "d"]
    assert rest["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_one_that_started_later_cannot_show_the_snapshot_and_says_so(world: World, other: World) -> None:
    for name in "abc":
        await world.made(name)
    first = (await world.ask(f"{CLUSTERS}?limit=1")).json()
    await world.made("d")
    await other.cache.reached(world.cache.revision)
    other.forget()
    answer = await other.ask(f"{CLUSTERS}?continue={first['metadata']['continue']}")
    assert (answer.status, answer.json()["reason"]) == (410, "Expired")
    assert answer.json()["metadata"]["continue"]


async def test_a_watch_goes_on_at_the_other(world: World, other: World) -> None:
    await world.made("a")
    since = (await world.ask(CLUSTERS)).json()["metadata"]["resourceVersion"]
    await world.made("b")
    assert world.cache.get(CLUSTER, "b") is not None
    async with other.watching(f"{CLUSTERS}?watch=1&resourceVersion={since}") as lines:
        assert await lines.told() == ("ADDED", "b")
