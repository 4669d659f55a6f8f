"""Tenancy's controllers on a real bus: the administrator's own credential, and the end of others."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.tenancy import model
from services.tenancy.controllers import AT_MOST_S, Administrator, expire
from services.tenancy.rules import new_token
from skerry import subjects
from skerry.api.kinds import CREDENTIAL
from skerry.controller.controller import After
from skerry.informer import Informer
from skerry.storage import Store
from tests.fixtures.nats import NatsHost

pytestmark = pytest.mark.integration


class World:
    """What the controllers work with, and a clock that is told the time."""

    def __init__(self, store: Store, cache: Informer, file: Path) -> None:
        self.store, self.cache, self.file = store, cache, file
        self.now = datetime.now(UTC)
        self.administrator = Administrator(store, file, lambda: self.now)

    def write(self, token: str, *, age_s: float = 0.0) -> None:
        """Put a token into the administrator's file."""
        self.file.write_text(token)
        made = time.time() - age_s
        os.utime(self.file, (made, made))

    async def ensured(self) -> set[str]:
        """Look at the file once; the names of all credentials."""
        await self.administrator.ensure()
        return await self.names()

    async def names(self) -> set[str]:
        """Of all credentials."""
        await self.cache.current()
        return {item.name for item in self.cache.list(CREDENTIAL)}

    async def expired(self, name: str) -> After | None:
        """Reconcile one credential."""
        await self.cache.current()
        return await expire(self.store, self.cache, name, lambda: self.now)


@pytest.fixture
async def world(nats_host: NatsHost, tmp_path: Path) -> AsyncIterator[World]:
    await nats_host.make_buckets()
    async with nats_host.bus("tenancy") as bus, asyncio.TaskGroup() as tasks:
        bucket = await bus.bucket(subjects.RESOURCES)
        cache = Informer((CREDENTIAL,))
        task = tasks.create_task(cache.feed(bucket))
        await asyncio.wait_for(cache.filled.wait(), 10)
        store = Store(bucket, CREDENTIAL)
        yield World(store, cache, tmp_path / "admin.token")
        for item in cache.list(CREDENTIAL):
            with contextlib.suppress(Exception):
                await store.delete(item.name)
        task.cancel()


async def test_the_administrators_credential_follows_the_file(world: World) -> None:
    assert await world.ensured() == set()
    first, second = new_token(), new_token()
    world.write(first)
    assert await world.ensured() == {model.name_of(first)}
    world.write(second)
    assert await world.ensured() == {model.name_of(first), model.name_of(second)}


async def test_a_revoked_administrator_stays_revoked_while_the_file_is_the_same(world: World) -> None:
    token = new_token()
    world.write(token)
    await world.ensured()
    await world.store.delete(model.name_of(token))
    assert await world.ensured() == set()


async def test_a_file_older_than_a_credential_may_live_is_not_revived(world: World) -> None:
    world.write(new_token(), age_s=31 * 86400)
    assert await world.ensured() == set()


async def test_rubbish_in_the_file_makes_nothing(world: World) -> None:
    world.write("hunter2")
    assert await world.ensured() == set()


async def test_a_credential_goes_when_its_time_is_over_and_is_looked_at_again_then(world: World) -> None:
    token = new_token()
    document = {"metadata": {}, "spec": {"user": "bob", "ttl": "1h"}}
    await world.store.create(model.admit(document, token, world.now))
    name = model.name_of(token)
    assert await world.expired(name) == After(AT_MOST_S)
    world.now += timedelta(seconds=3590)
    again = await world.expired(name)
    assert again is not None
    assert 9 <= again.seconds <= 10
    world.now += timedelta(seconds=11)
    assert await world.expired(name) is None
    assert await world.names() == set()
    assert await world.expired(name) is None


async def test_a_credential_whose_end_cannot_be_read_goes(world: World) -> None:
    await world.store.create({"metadata": {"name": "odd"}, "spec": {}, "status": {"expires": "soon"}})
    await world.expired("odd")
    assert await world.names() == set()
