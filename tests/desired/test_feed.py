"""The feed alone: what is taken of syncs that are under way."""

from __future__ import annotations

import asyncio
from typing import Any

from skerry.api.desired import SyncAnswer, SyncRequest
from skerry.desired.feed import Feed
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

    async def sync(self, request: SyncRequest) -> SyncAnswer:
        """As the registry, late."""
        answer = await super().sync(request)
        self.asked.set()
        await self.answered.wait()
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
