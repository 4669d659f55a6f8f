"""A join that stalls between the claim of its physical cluster and its Cluster: one physical cluster stays one Cluster."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.registry import parts as parts_of
from services.registry import service
from services.registry.clock import Clock, wall_and_mono
from services.registry.handlers import Handlers
from services.registry.model import Now
from services.registry.parts import Ours, Parts
from services.registry.settings import RegistrySettings
from services.registry.store import HALF_MADE_S
from skerry.api.kinds import CLUSTER
from skerry.api.messages import JoinRequest
from skerry.api.meta import Document
from skerry.errors import Conflict
from skerry.identity import jointoken, nkey
from skerry.identity.nkey import KeyType
from skerry.storage import Item
from tests.fixtures.nats import NatsHost
from tests.fixtures.service import serving
from tests.registry.conftest import DEADLINE_S, HOST_UID, Running, client_of

pytestmark = pytest.mark.integration


class Stalling:
    """The store of Clusters, whose creation waits until it may go on."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.reached, self.goes_on = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def create(self, document: Document) -> Item:
        self.reached.set()
        await self.goes_on.wait()
        created: Item = await self._store.create(document)
        return created


def _ignore(news: object) -> None:
    """Nobody is told."""


def later() -> Now:
    """When a claim of now keeps no more."""
    now = wall_and_mono()
    return Now(now.mono, now.wall + HALF_MADE_S + 1)


@contextlib.asynccontextmanager
async def handlers(host: NatsHost, stalling: list[Stalling], clock: Clock = wall_and_mono) -> AsyncIterator[Handlers]:
    """Those of one registry process that stalls."""
    made: list[Handlers] = []

    @contextlib.asynccontextmanager
    async def opened(context: Ours) -> AsyncIterator[Parts]:
        async with parts_of.opened(context, clock=clock) as parts:
            store: Any = Stalling(parts.registry.clusters)
            stalling.append(store)
            registry = dataclasses.replace(parts.registry, clusters=store)
            made.append(Handlers(registry, parts.handlers._presence, _ignore, lambda *_: None, lambda: None, clock))
            yield parts

    settings = RegistrySettings(
        keys_dir=host.keys_dir, host_uid=HOST_UID, host_name="isle", bus_public=list(host.servers)
    )
    async with serving(host, (dataclasses.replace(service.SERVICE, state=opened), settings)):
        yield made[0]


def request(name: str, uid: str) -> JoinRequest:
    """Of a new agent."""
    public = nkey.create(KeyType.USER).public
    return JoinRequest(nkey=public, name=name, cluster_uid=uid, kubernetes_version="v1.36.3", agent_version="0.1.0")


@pytest.mark.parametrize("other_first", [True, False], ids=["overtaken", "in-time"])
async def test_a_join_whose_claim_became_void_has_no_second_cluster(
    fresh_nats_host: NatsHost, other_first: bool
) -> None:
    stalling: list[Stalling] = []
    async with (
        handlers(fresh_nats_host, stalling) as slow,
        handlers(fresh_nats_host, stalling, later) as quick,
        Running(fresh_nats_host).running(),
        client_of(fresh_nats_host) as client,
    ):
        tokens = {name: jointoken.decode(await client.token(name), 0) for name in ("slow", "quick")}
        first = asyncio.create_task(slow.join(request("slow", "one-uid"), tokens["slow"].jti))
        async with asyncio.timeout(DEADLINE_S):
            await stalling[0].reached.wait()
        stalling[1].goes_on.set()
        if other_first:
            await quick.join(request("quick", "one-uid"), tokens["quick"].jti)
            stalling[0].goes_on.set()
            with pytest.raises(Conflict, match="has joined already, as 'quick'"):
                await first
        else:
            stalling[0].goes_on.set()
            await first
            with pytest.raises(Conflict, match="has joined already, as 'slow'"):
                await quick.join(request("quick", "one-uid"), tokens["quick"].jti)
        await client.cache.current()
        left = [item.name for item in client.cache.list(CLUSTER) if item.document()["status"].get("uid") == "one-uid"]
        assert left == ["quick" if other_first else "slow"]
