"""Processes that die in the middle of a look, and two of them: what is listed is listed once, and nothing is left Syncing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from skerry.api.appstore import STORE
from skerry.api.conditions import condition_of
from skerry.api.kinds import APP_REPOSITORY, APP_STORE
from skerry.api.meta import Document
from skerry.api.names import POOL
from tests.appstore.apart import Apart, apart, enabled
from tests.appstore.repositories.server import Answer, Asked, ChartServer, index
from tests.appstore.repositories.test_syncing import repository
from tests.fixtures.nats import NatsHost

pytestmark = pytest.mark.integration
CHARTS, VERSIONS = 60, 5
ALL = CHARTS * VERSIONS


def many() -> bytes:
    return index({f"c{number}": [f"1.{minor}.0" for minor in range(VERSIONS)] for number in range(CHARTS)})


def ready(reason: str) -> Any:
    return lambda document: condition_of(document, "Ready").reason == reason


async def some(store: Apart, least: int) -> None:
    while len(await store.versions()) < least:
        await asyncio.sleep(0.005)


async def test_a_look_that_is_cut_is_done_again(fresh_nats_host: NatsHost, tmp_path: Path, charts: ChartServer) -> None:
    charts.index = many()
    async with apart(fresh_nats_host, tmp_path) as store:
        process = await store.start()
        await enabled(store)
        await store.create(APP_REPOSITORY, repository(charts))
        async with asyncio.timeout(30):
            await some(store, 20)
        await process.kill()
        document = await store.stored(APP_REPOSITORY, "stable", POOL)
        assert document is not None
        assert condition_of(document, "Ready").reason == "Syncing"
        await store.start()
        document = await store.when(APP_REPOSITORY, "stable", POOL, ready("Synced"))
        assert document["status"]["sync"]["versions"] == ALL
        assert len(await store.versions()) == ALL


async def test_one_that_was_cut_while_the_store_is_off_is_not_left_syncing(
    fresh_nats_host: NatsHost, tmp_path: Path, charts: ChartServer
) -> None:
    waiting = asyncio.Event()

    async def hang(asked: Asked, writer: asyncio.StreamWriter) -> Answer | None:
        waiting.set()
        await asyncio.sleep(3600)
        return None

    charts.answering = hang
    async with apart(fresh_nats_host, tmp_path) as store:
        process = await store.start()
        await enabled(store)
        await store.create(APP_REPOSITORY, repository(charts))
        async with asyncio.timeout(30):
            await waiting.wait()
        await store.when(APP_REPOSITORY, "stable", POOL, ready("Syncing"))
        await store.patch(APP_STORE, STORE, {"spec": {"enabled": False}})
        await process.kill()
        await store.start()
        document = await store.when(APP_REPOSITORY, "stable", POOL, ready("NeverSynced"))
        assert "the App Store is disabled on this host" in condition_of(document, "Ready").message


async def test_two_replicas_look_once(fresh_nats_host: NatsHost, tmp_path: Path, charts: ChartServer) -> None:
    charts.index = many()
    async with apart(fresh_nats_host, tmp_path) as store:
        await asyncio.gather(store.start(), store.start())
        await enabled(store)
        documents: list[Document] = [repository(charts, f"r{number}") for number in range(4)]
        await asyncio.gather(*(store.create(APP_REPOSITORY, document) for document in documents))
        for number in range(4):
            await store.when(APP_REPOSITORY, f"r{number}", POOL, ready("Synced"))
        assert len(charts.asked) == 4
        assert len(await store.versions()) == 4 * ALL
        first = store.processes[0]
        await first.kill()
        charts.index = index({"c1": ["9.0.0"]})
        asked = await store.act(APP_REPOSITORY, "r0", "sync", {}, namespace=POOL)
        requested = asked["status"]["sync"]["requested"]
        await store.when(
            APP_REPOSITORY, "r0", POOL, lambda each: each["status"]["sync"].get("finished", "") >= requested
        )
        assert len(charts.asked) == 5
