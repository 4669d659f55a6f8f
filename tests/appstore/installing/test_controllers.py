"""Instances on a real bus: made, waiting, orphaned, forgotten, and a release that goes; no member is ever reached here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.appstore.installing.rules import FINALIZER
from skerry import subjects
from skerry.api.conditions import condition_of
from skerry.api.kinds import APP_INSTANCE, APP_RELEASE, CLUSTER
from skerry.api.messages import Caller
from skerry.api.meta import Document
from skerry.api.names import POOL
from skerry.errors import Conflict
from tests.appstore.world import World, world
from tests.fixtures.nats import NatsHost, eventually

pytestmark = pytest.mark.integration
AWAY = {
    "type": "Ready",
    "status": "False",
    "reason": "Away",
    "message": "no agent",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}
READY = {**AWAY, "status": "True", "reason": "Ready"}


@pytest.fixture
async def store(fresh_nats_host: NatsHost) -> AsyncIterator[World]:
    async with world(fresh_nats_host) as running:
        await running.enable()
        for name in ("m1", "m2"):
            await running.member(name, conditions=[AWAY])
        for version in ("1.0.0", "1.1.0"):
            await running.version("web", version, POOL, phase="Active")
        yield running


async def made(store: World, **spec: Any) -> Document:
    whole = {"app": f"{POOL}/web", "version": "1.0.0", "clusters": {"names": ["m1", "m2", "m9"]}, **spec}
    return await store.create(APP_RELEASE, {"metadata": {"name": "web", "namespace": "default"}, "spec": whole})


async def instance(store: World, cluster: str, phase: str) -> Document:
    return await store.until(
        APP_INSTANCE, f"web.{cluster}", "default", lambda each: (each.get("status") or {}).get("phase") == phase
    )


async def gone(store: World, kind: Any, name: str) -> None:
    await eventually(lambda: store.process.informer.get(kind, name, "default") is None, 20)


async def standing(store: World, cluster: str, condition: Document, **spec: Any) -> None:
    """The registry says how a member stands."""

    def change(document: Document) -> Document:
        document["spec"].update(spec)
        document["status"]["conditions"] = [condition]
        return document

    await store.clusters.modify(cluster, change)


async def test_a_release_has_an_instance_on_each_cluster_that_there_is(store: World) -> None:
    release = await made(store)
    document = await instance(store, "m1", "Waiting")
    assert document["status"]["message"] == "m1 is away since 2026-01-01T00:00:00Z: no agent"
    assert document["metadata"]["ownerReferences"][0]["uid"] == release["metadata"]["uid"]
    await instance(store, "m2", "Waiting")
    told = await store.until(
        APP_RELEASE, "web", "default", lambda each: (each["status"].get("clusters") or {}).get("waiting") == 2
    )
    assert told["status"]["clusters"] == {"desired": 2, "ready": 0, "waiting": 2, "failed": 0}
    assert condition_of(told, "Ready").message == "m1, m2: m1 is away since 2026-01-01T00:00:00Z: no agent"
    assert told["status"]["available"]["version"] == "1.1.0"
    assert told["status"]["history"][0]["result"] == "Waiting on 2 of 2"


async def test_clusters_that_join_later_get_one(store: World) -> None:
    await made(store, clusters={"selector": {"matchLabels": {"zone": "a"}}})
    told = await store.until(APP_RELEASE, "web", "default", lambda each: condition_of(each, "Ready").status == "True")
    assert condition_of(told, "Ready").reason == "NoClusters"

    def label(document: Document) -> Document:
        document["metadata"]["labels"] = {"zone": "a"}
        return document

    await store.clusters.modify("m2", label)
    await instance(store, "m2", "Waiting")


async def test_paused_and_suspended_wait(store: World) -> None:
    await standing(store, "m1", READY, paused=True)
    await standing(store, "m2", READY)
    await made(store, suspend=True)
    assert (await instance(store, "m1", "Waiting"))["status"]["message"] == "m1 is paused"
    assert (await instance(store, "m2", "Waiting"))["status"]["message"] == "the release is suspended (spec.suspend)"


async def test_a_cluster_that_is_removed_blocks_nothing(store: World) -> None:
    await made(store)
    await instance(store, "m1", "Waiting")
    await store.clusters.delete("m1")
    await gone(store, APP_INSTANCE, "web.m1")
    await store.clusters.delete("m2")
    await store.write("delete", APP_RELEASE, {"metadata": {"name": "web", "namespace": "default"}})
    await gone(store, APP_RELEASE, "web")


async def test_a_cluster_that_comes_again_is_another_place(store: World) -> None:
    await made(store)
    first = await instance(store, "m1", "Waiting")
    await store.clusters.delete("m1")
    await store.member("m1", conditions=[AWAY])
    again = await store.until(
        APP_INSTANCE, "web.m1", "default", lambda each: each["metadata"]["uid"] != first["metadata"]["uid"]
    )
    cluster = await store.get(CLUSTER, "m1")
    assert again["spec"]["clusterUID"] == cluster["metadata"]["uid"]


async def test_who_is_away_holds_up_an_end_until_it_is_forgotten(store: World) -> None:
    await made(store)
    await instance(store, "m1", "Waiting")
    await instance(store, "m2", "Waiting")
    with pytest.raises(Conflict, match=r"web\.m1 is wanted: take cluster m1 out of spec\.clusters"):
        await store.act(APP_INSTANCE, "web.m1", "forget", {}, namespace="default")
    answer = await store.write("delete", APP_RELEASE, {"metadata": {"name": "web", "namespace": "default"}})
    assert not answer.gone
    hint = "skerry app uninstall web --forget m1"
    await store.until(APP_INSTANCE, "web.m1", "default", lambda each: hint in each["status"].get("message", ""))
    for name in ("web.m1", "web.m2"):
        await store.act(APP_INSTANCE, name, "forget", {}, namespace="default")
    await gone(store, APP_RELEASE, "web")


async def test_a_workspace_takes_its_apps_along_as_whom_they_were_worked_and_loses_track_of_none(store: World) -> None:
    shop = {"metadata": {"name": "shop"}, "spec": {"members": [], "clusters": {"names": ["m1"]}}}
    await store.workspaces.create(shop)
    spec = {"app": f"{POOL}/web", "version": "1.0.0", "clusters": {"names": ["m1"]}}
    web = {"metadata": {"name": "web", "namespace": "shop"}, "spec": spec}
    await store.create(APP_RELEASE, web, caller=Caller(user="ann"))
    await store.until(APP_INSTANCE, "web.m1", "shop", lambda each: each["status"].get("phase") == "Waiting")
    await store.workspaces.delete("shop")
    hint = "skerry app uninstall web --forget m1"
    await store.until(APP_INSTANCE, "web.m1", "shop", lambda each: hint in each["status"].get("message", ""))
    release = await store.until(APP_RELEASE, "web", "shop", lambda each: "deletionTimestamp" in each["metadata"])
    assert release["status"]["actor"]["user"] == "ann"
    assert await store.find(APP_INSTANCE, "web.m1", "shop") is not None, "it is not known elsewhere what is on m1"
    await store.act(APP_INSTANCE, "web.m1", "forget", {}, namespace="shop")
    await eventually(lambda: not store.process.informer.list(APP_RELEASE, "shop"), 20)


async def test_an_end_that_leaves_everything_there_waits_for_nobody(store: World) -> None:
    document = await made(store, deletion="Orphan")
    assert FINALIZER in document["metadata"]["finalizers"]
    await instance(store, "m1", "Waiting")
    await store.act(APP_RELEASE, "web", "secretvalues", {"set": {"a": "hunter2"}}, namespace="default", verb="update")
    bucket = await store.process.bus.bucket(subjects.APP_STORE)
    kept = f"release.{document['metadata']['uid']}.>"
    assert (await bucket.changes(kept, 0)).entries
    await store.write("delete", APP_RELEASE, {"metadata": {"name": "web", "namespace": "default"}})
    await gone(store, APP_RELEASE, "web")
    assert not [each for each in (await bucket.changes(kept, 0)).entries if each.value is not None]


async def test_a_cluster_that_is_not_wanted_any_more_is_told_how_to_be_forgotten(store: World) -> None:
    await made(store)
    await instance(store, "m2", "Waiting")
    await store.patch(APP_RELEASE, "web", {"spec": {"clusters": {"names": ["m1"]}}}, namespace="default")
    await store.until(
        APP_INSTANCE, "web.m2", "default", lambda each: "--forget m2" in each["status"].get("message", "")
    )
    await store.act(APP_INSTANCE, "web.m2", "forget", {}, namespace="default")
    await gone(store, APP_INSTANCE, "web.m2")


async def test_nobody_is_delegated_by_a_host_without_tenancy_and_it_is_said(store: World) -> None:
    await made(store)
    await instance(store, "m1", "Waiting")
    await standing(store, "m1", READY)
    document = await store.until(
        APP_INSTANCE, "web.m1", "default", lambda each: "away" not in each["status"].get("message", "away")
    )
    assert document["status"]["phase"] in ("Pending", "Waiting")
    told = await store.until(APP_INSTANCE, "web.m1", "default", lambda each: each["status"].get("message"))
    assert "hunter2" not in str(told)
