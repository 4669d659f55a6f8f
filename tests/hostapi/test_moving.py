"""Watches of tenants: what becomes visible is ADDED, what stops is DELETED, and what cannot be told is 410; a watch that is
replayed has what a list has, and a list what a get allows one by one, whatever happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.proxy.hostapi import shifts, shown
from skerry.api.kinds import ACCESS_GRANT, CLUSTER, WORKSPACE
from skerry.api.messages import Caller
from tests.hostapi.tenants import ADMIN, ALICE, API, BOB, ON_HOST, VIEWER, Asked, Tenants
from tests.hostapi.test_events import CORE

CLUSTERS = f"{API}/clusters"


def members() -> Tenants:
    made = Tenants()
    for name in ("host", "m1", "m2", "m3"):
        made.cluster(name, env="test")
    return made


async def told(watch: Asked, number: int) -> list[tuple[str, str]]:
    """The next events but bookmarks: type and name."""
    events: list[tuple[str, str]] = []
    while len(events) < number:
        event = await watch.told()
        assert event is not None
        if event["type"] != "BOOKMARK":
            events.append((event["type"], event["object"]["metadata"].get("name") or str(event["object"].get("code"))))
    return events


async def test_a_cluster_is_added_with_the_grant_and_deleted_with_it() -> None:
    made = members()
    async with made.watching(ALICE, f"{CLUSTERS}?watch=true&allowWatchBookmarks=true") as watch:
        made.grant("g", "alice")
        assert await told(watch, 1) == [("ADDED", "m1")]
        bookmark = await watch.told()
        assert (bookmark["type"], bookmark["object"]["metadata"]["resourceVersion"]) == ("BOOKMARK", "5")
        made.cluster("m1", env="prod")
        made.cluster("m2", env="prod")
        assert await told(watch, 1) == [("MODIFIED", "m1")]
        made.grant("g", "alice", clusters=("m2", "m3"))
        assert await told(watch, 3) == [("DELETED", "m1"), ("ADDED", "m2"), ("ADDED", "m3")]
        made.grant("h", "alice", clusters=("m2",))
        made.delete(ACCESS_GRANT, "g")
        assert await told(watch, 1) == [("DELETED", "m3")]
        made.delete(CLUSTER, "m2")
        made.delete(CLUSTER, "m1")
        assert await told(watch, 1) == [("DELETED", "m2")]


async def test_a_deletion_that_follows_from_a_grant_has_its_revision_and_an_addition_its_own() -> None:
    made = members()
    async with made.watching(ALICE, f"{CLUSTERS}?watch=true") as watch:
        made.grant("g", "alice")
        added = await watch.told()
        assert added["object"] == (await made.ask(ADMIN, f"{CLUSTERS}/m1")).json(), "who writes it must not conflict"
        revision = made.delete(ACCESS_GRANT, "g")
        deleted = await watch.told()
        assert (deleted["type"], deleted["object"]["metadata"]["resourceVersion"]) == ("DELETED", str(revision))


async def test_what_a_selector_of_a_grant_selects_comes_and_goes_with_labels() -> None:
    made = members()
    made.grant("g", "alice", clusters={"env": "prod"})
    async with made.watching(ALICE, f"{CLUSTERS}?watch=true") as watch:
        made.cluster("m2", env="prod")
        made.cluster("m3", env="test")
        made.cluster("m4", env="prod")
        assert await told(watch, 2) == [("ADDED", "m2"), ("ADDED", "m4")]
        made.cluster("m2", env="test")
        assert await told(watch, 1) == [("DELETED", "m2")]


async def test_a_selector_of_the_watch_holds_for_what_comes_and_goes_too() -> None:
    made = members()
    made.cluster("m2", env="prod")
    async with made.watching(ALICE, f"{CLUSTERS}?watch=true&labelSelector=env=prod") as watch:
        made.grant("g", "alice", clusters=("m1", "m2"))
        made.cluster("m1", env="prod")
        assert sorted(await told(watch, 2)) == [("ADDED", "m1"), ("ADDED", "m2")]
        made.delete(ACCESS_GRANT, "g")
        assert await told(watch, 2) == [("DELETED", "m1"), ("DELETED", "m2")]


async def test_a_workspace_and_its_namespace_come_and_go_with_membership() -> None:
    made = members()
    made.workspace("till", bob="admin")
    for path, pool in ((f"{API}/workspaces", ()), ("/api/v1/namespaces", ("skerry-apps",))):
        async with made.watching(ALICE, f"{path}?watch=true") as watch:
            made.workspace("till", bob="admin", alice="view")
            made.workspace("till", bob="admin", alice="edit")
            came = [*(("ADDED", name) for name in ("till", *pool)), ("MODIFIED", "till")]
            assert sorted(await told(watch, len(came))) == sorted(came), "who has anything is shown the pool"
            made.workspace("till", bob="admin")
            went = [("DELETED", name) for name in ("till", *pool)]
            assert await told(watch, len(went)) == went


async def test_a_grant_is_shown_to_its_subjects_while_they_are() -> None:
    made = members()
    async with made.watching(ALICE, f"{API}/accessgrants?watch=true") as watch:
        made.grant("g", "bob")
        made.grant("g", "bob", "alice")
        made.grant("g", group="org:shop")
        made.grant("g", "bob")
        made.delete(ACCESS_GRANT, "g")
        assert await told(watch, 3) == [("ADDED", "g"), ("MODIFIED", "g"), ("DELETED", "g")]


async def test_a_cluster_goes_when_the_time_of_its_grant_is_over() -> None:
    made = members()
    made.now = 59.95
    made.grant("g", "alice", expires="1970-01-01T00:01:00Z")
    made.grant("h", "alice", clusters=("m2",))
    async with made.watching(ALICE, f"{CLUSTERS}?watch=true") as watch:
        assert await told(watch, 2) == [("ADDED", "m1"), ("ADDED", "m2")]
        made.now = 60.0
        assert await told(watch, 1) == [("DELETED", "m1")]


async def status(made: Tenants, caller: Caller, target: str) -> int:
    """200 of a watch that is told nothing, 410 of one that must list again."""
    async with made.watching(caller, target) as watch:
        try:
            async with asyncio.timeout(0.1):
                event = await watch.events.get()
        except TimeoutError:
            return 200
    return int(event["object"]["code"]) if event and event["type"] == "ERROR" else 200


async def test_who_comes_back_from_before_a_change_of_what_they_see_lists_again() -> None:
    made = members()
    before = made.grant("g", "alice")
    resumed = f"{CLUSTERS}?watch=true&resourceVersion="
    assert await status(made, ALICE, f"{resumed}{before}") == 200
    made.cluster("m1", env="prod")
    made.grant("b", "bob")
    relabelled = made.informer.revision - 1
    assert await status(made, ALICE, f"{resumed}{before}") == 410, "a label may have shown or hidden it"
    assert await status(made, ALICE, f"{resumed}{relabelled}") == 200
    assert await status(made, BOB, f"{resumed}{relabelled}") == 410
    gone = made.delete(ACCESS_GRANT, "g")
    for since, code in ((gone - 1, 410), (gone, 200)):
        assert await status(made, ALICE, f"{resumed}{since}") == code
    for caller in (ADMIN, VIEWER):
        assert await status(made, caller, f"{resumed}{before}") == 200, "who sees everything misses nothing"


async def test_who_comes_back_from_before_the_end_of_a_grant_lists_again() -> None:
    made = members()
    before = made.grant("g", "alice", expires="1970-01-01T00:01:00Z")
    resumed = f"{CLUSTERS}?watch=true&resourceVersion="
    made.now = 61.0
    assert await status(made, ALICE, f"{resumed}{before}") == 410, "nobody has said at which revision it ended"
    spec = made.informer.get(ACCESS_GRANT, "g").document()["spec"]  # type: ignore[union-attr]
    ended = made.store(
        ACCESS_GRANT,
        "g",
        spec=spec,
        status={"conditions": [{"type": "Enforced", "status": "False", "reason": "Expired"}]},
    )
    assert await status(made, ALICE, f"{resumed}{before}") == 410
    assert await status(made, ALICE, f"{resumed}{ended}") == 200
    later = members()
    before = later.grant("g", "alice", expires="1970-01-01T00:01:00Z")
    later.now = 60.0 + shifts.ENDED_S
    assert await status(later, ALICE, f"{resumed}{before}") == 200, "who should say so is away"


async def test_what_is_not_remembered_any_more_is_410(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shifts, "KEPT", 2)
    made = members()
    since = made.informer.revision
    for name in "abc":
        made.grant(name, "bob")
    resumed = f"{CLUSTERS}?watch=true&resourceVersion="
    assert await status(made, ALICE, f"{resumed}{since}") == 410
    assert await status(made, ALICE, f"{resumed}{since + 1}") == 200


async def test_a_change_that_shows_very_much_ends_the_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "MOST", 2)
    made = members()
    async with made.watching(ALICE, f"{CLUSTERS}?watch=true") as watch:
        made.grant("g", "alice", clusters={"env": "test"})
        assert await told(watch, 1) == [("ERROR", "410")]
        assert await watch.told() is None


async def test_events_of_tenants_end_with_410_when_what_they_see_changes() -> None:
    made = members()
    made.event("e1", CLUSTER, "m1")
    changes: list[tuple[Caller, Callable[[], int]]] = [
        (ALICE, lambda: made.grant("g", "alice")),
        (BOB, lambda: made.workspace("till", bob="view")),
        (VIEWER, lambda: made.grant("v", "v")),
        (ALICE, lambda: made.delete(ACCESS_GRANT, "g")),
    ]
    for caller, change in changes:
        async with made.watching(caller, f"{CORE}?watch=true&resourceVersion=1") as watch:
            change()
            assert await told(watch, 1) == [("ERROR", "410")]
    async with made.watching(ADMIN, f"{CORE}?watch=true&resourceVersion=1") as watch:
        made.grant("a", "a")
        made.event("e2", WORKSPACE, "till")
        assert await told(watch, 1) == [("ADDED", "e2")]


async def test_rights_on_the_host_that_come_or_go_end_the_watches_that_they_change() -> None:
    made = members()
    changes: list[Callable[[], int]] = [
        lambda: made.grant("h", "reader", clusters=("host",)),
        lambda: made.delete(ACCESS_GRANT, "h"),
    ]
    for change in changes:
        before = made.informer.revision
        async with made.watching(ON_HOST, f"{CLUSTERS}?watch=true&resourceVersion={before}") as watch:
            change()
            assert await told(watch, 1) == [("ERROR", "410")]
        assert await status(made, ON_HOST, f"{CLUSTERS}?watch=true&resourceVersion={before}") == 410


@pytest.mark.parametrize(
    "accept",
    ["application/json;as=Table;v=v1;g=meta.k8s.io", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"],
)
async def test_other_forms_are_told_the_same(accept: str) -> None:
    made = members()
    async with made.watching(ALICE, f"{CLUSTERS}?watch=true", {"accept": accept}) as watch:
        made.grant("g", "alice")
        made.delete(ACCESS_GRANT, "g")
        made.grant("g", "alice", clusters=("m2",))
        event = await watch.told()
        assert (event["type"], b"m2" in str(event).encode(), b"m3" in str(event).encode()) == ("ADDED", True, False)


async def test_another_proxy_takes_the_same_watches_up_and_refuses_the_same() -> None:
    """What a client brings is a revision: it says the same to whoever saw the changes."""
    proxies = (members(), members())
    revisions = [{made.grant("g", "alice"), made.cluster("m1", env="x"), made.grant("b", "bob")} for made in proxies]
    assert revisions[0] == revisions[1]
    for caller in (ALICE, BOB, VIEWER):
        for since in sorted(revisions[0]):
            target = f"{CLUSTERS}?watch=true&resourceVersion={since}"
            first, second = [await status(made, caller, target) for made in proxies]
            assert first == second
        listed = (await proxies[0].ask(caller, CLUSTERS)).json()["metadata"]["resourceVersion"]
        async with proxies[1].watching(caller, f"{CLUSTERS}?watch=true&resourceVersion={listed}") as watch:
            proxies[1].grant(f"n-{caller.user}", caller.user, clusters=("m3",))
            proxies[1].cluster("m3", env="y")
            kinds = [each for each, name in await told(watch, 1) if name == "m3"]
            assert kinds == (["MODIFIED"] if caller is VIEWER else ["ADDED"])
        proxies[0].grant(f"n-{caller.user}", caller.user, clusters=("m3",))
        proxies[0].cluster("m3", env="y")


NAMES = ("m1", "m2", "m3")
PEOPLE = {"alice": ALICE, "bob": BOB, "v": VIEWER, "reader": ON_HOST}
PATHS = (CLUSTERS, f"{API}/accessgrants", f"{API}/workspaces", "/api/v1/namespaces")


def _grant(name: str, users: list[str], clusters: Any, gone: bool) -> Any:
    return lambda made: (
        made.delete(ACCESS_GRANT, name)
        if gone
        else made.grant(name, *users, clusters=clusters, expires="1970-01-01T00:01:00Z")
    )


def _cluster(name: str, env: str, gone: bool) -> Any:
    return lambda made: made.delete(CLUSTER, name) if gone else made.cluster(name, env=env)


def _workspace(name: str, users: list[str], gone: bool) -> Any:
    return lambda made: made.delete(WORKSPACE, name) if gone else made.workspace(name, **dict.fromkeys(users, "edit"))


USERS = st.lists(st.sampled_from(sorted(PEOPLE)), max_size=2, unique=True)
WHERE = st.one_of(
    st.lists(st.sampled_from((*NAMES, "host")), min_size=1, max_size=2, unique=True).map(tuple),
    st.sampled_from([{"env": "a"}, {"env": "b"}, {}]),
)
CHANGE = st.one_of(
    st.builds(_grant, st.sampled_from("gh"), USERS, WHERE, st.booleans()),
    st.builds(_cluster, st.sampled_from(NAMES), st.sampled_from("ab"), st.booleans()),
    st.builds(_workspace, st.sampled_from(["till", "attic"]), USERS, st.booleans()),
)


def replay(objects: dict[str, Any], watch: Asked) -> bool:
    """Take what a watch has told; False if it says to list again."""
    while not watch.events.empty():
        event = watch.events.get_nowait()
        if event is None or event["type"] == "ERROR":
            return False
        name = event["object"]["metadata"].get("name")
        match event["type"]:
            case "ADDED":
                assert name not in objects
                objects[name] = event["object"]
            case "MODIFIED":
                assert name in objects
                objects[name] = event["object"]
            case "DELETED":
                assert objects.pop(name)
    return True


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.lists(CHANGE, min_size=1, max_size=4), max_size=6),
    st.sampled_from(sorted(PEOPLE)),
    st.sampled_from(PATHS),
)
def test_a_watch_that_is_replayed_is_the_list_and_the_list_is_what_a_get_allows(
    crowds: list[list[Any]], who: str, path: str
) -> None:
    asyncio.run(_replayed(crowds, PEOPLE[who], path))


async def _replayed(crowds: list[list[Any]], caller: Caller, path: str) -> None:
    made = Tenants()
    made.cluster("host")
    objects: dict[str, Any] = {}
    async with made.watching(caller, f"{path}?watch=true") as watch:
        for crowd in crowds:
            for change in crowd:
                change(made)
            for _ in range(12):
                await asyncio.sleep(0)
            listed = {item["metadata"]["name"]: item for item in (await made.ask(caller, path)).json()["items"]}
            if not replay(objects, watch):
                return
            shown_ = {name: _without_revision(item) for name, item in objects.items()}
            assert shown_ == {name: _without_revision(item) for name, item in listed.items()}
            everything = (await made.ask(ADMIN, path)).json()["items"]
            allowed = [
                i["metadata"]["name"] for i in everything if await _got(made, caller, path, i["metadata"]["name"])
            ]
            assert sorted(listed) == sorted(allowed)


async def _got(made: Tenants, caller: Caller, path: str, name: str) -> bool:
    return (await made.ask(caller, f"{path}/{name}")).status == 200


def _without_revision(item: Any) -> Any:
    return {**item, "metadata": {k: v for k, v in item["metadata"].items() if k != "resourceVersion"}}
