"""Garbage collection, on a real bucket."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from skerry.admission import Rules
from skerry.api.kinds import ACCESS_GRANT, EVENT, KINDS, WORKSPACE
from skerry.api.messages import WriteRequest
from skerry.api.meta import Document
from skerry.bus import Bucket
from skerry.controller.controller import Controller, Reconcile
from skerry.controller.garbage import AT_ONCE, Garbage, ObjectPlace
from skerry.controller.recorder import Recorder
from skerry.errors import Forbidden, NotFound
from skerry.informer import Informer
from skerry.storage import Item, Store
from skerry.storage.documents import seal
from skerry.subjects import EVENTS, RESOURCES
from tests.fixtures.bucket import feeding
from tests.fixtures.nats import NatsHost, eventually

pytestmark = pytest.mark.integration

GRANT = replace(ACCESS_GRANT, namespaced=True)
"""A namespaced kind, with a key that tenancy may write."""


class Sparing(Rules):
    """Nothing may be deleted."""

    async def before_delete(self, current: Item, request: WriteRequest) -> None:
        """Never."""
        raise Forbidden("it stays")


class Hesitating(Rules):
    """Nothing may be deleted the first time."""

    def __init__(self) -> None:
        self.refused = asyncio.Event()
        self.caller = ""

    async def before_delete(self, current: Item, request: WriteRequest) -> None:
        """Not yet."""
        self.caller = request.caller.user
        if not self.refused.is_set():
            self.refused.set()
            raise Forbidden("not yet")


def controller(reconcile: Reconcile[ObjectPlace]) -> Controller[ObjectPlace]:
    """A controller of the test's own."""
    return Controller("tenancy/garbage", reconcile, workers=AT_ONCE)


async def idle(garbage: Garbage) -> int:
    """Let it work until it has nothing to do; how much it was."""
    before, running = garbage.controller.counts.reconciles, asyncio.create_task(garbage.controller.run())
    await eventually(lambda: not garbage.controller.depth and not garbage.controller._queue.running)
    running.cancel()
    return garbage.controller.counts.reconciles - before


class World:
    """Workspaces that own grants."""

    def __init__(self, bucket: Bucket, cache: Informer, events: Bucket) -> None:
        self.bucket = bucket
        self.cache = cache
        self.events = events
        self.recorder = recorder = Recorder(events, "tenancy")
        self.workspaces = Store(bucket, WORKSPACE)
        self.grants = Store(bucket, ACCESS_GRANT)
        self.garbage = Garbage(cache, {self.workspaces: Rules(), self.grants: Rules()}, recorder, controller)

    async def owner(self) -> Item:
        """A Workspace."""
        return await self.workspaces.create({"metadata": {"name": f"w-{uuid.uuid4().hex[:8]}"}, "spec": {}})

    async def dependent(self, *owners: Item, **reference: Any) -> Item:
        """A grant that belongs to `owners`."""
        references = [
            {"apiVersion": WORKSPACE.api_version, "kind": "Workspace", "name": each.name, "uid": each.uid, **reference}
            for each in owners
        ]
        metadata = {"name": f"g-{uuid.uuid4().hex[:8]}", "ownerReferences": references}
        return await self.grants.create({"metadata": metadata, "spec": {}})

    async def collected(self) -> int:
        """Collect what is to be collected of what is stored now; how many objects were looked at."""
        await self.cache.current()
        return await idle(self.garbage)

    async def left(self, item: Item) -> Document | None:
        """A grant as it is stored now."""
        found = await self.grants.find(item.name)
        return None if found is None else found.document()


@pytest.fixture
async def world(nats_host: NatsHost) -> AsyncIterator[World]:
    await nats_host.make_buckets()
    async with nats_host.bus("tenancy") as bus:
        bucket = await bus.bucket(RESOURCES)
        cache = Informer(KINDS)
        async with feeding(cache, bucket):
            found = World(bucket, cache, await bus.bucket(EVENTS))
            yield found
            for store in (found.grants, found.workspaces):
                for item in cache.list(store.kind):
                    with contextlib.suppress(NotFound):
                        await store.delete(item.name, policy="Background")


async def test_a_dependent_goes_after_its_owner(world: World) -> None:
    owner = await world.owner()
    dependent = await world.dependent(owner)
    await world.collected()
    assert await world.left(dependent) is not None
    await world.workspaces.delete(owner.name)
    await world.collected()
    assert await world.left(dependent) is None


async def test_another_object_of_the_owners_name_is_no_owner(world: World) -> None:
    owner = await world.owner()
    dependent = await world.dependent(owner)
    await world.workspaces.delete(owner.name)
    await world.workspaces.create({"metadata": {"name": owner.name}, "spec": {}})
    await world.collected()
    assert await world.left(dependent) is None


async def test_one_owner_of_two_is_enough(world: World) -> None:
    first, second = await world.owner(), await world.owner()
    dependent = await world.dependent(first, second)
    await world.workspaces.delete(first.name)
    await world.collected()
    left = await world.left(dependent)
    assert left is not None
    assert [each["uid"] for each in left["metadata"]["ownerReferences"]] == [second.uid]


async def test_an_owner_of_an_unknown_kind_is_left_alone(world: World) -> None:
    reference = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "1-2"}
    made = await world.grants.create({"metadata": {"name": "of-a-node", "ownerReferences": [reference]}, "spec": {}})
    await world.collected()
    assert await world.left(made) is not None


async def test_foreground_deletion_waits_for_what_blocks(world: World) -> None:
    owner = await world.owner()
    dependent = await world.dependent(owner, blockOwnerDeletion=True)
    assert not (await world.workspaces.delete(owner.name, policy="Foreground")).deleted
    await world.collected()
    assert await world.left(dependent) is None
    await world.collected()
    assert await world.workspaces.find(owner.name) is None


async def test_orphans_lose_the_reference_and_stay(world: World) -> None:
    owner = await world.owner()
    dependent = await world.dependent(owner)
    await world.workspaces.delete(owner.name, policy="Orphan")
    await world.collected()
    await world.collected()
    left = await world.left(dependent)
    assert left is not None
    assert "ownerReferences" not in left["metadata"]
    assert await world.workspaces.find(owner.name) is None


async def test_what_may_not_be_deleted_is_not_collected(world: World) -> None:
    world.garbage = Garbage(world.cache, {world.grants: Sparing()}, world.recorder, controller)
    owner = await world.owner()
    dependent = await world.dependent(owner)
    await world.workspaces.delete(owner.name)
    await world.collected()
    assert await world.left(dependent) is not None


async def test_a_cluster_scoped_dependent_of_a_namespaced_owner_is_kept_and_told_of(world: World) -> None:
    owner = {"apiVersion": GRANT.api_version, "kind": GRANT.kind, "name": "of-red", "uid": "1-2"}
    gone = {"apiVersion": WORKSPACE.api_version, "kind": "Workspace", "name": "gone", "uid": "1-3"}
    async with feeding(Informer((WORKSPACE, GRANT)), world.bucket) as cache:
        garbage = Garbage(cache, {world.workspaces: Rules()}, world.recorder, controller)
        dependents = [
            await world.workspaces.create(
                {"metadata": {"name": f"dependent-{n}", "ownerReferences": owners}, "spec": {}}
            )
            for n, owners in enumerate(([owner], [gone, owner]))
        ]
        await cache.current()
        await idle(garbage)
    for dependent in dependents:
        assert (await world.workspaces.get(dependent.name)).revision == dependent.revision
    told = [event for event in await events_of(world) if event["involvedObject"]["name"] == "dependent-0"]
    assert [(event["type"], event["reason"]) for event in told] == [("Warning", "OwnerRefInvalidNamespace")]
    named = f"{GRANT.api_version}/AccessGrant, namespace: , name: of-red, uid: 1-2"
    assert told[0]["message"] == f'ownerRef [{named}] does not exist in namespace ""'


async def events_of(world: World) -> list[Document]:
    """What was told."""
    telling = asyncio.create_task(world.recorder.run())
    async with asyncio.timeout(10):
        await world.recorder.flushed()
    telling.cancel()
    async with feeding(Informer((EVENT,)), world.events) as cache:
        return [item.document() for item in cache.list(EVENT)]


async def test_the_owner_of_a_namespaced_dependent_is_in_its_namespace(world: World) -> None:
    grants = Store(world.bucket, GRANT)
    async with feeding(Informer((WORKSPACE, GRANT)), world.bucket) as cache:
        garbage = Garbage(cache, {grants: Rules()}, world.recorder, controller)
        owner = await grants.create({"metadata": {"name": "owner", "namespace": "red"}, "spec": {}})
        reference = {"apiVersion": GRANT.api_version, "kind": GRANT.kind, "name": owner.name, "uid": owner.uid}
        for namespace in ("red", "blue"):
            metadata = {"name": "dependent", "namespace": namespace, "ownerReferences": [reference]}
            await grants.create({"metadata": metadata, "spec": {}})
        await cache.current()
        await idle(garbage)
    assert await grants.find("dependent", "red") is not None
    assert await grants.find("dependent", "blue") is None
    for name in ("dependent", "owner"):
        await grants.delete(name, "red")


async def test_what_got_stuck_without_finalizers_goes(world: World) -> None:
    stuck = await world.workspaces.create({"metadata": {"name": "stuck", "finalizers": ["x.dev/f"]}, "spec": {}})
    stuck = await world.workspaces.delete(stuck.name)
    waiting = await world.workspaces.create({"metadata": {"name": "waits", "finalizers": ["x.dev/f"]}, "spec": {}})
    waiting = await world.workspaces.delete(waiting.name)
    document = stuck.document()
    del document["metadata"]["finalizers"]
    await world.bucket.update(world.workspaces.key("stuck"), seal(document, writes=("w",)), stuck.revision)
    await world.cache.current()
    world.garbage = Garbage(world.cache, {world.workspaces: Rules()}, world.recorder, controller)
    await world.collected()
    assert await world.workspaces.find("stuck") is None
    assert (await world.workspaces.get("waits")).revision == waiting.revision
    await world.workspaces.finalize("waits", waiting.uid, "x.dev/f")


async def test_a_change_is_looked_at_with_what_it_concerns_alone(world: World) -> None:
    owners = [await world.owner() for _ in range(3)]
    for owner in owners:
        await world.dependent(owner)
        await world.dependent(owner)
    assert await world.collected() == 6
    assert await world.collected() == 0
    await world.workspaces.modify(owners[1].name, lambda found: {**found, "spec": {"displayName": "x"}})
    assert await world.collected() == 0
    await world.workspaces.delete(owners[1].name)
    assert await world.collected() == 2
    assert await world.collected() == 0


async def test_a_restart_looks_at_all_that_refer_once(world: World) -> None:
    owner = await world.owner()
    dependents = [await world.dependent(owner) for _ in range(3)]
    await world.collected()
    await world.workspaces.delete(owner.name)
    await world.cache.current()
    world.garbage.stop()
    world.garbage = Garbage(world.cache, {world.workspaces: Rules(), world.grants: Rules()}, world.recorder, controller)
    assert await world.collected() == 3
    assert [await world.left(each) for each in dependents] == [None] * 3


async def test_many_that_have_nothing_to_do_let_others_run(world: World) -> None:
    owner = await world.owner()
    for _ in range(200):
        await world.dependent(owner)
    await world.cache.current()
    counts, longest = world.garbage.controller.counts, 0

    async def others() -> None:
        nonlocal longest
        while True:
            before = counts.reconciles
            await asyncio.sleep(0)
            longest = max(longest, counts.reconciles - before)

    running = asyncio.create_task(others())
    assert await idle(world.garbage) == 200
    running.cancel()
    assert 1 <= longest <= 2 * AT_ONCE


async def test_what_stayed_is_tried_again_however_much_changes_meanwhile(world: World) -> None:
    rules = Hesitating()
    garbage = Garbage(world.cache, {world.grants: rules}, world.recorder, controller, again_s=0.3)
    owner, busy = await world.owner(), await world.owner()
    dependent = await world.dependent(owner)
    other = await world.dependent(busy)
    await world.workspaces.delete(owner.name)
    await world.cache.current()
    blocks = itertools.cycle((True, False))

    def changed(found: Document) -> Document:
        [reference] = found["metadata"]["ownerReferences"]
        references = [{**reference, "blockOwnerDeletion": next(blocks)}]
        return {**found, "metadata": {**found["metadata"], "ownerReferences": references}}

    running = asyncio.create_task(garbage.controller.run())
    async with asyncio.timeout(15):
        await rules.refused.wait()
        assert rules.caller == "skerry:tenancy"
        while await world.left(dependent) is not None:
            await world.grants.modify(other.name, changed)
    running.cancel()
