"""Room for packages on a real bus: what nobody can read any more goes by itself."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import pytest

from services.appstore.catalogue import sweeping
from skerry import subjects
from skerry.api.kinds import APP_RELEASE, APP_VERSION
from skerry.api.names import POOL
from tests.appstore.world import world
from tests.fixtures.nats import NatsHost

pytestmark = pytest.mark.integration


async def test_the_service_sweeps_what_a_killed_writer_left(
    fresh_nats_host: NatsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.appstore.packages.GRACE_S", -1.0)
    monkeypatch.setattr(sweeping, "CHUNKS_EVERY_S", 0.1)
    async with world(fresh_nats_host) as running:
        objects = await running.process.bus.objects(subjects.PACKAGES)
        await objects._publish(objects._chunks("orphan"), b"left")
        async with asyncio.timeout(10):
            while (await objects.info())["state"]["messages"]:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("app", [f"{POOL}/web", "web"], ids=["of the pool", "of the workspace"])
async def test_the_package_that_a_release_uses_stays_whichever_workspace_it_is_of(
    fresh_nats_host: NatsHost, monkeypatch: pytest.MonkeyPatch, app: str
) -> None:
    """Also where its digest was not known when the release was made: a repository need not tell it."""
    monkeypatch.setattr(sweeping, "EVERY_S", 0.1)
    monkeypatch.setattr("services.appstore.switching.MIB", 0)  # of storage there is none
    async with world(fresh_nats_host) as running:
        await running.enable()
        await running.workspace("shop")
        objects = await running.process.bus.objects(subjects.PACKAGES)
        for namespace in (POOL, "shop"):
            await running.version("web", "1.0.0", namespace, phase="Active", digest="")
        spec = {"app": app, "version": "1.0.0", "clusters": {"selector": {"matchLabels": {"zone": "a"}}}}
        await running.create(APP_RELEASE, {"metadata": {"name": "web", "namespace": "shop"}, "spec": spec})
        used = POOL if "/" in app else "shop"
        for namespace in (POOL, "shop"):
            content = namespace.encode()
            digest = "sha256:" + sha256(content).hexdigest()
            await running.modify(
                APP_VERSION,
                "web-1.0.0",
                namespace,
                lambda each, digest=digest: each["status"].update(digest=digest),  # type: ignore[misc]
            )
            await running.state.packages.put(content, uploaded=False)
        async with asyncio.timeout(10):
            while len(names := [each.name async for each in objects.objects()]) > 1:
                await asyncio.sleep(0.05)
        assert names == ["sha256-" + sha256(used.encode()).hexdigest()]
        await asyncio.sleep(0.3)  # three more looks
        assert [each.name async for each in objects.objects()] == names
