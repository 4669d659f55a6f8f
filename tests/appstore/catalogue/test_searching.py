"""Searching on a real bus: what matches best first, of what the caller may see, whatever else there is."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import msgspec
import pytest

from skerry import subjects
from skerry.api.kinds import APP, APP_VERSION
from skerry.api.messages import Caller, Write
from skerry.api.names import POOL
from skerry.api.searching import SearchAnswer, SearchRequest
from tests.appstore.world import ADMIN, World, world
from tests.fixtures.nats import NatsHost, eventually

pytestmark = pytest.mark.integration
ALICE, EVE, BOB = Caller(user="alice"), Caller(user="eve"), Caller(user="bob", groups=("skerry:app-reviewer",))


@pytest.fixture
async def store(fresh_nats_host: NatsHost) -> AsyncIterator[World]:
    async with world(fresh_nats_host) as running:
        await running.workspace("shop", ("alice", "view"))
        await running.workspace("lab", ("carol", "view"))
        for app, namespace in (("postgres", POOL), ("pgadmin", POOL), ("postgres", "shop"), ("postgres-ha", "lab")):
            await running.version(app, "1.0.0", namespace)
        await eventually(lambda: len(running.process.informer.list(APP)) == 4, 20)
        yield running


async def search(store: World, text: str, caller: Caller = ADMIN, namespace: str = "") -> list[str]:
    question = SearchRequest(text=text, namespace=namespace)
    request = Write(request_id=uuid.uuid4().hex, body=msgspec.Raw(msgspec.json.encode(question)))
    data = await store._ask(subjects.search(APP.owner, APP.plural), request, caller)
    return msgspec.json.decode(data, type=SearchAnswer).keys


async def test_what_matches_is_found_by_whoever_may_see_it(store: World) -> None:
    assert set(await search(store, "postgres")) == {f"{POOL}/postgres", "shop/postgres", "lab/postgres-ha"}
    assert set(await search(store, "postgres", ALICE)) == {f"{POOL}/postgres", "shop/postgres"}
    assert set(await search(store, "postgres", BOB)) == {f"{POOL}/postgres", "shop/postgres", "lab/postgres-ha"}
    assert await search(store, "postgres", EVE) == []
    assert await search(store, "postgres", ALICE, "shop") == ["shop/postgres"]


async def test_a_word_that_is_misspelt_and_the_name_that_people_gave(store: World) -> None:
    assert (await search(store, "postgers", ALICE))[0].endswith("/postgres")
    await store.enable()
    await store.patch(APP, "pgadmin", {"spec": {"displayName": "Elephant Keeper"}}, namespace=POOL)
    await eventually(lambda: bool(store.state.search.find("elephant")), 20)
    assert await search(store, "eleph", ALICE) == [f"{POOL}/pgadmin"]


async def test_what_is_gone_is_found_no_more(store: World) -> None:
    await store.enable()
    await store.write("delete", APP_VERSION, {"metadata": {"name": "pgadmin-1.0.0", "namespace": POOL}})
    await eventually(lambda: not store.state.search.find("pgadmin"), 20)
    assert await search(store, "pgadmin") == []
