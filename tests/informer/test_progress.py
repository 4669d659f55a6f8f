"""Reads that must not be older than the store."""

from __future__ import annotations

import asyncio

import pytest

from skerry.errors import GatewayTimeout, ServiceUnavailable
from skerry.informer import progress as progress_module
from skerry.informer.progress import RevisionProgress
from tests.informer.entries import entry, filled


class Leader:
    """Answers with a revision, when told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers: asyncio.Queue[int] = asyncio.Queue()

    async def last_revision(self) -> int:
        self.asked += 1
        return await self.answers.get()


async def test_concurrent_consistent_reads_share_questions_asked_after_them() -> None:
    cache, leader = filled(entry("a", 1)), Leader()
    cache._progress.leader = leader
    reads = [asyncio.ensure_future(cache.current()) for _ in range(1)]
    await asyncio.sleep(0)
    reads += [asyncio.ensure_future(cache.current()) for _ in range(50)]
    await asyncio.sleep(0)
    leader.answers.put_nowait(1)
    leader.answers.put_nowait(1)
    assert set(await asyncio.gather(*reads)) == {1}
    assert leader.asked == 2


async def test_a_consistent_read_waits_for_the_cache() -> None:
    cache, leader = filled(entry("a", 1)), Leader()
    cache._progress.leader = leader
    leader.answers.put_nowait(2)
    read = asyncio.ensure_future(cache.current())
    await asyncio.sleep(0)
    assert not read.done()
    cache.take(entry("a", 2))
    assert await read == 2


async def test_a_consistent_read_says_when_it_cannot_be() -> None:
    cache, leader = filled(entry("a", 1)), Leader()
    with pytest.raises(ServiceUnavailable):
        await cache.current(0.05)
    cache._progress.leader = leader
    leader.answers.put_nowait(99)
    with pytest.raises(GatewayTimeout):
        await cache.current(0.05)


def test_revisions_of_which_something_was_not_seen_are_not_known() -> None:
    progress = RevisionProgress()
    progress.skip(4, 6)
    progress.skip(9, 10)
    assert [progress.knows(revision) for revision in range(3, 11)] == [
        True,
        False,
        False,
        True,
        True,
        True,
        False,
        True,
    ]


def test_before_the_end_of_a_gap_that_is_forgotten_nothing_is_known() -> None:
    progress = RevisionProgress()
    for number in range(progress_module.GAPS + 1):
        progress.skip(10 * number + 5, 10 * number + 7)
    assert [progress.knows(revision) for revision in (4, 6, 7, 14, 15, 17)] == [False, False, True, True, False, True]
    progress.restart()
    assert progress.knows(4)
