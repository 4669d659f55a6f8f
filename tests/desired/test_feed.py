"""The feed alone: what is taken of syncs that are under way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from skerry.api.desired import MARKER_S, State, SyncAnswer, SyncRequest
from skerry.desired.feed import OLD_S, Feed
from skerry.desired.model import DesiredState
from tests.desired.bucket import Bucket, key_of
from tests.fixtures.nats import eventually


def space(name: str) -> dict[str, Any]:
    """A Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


SPACE = space("shop")


class SlowBucket(Bucket):
    """A sync says what there was when it was asked, once it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.answered = asyncio.Event(), asyncio.Event()
        self.requests, self.answers = list[SyncRequest](), 0

    async def sync(self, request: SyncRequest) -> SyncAnswer:
        """As the registry, late."""
        self.requests.append(request)
        answer = await super().sync(request)
        self.asked.set()
        await self.answered.wait()
        self.answers += 1
        return answer


async def test_a_sync_that_is_answered_after_the_end_brings_nothing_back() -> None:
    """A member that leaves had withdrawn all, and then reported an entry of a late answer as not withdrawn."""
    bucket, state, fresh = SlowBucket(), DesiredState(), list[str]()
    loop = asyncio.get_running_loop()
    feed = Feed(state, bucket, bucket.verify, fresh.extend, clock=loop.time, timers=loop)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(feed.run())
        bucket.put("tenancy", SPACE)
        await bucket.asked.wait()
        feed.end()
        bucket.answered.set()
    last, data = bucket.entries[key_of("tenancy", SPACE)]
    feed.heard(key_of("tenancy", SPACE), last, data)
    assert (state.entries, fresh) == ({}, [])


async def test_what_came_live_while_a_full_answer_was_on_its_way_is_not_withdrawn() -> None:
    """A member that joins: the answer had the first of four bindings, and when it came all four were there, and that this is
    all. The other three, which joining had made, were taken away for a second.
    """
    bucket, state, fresh = SlowBucket(), DesiredState(), list[str]()
    loop = asyncio.get_running_loop()
    feed = Feed(state, bucket, bucket.verify, fresh.extend, clock=loop.time, timers=loop)
    bucket.answered.set()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(feed.run())
        await eventually(lambda: state.epoch)
        bucket.put("tenancy", SPACE)
        bucket.asked.clear()
        bucket.answered.clear()
        feed.ask()
        await bucket.asked.wait()
        later = [bucket.put("tenancy", space(name)) for name in "abc"]
        bucket.complete("tenancy")
        for key, (revision, data) in bucket.entries.items():
            feed.heard(key, revision, data)
        bucket.answered.set()
        await eventually(lambda: state.complete)
        task.cancel()
    assert [key for key in later if not state.entries[key].wanted] == []
    assert state.synced == bucket.last


async def test_an_entry_that_comes_once_more_after_it_was_withdrawn_brings_nothing_back() -> None:
    """A withdrawn key is forgotten, so there is no revision of its own to hold an old message against."""
    bucket, state, fresh = SlowBucket(), DesiredState(), list[str]()
    loop = asyncio.get_running_loop()
    feed = Feed(state, bucket, bucket.verify, fresh.extend, clock=loop.time, timers=loop)
    bucket.answered.set()
    key = bucket.put("tenancy", SPACE)
    old = bucket.entries[key]
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(feed.run())
        await eventually(lambda: key in state.entries)
        bucket.withdraw(key)
        feed.heard(key, *bucket.entries[key])
        await eventually(lambda: not state.entries[key].wanted)
        state.settle(key, State.WITHDRAWN, "", loop.time())

        feed.heard(key, *old)

        assert state.entries == {}
        newer = bucket.put("tenancy", SPACE)
        feed.heard(newer, *bucket.entries[newer])
        assert state.entries[newer].wanted
        task.cancel()


class Wall:
    """A clock of people's."""

    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        return self.now


async def synced(bucket: SlowBucket, feed: Feed) -> SyncRequest:
    """What a feed asks next, once that is answered."""
    count = len(bucket.requests)
    feed.ask()
    await eventually(lambda: len(bucket.requests) > count and bucket.answers > count)
    return bucket.requests[-1]


@pytest.mark.parametrize("away_s", [MARKER_S + 1, -86_400.0], ids=["a-month", "a-clock-set-back"])
async def test_who_was_away_for_longer_than_markers_live_learns_what_went_meanwhile(away_s: float) -> None:
    """It asked what had changed since it knew all, and of what was withdrawn and then forgotten nothing said so: it stayed."""
    bucket, state, wall = SlowBucket(), DesiredState(), Wall()
    bucket.answered.set()
    feed = Feed(state, bucket, bucket.verify, lambda keys: None, clock=wall, timers=asyncio.get_running_loop())
    gone, stays = (bucket.put("tenancy", space(name)) for name in ("gone", "stays"))
    bucket.complete("tenancy")
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        task = group.create_task(feed.run())
        await synced(bucket, feed)
        assert (await synced(bucket, feed)).after == state.synced == bucket.last
        bucket.silent = True
        bucket.withdraw(gone)
        later = bucket.put("tenancy", space("later"))
        del bucket.entries[gone]  # its marker's time is over
        wall.now += away_s
        assert (await synced(bucket, feed)).after == 0
        task.cancel()
    assert {key: known.wanted for key, known in state.entries.items()} == {gone: False, stays: True, later: True}


async def test_who_hears_that_nothing_is_missing_need_not_ask_for_everything() -> None:
    """Members to which nothing happens for months."""
    bucket, state, wall = SlowBucket(), DesiredState(), Wall()
    bucket.answered.set()
    feed = Feed(state, bucket, bucket.verify, lambda keys: None, clock=wall, timers=asyncio.get_running_loop())
    bucket.put("tenancy", SPACE)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        task = group.create_task(feed.run())
        await synced(bucket, feed)
        for _ in range(3):
            wall.now += OLD_S - 1
            feed.told(bucket.epoch, bucket.last)
        wall.now += 1
        assert (await synced(bucket, feed)).after == bucket.last
        task.cancel()
