"""The gate of desired state on a real bus: who may write what, what members get, and what they may say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from services.registry import desired, usage
from services.registry.desired import Buckets, Desired
from skerry import subjects
from skerry.api.desired import (
    BATCH,
    ENTRIES,
    MESSAGE,
    PROBLEMS,
    Batch,
    Because,
    DesiredItem,
    Options,
    Problem,
    Report,
    State,
    SyncRequest,
)
from skerry.bus import Message
from skerry.desired.client import Want
from skerry.desired.entry import opened
from skerry.errors import BadRequest, NotFound, RequestEntityTooLarge, StatusError
from skerry.identity import nkey
from tests.fixtures.nats import NatsHost
from tests.registry.gate import CLUSTERS, ROOT, Gate, item, opened_gate, space, verify

pytestmark = pytest.mark.integration

_encode = msgspec.json.encode


@pytest.fixture
async def made(nats_host: NatsHost) -> AsyncIterator[Gate]:
    async with opened_gate(nats_host) as made:
        yield made


async def test_an_entry_is_signed_for_its_member_and_what_is_equal_is_not_written_again(made: Gate) -> None:
    first = await made.put(space())
    again = await made.put(space())
    assert again == first
    page = await made.desired.sync("m1", SyncRequest())
    (entry,) = page.entries
    assert entry.entry is not None
    read = opened(entry.key, entry.entry.encode(), verify)
    assert (read.cluster, read.owner, read.epoch, read.previous) == ("uid-1", "tenancy", made.desired.epoch, 0)
    assert (page.full, page.next, page.last, page.cluster) == (True, None, first.revision, "uid-1")


async def test_what_changes_names_its_predecessor_also_behind_a_withdrawal(made: Gate) -> None:
    first = await made.put(space())
    second = await made.put(space(labels={"a": "b"}))
    (gone,) = await made.client.withdraw("m1", first.key)
    third = await made.put(space())
    (entry,) = (await made.desired.sync("m1", SyncRequest())).entries
    assert opened(entry.key, (entry.entry or "").encode(), verify).previous == gone.revision > second.revision
    assert third.revision == entry.revision


async def test_a_sync_tells_what_changed_since_and_withdrawals_too(made: Gate) -> None:
    one, two = await made.put(space("a")), await made.put(space("b"))
    await made.client.put("m2", Want(space("c")))
    (gone,) = await made.client.withdraw("m1", one.key)
    page = await made.desired.sync("m1", SyncRequest(epoch=made.desired.epoch, after=two.revision))
    assert not page.full
    assert [(each.key, each.revision, each.entry) for each in page.entries] == [(one.key, gone.revision, None)]
    nothing = await made.desired.sync("m1", SyncRequest(epoch=made.desired.epoch, after=page.last))
    assert (nothing.entries, nothing.last, nothing.next) == ((), page.last, None)


async def test_a_sync_comes_in_pages(made: Gate) -> None:
    keys = [(await made.put(space(f"n{number}"))).key for number in range(7)]
    seen: list[str] = []
    after, epoch = 0, ""
    while True:
        page = await made.desired.sync("m1", SyncRequest(epoch=epoch, after=after, limit=3))
        seen += [each.key for each in page.entries]
        epoch = page.epoch
        if page.next is None:
            break
        after = page.next
    assert seen == keys


async def test_another_epoch_is_told_everything(made: Gate) -> None:
    result = await made.put(space())
    page = await made.desired.sync("m1", SyncRequest(epoch="another", after=result.revision))
    assert (page.full, len(page.entries)) == (True, 1)


@pytest.mark.parametrize(
    ("change", "code", "why"),
    [
        (item("m9"), 404, "cluster m9 does not exist"),
        (item("M1"), 400, "not a DNS label"),
        (item("m1.>"), 400, "not a DNS label"),
        (item(document={"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}), 403, "may not want Secret"),
        (item(document=[1]), 400, "not a JSON object"),
        (item(document=space("kube-system")), 403, "the cluster's own"),
        (DesiredItem(member="m1", object=msgspec.Raw(b"{")), 400, "cannot be read"),
        (DesiredItem(member="m1"), 400, "has an object"),
        (item(options=Options(fence=3)), 400, "have no number"),
        (item(options=Options(after=("x",))), 400, "not a key"),
        (item(options=Options(after=("m2.tenancy._.namespace._.a",))), 400, "not another entry of m1"),
        (item(options=Options(after=("m1.tenancy._.namespace._.shop",))), 400, "not another entry of m1"),
        (DesiredItem(member="m1", key="m1.registry._.namespace._.a", withdraw=True), 403, "is not tenancy's on m1"),
        (DesiredItem(member="m1", key="m2.tenancy._.namespace._.a", withdraw=True), 403, "is not tenancy's on m1"),
        (DesiredItem(member="m1", key="nonsense", withdraw=True), 400, "not a key"),
        (item(document=space(annotations={"a": "x" * (300 << 10)})), 413, "at most"),
    ],
)  # fmt: skip
async def test_what_is_refused_says_why_and_the_rest_of_the_batch_is_done(
    made: Gate, change: DesiredItem, code: int, why: str
) -> None:
    results = await made.apply(change, item("m2", space("fine")))
    assert results[0][0] == code
    assert why in results[0][1]
    assert results[1] == (0, "")
    assert not (await made.desired.sync("m1", SyncRequest())).entries


async def test_a_batch_has_limits(made: Gate) -> None:
    with pytest.raises(BadRequest, match=f"at most {BATCH} items"):
        await made.apply(*[item()] * (BATCH + 1))
    large = item(document=space(annotations={"a": "x" * (200 << 10)}))
    with pytest.raises(RequestEntityTooLarge, match="send several"):
        await made.apply(large, large, large)
    wants = [Want(space(f"n{number}", annotations={"a": "x" * 5000})) for number in range(300)]
    made.desired._now = iter(float(second) for second in range(10**6)).__next__
    results = await made.client.settle("m1", wants)
    assert [each.code for each in results] == [0] * 300


async def test_a_member_has_limits(made: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "ENTRIES", 3)
    results = await made.apply(*(item(document=space(f"n{number}")) for number in range(5)))
    assert [code for code, _ in results] == [0, 0, 0, 429, 429]
    assert "m1 has 3 entries, which is the limit" in results[3][1]
    assert await made.apply(item(document=space("n1", labels={"a": "b"}))) == [(0, "")]
    monkeypatch.setattr(usage, "ENTRIES", ENTRIES)
    monkeypatch.setattr(usage, "ENTRIES_BYTES", 1200)
    assert (await made.apply(item(document=space("n9"))))[0][0] == 429


async def test_the_limit_counts_what_another_replica_wrote(made: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "ENTRIES", 2)
    other = Desired(await Buckets.open(made.bus), CLUSTERS.get, ROOT.sign, verify, lambda: made.now)
    assert await made.apply(item(document=space("a"))) == [(0, "")]
    answer = await other.batch("tenancy", Batch(request_id="r", items=(item(document=space("b")),)))
    assert answer.results[0].code == 0
    made.now += 1
    assert (await made.apply(item(document=space("c"))))[0][0] == 429


async def test_of_a_fleet_of_entries_no_more_are_counted_in_memory_and_limits_hold_all_the_same(
    made: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desired, "COUNTED", 4)
    monkeypatch.setattr(usage, "ENTRIES", 3)
    for name in ("a", "b", "c"):
        for member in ("m1", "m2"):
            assert await made.apply(item(member, document=space(name))) == [(0, "")]
            made.now += 1
    assert sum(len(each.sizes) for each in made.desired._usages.values()) <= 4
    assert [await made.desired.entries(member) for member in ("m1", "m2")] == [3, 3]
    for member in ("m1", "m2"):
        assert (await made.apply(item(member, document=space("d"))))[0][0] == 429


async def test_an_owner_that_changes_without_end_is_told_to_wait(made: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "RATE", 2)
    changes = [item(document=space("a", labels={"n": str(number)})) for number in range(4)]
    assert [code for code, _ in await made.apply(*changes)] == [0, 0, 429, 429]
    made.now += 1
    assert await made.apply(changes[3]) == [(0, "")]


async def test_an_owner_sends_the_difference(made: Gate) -> None:
    await made.client.settle("m1", [Want(space("a")), Want(space("b"))])
    results = await made.client.settle("m1", [Want(space("b")), Want(space("c"))])
    assert sorted(subjects.desired_key(each.key).name for each in results) == ["a", "c"]
    assert await made.client.settle("m1", [Want(space("b")), Want(space("c"))]) == ()
    names = {subjects.desired_key(each.key).name for each in (await made.client.keys("m1")).keys}
    assert names == {"_", "b", "c"}


async def test_what_it_is_because_of_is_bounded(made: Gate) -> None:
    because = tuple(Because(kind="AccessGrant", name=f"g{number}") for number in range(20))
    await made.client.put("m1", Want(space(), Options(), because))
    (entry,) = (await made.desired.sync("m1", SyncRequest())).entries
    read = opened(entry.key, (entry.entry or "").encode(), verify)
    assert (len(read.because), read.more) == (8, 12)


async def test_another_root_signs_everything_anew(made: Gate) -> None:
    first = await made.put(space())
    root = nkey.create(nkey.KeyType.ACCOUNT)
    made.desired._sign = root.sign
    made.desired._verify = lambda data, signature: nkey.verify(root.public, data, signature)
    assert (await made.put(space())).revision > first.revision


async def test_each_stored_change_reaches_its_own_member_alone(made: Gate, nats_host: NatsHost) -> None:
    one, first = await nats_host.member("m1")
    _, second = await nats_host.member("m2")
    assert one
    heard: list[tuple[str, str, str, str]] = []
    async with nats_host.connection(first) as mine, nats_host.connection(second) as theirs:
        for name, connection in (("m1", mine), ("m2", theirs)):

            def take(message: Message, name: str = name) -> None:
                operation = message.headers.get("KV-Operation", "")
                heard.append((name, message.subject, message.headers["Nats-Sequence"], operation))

            await connection.subscribe(subjects.desired_down(name), take)
        result = await made.put(space())
        (gone,) = await made.client.withdraw("m1", result.key)
        async with asyncio.timeout(5):
            while len(heard) < 2:
                await asyncio.sleep(0.01)
        await theirs.flush()
    down = "down.m1.desired.tenancy._.namespace._.shop"
    assert heard == [("m1", down, str(result.revision), ""), ("m1", down, str(gone.revision), "PURGE")]


async def test_a_report_is_kept_and_says_what_is_in_place(made: Gate) -> None:
    result = await made.put(space())
    assert await made.client.status("m1") is None
    await made.desired.report("m1", Report(epoch=made.desired.epoch, applied=result.revision))
    assert await made.client.in_place("m1", result.key, result.revision)
    assert not await made.client.in_place("m1", result.key, result.revision + 1)
    problem = Problem(key=result.key, revision=result.revision, state=State.CONFLICT, message="x")
    await made.desired.report("m1", Report(epoch=made.desired.epoch, applied=result.revision, problems=(problem,)))
    assert not await made.client.in_place("m1", result.key, result.revision)
    await made.desired.report("m1", Report(epoch="an older bucket", applied=10**9))
    assert not await made.client.in_place("m1", result.key, result.revision)


async def test_an_unchanged_report_writes_nothing(made: Gate) -> None:
    for _ in range(3):
        await made.desired.report("m1", Report(epoch="e", applied=1))
    assert await made.statuses.last_revision() == 2


async def test_what_another_replica_stored_of_a_member_stands_in_no_reports_way(made: Gate) -> None:
    other = Desired(await Buckets.open(made.bus), CLUSTERS.get, ROOT.sign, verify, lambda: made.now)
    for applied, replica in enumerate((made.desired, other, made.desired, made.desired, other)):
        await replica.report("m1", Report(epoch="e", applied=applied))
        said = await made.client.status("m1")
        assert said is not None
        assert said.applied == applied


async def test_what_a_member_says_is_bounded_and_about_itself(made: Gate) -> None:
    mine, theirs = "m1.tenancy._.namespace._.a", "m2.tenancy._.namespace._.a"
    problem = Problem(key=mine, revision=1, state=State.FAILED, message="a\x1b]0;b\nc" + "x" * 10_000)
    told = (problem, msgspec.structs.replace(problem, key=theirs), msgspec.structs.replace(problem, key="nonsense"))
    counts = {"tenancy": {"Failed": 3, "Evil": 1, "Applied": -4}, "nobody": {"Applied": 3}}
    report = Report(epoch="e", applied=1, counts=counts, problems=told * PROBLEMS, more=10**12)
    await made.desired.report("m1", report)
    kept = await made.client.status("m1")
    assert kept is not None
    assert {each.key for each in kept.problems} == {mine}
    assert len(kept.problems) <= PROBLEMS
    assert len(kept.problems[0].message) == MESSAGE
    assert kept.problems[0].message.isprintable()
    assert (kept.counts, kept.more) == ({"tenancy": {"Failed": 3}}, ENTRIES)
    with pytest.raises(BadRequest):
        await made.desired.report("m1", Report(epoch="e" * 65, applied=1))
    with pytest.raises(BadRequest):
        await made.desired.report("m1", Report(epoch="e", applied=-1))


async def test_a_member_that_goes_leaves_nothing_and_a_later_one_gets_nothing(made: Gate) -> None:
    result = await made.put(space())
    await made.client.put("m2", Want(space()))
    await made.desired.report("m1", Report(epoch=made.desired.epoch, applied=1))
    await made.desired.forget("m1")
    page = await made.desired.sync("m1", SyncRequest())
    assert [(each.key, each.entry) for each in page.entries] == [(result.key, None)]
    assert await made.client.status("m1") is None
    assert (await made.desired.sync("m2", SyncRequest())).entries[0].entry is not None


async def test_an_unknown_member_has_no_keys_and_an_owner_no_patterns(made: Gate) -> None:
    assert (await made.client.keys("m9")).keys == ()
    with pytest.raises(StatusError):
        await made.client.keys("*")
    with pytest.raises(NotFound):
        await made.desired.complete("tenancy", "m9")
