"""Tenancy on a real bus: the administrator's own credential, and the end of others."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.tenancy import model
from services.tenancy.controller import Controller
from services.tenancy.handlers import new_token
from skerry import subjects
from skerry.api.kinds import CREDENTIAL
from skerry.bus import BucketConfig
from skerry.informer import Cache
from skerry.storage import Store
from tests.fixtures.nats import NatsHost

pytestmark = pytest.mark.integration


class Clock:
    """A clock that is told the time."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


class World:
    """A controller, its store and its clock."""

    def __init__(self, store: Store, cache: Cache, file: Path) -> None:
        self.store = store
        self.cache = cache
        self.file = file
        self.clock = Clock()
        self.controller = Controller((store,), cache, file, self.clock)

    def write(self, token: str, *, age_s: float = 0.0) -> None:
        """Put a token into the administrator's file."""
        self.file.write_text(token)
        made = time.time() - age_s
        os.utime(self.file, (made, made))

    async def round(self) -> set[str]:
        """Reconcile once; the names of all credentials."""
        await self.controller.round()
        await self.cache.current()
        return {item.name for item in self.cache.list(CREDENTIAL)}


@pytest.fixture
async def world(nats_host: NatsHost, tmp_path: Path) -> AsyncIterator[World]:
    async with nats_host.bus("tenancy") as bus, asyncio.TaskGroup() as tasks:
        bucket = await bus.bucket(subjects.RESOURCES, create=BucketConfig())
        cache = Cache((CREDENTIAL,))
        task = tasks.create_task(cache.feed(bucket))
        await asyncio.wait_for(cache.filled.wait(), 10)
        store = Store(bucket, CREDENTIAL)
        yield World(store, cache, tmp_path / "admin.token")
        for item in cache.list(CREDENTIAL):
            with contextlib.suppress(Exception):
                await store.delete(item.name)
        task.cancel()


async def test_the_administrators_credential_follows_the_file(world: World) -> None:
    assert await world.round() == set()
    first, second = new_token(), new_token()
    world.write(first)
    assert await world.round() == {model.name_of(first)}
    world.write(second)
    assert await world.round() == {model.name_of(first), model.name_of(second)}


async def test_a_revoked_administrator_stays_revoked_while_the_file_is_the_same(world: World) -> None:
    token = new_token()
    world.write(token)
    await world.round()
    await world.store.delete(model.name_of(token))
    assert await world.round() == set()


async def test_a_file_older_than_a_credential_may_live_is_not_revived(world: World) -> None:
    world.write(new_token(), age_s=31 * 86400)
    assert await world.round() == set()


async def test_rubbish_in_the_file_makes_nothing(world: World) -> None:
    world.write("hunter2")
    assert await world.round() == set()


async def test_an_expired_credential_goes(world: World) -> None:
    token = new_token()
    document = {"metadata": {}, "spec": {"user": "bob", "ttl": "1h"}}
    await world.store.create(model.admit(document, token, world.clock.now))
    await world.cache.current()
    assert await world.round() == {model.name_of(token)}
    world.clock.now = world.clock.now.fromtimestamp(world.clock.now.timestamp() + 3601, UTC)
    assert await world.round() == set()


async def test_what_is_deleted_is_purged_an_hour_later(world: World) -> None:
    token = new_token()
    await world.store.create(model.admit({"metadata": {}, "spec": {"user": "bob"}}, token, world.clock.now))
    await world.store.delete(model.name_of(token))
    await world.round()
    assert len(world.cache.tombstones(CREDENTIAL)) >= 1
    world.clock.now = world.clock.now.fromtimestamp(world.clock.now.timestamp() + 3700, UTC)
    await world.round()
    assert world.cache.tombstones(CREDENTIAL) == ()


async def test_a_bug_in_a_round_is_a_problem_and_not_the_end(world: World) -> None:
    def broken() -> datetime:
        raise RuntimeError("a bug")

    controller = Controller((world.store,), world.cache, world.file, broken)
    await controller.round()
    assert "internal error" in controller.problem
