"""Tenancy's readiness is what is true now: a round that fails is seen, and so is the one that does not any more."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from services.tenancy import service
from services.tenancy.handlers import new_token
from services.tenancy.settings import TenancySettings
from skerry import subjects
from skerry.api.kinds import CREDENTIAL
from skerry.bus import Bucket, BucketConfig
from skerry.errors import InternalError
from skerry.informer import Cache
from skerry.storage import Store
from tests.fixtures.nats import NatsHost, eventually

pytestmark = pytest.mark.integration


async def test_a_round_that_fails_is_not_ready_until_one_succeeds(fresh_nats_host: NatsHost, tmp_path: Path) -> None:
    file, stop, said = tmp_path / "admin.token", asyncio.Event(), list[str]()
    file.write_text(new_token())
    settings = TenancySettings(admin_token_file=file)
    async with fresh_nats_host.bus("tenancy") as bus, asyncio.TaskGroup() as tasks:
        tasks.create_task(service.run(bus, settings, said.append, stop))
        await eventually(lambda: said[-1:] == [""])
        fresh_nats_host.kill()
        file.write_text(new_token())
        await eventually(lambda: said[-1] != "", 20)
        fresh_nats_host.start()
        await eventually(lambda: said[-1] == "", 20)
        stop.set()
    assert said[-1] == "stopping"


async def test_a_cache_that_ends_ends_the_service(fresh_nats_host: NatsHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its keeper starts it again; a service that goes on with a cache that stands still serves lies."""
    stop, ended, said = asyncio.Event(), asyncio.Event(), list[str]()

    class Ending(Cache):
        async def feed(self, bucket: Bucket) -> None:
            async with bucket.watch() as watch:
                async for event in watch:
                    self.take(event)
                    if ended.is_set():
                        return

    monkeypatch.setattr(service, "Cache", Ending)
    async with fresh_nats_host.bus("tenancy") as bus:
        running = asyncio.ensure_future(service.run(bus, TenancySettings(), said.append, stop))
        await eventually(lambda: said[-1:] == [""])
        ended.set()
        store = Store(await bus.bucket(subjects.RESOURCES, create=BucketConfig()), CREDENTIAL)
        name = "c" + "0" * 12
        await store.create({"apiVersion": CREDENTIAL.api_version, "kind": CREDENTIAL.kind, "metadata": {"name": name}})
        with pytest.raises(ExceptionGroup) as failure:
            await asyncio.wait_for(running, 10)
        assert failure.group_contains(InternalError, match="tenancy's cache ended by itself")
