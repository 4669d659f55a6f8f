"""Members are told that they are paused; who never was is not asked about, and what is left from before is taken back."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from services.registry.pausing import Pauses, ended, entry_of
from skerry import subjects
from skerry.api.desired import Batch, BatchAnswer, ItemResult, Report
from skerry.api.kinds import CLUSTER
from skerry.api.meta import Document
from skerry.bus import Bus
from skerry.errors import Conflict, ServiceUnavailable
from skerry.service.process import Process
from skerry.storage import Store
from tests.fixtures.nats import NatsHost, eventually
from tests.registry.conftest import Agent, Running, client_of
from tests.registry.gate import opened_gate


class Wanted:
    """Which members have the entry, and every question."""

    def __init__(self, *told: str) -> None:
        self.told, self.listed, self.asked = set(told), 0, list[str]()
        self.error: Exception | None = None
        self.refuses = False

    async def members_with(self, key: subjects.DesiredKey) -> set[str]:
        self.listed += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return set(self.told)

    async def batch(self, owner: str, batch: Batch) -> BatchAnswer:
        (item,) = batch.items
        self.asked.append(item.member)
        if item.withdraw:
            assert item.key == str(entry_of(item.member))
        else:
            assert b'"paused":true' in bytes(item.object)  # type: ignore[arg-type]
        result = ItemResult(key=item.key, code=403, message="no") if self.refuses else ItemResult(key=item.key)
        (self.told.discard if item.withdraw else self.told.add)(item.member)
        return BatchAnswer(epoch="e", results=(result,))


class Item:
    """What is read of a stored Cluster."""

    def __init__(self, document: Document) -> None:
        self.uid, self._document = document["metadata"]["uid"], document

    def document(self) -> Document:
        return self._document


class Informer:
    """Clusters by name."""

    def __init__(self) -> None:
        self.clusters: dict[str, Item] = {}

    def has(self, name: str, *, paused: bool = False, generation: int = 1, uid: str = "u", **metadata: Any) -> None:
        metadata = {"name": name, "uid": uid, "generation": generation, **metadata}
        spec = {"role": "member", "connection": {"mode": "agent"}, **({"paused": True} if paused else {})}
        self.clusters[name] = Item({"metadata": metadata, "spec": spec})

    def get(self, kind: object, name: str) -> Item | None:
        return self.clusters.get(name)


async def looked(wanted: Wanted, informer: Informer, *names: str) -> Pauses:
    pauses = Pauses(wanted, informer)  # type: ignore[arg-type]
    await asyncio.gather(*(pauses.reconcile(name) for name in names))
    return pauses


async def test_of_members_that_never_were_paused_nothing_is_asked_but_one_question_for_all() -> None:
    wanted, informer = Wanted(), Informer()
    names = [f"m{number}" for number in range(50)]
    for name in names:
        informer.has(name)
    await looked(wanted, informer, *names)
    assert (wanted.listed, wanted.asked) == (1, [])


async def test_a_member_that_is_paused_is_told_and_one_that_is_not_any_more_too() -> None:
    wanted, informer = Wanted(), Informer()
    informer.has("m", paused=True)
    pauses = await looked(wanted, informer, "m")
    assert wanted.told == {"m"}
    informer.has("m", generation=2)
    await pauses.reconcile("m")
    assert wanted.told == set()
    await pauses.reconcile("m")
    assert wanted.asked == ["m", "m"]


async def test_one_whose_spec_changed_before_this_process_is_asked_about() -> None:
    """Another replica may have told it that it is paused, and not that it is over."""
    wanted, informer = Wanted(), Informer()
    informer.has("m", generation=3)
    await looked(wanted, informer, "m")
    assert wanted.asked == ["m"]


async def test_what_is_left_of_a_pause_that_a_restore_undid_is_taken_back() -> None:
    wanted, informer = Wanted("m"), Informer()
    informer.has("m")
    await looked(wanted, informer, "m")
    assert (wanted.asked, wanted.told) == (["m"], set())


async def test_a_member_of_the_same_name_that_joined_later_is_looked_at_anew() -> None:
    wanted, informer = Wanted(), Informer()
    informer.has("m", generation=2)
    pauses = await looked(wanted, informer, "m")
    informer.has("m", generation=2, uid="later")
    await pauses.reconcile("m")
    assert wanted.asked == ["m", "m"]


async def test_one_that_goes_or_is_gone_is_not_told() -> None:
    wanted, informer = Wanted("m"), Informer()
    informer.has("m", paused=True, deletionTimestamp="2030-01-01T00:00:00Z")
    await looked(wanted, informer, "m", "gone")
    assert (wanted.asked, wanted.listed) == ([], 0)


async def test_a_question_that_fails_is_asked_again() -> None:
    wanted, informer = Wanted("m"), Informer()
    informer.has("m")
    pauses = Pauses(wanted, informer)  # type: ignore[arg-type]
    wanted.error = ServiceUnavailable("away")
    with pytest.raises(ServiceUnavailable):
        await pauses.reconcile("m")
    wanted.error = None
    await pauses.reconcile("m")
    assert wanted.told == set()


async def test_what_is_refused_is_an_error_that_names_the_member() -> None:
    wanted, informer = Wanted(), Informer()
    wanted.refuses = True
    informer.has("m", paused=True)
    with pytest.raises(Conflict, match="cluster m could not be told"):
        await looked(wanted, informer, "m")


@pytest.mark.integration
async def test_an_entry_that_is_there_without_a_pause_goes_at_the_next_start(fresh_nats_host: NatsHost) -> None:
    """In a real bucket: the pages of the question, the rights of the registry, the names in the keys."""
    host = fresh_nats_host
    async with Running(host).running() as registry, client_of(host) as client:
        for name in ("left", "other"):
            await Agent(host, name).join(await client.token(name))
        await set_paused(registry.bus, "left", paused=True)
        await told(registry, "left")
        await hidden(registry.bus, "left")
    async with Running(host).running() as registry:
        await told(registry)


async def set_paused(bus: Bus, name: str, *, paused: bool) -> None:
    store = Store(await bus.bucket(subjects.RESOURCES), CLUSTER)
    await store.modify(name, lambda found: {**found, "spec": {**found["spec"], "paused": paused}})


async def hidden(bus: Bus, name: str) -> None:
    """The Cluster as it was made, as a restore would have it; the entry stays."""
    bucket = await bus.bucket(subjects.RESOURCES)
    key = subjects.key(CLUSTER.group, CLUSTER.kind, "", name)
    entry = await bucket.get(key)
    assert entry is not None
    assert entry.value is not None
    text = entry.value.replace(b'"paused":true', b'"paused":false').replace(b'"generation":2', b'"generation":1')
    await bucket.update(key, text, entry.revision)


async def told(process: Process, *names: str) -> None:
    """Wait until those have the entry, and no others."""
    bucket = await process.bus.bucket(subjects.DESIRED)
    found: set[str] = set()

    async def look() -> None:
        while True:
            page = await bucket.changes(f"*.{str(entry_of('any')).partition('.')[2]}", 0)
            found.clear()
            found.update(subjects.desired_key(each.key).member for each in page.entries if each.value is not None)
            await asyncio.sleep(0.02)

    looking = asyncio.ensure_future(look())
    try:
        await eventually(lambda: found == set(names) and not process.problem)
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking


@pytest.mark.integration
async def test_a_pause_that_the_bucket_lost_ends_when_the_member_reports_it_and_only_then(nats_host: NatsHost) -> None:
    """A pause that is wanted, one of another bucket, and a member without one are left alone."""
    async with opened_gate(nats_host) as gate:
        informer: Any = Informer()
        informer.has("m1")
        desired = gate.desired

        async def complete(epoch: str, counts: dict[str, dict[str, int]]) -> bool:
            await ended(desired, informer, "m1", Report(epoch=epoch, applied=1, counts=counts))
            page = await desired.page("m1", "registry", 0, 5)
            return any(subjects.is_complete(each.key) for each in page.entries)

        held = {"registry": {"Applied": 1}}
        assert not await complete(desired.epoch, {"tenancy": {"Applied": 1}})
        assert not await complete("of before", held)
        informer.has("m1", paused=True, generation=2)
        assert not await complete(desired.epoch, held)
        informer.has("m1", generation=3)
        assert await complete(desired.epoch, held)
