"""Watches as clients see them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.proxy.hostapi import watch
from skerry.api.meta import Document
from tests.hostapi.conftest import World

pytestmark = pytest.mark.integration

CLUSTERS = "/apis/skerry.dev/v1alpha1/clusters"
TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


def labelled(env: str) -> Callable[[Document], Document]:
    return lambda document: {**document, "metadata": {**document["metadata"], "labels": {"env": env}}}


async def test_a_watch_tells_what_follows_a_list(world: World) -> None:
    await world.made("a")
    since = (await world.ask(CLUSTERS)).json()["metadata"]["resourceVersion"]
    async with world.watching(f"{CLUSTERS}?watch=1&resourceVersion={since}") as lines:
        await world.made("b")
        await world.clusters.modify("b", lambda document: {**document, "status": {"uid": "u"}})
        await world.clusters.delete("b")
        assert await lines.told() == ("ADDED", "b")
        assert await lines.told() == ("MODIFIED", "b")
        deleted = await lines.next()
        assert deleted["type"] == "DELETED"
        assert deleted["object"]["status"] == {"uid": "u"}
        assert int(deleted["object"]["metadata"]["resourceVersion"]) > int(since)


async def test_without_a_revision_it_begins_with_what_is_there(world: World) -> None:
    await world.made("a")
    async with world.watching(f"{CLUSTERS}?watch=true") as lines:
        assert await lines.told() == ("ADDED", "a")


async def test_initial_events_end_with_a_bookmark(world: World) -> None:
    await world.made("a")
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async with world.watching(f"{CLUSTERS}?{query}") as lines:
        assert await lines.told() == ("ADDED", "a")
        bookmark = await lines.next()
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_label_selector_turns_changes_into_additions_and_deletions(world: World) -> None:
    await world.made("a")
    since = (await world.ask(CLUSTERS)).json()["metadata"]["resourceVersion"]
    async with world.watching(f"{CLUSTERS}?watch=1&resourceVersion={since}&labelSelector=env%3Dprod") as lines:
        await world.clusters.modify("a", labelled("prod"))
        changed = await world.clusters.modify("a", labelled("test"))
        assert await lines.told() == ("ADDED", "a")
        deleted = await lines.next()
    assert deleted["type"] == "DELETED"
    assert deleted["object"]["metadata"]["labels"] == {"env": "prod"}
    assert deleted["object"]["metadata"]["resourceVersion"] == str(changed.revision)


async def test_a_watch_from_before_the_horizon_is_an_error_event_410(world: World) -> None:
    await world.made("a")
    await world.made("b")
    async with world.watching(f"{CLUSTERS}?watch=1&resourceVersion=1") as lines:
        event = await lines.next()
        assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
        assert await lines.next() is None


async def test_a_watch_ends_cleanly_when_its_time_is_over(world: World) -> None:
    await world.made("a")
    async with world.watching(f"{CLUSTERS}?watch=1&timeoutSeconds=1") as lines:
        assert await lines.told() == ("ADDED", "a")
        assert await lines.next() is None


async def test_lost_permission_ends_a_watch_with_410(world: World) -> None:
    await world.made("a")
    async with world.watching(f"{CLUSTERS}?watch=1") as lines:
        assert await lines.told() == ("ADDED", "a")
        world.denied.add("clusters")
        await world.made("b")
        event = await lines.next()
        assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
        assert "list again" in event["object"]["message"]


async def test_a_table_watch_has_its_columns_once(world: World) -> None:
    await world.made("a")
    await world.made("b")
    async with world.watching(f"{CLUSTERS}?watch=1", TABLE) as lines:
        first, second = await lines.next(), await lines.next()
    assert first["object"]["columnDefinitions"]
    assert not second["object"]["columnDefinitions"]
    assert second["object"]["rows"][0]["cells"][0] == "b"


async def test_one_object_is_watched_by_a_selector_and_read_by_its_path(world: World) -> None:
    await world.made("a")
    assert (await world.ask(f"{CLUSTERS}/a?watch=1")).json()["metadata"]["name"] == "a"
    async with world.watching(f"{CLUSTERS}?watch=1&fieldSelector=metadata.name%3Db") as lines:
        await world.made("b")
        assert await lines.told() == ("ADDED", "b")


async def test_a_watch_that_sees_nothing_still_learns_how_far_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "BOOKMARK_S", 0.2)
    await world.made("a")
    since = (await world.ask(CLUSTERS)).json()["metadata"]["resourceVersion"]
    query = f"watch=1&allowWatchBookmarks=true&resourceVersion={since}&labelSelector=env%3Dprod"
    async with world.watching(f"{CLUSTERS}?{query}") as lines:
        last = await world.made("b")
        seen = 0
        while seen < last:
            event = await lines.next()
            assert event["type"] == "BOOKMARK"
            seen = int(event["object"]["metadata"]["resourceVersion"])


@pytest.mark.parametrize("initial", ["false", "0"])
async def test_without_initial_events_only_changes_are_told(world: World, initial: str) -> None:
    await world.made("a")
    query = f"watch=1&sendInitialEvents={initial}&resourceVersionMatch=NotOlderThan"
    async with world.watching(f"{CLUSTERS}?{query}") as lines:
        await world.made("b")
        assert await lines.told() == ("ADDED", "b")


async def test_initial_events_begin_at_a_revision_that_is_as_new_as_asked(world: World) -> None:
    revision = await world.made("a")
    query = f"watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=1&resourceVersion={revision}"
    async with world.watching(f"{CLUSTERS}?{query}") as lines:
        assert await lines.told() == ("ADDED", "a")
        bookmark = await lines.next()
    assert int(bookmark["object"]["metadata"]["resourceVersion"]) >= revision
