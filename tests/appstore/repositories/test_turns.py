"""Workspaces take turns: what hangs in one of them holds up no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from skerry.api.appstore import STORE
from skerry.api.conditions import condition_of
from skerry.api.kinds import APP_REPOSITORY, APP_STORE, APP_VERSION
from tests.appstore.charts import package
from tests.appstore.repositories.conftest import NETWORK
from tests.appstore.repositories.server import Answer, Asked, ChartServer, index
from tests.appstore.world import World, world
from tests.fixtures.nats import NatsHost, eventually

pytestmark = pytest.mark.integration

HANGS = 6
"""More than are looked at at once."""


@pytest.fixture
async def store(fresh_nats_host: NatsHost) -> AsyncIterator[World]:
    """With the deadlines that it has in use."""
    async with world(fresh_nats_host) as running:
        await running.patch(APP_STORE, STORE, {"spec": {"enabled": True, "network": NETWORK}})
        for name in ("evil", "shop"):
            await running.workspace(name)
        yield running


class Hanging:
    """A repository that takes requests, and answers those for its index alone; below /never none."""

    def __init__(self, charts: ChartServer) -> None:
        self._charts = charts
        self.waiting = 0
        self._over = asyncio.Event()
        charts.answering = self

    def __enter__(self) -> Hanging:
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()

    async def __call__(self, asked: Asked, writer: asyncio.StreamWriter) -> Answer | None:
        if asked.target == "/charts/index.yaml":
            return self._charts.usual(asked)
        self.waiting += 1
        try:
            await self._over.wait()
        finally:
            self.waiting -= 1
        return None


async def repository(store: World, charts: ChartServer, name: str, workspace: str, url: str = "") -> None:
    spec = {"url": url or charts.url, "tls": {"caBundle": charts.ca_pem}, "syncPeriod": "0s"}
    await store.create(APP_REPOSITORY, {"metadata": {"name": name, "namespace": workspace}, "spec": spec})


async def test_packages_that_never_come_hold_up_their_own_workspace_alone(store: World, charts: ChartServer) -> None:
    with Hanging(charts) as hanging:
        names = [f"slow-{number}" for number in range(HANGS)]
        charts.index = index(
            {name: ["1.0.0"] for name in names}, dict.fromkeys((f"{name}-1.0.0" for name in names), "")
        )
        await repository(store, charts, "stable", "evil")
        await eventually(lambda: hanging.waiting == 2, 20)
        await store.push("web", package("web", "1.0.0"), namespace="shop")
        await store.until(APP_VERSION, "web-1.0.0", "shop", lambda each: condition_of(each, "Checked").reason)
        assert hanging.waiting == 2, "those that hung still do: half of what there is"


async def test_repositories_that_never_answer_hold_up_their_own_workspace_alone(
    store: World, charts: ChartServer
) -> None:
    with Hanging(charts) as hanging:
        charts.index = index({"web": ["1.0.0"]})
        for number in range(HANGS):
            await repository(
                store, charts, f"never-{number}", "evil", charts.url.replace("/charts", f"/never/{number}")
            )
        await eventually(lambda: hanging.waiting == 2, 20)
        await repository(store, charts, "stable", "shop")
        await store.until(APP_REPOSITORY, "stable", "shop", lambda each: condition_of(each, "Ready").reason == "Synced")
        assert hanging.waiting == 2
