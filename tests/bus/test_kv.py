"""Buckets and watches, on a server that is killed and restarted."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import time
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from skerry.bus import Bucket, BucketConfig, Bus, Connection, Entry, Filled, Resync, Watch, WatchEvent
from skerry.bus import kv as kv_module
from skerry.bus import watch as watch_module
from skerry.bus.jetstream import NoStream, api
from skerry.bus.objects import StoreConfig
from skerry.errors import AlreadyExists, BadRequest, Conflict, GatewayTimeout, NotFound, StatusError
from tests.fixtures.nats import NatsHost

pytestmark = pytest.mark.integration
_names = (f"k{i}" for i in itertools.count())


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.ERROR):
        yield


@pytest.fixture
async def bus(nats_host: NatsHost) -> AsyncIterator[Bus]:
    async with nats_host.open_bus("registry") as bus:
        yield bus


@pytest.fixture
async def bucket(bus: Bus) -> Bucket:
    return await bus.bucket("registry", create=BucketConfig())


@pytest.fixture
def key() -> str:
    """A key prefix of the test's own, so that tests share a bucket."""
    return next(_names)


class Reader:
    """Reads a watch in the background; `events` and `state` are what it saw."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.events: list[WatchEvent] = []
        self.state: dict[str, bytes] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Reader:
        self._task = asyncio.ensure_future(self._read())
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.watch.stop()
        assert self._task is not None
        await self._task

    async def _read(self) -> None:
        async for event in self.watch:
            self.events.append(event)
            if isinstance(event, Resync):
                self.state.clear()
            elif isinstance(event, Entry) and event.value is not None:
                self.state[event.key] = event.value
            elif isinstance(event, Entry):
                self.state.pop(event.key, None)
            self._changed.set()

    async def until(self, condition: object, deadline_s: float = 10.0) -> None:
        assert callable(condition)
        async with asyncio.timeout(deadline_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    @property
    def filled(self) -> int:
        return sum(isinstance(e, Filled) for e in self.events)

    @property
    def revisions(self) -> list[int]:
        return [e.revision for e in self.events if isinstance(e, Entry)]


# Writes.


async def test_what_was_created_is_read(bucket: Bucket, key: str) -> None:
    before = time.time()
    revision = await bucket.create(key, b"value")
    entry = await bucket.get(key)
    assert entry is not None
    assert (entry.key, entry.value, entry.revision) == (key, b"value", revision)
    assert abs(entry.created - before) < 5
    assert await bucket.last_revision() == revision


async def test_a_key_that_lives_is_not_created_again(bucket: Bucket, key: str) -> None:
    await bucket.create(key, b"1")
    with pytest.raises(AlreadyExists):
        await bucket.create(key, b"2")


async def test_one_of_many_creators_wins(bucket: Bucket, key: str) -> None:
    results = await asyncio.gather(*(bucket.create(key, b"%d" % i) for i in range(20)), return_exceptions=True)
    assert sum(isinstance(r, int) for r in results) == 1
    assert sum(isinstance(r, AlreadyExists) for r in results) == 19


@pytest.mark.parametrize("remove", ["delete", "purge"])
async def test_a_removed_key_is_gone_and_may_be_created_again(bucket: Bucket, key: str, remove: str) -> None:
    revision = await bucket.create(key, b"1")
    await getattr(bucket, remove)(key, revision)
    assert await bucket.get(key) is None
    assert await bucket.create(key, b"2") > revision


async def test_a_key_that_never_was_is_none(bucket: Bucket, key: str) -> None:
    assert await bucket.get(key) is None


@pytest.mark.parametrize("write", ["update", "delete", "purge"])
async def test_an_old_revision_is_a_conflict(bucket: Bucket, key: str, write: str) -> None:
    old = await bucket.create(key, b"1")
    await bucket.update(key, b"2", old)
    with pytest.raises(Conflict, match="changed by somebody else"):
        await (bucket.update(key, b"3", old) if write == "update" else getattr(bucket, write)(key, old))
    entry = await bucket.get(key)
    assert entry is not None
    assert entry.value == b"2"


def test_what_is_left_of_a_key_outlives_every_pause_after_which_a_reader_resumes() -> None:
    assert kv_module.MARKER_S > watch_module.RESUME_WITHIN_S


@pytest.mark.parametrize("remove", ["delete", "purge"])
async def test_what_is_left_of_a_removed_key_goes_by_itself(
    bucket: Bucket, key: str, bus: Bus, remove: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kv_module, "MARKER_S", 1)
    revision = await bucket.create(key, b"1")
    await getattr(bucket, remove)(key, revision)
    connection = await bus.connection(1)

    async def stored() -> int:
        body = json.dumps({"subjects_filter": f"$KV.registry.{key}"}).encode()
        info = await api(connection, "STREAM.INFO.KV_registry", body)
        return len(info["state"].get("subjects") or {})

    assert await stored() == 1
    async with asyncio.timeout(5):
        while await stored():
            await asyncio.sleep(0.05)
    assert await bucket.get(key) is None
    assert await bucket.create(key, b"2") > revision


@pytest.mark.parametrize("bad", ["", ".", "a.", ".a", "a..b", "a b", "a*", ">", "a\r\n", "ü"])
async def test_a_key_that_would_be_a_pattern_is_refused(bucket: Bucket, bad: str) -> None:
    for call in (bucket.get(bad), bucket.create(bad, b""), bucket.update(bad, b"", 0)):
        with pytest.raises(BadRequest, match="not a key"):
            await call


async def test_a_bucket_that_does_not_exist_is_not_found(bus: Bus) -> None:
    with pytest.raises(NotFound):
        await bus.bucket("secrets")


@pytest.mark.parametrize("kind", ["KV", "OBJ"])
async def test_what_a_server_cannot_make_for_a_moment_is_made_when_it_can(fresh_nats_host: NatsHost, kind: str) -> None:
    """Its disk has something in the place of the stream, as a stream that is being deleted leaves it there."""
    async with fresh_nats_host.open_bus("maker") as bus:
        await bus.bucket("first", create=BucketConfig())
        (streams,) = (fresh_nats_host.directory / "store").rglob("streams")
        place = streams / f"{kind}_late"
        place.write_text("in the way")
        asyncio.get_running_loop().call_later(0.3, place.unlink)
        if kind == "KV":
            await bus.bucket("late", create=BucketConfig())
        else:
            await bus.objects("late", create=StoreConfig())
        assert not place.is_file()
        assert place.is_dir()


async def test_an_empty_bucket_stands_at_revision_1(nats_host: NatsHost) -> None:
    async with nats_host.open_bus("tenancy") as bus:
        bucket = await bus.bucket("resources", create=BucketConfig())
        assert await bucket.last_revision() == 1


async def test_an_entry_with_a_lifetime_is_seen_to_go(fresh_nats_host: NatsHost) -> None:
    async with fresh_nats_host.open_bus("registry") as bus:
        bucket = await bus.bucket("events", create=BucketConfig(ttl_s=1))
        async with Reader(bucket.watch()) as reader:
            await bucket.create("a", b"1")
            await reader.until(lambda: reader.state == {"a": b"1"})
            await reader.until(lambda: reader.state == {})
        assert await bucket.get("a") is None


async def test_a_bucket_is_made_once_by_many(nats_host: NatsHost) -> None:
    async with nats_host.open_bus("tenancy") as bus:
        buckets = await asyncio.gather(*(bus.bucket("tenancy", create=BucketConfig()) for _ in range(8)))
        revisions = [await b.create(f"x{i}", b"") for i, b in enumerate(buckets)]
    assert revisions == list(range(2, 10))


async def test_trap_13_a_lost_acknowledgement_is_unknown_and_the_write_may_be_there(fresh_nats_host: NatsHost) -> None:
    """Trap 13: a compare-and-set put repeated after a lost ack conflicts with itself; so it is never repeated here."""
    async with fresh_nats_host.open_bus("registry") as bus:
        bucket = await bus.bucket("registry", create=BucketConfig())
        connection = await bus.connection(1)
        original = connection._answered

        def deaf(message: object) -> None:
            connection._subscriptions[connection._answers._sid].deliver = original  # type: ignore[union-attr]

        assert connection._answers is not None
        connection._answers.deliver = deaf
        write = asyncio.ensure_future(bucket.create("k", b"write-id-1"))
        async with asyncio.timeout(5):
            while connection._answers.deliver is deaf:
                await asyncio.sleep(0)
        connection.abort("cut")
        with pytest.raises(GatewayTimeout, match="outcome is unknown"):
            await write
        entry = await bucket.get("k")
        assert entry is not None
        assert entry.value == b"write-id-1"
        assert await bucket.last_revision() == 2


async def test_an_acknowledged_write_survives_kill_9(fresh_nats_host: NatsHost) -> None:
    async with fresh_nats_host.open_bus("registry") as bus:
        bucket = await bus.bucket("registry", create=BucketConfig())
        revisions = [await bucket.create(f"k{i}", b"x") for i in range(20)]
        fresh_nats_host.restart()
        await bus.ready()
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(StatusError):
                    assert await bucket.last_revision() == revisions[-1]
                    break


class Server:
    """JetStream's answer to whatever is asked, as it lies on the wire."""

    def __init__(self, err_code: int, description: str) -> None:
        self._answer = {"error": {"code": 404, "err_code": err_code, "description": description}}

    async def connection(self, timeout_s: float) -> Any:
        return self

    async def request(self, subject: str, payload: bytes, *, timeout_s: float) -> Any:
        return SimpleNamespace(data=json.dumps(self._answer).encode())


async def test_a_missing_key_is_none_whatever_the_bucket_is_called() -> None:
    bucket = Bucket(Server(10037, "no message found"), "KV_upstream-stream")
    assert await bucket.get("k") is None


async def test_a_missing_stream_is_no_missing_key_whatever_the_server_says_of_it() -> None:
    with pytest.raises(NoStream):
        await Bucket(Server(10059, "not found"), "registry").get("k")


async def test_a_key_of_a_bucket_that_does_not_exist_is_not_found(fresh_nats_host: NatsHost) -> None:
    async with fresh_nats_host.open_bus("registry") as bus:
        bucket = await bus.bucket("registry", create=BucketConfig())
        with pytest.raises(NoStream):
            await Bucket(bus, "secrets").get("k")
        assert await bucket.get("k") is None


# Watches.


async def test_a_watch_gives_what_is_then_filled_then_what_happens(bucket: Bucket, key: str) -> None:
    first = await bucket.create(f"{key}.a", b"1")
    async with Reader(bucket.watch(f"{key}.>")) as reader:
        await reader.until(lambda: reader.filled == 1)
        second = await bucket.update(f"{key}.a", b"2", first)
        await reader.until(lambda: len(reader.events) == 3)  # history is 1: a quick delete would hide the change
        await bucket.delete(f"{key}.a", second)
        await reader.until(lambda: len(reader.events) == 4)
    entry, filled, changed, deleted = reader.events
    assert isinstance(entry, Entry)
    assert isinstance(filled, Filled)
    assert (entry.key, entry.value, entry.revision) == (f"{key}.a", b"1", first)
    assert filled.revision >= first
    assert isinstance(changed, Entry)
    assert changed.value == b"2"
    assert isinstance(deleted, Entry)
    assert deleted.value is None


async def test_an_empty_watch_is_filled_at_once(bucket: Bucket, key: str) -> None:
    async with Reader(bucket.watch(f"{key}.>")) as reader:
        await reader.until(lambda: reader.filled == 1, deadline_s=2)
        assert reader.revisions == []


async def test_a_watch_sees_its_own_keys_only(bucket: Bucket, key: str) -> None:
    async with Reader(bucket.watch(f"{key}.>")) as reader:
        await reader.until(lambda: reader.filled == 1)
        await bucket.create(f"{key}other.a", b"")
        await bucket.create(f"{key}.a", b"")
        await reader.until(lambda: reader.revisions)
    assert list(reader.state) == [f"{key}.a"]


async def test_an_empty_value_is_not_a_deletion(bucket: Bucket, key: str) -> None:
    async with Reader(bucket.watch(f"{key}.>")) as reader:
        await bucket.create(f"{key}.a", b"")
        await reader.until(lambda: reader.revisions)
    assert reader.state == {f"{key}.a": b""}


async def test_a_large_bucket_fills_through_flow_control(fresh_nats_host: NatsHost) -> None:
    async with fresh_nats_host.open_bus("registry") as bus:
        bucket = await bus.bucket("registry", create=BucketConfig())
        value = bytes(20_000)
        for start in range(0, 2000, 100):
            await asyncio.gather(*(bucket.create(f"k{i}", value) for i in range(start, start + 100)))
        async with Reader(bucket.watch()) as reader:
            await reader.until(lambda: reader.filled == 1)
            assert len(reader.state) == 2000
            assert reader.watch.restarts == 0


async def test_trap_9_a_watch_resumes_within_seconds_of_a_restart(fresh_nats_host: NatsHost) -> None:
    """Trap 9: a KV watch of nats-py took 19 s to resume after a server restart."""
    async with fresh_nats_host.open_bus("registry") as writer, fresh_nats_host.open_bus("proxy") as proxy:
        writable = await writer.bucket("resources", create=BucketConfig())
        bucket = await proxy.bucket("resources")
        key = "skerry=2Edev.cluster._."
        revision = await writable.create(key + "a", b"1")
        async with Reader(bucket.watch("skerry=2Edev.>")) as reader:
            await reader.until(lambda: reader.filled == 1)
            fresh_nats_host.restart()
            started = time.monotonic()
            while True:
                with contextlib.suppress(StatusError):
                    await writable.update(key + "a", b"2", revision)
                    break
            await reader.until(lambda: reader.state == {key + "a": b"2"})
            assert time.monotonic() - started < 5
            assert reader.revisions == [2, 3]
            assert not [e for e in reader.events if isinstance(e, Resync)]


async def test_what_happened_while_a_watch_was_away_is_seen_once_and_in_order(
    nats_host: NatsHost, bucket: Bucket, key: str
) -> None:
    async with nats_host.open_bus("registry") as other:
        away = await other.bucket("registry")
        kept = await bucket.create(f"{key}.gone", b"1")
        async with Reader(away.watch(f"{key}.>")) as reader:
            await reader.until(lambda: reader.filled == 1)
            (await other.connection(1)).abort("cut by the test")
            await bucket.delete(f"{key}.gone", kept)
            await bucket.create(f"{key}.new", b"2")
            await reader.until(lambda: reader.state == {f"{key}.new": b"2"})
            await reader.until(lambda: reader.filled == 2)
        assert reader.revisions == sorted(set(reader.revisions))
        assert reader.watch.restarts >= 1


async def test_a_lost_message_is_noticed_and_fetched(nats_host: NatsHost, bucket: Bucket, key: str) -> None:
    async with nats_host.open_bus("registry") as other:
        away = await other.bucket("registry")
        async with Reader(away.watch(f"{key}.>")) as reader:
            await reader.until(lambda: reader.filled == 1)
            connection = await other.connection(1)
            subscription = next(s for s in connection._subscriptions.values() if ".x." in s.subject)
            deliver, lost = subscription.deliver, []

            def lossy(message: object) -> None:
                lost.append(message)
                subscription.deliver = deliver

            subscription.deliver = lossy
            await bucket.create(f"{key}.a", b"1")
            await bucket.create(f"{key}.b", b"2")
            await reader.until(lambda: len(reader.state) == 2)
        assert len(lost) == 1
        assert reader.revisions == sorted(set(reader.revisions))


async def test_a_lost_last_message_is_noticed_by_the_next_idle_heartbeat(
    nats_host: NatsHost, bucket: Bucket, key: str, quick_heartbeats: None
) -> None:
    async with nats_host.open_bus("registry") as other:
        away = await other.bucket("registry")
        async with Reader(away.watch(f"{key}.>")) as reader:
            await reader.until(lambda: reader.filled == 1)
            connection = await other.connection(1)
            subscription = next(s for s in connection._subscriptions.values() if ".x." in s.subject)
            deliver = subscription.deliver

            def lossy(message: object) -> None:
                subscription.deliver = deliver

            subscription.deliver = lossy
            await bucket.create(f"{key}.a", b"1")
            await reader.until(lambda: len(reader.state) == 1, deadline_s=15)


async def test_a_new_bucket_of_the_same_name_is_a_resync(fresh_nats_host: NatsHost) -> None:
    async with fresh_nats_host.open_bus("registry") as bus:
        bucket = await bus.bucket("registry", create=BucketConfig())
        await bucket.create("old", b"1")
        async with Reader(bucket.watch()) as reader:
            await reader.until(lambda: reader.filled == 1)
            fresh_nats_host.kill()
            (fresh_nats_host.directory / "store" / "jetstream").rename(fresh_nats_host.directory / "lost")
            fresh_nats_host.start()
            await bus.ready()
            bucket = await bus.bucket("registry", create=BucketConfig())
            await bucket.create("new", b"2")
            await reader.until(lambda: reader.state == {"new": b"2"})
        assert [e.reason for e in reader.events if isinstance(e, Resync)] == ["the bucket was created anew"]


async def test_a_watch_that_was_away_for_long_starts_over(
    nats_host: NatsHost, bucket: Bucket, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "RESUME_WITHIN_S", -1.0)
    await bucket.create(f"{key}.a", b"1")
    async with nats_host.open_bus("registry") as other:
        async with Reader((await other.bucket("registry")).watch(f"{key}.>")) as reader:
            await reader.until(lambda: reader.filled == 1)
            (await other.connection(1)).abort("cut by the test")
            await reader.until(lambda: reader.filled == 2)
        assert sum(isinstance(e, Resync) for e in reader.events) == 1
        assert reader.state == {f"{key}.a": b"1"}


@pytest.mark.parametrize("news", [False, True])
async def test_a_watch_on_a_machine_that_slept_starts_over(
    nats_host: NatsHost, bucket: Bucket, key: str, news: bool
) -> None:
    """The monotonic clock stood still meanwhile; and what the socket kept is heard before the loss of the connection."""
    async with nats_host.open_bus("registry") as other:
        async with Reader((await other.bucket("registry")).watch(f"{key}.>")) as reader:
            await reader.until(lambda: reader.filled == 1)
            reader.watch._heard_wall -= 2 * watch_module.RESUME_WITHIN_S
            if news:
                await bucket.create(f"{key}.a", b"1")
                await reader.until(lambda: reader.state)
            (await other.connection(1)).abort("cut by the test")
            await reader.until(lambda: reader.filled == 2)
            await bucket.create(f"{key}.b", b"1")
            (await other.connection(1)).abort("cut by the test")
            await reader.until(lambda: reader.filled == 3)
        assert sum(isinstance(e, Resync) for e in reader.events) == 1


async def test_a_fill_ends_although_the_last_entry_went_by_itself_meanwhile(
    bucket: Bucket, key: str, monkeypatch: pytest.MonkeyPatch, quick_heartbeats: None
) -> None:
    """The server counts it as pending when the consumer is made, and never sends it."""

    async def counted(connection: Connection, subject: str, body: bytes = b"") -> dict[str, Any]:
        answer = await api(connection, subject, body)
        return {**answer, "num_pending": answer["num_pending"] + 1} if "num_pending" in answer else answer

    monkeypatch.setattr(watch_module, "api", counted)
    async with Reader(bucket.watch(f"{key}.>")) as reader:
        await reader.until(lambda: reader.filled == 1, deadline_s=15)
        assert reader.watch.restarts == 0


async def test_idle_heartbeats_keep_a_watch_young(bucket: Bucket, key: str, quick_heartbeats: None) -> None:
    async with Reader(bucket.watch(f"{key}.>")) as reader:
        await reader.until(lambda: reader.filled == 1)
        async with asyncio.timeout(15):
            while reader.watch.age_s < 0.5:
                await asyncio.sleep(0.05)
            while reader.watch.age_s > 0.5:
                await asyncio.sleep(0.05)


async def test_a_proxy_may_read_resources_with_the_permissions_that_it_has(nats_host: NatsHost, bus: Bus) -> None:
    await bus.bucket("resources", create=BucketConfig())
    async with nats_host.open_bus("proxy") as proxy:
        bucket = await proxy.bucket("resources")
        async with Reader(bucket.watch()) as reader:
            await reader.until(lambda: reader.filled == 1)
            assert await bucket.last_revision() >= 0
            assert await bucket.get("nothing") is None
            assert (await proxy.connection(1)).denied == 0


async def test_stopping_ends_the_iteration(bucket: Bucket, key: str) -> None:
    watch = bucket.watch(f"{key}.>")
    async with watch:
        assert isinstance(await anext(watch), Filled)
    with pytest.raises(StopAsyncIteration):
        await anext(watch)


async def test_changes_of_a_range_come_as_they_are_last_deletions_too(bucket: Bucket, key: str) -> None:
    first = await bucket.create(f"{key}.a", b"1")
    second = await bucket.create(f"{key}.b", b"2")
    await bucket.create(f"{key}x.c", b"other")
    third = await bucket.update(f"{key}.a", b"3", first)
    gone = await bucket.purge(f"{key}.b", second, marker_s=86400)
    changes = await bucket.changes(f"{key}.>", 0)
    assert [(each.key, each.value, each.revision) for each in changes.entries] == [
        (f"{key}.a", b"3", third),
        (f"{key}.b", None, gone),
    ]
    assert not changes.more
    assert [each.revision for each in (await bucket.changes(f"{key}.>", third)).entries] == [gone]
    assert await bucket.changes(f"{key}.>", gone) == ((), False)


async def test_a_longer_history_comes_in_place_and_readers_see_each_key_once(nats_host: NatsHost) -> None:
    """An older replica, which asks for less, starts beside it and takes nothing away."""
    async with nats_host.open_bus("registry") as bus:
        before = await bus.bucket("longer", create=BucketConfig())
        first = await before.create("a", b"1")
        longer = await bus.bucket("longer", create=BucketConfig(history=8))
        await bus.bucket("longer", create=BucketConfig())
        revision = first
        for number in range(2, 6):
            revision = await longer.update("a", str(number).encode(), revision, headers={"Skerry-Actor": "alice"})
        assert [each.value for each in (await longer.changes(">", 0)).entries] == [b"1", b"2", b"3", b"4", b"5"]
        async with longer.watch() as watch:
            entry = await anext(watch)
            assert isinstance(entry, Entry)
            assert (entry.key, entry.value) == ("a", b"5")
            assert await anext(watch) == Filled(revision)
        stored = await bus.stream("KV_longer")
        last = await stored.at(revision)
        assert last is not None
        assert last.headers["Nats-Expected-Last-Subject-Sequence"] == str(revision - 1)
        assert last.headers["Skerry-Actor"] == "alice"
        await longer.purge("a", revision)
        assert [each.value for each in (await longer.changes(">", 0)).entries] == [None]


async def test_changes_come_in_pages_by_number_and_by_bytes(bucket: Bucket, key: str) -> None:
    revisions = [await bucket.create(f"{key}.{n}", b"x" * 1000) for n in range(7)]
    page = await bucket.changes(f"{key}.>", 0, limit=3)
    assert ([each.revision for each in page.entries], page.more) == (revisions[:3], True)
    page = await bucket.changes(f"{key}.>", revisions[2], max_bytes=2500)
    assert 1 <= len(page.entries) < 4
    assert page.more
    page = await bucket.changes(f"{key}.>", revisions[3], limit=3)
    assert ([each.revision for each in page.entries], page.more) == (revisions[4:], False)


async def test_changes_of_nothing_are_none(bucket: Bucket, key: str) -> None:
    assert await bucket.changes(f"{key}.none.>", 0) == ((), False)


async def test_what_is_stored_is_published_again_where_the_bucket_says(nats_host: NatsHost) -> None:
    """Deletions too, with the revision, and nothing of one member to another."""
    async with nats_host.open_bus("registry") as bus:
        config = BucketConfig(republish=("$KV.again.*.>", "again.{{wildcard(1)}}.told.>"))
        bucket = await bus.bucket("again", create=config)
        heard: asyncio.Queue[tuple[str, str, str, bytes]] = asyncio.Queue()
        subscription = bus.subscribe(
            "again.m1.told.>",
            lambda message: heard.put_nowait(
                (
                    message.subject,
                    message.headers["Nats-Sequence"],
                    message.headers.get("KV-Operation", ""),
                    message.data,
                )
            ),
        )
        await bus.ready()
        one = await bucket.create("m1.a.b", b"1")
        await bucket.create("m2.a.b", b"2")
        gone = await bucket.purge("m1.a.b", one)
        async with asyncio.timeout(5):
            assert await heard.get() == ("again.m1.told.a.b", str(one), "", b"1")
            assert await heard.get() == ("again.m1.told.a.b", str(gone), "PURGE", b"")
        subscription.stop()
        await bucket.destroy()
