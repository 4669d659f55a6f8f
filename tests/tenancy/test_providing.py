"""Tenancy looks after identity providers: their keys and their condition, without a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.tenancy.keyring import KeyRings
from services.tenancy.providing import ProviderStatus
from services.tenancy.service import SERVICE
from services.tenancy.settings import TenancySettings
from skerry import subjects
from skerry.api.conditions import condition_of
from skerry.api.kinds import IDENTITY_PROVIDER
from skerry.bus import Entry, Filled
from skerry.informer import Informer
from skerry.service import Process
from skerry.storage import Store
from skerry.storage.documents import seal
from tests.fixtures.nats import NatsHost, eventually
from tests.fixtures.service import serving
from tests.tenancy.provider import Pages, pages

pytestmark = pytest.mark.integration


class World:
    """A tenancy that runs, and the store that it works on."""

    def __init__(self, process: Process, pages: Pages) -> None:
        assert process.bucket is not None
        self.pages, self._process = pages, process
        self.store = Store(process.bucket, IDENTITY_PROVIDER)

    def status(self, name: str = "corp") -> dict[str, Any]:
        item = self._process.informer.get(IDENTITY_PROVIDER, name)
        return {} if item is None else item.document().get("status", {})

    def ready(self, name: str = "corp") -> tuple[str, str]:
        item = self._process.informer.get(IDENTITY_PROVIDER, name)
        return ("", "") if item is None else condition_of(item.document(), "Ready")[:2]

    async def becomes(self, status: str, reason: str, name: str = "corp") -> None:
        try:
            await eventually(lambda: self.ready(name) == (status, reason), 15)
        except (AssertionError, TimeoutError) as error:
            raise AssertionError(f"{name} is {self.status(name)}") from error

    async def change(self, **spec: Any) -> None:
        def changed(document: dict[str, Any]) -> dict[str, Any]:
            return {**document, "spec": {**document["spec"], **spec}}

        await self.store.modify("corp", changed)


@pytest.fixture
async def world(nats_host: NatsHost) -> AsyncIterator[World]:
    async with pages() as served, serving(nats_host, (SERVICE, TenancySettings())) as process:
        world = World(process, served)
        yield world
        for item in process.informer.list(IDENTITY_PROVIDER):
            await world.store.delete(item.name)


async def test_a_provider_is_ready_when_its_keys_are_there_and_says_what_is_wrong_otherwise(world: World) -> None:
    await world.store.create(world.pages.document())
    await world.becomes("True", "KeysFetched")
    assert world.status()["keys"] == 5
    assert world.status()["fetched"]
    await world.change(issuer=world.pages.issuer + "/")
    await world.becomes("False", "DiscoveryFailed")
    await world.change(issuer=world.pages.issuer.replace("http:", "https:"))  # who listens there never answers
    await eventually(lambda: bool(world.pages.silent), 15)
    world.pages.answers["/keys"] = {"keys": []}
    await world.change(issuer=world.pages.issuer)
    await world.becomes("False", "NoKeys")
    world.pages.serve()  # it is tried again by itself
    await world.becomes("True", "KeysFetched")


async def test_of_two_that_exclude_each_other_the_older_counts_until_it_goes(world: World) -> None:
    await world.store.create(world.pages.document("first"))
    await world.becomes("True", "KeysFetched", "first")
    second = world.pages.document("second")
    second["metadata"]["uid"] = "z"  # younger, if it was made in the same second
    await world.store.create(second)
    await world.becomes("False", "Taken", "second")
    await world.store.delete("first")
    await world.becomes("True", "KeysFetched", "second")


async def test_what_was_seen_of_a_provider_is_not_said_of_another_generation(world: World) -> None:
    """Who waits for its condition (kubectl wait) believes the generation that it was observed at."""
    key = subjects.key(IDENTITY_PROVIDER.group, IDENTITY_PROVIDER.kind.lower(), "", "corp")
    await world.store.create(world.pages.document())
    await world.becomes("True", "KeysFetched")
    before = await world.store.get("corp")
    late = Informer((IDENTITY_PROVIDER,))
    late.take(Entry(key, seal(before.document(), writes=()), before.revision, 0.0))
    late.take(Filled(before.revision))
    rings = KeyRings(lambda: 1000.0)
    await world.change(issuer=world.pages.issuer + "/")
    await world.becomes("False", "DiscoveryFailed")
    changed = await world.store.get("corp")
    await ProviderStatus(world.store, late, rings, lambda: 1000.0).reconcile("corp")
    assert (await world.store.get("corp")).revision == changed.revision
