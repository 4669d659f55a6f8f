"""Entries with a number, against a real API server and its controllers: what is older never comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from skerry.api.desired import Options, State
from skerry.api.names import FENCE, HOST_LABEL, OWNER_LABEL
from skerry.desired import owners
from skerry.desired.answers import Missing, Unsettled
from skerry.desired.fenced import FencedObjects, is_effective
from skerry.desired.objects import Objects
from skerry.member.upstream import WholeAnswer
from tests.desired.bucket import HOST
from tests.desired.cluster import Cluster

pytestmark = pytest.mark.kube
OWNER = "budget"
MERGE = "application/merge-patch+json"


@pytest.fixture(autouse=True)
def row(monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner whose entries have numbers."""
    kinds = {("", "ResourceQuota"): lambda document: "", ("", "LimitRange"): lambda document: ""}
    monkeypatch.setitem(owners.OWNERS, OWNER, owners.Owner(name=OWNER, kinds=kinds, fenced=True))
    monkeypatch.setattr(owners, "KINDS", (*owners.KINDS, *kinds))


def _quota(cluster: Cluster, pods: int, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "skerry-shop", "namespace": cluster.namespace, **metadata},
        "spec": {"hard": {"pods": str(pods)}},
    }


def _path(cluster: Cluster) -> str:
    return f"/api/v1/namespaces/{cluster.namespace}/resourcequotas/skerry-shop"


async def _uid(cluster: Cluster) -> str:
    """Of the test's namespace, which is made by its own people."""
    made = await cluster.ask("POST", "/api/v1/namespaces", cluster.space())
    if not isinstance(made, dict):
        made = await cluster.ask("GET", f"/api/v1/namespaces/{cluster.namespace}")
    return str(made["metadata"]["uid"])


class Read:
    """An agent that has read, and sleeps before it writes."""

    def __init__(self, cluster: Cluster) -> None:
        self.objects = Objects(cluster.upstream, HOST)
        self._call = self.objects.call
        self.objects.call = self.call  # type: ignore[method-assign]
        self.asleep, self.woken = asyncio.Event(), asyncio.Event()

    async def call(self, method: str, path: str, **more: Any) -> WholeAnswer:
        if method != "GET":
            self.asleep.set()
            await self.woken.wait()
        return await self._call(method, path, **more)


async def _written_late(
    cluster: Cluster, pods: int, options: Options, meanwhile: Callable[[], Awaitable[object]]
) -> Unsettled:
    """An agent reads, `meanwhile` happens, and it writes: what it is told."""
    reader = Read(cluster)
    writing = asyncio.create_task(FencedObjects(reader.objects).write(_quota(cluster, pods), OWNER, options))
    await reader.asleep.wait()
    await meanwhile()
    reader.woken.set()
    with pytest.raises(Unsettled) as caught:
        await writing
    return caught.value


async def test_a_quota_is_in_place_when_it_limits(cluster: Cluster) -> None:
    uid = await _uid(cluster)

    key = cluster.bucket.put(OWNER, _quota(cluster, 3), fence=5, namespace_uid=uid)
    await cluster.settled(key, State.APPLIED)

    quota = await cluster.ask("GET", _path(cluster))
    assert quota["status"]["hard"] == quota["spec"]["hard"] == {"pods": "3"}
    assert quota["metadata"]["annotations"] == {FENCE: "5"}
    assert quota["metadata"]["labels"] == {OWNER_LABEL: OWNER, HOST_LABEL: HOST}

    cluster.bucket.put(OWNER, _quota(cluster, 2), fence=6, namespace_uid=uid)
    await cluster.until(lambda: cluster.applier.state.entries[key].tried == cluster.bucket.last)
    quota = await cluster.ask("GET", _path(cluster))
    assert (quota["status"]["hard"], quota["metadata"]["annotations"]) == ({"pods": "2"}, {FENCE: "6"})


async def test_what_is_older_than_what_is_there_is_left_and_told(cluster: Cluster) -> None:
    uid = await _uid(cluster)
    there = _quota(cluster, 1, annotations={FENCE: "9"}, labels={OWNER_LABEL: OWNER, HOST_LABEL: HOST})
    await cluster.ask("POST", _path(cluster).rpartition("/")[0], there)

    key = cluster.bucket.put(OWNER, _quota(cluster, 30), fence=8, namespace_uid=uid)
    await cluster.settled(key, State.CONFLICT)

    assert "has number 9 already, which is newer than 8" in cluster.message(key)
    assert (await cluster.ask("GET", _path(cluster)))["spec"]["hard"] == {"pods": "1"}


async def test_who_slept_before_it_wrote_changes_nothing(cluster: Cluster) -> None:
    uid = await _uid(cluster)
    awake = FencedObjects(Objects(cluster.upstream, HOST))
    await awake.write(_quota(cluster, 1), OWNER, Options(fence=1, namespace_uid=uid))

    told = await _written_late(
        cluster,
        30,
        Options(fence=2, namespace_uid=uid),
        lambda: awake.write(_quota(cluster, 0), OWNER, Options(fence=3, namespace_uid=uid)),
    )

    assert told.state is State.PENDING
    quota = await cluster.ask("GET", _path(cluster))
    assert (quota["spec"]["hard"], quota["metadata"]["annotations"]) == ({"pods": "0"}, {FENCE: "3"})


@pytest.mark.parametrize("absent", [False, True], ids=["made", "removed"])
async def test_who_slept_before_it_made_one_or_took_it_away_changes_nothing(cluster: Cluster, absent: bool) -> None:
    uid = await _uid(cluster)
    awake = FencedObjects(Objects(cluster.upstream, HOST))
    if absent:
        await awake.write(_quota(cluster, 1), OWNER, Options(fence=1, namespace_uid=uid))

    told = await _written_late(
        cluster,
        30,
        Options(fence=2, namespace_uid=uid, absent=absent),
        lambda: awake.write(_quota(cluster, 0), OWNER, Options(fence=3, namespace_uid=uid)),
    )

    assert told.state is State.PENDING
    assert (await cluster.ask("GET", _path(cluster)))["spec"]["hard"] == {"pods": "0"}


async def test_keep_writes_the_number_alone(cluster: Cluster) -> None:
    uid = await _uid(cluster)
    key = cluster.bucket.put(OWNER, _quota(cluster, 7), fence=1, namespace_uid=uid)
    await cluster.settled(key, State.APPLIED)

    cluster.bucket.put(OWNER, _quota(cluster, 0), fence=2, namespace_uid=uid, keep=True)
    await cluster.until(lambda: cluster.applier.state.entries[key].tried == cluster.bucket.last)

    quota = await cluster.ask("GET", _path(cluster))
    assert (quota["spec"]["hard"], quota["metadata"]["annotations"]) == ({"pods": "7"}, {FENCE: "2"})


async def test_keep_makes_what_is_given_where_there_is_nothing(cluster: Cluster) -> None:
    key = cluster.bucket.put(OWNER, _quota(cluster, 0), fence=2, namespace_uid=await _uid(cluster), keep=True)
    await cluster.settled(key, State.APPLIED)

    assert (await cluster.ask("GET", _path(cluster)))["spec"]["hard"] == {"pods": "0"}


async def test_absent_takes_it_away_and_being_on_no_list_does_not(cluster: Cluster) -> None:
    uid = await _uid(cluster)
    key = cluster.bucket.put(OWNER, _quota(cluster, 7), fence=1, namespace_uid=uid)
    await cluster.settled(key, State.APPLIED)

    cluster.bucket.withdraw(key)
    await cluster.settled(key, None)
    cluster.bucket.complete(OWNER)
    assert await cluster.there(_path(cluster))

    cluster.bucket.put(OWNER, _quota(cluster, 7), fence=2, namespace_uid=uid, absent=True)
    await cluster.settled(key, State.APPLIED)
    assert await cluster.ask("GET", _path(cluster)) == 404


async def test_a_namespace_made_anew_is_another_one(cluster: Cluster) -> None:
    await _uid(cluster)

    key = cluster.bucket.put(OWNER, _quota(cluster, 7), fence=1, namespace_uid="of-the-one-before")
    await cluster.settled(key, State.WAITING)

    assert "was made anew" in cluster.message(key)
    assert not await cluster.there(_path(cluster))


async def test_a_namespace_that_comes_later_is_waited_for(cluster: Cluster) -> None:
    with pytest.raises(Missing):
        await FencedObjects(Objects(cluster.upstream, HOST)).write(
            _quota(cluster, 1), OWNER, Options(fence=1, namespace_uid="x")
        )


async def test_what_is_not_ours_is_left_unless_it_is_to_be_adopted(cluster: Cluster) -> None:
    uid = await _uid(cluster)
    await cluster.ask("POST", _path(cluster).rpartition("/")[0], _quota(cluster, 9, labels={"team": "a"}))
    key = cluster.bucket.put(OWNER, _quota(cluster, 1), fence=1, namespace_uid=uid)
    await cluster.settled(key, State.EXISTS)

    cluster.bucket.put(OWNER, _quota(cluster, 1), fence=2, namespace_uid=uid, adopt="Same")
    await cluster.settled(key, State.APPLIED)

    quota = await cluster.ask("GET", _path(cluster))
    assert quota["spec"]["hard"] == {"pods": "1"}
    assert quota["metadata"]["labels"] == {"team": "a", OWNER_LABEL: OWNER, HOST_LABEL: HOST}


@pytest.mark.parametrize("by", ["edited", "deleted"])
async def test_what_people_change_is_put_right(cluster: Cluster, by: str) -> None:
    key = cluster.bucket.put(OWNER, _quota(cluster, 3), fence=5, namespace_uid=await _uid(cluster))
    await cluster.settled(key, State.APPLIED)

    if by == "edited":
        await cluster.ask("PATCH", _path(cluster), {"spec": {"hard": {"pods": "300"}}}, MERGE)
    else:
        await cluster.ask("DELETE", _path(cluster))

    async with asyncio.timeout(60):
        while True:
            quota = await cluster.ask("GET", _path(cluster))
            if isinstance(quota, dict) and quota["spec"]["hard"] == {"pods": "3"}:
                break
            await asyncio.sleep(0.05)


async def test_who_takes_everything_away_takes_what_has_a_number_too(cluster: Cluster) -> None:
    key = cluster.bucket.put(OWNER, _quota(cluster, 3), fence=5, namespace_uid=await _uid(cluster))
    await cluster.settled(key, State.APPLIED)

    await cluster.applier.withdraw_all("order")

    assert await cluster.ask("GET", _path(cluster)) == 404


async def test_a_row_without_numbers_takes_none_and_one_with_numbers_nothing_else(cluster: Cluster) -> None:
    bare = cluster.bucket.put(OWNER, _quota(cluster, 3))
    numbered = cluster.bucket.put("tenancy", cluster.binding(), fence=1)

    await cluster.settled(bare, State.REFUSED)
    await cluster.settled(numbered, State.REFUSED)

    assert "have a number in options.fence" in cluster.message(bare)
    assert "have no number" in cluster.message(numbered)


def test_a_quota_limits_when_its_status_says_what_its_spec_says() -> None:
    document: dict[str, Any] = {"kind": "ResourceQuota", "spec": {"hard": {"pods": "1"}}}

    assert not is_effective(document)
    assert not is_effective({**document, "status": {"hard": {"pods": "2"}}})
    assert is_effective({**document, "status": {"hard": {"pods": "1"}}})
    assert is_effective({"kind": "LimitRange"})
