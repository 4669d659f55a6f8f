"""The feed alone: what is taken of syncs that are under way."""

from __future__ import annotations

import asyncio
from typing import Any

from skerry.api.desired import SyncAnswer, SyncRequest
from skerry.desired.feed import Feed
from skerry.desired.model import DesiredState
from tests.desired.bucket import Bucket, key_of

SPACE: dict[str, Any] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}


class SlowBucket(Bucket):
    """Answers a sync when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.answered = asyncio.Event(), asyncio.Event()

    async def sync(self, request: SyncRequest) -> SyncAnswer:
        """As the registry, late."""
        self.asked.set()
        await self.answered.wait()
        return await super().sync(request)


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
