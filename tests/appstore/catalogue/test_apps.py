"""Apps and categories on a real bus: there as long as they have versions, counted, and not deleted from under anybody."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from skerry.api.appstore import UNCATEGORIZED
from skerry.api.kinds import APP, APP_CATEGORY, APP_VERSION
from skerry.api.names import POOL
from skerry.errors import Conflict, Invalid
from tests.appstore.world import World, world
from tests.fixtures.nats import NatsHost, eventually

pytestmark = pytest.mark.integration


@pytest.fixture
async def store(fresh_nats_host: NatsHost) -> AsyncIterator[World]:
    async with world(fresh_nats_host) as running:
        await running.enable()
        await running.workspace("shop")
        yield running


async def delete(store: World, name: str, namespace: str) -> None:
    await store.write("delete", APP_VERSION, {"metadata": {"name": name, "namespace": namespace}})


async def test_an_app_comes_with_its_first_version_and_goes_with_its_last(store: World) -> None:
    first = await store.version("nginx", "1.0.0", "shop")
    await store.until(APP, "nginx", "shop", lambda app: app["status"]["latest"] == "1.0.0")
    await store.version("nginx", "1.1.0", "shop")
    app = await store.until(APP, "nginx", "shop", lambda app: app["status"]["latest"] == "1.1.0")
    assert app["status"]["versions"] == 2
    with pytest.raises(Conflict, match="goes with the last of them"):
        await store.write("delete", APP, {"metadata": {"name": "nginx", "namespace": "shop"}})
    await delete(store, first, "shop")
    await delete(store, "nginx-1.1.0", "shop")
    await eventually(lambda: store.process.informer.get(APP, "nginx", "shop") is None, 20)


async def test_what_people_say_of_an_app_stays_when_its_versions_change(store: World) -> None:
    await store.version("nginx", "1.0.0", POOL)
    await store.until(APP, "nginx", POOL, lambda app: True)
    await store.create(APP_CATEGORY, {"metadata": {"name": "web"}})
    await store.patch(APP, "nginx", {"spec": {"displayName": "Nginx", "categories": ["web"]}}, namespace=POOL)
    await store.version("nginx", "2.0.0", POOL, phase="Active")
    app = await store.until(APP, "nginx", POOL, lambda app: app["status"]["latest"] == "2.0.0")
    assert app["spec"] == {"displayName": "Nginx", "categories": ["web"]}


async def test_a_category_counts_its_apps_and_stays_while_it_has_any(store: World) -> None:
    await store.version("nginx", "1.0.0", POOL)
    await store.until(APP_CATEGORY, UNCATEGORIZED, "", lambda each: each.get("status", {}).get("apps", 0) == 1)
    await store.create(APP_CATEGORY, {"metadata": {"name": "web"}})
    await store.patch(APP, "nginx", {"spec": {"categories": ["web"]}}, namespace=POOL)
    await store.until(APP_CATEGORY, "web", "", lambda each: each.get("status", {}).get("apps", 0) == 1)
    await store.until(APP_CATEGORY, UNCATEGORIZED, "", lambda each: each.get("status", {}).get("apps", 0) == 0)
    with pytest.raises(Conflict, match="has 1 apps, skerry-apps/nginx among them"):
        await store.write("delete", APP_CATEGORY, {"metadata": {"name": "web"}})
    with pytest.raises(Conflict, match="it stays"):
        await store.write("delete", APP_CATEGORY, {"metadata": {"name": UNCATEGORIZED}})
    with pytest.raises(Invalid, match="must be the name of an AppCategory"):
        await store.patch(APP, "nginx", {"spec": {"categories": ["no-such"]}}, namespace=POOL)


async def test_what_a_version_is_nobody_changes_and_one_that_would_come_back_is_not_deleted(store: World) -> None:
    name = await store.version("nginx", "1.0.0", POOL, spec={"repository": "stable"})
    with pytest.raises(Invalid, match=r"spec.version: Invalid value.*immutable"):
        await store.patch(APP_VERSION, name, {"spec": {"version": "2.0.0"}}, namespace=POOL)
    labelled = await store.patch(APP_VERSION, name, {"metadata": {"labels": {"tier": "gold"}}}, namespace=POOL)
    assert labelled["metadata"]["labels"] == {"tier": "gold"}
    with pytest.raises(Conflict, match="listed by repository stable and would come back"):
        await delete(store, name, POOL)
