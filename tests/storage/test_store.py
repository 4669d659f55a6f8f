"""Writes under compare-and-set, on a real bucket."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from skerry.api.kinds import CLUSTER
from skerry.api.meta import Document
from skerry.bus import Bucket, Entry
from skerry.errors import (
    AlreadyExists,
    Conflict,
    GatewayTimeout,
    NotFound,
    RequestEntityTooLarge,
    ServiceUnavailable,
)
from skerry.storage import Item, Store
from skerry.storage.documents import KEPT_WRITE_IDS, seal
from tests.fixtures.bucket import cluster

pytestmark = pytest.mark.integration


def name() -> str:
    return f"c-{uuid.uuid4().hex[:12]}"


async def test_create_sets_what_the_server_sets(store: Store) -> None:
    made = (await store.create(cluster(name()))).document()
    metadata = made["metadata"]
    assert uuid.UUID(metadata["uid"])
    assert metadata["generation"] == 1
    assert metadata["creationTimestamp"].endswith("Z")
    assert int(metadata["resourceVersion"]) > 0
    assert (made["apiVersion"], made["kind"]) == ("skerry.dev/v1alpha1", "Cluster")


async def test_create_of_what_exists_is_refused(store: Store) -> None:
    first = await store.create(cluster(name()))
    with pytest.raises(AlreadyExists, match="already exists"):
        await store.create(cluster(first.name))


async def test_generation_moves_with_spec_alone(store: Store) -> None:
    first = await store.create(cluster(name()))
    second = await store.update(first, {**first.document(), "status": {"uid": "u"}})
    third = await store.update(second, {**second.document(), "spec": {"role": "member", "region": "eu"}})
    generations = [item.document()["metadata"]["generation"] for item in (first, second, third)]
    assert generations == [1, 1, 2]
    assert first.revision < second.revision < third.revision


async def test_an_update_that_changes_nothing_writes_nothing(store: Store) -> None:
    first = await store.create(cluster(name()))
    assert (await store.update(first, first.document())).revision == first.revision


async def test_an_update_of_an_old_revision_is_a_conflict(store: Store) -> None:
    first = await store.create(cluster(name()))
    await store.update(first, cluster(first.name, status={"uid": "a"}))
    with pytest.raises(Conflict, match="the object has been modified"):
        await store.update(first, cluster(first.name, status={"uid": "b"}))


async def test_fields_that_nobody_knows_are_kept(store: Store) -> None:
    first = await store.create(cluster(name(), spec={"role": "member", "fromTheFuture": {"a": [1]}}))
    second = await store.modify(first.name, lambda document: {**document, "status": {"uid": "u"}})
    assert second.document()["spec"]["fromTheFuture"] == {"a": [1]}


async def test_uid_and_creation_cannot_be_changed(store: Store) -> None:
    first = await store.create(cluster(name()))
    document = cluster(first.name, status={"uid": "x"})
    document["metadata"] |= {"uid": "forged", "creationTimestamp": "1970-01-01T00:00:00Z"}
    second = await store.update(first, document)
    assert second.uid == first.uid
    assert second.document()["metadata"]["creationTimestamp"] == first.document()["metadata"]["creationTimestamp"]


async def test_a_deleted_name_is_free(store: Store) -> None:
    first = await store.create(cluster(name()))
    gone = await store.delete(first.name)
    assert gone.deleted
    assert gone.revision > first.revision
    with pytest.raises(NotFound):
        await store.get(first.name)
    second = await store.create(cluster(first.name))
    assert second.uid != first.uid
    assert second.revision > gone.revision


async def test_delete_with_a_wrong_precondition_is_a_conflict(store: Store) -> None:
    first = await store.create(cluster(name()))
    with pytest.raises(Conflict, match=r"the UID in the precondition \(other\) does not match"):
        await store.delete(first.name, uid="other")
    with pytest.raises(Conflict, match=r"the ResourceVersion in the precondition \(1\)"):
        await store.delete(first.name, resource_version="1")


async def test_a_finalizer_holds_the_object(store: Store) -> None:
    document = cluster(name())
    document["metadata"]["finalizers"] = ["skerry.dev/a", "skerry.dev/b"]
    first = await store.create(document)
    held = await store.delete(first.name)
    assert not held.deleted
    assert "deletionTimestamp" in held.document()["metadata"]
    assert (await store.delete(first.name)).revision == held.revision
    await store.finalize(first.name, first.uid, "skerry.dev/a")
    assert await store.find(first.name) is not None
    await store.finalize(first.name, "another-uid", "skerry.dev/b")
    assert await store.find(first.name) is not None
    await store.finalize(first.name, first.uid, "skerry.dev/b")
    assert await store.find(first.name) is None


async def test_the_same_request_twice_is_one_write(store: Store) -> None:
    first = await store.create(cluster(name()), write_id="w1")
    again = await store.create(cluster(first.name), write_id="w1")
    assert again.revision == first.revision
    gone = await store.delete(first.name, write_id="w2")
    assert (await store.delete(first.name, write_id="w2")).revision == gone.revision


async def test_too_large_an_object_is_413(store: Store) -> None:
    with pytest.raises(RequestEntityTooLarge, match="the limit is"):
        await store.create(cluster(name(), spec={"role": "x" * 1_600_000}))


async def test_a_purged_object_leaves_its_name_free(store: Store) -> None:
    first = await store.create(cluster(name()))
    gone = await store.delete(first.name)
    assert await store.purge(first.name, gone.revision)
    assert (await store.create(cluster(first.name))).revision > gone.revision


async def test_purge_spares_what_came_after(store: Store) -> None:
    first = await store.create(cluster(name()))
    gone = await store.delete(first.name)
    second = await store.create(cluster(first.name))
    assert not await store.purge(first.name, gone.revision)
    assert (await store.get(first.name)).revision == second.revision


class Forgetful:
    """The real bucket, whose acknowledgements are lost: every write happens and its answer does not arrive."""

    def __init__(self, bucket: Bucket, losses: int) -> None:
        self._bucket = bucket
        self._losses = losses

    async def get(self, key: str) -> Entry | None:
        return await self._bucket.get(key)

    async def create(self, key: str, value: bytes, **more: Any) -> int:
        return self._lose(await self._bucket.create(key, value, **more))

    async def update(self, key: str, value: bytes, revision: int, **more: Any) -> int:
        return self._lose(await self._bucket.update(key, value, revision, **more))

    def _lose(self, revision: int) -> int:
        if self._losses:
            self._losses -= 1
            raise GatewayTimeout("no acknowledgement")
        return revision


async def test_a_lost_acknowledgement_is_no_conflict_with_oneself(bucket: Bucket) -> None:
    """Trap 13 of the bus."""
    store = Store(Forgetful(bucket, losses=2), CLUSTER)  # type: ignore[arg-type]
    first = await store.create(cluster(name()))
    second = await store.update(first, cluster(first.name, status={"uid": "u"}))
    assert second.revision > first.revision
    assert second.document()["status"] == {"uid": "u"}


@pytest.mark.parametrize("others", [0, KEPT_WRITE_IDS - 1, KEPT_WRITE_IDS, KEPT_WRITE_IDS + 5])
async def test_a_write_that_cannot_be_told_from_others_any_more_is_not_done_twice(bucket: Bucket, others: int) -> None:
    """Its answer is lost, others write, then it is repeated: with an increment, a second time would be one too many."""

    class Busy(Forgetful):
        def _lose(self, revision: int) -> int:
            try:
                return super()._lose(revision)
            except GatewayTimeout:
                waiting.append(revision)
                raise

        async def update(self, key: str, value: bytes, revision: int, **more: Any) -> int:
            for _ in range(others if waiting else 0):
                waiting.clear()
                await Store(bucket, CLUSTER).modify(first.name, counted)
            return await super().update(key, value, revision, **more)

    def counted(document: Document) -> Document:
        return {**document, "status": {"nodes": (document.get("status") or {}).get("nodes", 0) + 1}}

    waiting: list[int] = []
    first = await Store(bucket, CLUSTER).create(cluster(name()))
    ours = Store(Busy(bucket, losses=1), CLUSTER)  # type: ignore[arg-type]
    if others <= KEPT_WRITE_IDS - 1:
        await ours.modify(first.name, counted)
    else:
        with pytest.raises(GatewayTimeout, match="may or may not have happened"):
            await ours.modify(first.name, counted)
    assert (await ours.get(first.name)).document()["status"]["nodes"] == others + 1


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("verb", ["modify", "delete"])
async def test_a_write_whose_object_is_gone_or_another_one_is_not_done_to_that_one(
    bucket: Bucket, verb: str, again: bool
) -> None:
    """Its answer is lost, somebody deletes the object and perhaps makes another of the name, then it is repeated."""
    theirs = Store(bucket, CLUSTER)

    class Busy(Forgetful):
        async def update(self, key: str, value: bytes, revision: int, **more: Any) -> int:
            if self._losses or done:
                return await super().update(key, value, revision, **more)
            done.append(key)
            if verb == "modify":
                await theirs.delete(first.name)
            await theirs.purge(first.name, (await bucket.last(key)).revision)  # type: ignore[union-attr]
            if again:
                await theirs.create(cluster(first.name))
            return await super().update(key, value, revision, **more)

    def named(document: Document) -> Document:
        return {**document, "status": {"uid": "u"}}

    done: list[str] = []
    first = await theirs.create(cluster(name()))
    ours = Store(Busy(bucket, losses=1), CLUSTER)  # type: ignore[arg-type]
    with pytest.raises(GatewayTimeout, match="may or may not have happened"):
        await (ours.modify(first.name, named) if verb == "modify" else ours.delete(first.name))
    there = await theirs.find(first.name)
    assert (there is not None) is again
    assert there is None or (not there.deleted and "status" not in there.document())


async def test_a_write_of_somebody_else_meanwhile_is_a_conflict(bucket: Bucket) -> None:
    ours, theirs = Store(Forgetful(bucket, losses=0), CLUSTER), Store(bucket, CLUSTER)  # type: ignore[arg-type]
    first = await ours.create(cluster(name()))
    await theirs.update(first, cluster(first.name, status={"uid": "theirs"}))
    with pytest.raises(Conflict):
        await ours.update(first, cluster(first.name, status={"uid": "ours"}))


class Counting:
    """The real bucket, which counts writes and can be cut after some of them: nothing that comes later gets through."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self.left: float = float("inf")

    async def get(self, key: str) -> Entry | None:
        return await self._bucket.get(key)

    async def create(self, key: str, value: bytes, **more: Any) -> int:
        self._count()
        return await self._bucket.create(key, value, **more)

    async def update(self, key: str, value: bytes, revision: int, **more: Any) -> int:
        self._count()
        return await self._bucket.update(key, value, revision, **more)

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise ServiceUnavailable("the bus is away")


async def held(store: Store, *finalizers: str) -> Item:
    """A Cluster that was deleted and waits for its finalizers."""
    document = cluster(name())
    document["metadata"]["finalizers"] = list(finalizers)
    first = await store.create(document)
    return await store.delete(first.name)


def unfinalized(document: Document) -> Document:
    return {**document, "metadata": {**document["metadata"], "finalizers": []}}


async def test_the_last_finalizer_and_the_object_go_in_one_write(bucket: Bucket) -> None:
    counting = Counting(bucket)
    store = Store(counting, CLUSTER)  # type: ignore[arg-type]
    for take_off in (
        lambda item: store.update(item, unfinalized(item.document())),
        lambda item: store.modify(item.name, unfinalized),
        lambda item: store.finalize(item.name, item.uid, "skerry.dev/a"),
    ):
        item = await held(store, "skerry.dev/a")
        counting.left = 1
        await take_off(item)
        counting.left = float("inf")
        assert await store.find(item.name) is None


async def test_a_living_object_without_finalizers_stays(store: Store) -> None:
    document = cluster(name())
    document["metadata"]["finalizers"] = ["skerry.dev/a"]
    first = await store.create(document)
    second = await store.update(first, unfinalized(first.document()))
    assert not second.deleted
    assert (await store.get(first.name)).revision == second.revision


async def test_an_update_that_changes_nothing_ends_what_got_stuck(bucket: Bucket, store: Store) -> None:
    stuck = await stranded(bucket, store)
    assert (await store.update(stuck, stuck.document())).deleted
    assert await store.find(stuck.name) is None


async def stranded(bucket: Bucket, store: Store) -> Item:
    """An object as a cut between two writes used to leave it: deleted, and nothing that it waits for."""
    waiting = await held(store, "skerry.dev/a")
    document = unfinalized(waiting.document())
    value = seal(document, writes=("old",))
    await bucket.update(store.key(waiting.name), value, waiting.revision)
    return await store.get(waiting.name)


async def test_the_update_that_ended_an_object_is_recognised_when_it_comes_again(store: Store) -> None:
    item = await held(store, "skerry.dev/a")
    ended = await store.update(item, unfinalized(item.document()), write_id="w9")
    again = await store.find(item.name, write_id="w9")
    assert again is not None
    assert again.revision == ended.revision
    assert await store.find(item.name, write_id="w8") is None


async def test_an_empty_precondition_is_fulfilled_by_nothing(store: Store) -> None:
    first = await store.create(cluster(name()))
    with pytest.raises(Conflict, match=r"the UID in the precondition \(\)"):
        await store.delete(first.name, uid="")
    with pytest.raises(Conflict, match=r"the ResourceVersion in the precondition \(\)"):
        await store.delete(first.name, resource_version="")
    assert await store.find(first.name) is not None


async def test_a_name_whose_object_is_being_deleted_is_said_to_be_so(store: Store) -> None:
    item = await held(store, "skerry.dev/a")
    with pytest.raises(AlreadyExists, match=r"^object is being deleted: clusters\.skerry\.dev "):
        await store.create(cluster(item.name))
