"""Garbage collection, on a real bucket."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from skerry.api.kinds import ACCESS_GRANT, KINDS, WORKSPACE
from skerry.api.messages import WriteRequest
from skerry.bus import Bucket, BucketConfig
from skerry.errors import Forbidden, NotFound
from skerry.store import Cache, Item, Rules, Store
from skerry.store.garbage import Garbage
from skerry.subjects import RESOURCES
from tests.fixtures.nats import NatsHost
from tests.store.conftest import feeding

pytestmark = pytest.mark.integration

Document = dict[str, Any]


class Sparing(Rules):
    """Nothing may be deleted."""

    async def before_delete(self, current: Item, request: WriteRequest) -> None:
        """Never."""
        raise Forbidden("it stays")


class World:
    """Workspaces that own grants."""

    def __init__(self, bucket: Bucket, cache: Cache) -> None:
        self.cache = cache
        self.workspaces = Store(bucket, WORKSPACE)
        self.grants = Store(bucket, ACCESS_GRANT)
        self.garbage = Garbage(cache, {self.workspaces: Rules(), self.grants: Rules()})

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

    async def round(self) -> None:
        """One round, on what is stored now."""
        await self.cache.current()
        await self.garbage.round()

    async def left(self, item: Item) -> Document | None:
        """A grant as it is stored now."""
        found = await self.grants.find(item.name)
        return None if found is None else found.document()


@pytest.fixture
async def world(nats_host: NatsHost) -> AsyncIterator[World]:
    async with nats_host.bus("tenancy") as bus:
        bucket = await bus.bucket(RESOURCES, create=BucketConfig())
        async with feeding(Cache(KINDS), bucket) as cache:
            found = World(bucket, cache)
            yield found
            for store in (found.grants, found.workspaces):
                for item in cache.list(store.kind):
                    with contextlib.suppress(NotFound):
                        await store.delete(item.name, policy="Background")


async def test_a_dependent_goes_after_its_owner(world: World) -> None:
    owner = await world.owner()
    dependent = await world.dependent(owner)
    await world.round()
    assert await world.left(dependent) is not None
    await world.workspaces.delete(owner.name)
    await world.round()
    assert await world.left(dependent) is None


async def test_another_object_of_the_owners_name_is_no_owner(world: World) -> None:
    owner = await world.owner()
    dependent = await world.dependent(owner)
    await world.workspaces.delete(owner.name)
    await world.workspaces.create({"metadata": {"name": owner.name}, "spec": {}})
    await world.round()
    assert await world.left(dependent) is None


async def test_one_owner_of_two_is_enough(world: World) -> None:
    first, second = await world.owner(), await world.owner()
    dependent = await world.dependent(first, second)
    await world.workspaces.delete(first.name)
    await world.round()
    left = await world.left(dependent)
    assert left is not None
    assert [each["uid"] for each in left["metadata"]["ownerReferences"]] == [second.uid]


async def test_an_owner_of_an_unknown_kind_is_left_alone(world: World) -> None:
    reference = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "1-2"}
    made = await world.grants.create({"metadata": {"name": "of-a-node", "ownerReferences": [reference]}, "spec": {}})
    await world.round()
    assert await world.left(made) is not None


async def test_foreground_deletion_waits_for_what_blocks(world: World) -> None:
    owner = await world.owner()
    dependent = await world.dependent(owner, blockOwnerDeletion=True)
    assert not (await world.workspaces.delete(owner.name, policy="Foreground")).deleted
    await world.round()
    assert await world.left(dependent) is None
    await world.round()
    assert await world.workspaces.find(owner.name) is None


async def test_orphans_lose_the_reference_and_stay(world: World) -> None:
    owner = await world.owner()
    dependent = await world.dependent(owner)
    await world.workspaces.delete(owner.name, policy="Orphan")
    await world.round()
    await world.round()
    left = await world.left(dependent)
    assert left is not None
    assert "ownerReferences" not in left["metadata"]
    assert await world.workspaces.find(owner.name) is None


async def test_what_may_not_be_deleted_is_not_collected(world: World) -> None:
    world.garbage = Garbage(world.cache, {world.grants: Sparing()})
    owner = await world.owner()
    dependent = await world.dependent(owner)
    await world.workspaces.delete(owner.name)
    await world.round()
    assert await world.left(dependent) is not None
