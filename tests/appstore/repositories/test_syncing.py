"""Repositories on a real bus: what they list becomes versions, as often as it changes, and no more often."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.api.appstore import STORE
from skerry.api.conditions import condition_of
from skerry.api.kinds import APP, APP_RELEASE, APP_REPOSITORY, APP_STORE, APP_VERSION
from skerry.api.meta import Document
from skerry.api.names import POOL
from skerry.errors import Conflict
from tests.appstore.repositories.server import Answer, Asked, ChartServer, index
from tests.appstore.world import World
from tests.fixtures.nats import eventually

pytestmark = pytest.mark.integration
OTHER = "0" * 64


def repository(charts: ChartServer, name: str = "stable", namespace: str = POOL, **spec: Any) -> Document:
    tls = {} if "tls" in spec else {"tls": {"caBundle": charts.ca_pem}}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"url": charts.url, **tls, **spec}}


async def synced(store: World, name: str = "stable", namespace: str = POOL, reason: str = "Synced") -> Document:
    return await store.until(APP_REPOSITORY, name, namespace, lambda each: condition_of(each, "Ready").reason == reason)


async def again(store: World, name: str = "stable", namespace: str = POOL) -> Document:
    """After another look."""
    asked = await store.act(APP_REPOSITORY, name, "sync", {}, namespace=namespace)
    requested = asked["status"]["sync"]["requested"]
    return await store.until(
        APP_REPOSITORY, name, namespace, lambda each: each["status"]["sync"].get("finished", "") >= requested
    )


def names(store: World, namespace: str = POOL) -> list[str]:
    return [item.name for item in store.process.informer.list(APP_VERSION, namespace)]


async def test_what_is_listed_becomes_versions_and_apps(store: World, charts: ChartServer) -> None:
    charts.index = index({"nginx": ["1.2.0", "1.10.0", "1.1.0"], "redis": ["7.0.0+build.1"]})
    await store.create(APP_REPOSITORY, repository(charts, keepVersions=2))
    document = await synced(store)
    sync = document["status"]["sync"]
    assert (sync["charts"], sync["versions"], sync["known"], sync["failures"]) == (2, 3, 4, 0)
    assert condition_of(document, "Ready").message == "3 versions of 2 charts are listed"
    version = await store.get(APP_VERSION, "stable.nginx-1.10.0", POOL)
    assert version["spec"] == {"app": "stable.nginx", "version": "1.10.0", "chart": "nginx", "repository": "stable"}
    status = version["status"]
    assert (status["phase"], status["pinned"], status["chart"]["appVersion"]) == ("Active", True, "1.0")
    assert status["urls"] == [f"{charts.url}/nginx-1.10.0.tgz"]
    assert version["metadata"]["ownerReferences"][0]["uid"] == document["metadata"]["uid"]
    assert names(store)[:2] == ["stable.nginx-1.10.0", "stable.nginx-1.2.0"]
    app = await store.until(APP, "stable.nginx", POOL, lambda each: each["status"].get("versions") == 2)
    assert (app["status"]["latest"], app["status"]["repository"]) == ("1.10.0", "stable")


async def test_drafts_in_a_workspace_and_where_a_review_is_required(store: World, charts: ChartServer) -> None:
    charts.index = index({"nginx": ["1.0.0"]})
    await store.workspace("shop")
    await store.create(APP_REPOSITORY, repository(charts, namespace="shop"))
    await store.create(APP_REPOSITORY, repository(charts, "reviewed", review="Required"))
    await synced(store, namespace="shop")
    await synced(store, "reviewed")
    for name, namespace in (("stable.nginx-1.0.0", "shop"), ("reviewed.nginx-1.0.0", POOL)):
        assert (await store.get(APP_VERSION, name, namespace))["status"]["phase"] == "Draft"
    await store.patch(APP_REPOSITORY, "reviewed", {"spec": {"review": "Automatic"}}, namespace=POOL)
    await store.until(APP_VERSION, "reviewed.nginx-1.0.0", POOL, lambda each: each["status"]["phase"] == "Active")


async def test_what_did_not_change_is_not_read_again(store: World, charts: ChartServer) -> None:
    charts.index = index({"nginx": ["1.0.0"]})
    await store.create(APP_REPOSITORY, repository(charts))
    first = await synced(store)
    revision = (await store.get(APP_VERSION, "stable.nginx-1.0.0", POOL))["metadata"]["resourceVersion"]
    after = await again(store)
    assert charts.asked[-1].headers["if-none-match"]
    assert len(charts.asked) == 2
    assert after["status"]["sync"]["revision"] == first["status"]["sync"]["revision"]
    assert after["status"]["sync"]["versions"] == 1
    assert (await store.get(APP_VERSION, "stable.nginx-1.0.0", POOL))["metadata"]["resourceVersion"] == revision


async def test_new_versions_come_old_ones_go_and_the_newest_stay(store: World, charts: ChartServer) -> None:
    charts.index = index({"nginx": ["1.0.0", "1.1.0"], "redis": ["7.0.0"]})
    await store.create(APP_REPOSITORY, repository(charts, keepVersions=2))
    await synced(store)
    charts.index = index({"nginx": ["1.0.0", "1.1.0", "1.2.0"]})
    await again(store)
    await eventually(lambda: names(store) == ["stable.nginx-1.1.0", "stable.nginx-1.2.0"])
    await eventually(lambda: store.process.informer.get(APP, "stable.redis", POOL) is None)


async def test_a_version_that_a_release_uses_stays_and_says_that_it_is_missing(
    store: World, charts: ChartServer
) -> None:
    charts.index = index({"nginx": ["1.0.0", "1.1.0"]})
    await store.create(APP_REPOSITORY, repository(charts))
    await synced(store)
    await store.create(
        APP_RELEASE,
        {
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"app": f"{POOL}/stable.nginx", "version": "1.0.0", "clusters": {"names": ["m1"]}},
        },
    )
    charts.index = index({"nginx": ["1.1.0"]})
    await again(store)
    missing = await store.get(APP_VERSION, "stable.nginx-1.0.0", POOL)
    assert condition_of(missing, "Upstream").reason == "Missing"
    charts.index = index({"nginx": ["1.0.0", "1.1.0"]})
    await again(store)
    assert condition_of(await store.get(APP_VERSION, "stable.nginx-1.0.0", POOL), "Upstream").reason == "Listed"
    charts.index = index({"nginx": ["1.1.0"]})
    await again(store)
    await store.write("delete", APP_RELEASE, {"metadata": {"name": "web", "namespace": "default"}})
    await again(store)
    await eventually(lambda: names(store) == ["stable.nginx-1.1.0"])


async def test_a_version_outlives_its_repository_as_long_as_a_release_uses_it_and_says_so(
    store: World, charts: ChartServer
) -> None:
    charts.index = index({"nginx": ["1.0.0", "1.1.0"], "redis": ["7.0.0"]})
    await store.workspace("shop")
    for namespace, app in ((POOL, f"{POOL}/stable.nginx"), ("shop", "stable.nginx")):
        await store.create(APP_REPOSITORY, repository(charts, namespace=namespace))
        await synced(store, namespace=namespace)
        home = "default" if namespace == POOL else namespace
        spec = {"app": app, "version": "1.0.0", "clusters": {"selector": {"matchLabels": {"zone": "a"}}}}
        await store.create(APP_RELEASE, {"metadata": {"name": "web", "namespace": home}, "spec": spec})
        place = {"name": "stable", "namespace": namespace}
        await store.write("delete", APP_REPOSITORY, {"metadata": place})
        await eventually(lambda at=namespace: names(store, at) == ["stable.nginx-1.0.0"], 20)
        version = await store.until(
            APP_VERSION,
            "stable.nginx-1.0.0",
            namespace,
            lambda each: condition_of(each, "Upstream").reason == "Missing",
        )
        assert condition_of(version, "Upstream").message == (
            "its repository stable was removed; it stays because a release uses it, or could go back to it"
        )
        with pytest.raises(Conflict, match=f"is used, or kept to go back to, by {home}/web: it stays"):
            await store.write(
                "delete", APP_VERSION, {"metadata": {"name": version["metadata"]["name"], "namespace": namespace}}
            )
    await store.create(APP_REPOSITORY, repository(charts))
    await synced(store)
    again_listed = await store.get(APP_VERSION, "stable.nginx-1.0.0", POOL)
    assert condition_of(again_listed, "Upstream").reason == "Listed"


async def test_a_digest_that_changes_is_an_alarm_and_never_taken(store: World, charts: ChartServer) -> None:
    charts.index = index({"nginx": ["1.0.0"]})
    await store.create(APP_REPOSITORY, repository(charts))
    await synced(store)
    before = (await store.get(APP_VERSION, "stable.nginx-1.0.0", POOL))["status"]["digest"]
    charts.index = index({"nginx": ["1.0.0"]}, {"nginx-1.0.0": OTHER})
    document = await again(store)
    version = await store.get(APP_VERSION, "stable.nginx-1.0.0", POOL)
    verdict = condition_of(version, "Upstream")
    assert (verdict.status, verdict.reason) == ("False", "DigestChanged")
    assert version["status"]["digest"] == before
    assert [each["reason"] for each in document["status"]["skipped"]] == ["DigestChanged"]


async def test_a_version_without_a_digest_is_not_pinned(store: World, charts: ChartServer) -> None:
    charts.index = index({"nginx": ["1.0.0"]}, {"nginx-1.0.0": ""})
    await store.create(APP_REPOSITORY, repository(charts))
    await synced(store)
    status = (await store.get(APP_VERSION, "stable.nginx-1.0.0", POOL))["status"]
    assert status["pinned"] is False
    assert "digest" not in status


async def test_its_versions_go_with_it_unless_a_release_uses_them(store: World, charts: ChartServer) -> None:
    charts.index = index({"nginx": ["1.0.0", "1.1.0"]})
    await store.create(APP_REPOSITORY, repository(charts))
    await synced(store)
    release = {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"app": f"{POOL}/stable.nginx", "version": "1.0.0", "clusters": {"names": ["m1"]}},
    }
    await store.create(APP_RELEASE, release)
    await store.write("delete", APP_REPOSITORY, repository(charts))
    await eventually(lambda: names(store) == ["stable.nginx-1.0.0"])
    await store.create(APP_REPOSITORY, repository(charts))
    await synced(store)
    await eventually(lambda: names(store) == ["stable.nginx-1.0.0", "stable.nginx-1.1.0"])


async def test_an_index_that_lists_nothing_takes_nothing_away(store: World, charts: ChartServer) -> None:
    charts.index = index({"nginx": ["1.0.0"]})
    await store.create(APP_REPOSITORY, repository(charts))
    await synced(store)
    charts.index = b"apiVersion: v1\nentries: {}\n"
    document = await again(store)
    assert condition_of(document, "Ready").reason == "NotARepository"
    assert "what was listed stays" in condition_of(document, "Ready").message
    assert names(store) == ["stable.nginx-1.0.0"]


async def test_all_together_have_a_limit_and_each_chart_its_newest(store: World, charts: ChartServer) -> None:
    await store.patch(APP_STORE, STORE, {"spec": {"limits": {"versions": 100}}})
    charts.index = index({f"c{number}": ["1.0.0", "2.0.0", "3.0.0"] for number in range(60)})
    await store.create(APP_REPOSITORY, repository(charts))
    document = await synced(store)
    assert document["status"]["sync"]["versions"] == 100
    verdict = condition_of(document, "Truncated")
    assert (verdict.status, verdict.reason) == ("True", "TooManyVersions")
    assert "80 versions are not listed" in verdict.message
    assert {"stable.c0-3.0.0", "stable.c59-3.0.0"} <= set(names(store))
    host = await store.until(APP_STORE, STORE, "", lambda each: condition_of(each, "Truncated").status == "True")
    assert condition_of(host, "Truncated").message.startswith("1 repository lists fewer versions than wanted")
    await store.patch(APP_STORE, STORE, {"spec": {"limits": {"versions": 200}}})
    document = await again(store)
    assert (document["status"]["sync"]["versions"], condition_of(document, "Truncated").status) == (180, "Unknown")
    await store.until(APP_STORE, STORE, "", lambda each: condition_of(each, "Truncated").status == "Unknown")


async def test_while_the_store_is_off_nothing_is_looked_at(store: World, charts: ChartServer) -> None:
    charts.index = index({"nginx": ["1.0.0"]})
    await store.create(APP_REPOSITORY, repository(charts, syncPeriod="60s"))
    await synced(store)
    await store.patch(APP_STORE, STORE, {"spec": {"enabled": False}})
    asked = len(charts.asked)
    charts.index = index({"nginx": ["1.0.0", "1.1.0"]})
    await store.patch(APP_STORE, STORE, {"spec": {"network": {"allow": ["127.0.0.0/8"]}}})
    assert len(charts.asked) == asked
    await store.enable()
    await again(store)
    await eventually(lambda: "stable.nginx-1.1.0" in names(store))


async def test_a_look_that_is_asked_for_while_one_is_under_way_is_that_one(store: World, charts: ChartServer) -> None:
    charts.index = index({"nginx": ["1.0.0"]})
    await store.create(APP_REPOSITORY, repository(charts))
    await synced(store)

    async def asking(asked: Asked, writer: Any) -> Answer:
        if len(charts.asked) == 2:
            await store.act(APP_REPOSITORY, "stable", "sync", {}, namespace=POOL)
        return charts.usual(asked)

    charts.answering = asking
    await again(store)
    after = await store.get(APP_REPOSITORY, "stable", POOL)
    assert after["status"]["sync"]["finished"] >= after["status"]["sync"]["requested"]
    assert len(charts.asked) == 2
