"""Records that wait: in groups, up to a limit; what is given up is counted."""

from __future__ import annotations

import asyncio

import pytest

from services.proxy.auditing.queue import QUEUE_BYTES, RecordQueue
from skerry.audit.batch import MOST_BYTES, MOST_RECORDS
from skerry.errors import ServiceUnavailable

AT = "2026-11-28T10:00:00.000000Z"
LINE = b"x" * 999 + b"\n"


async def test_a_record_is_due_a_moment_later_and_taken_with_those_that_came_meanwhile() -> None:
    queue = RecordQueue()
    queue.add(LINE, AT, "alice", "m1")
    queue.add(LINE, AT, "bob", "")
    assert await queue.due(5)
    group = queue.take()
    assert group is not None
    assert (group.records, group.users, group.clusters) == (2, {"alice", "bob"}, {"m1", ""})
    assert queue.take() is None
    assert queue.bytes == 2 * len(LINE)
    queue.written(group)
    assert queue.bytes == 0
    assert not await queue.due(0.001)


@pytest.mark.parametrize(("size", "records"), [(10, MOST_RECORDS), (MOST_BYTES // 4, 4)])
async def test_a_full_group_is_due_at_once(size: int, records: int) -> None:
    queue = RecordQueue()
    for _ in range(records + 1):
        queue.add(b"x" * size, AT)
    assert await queue.due(0.001)
    sizes = [group.records for group in iter(queue.take, None)]
    assert sizes == [records, 1]


async def test_beyond_its_limit_the_oldest_become_a_number() -> None:
    lost: list[int] = []
    queue = RecordQueue(lost.append)
    first = queue.required(LINE, "2026-11-28T09:00:00.000000Z", "alice", "m1")
    for _ in range(2 * QUEUE_BYTES // len(LINE)):
        queue.add(LINE, AT)
    assert queue.bytes <= QUEUE_BYTES + MOST_BYTES
    gap = queue.take_gap()
    assert gap is not None
    assert (gap.records, gap.since) == (sum(lost), "2026-11-28T09:00:00.000000Z")
    assert queue.take_gap() is None
    with pytest.raises(ServiceUnavailable, match="nothing was executed"):
        await first
    waiting = sum(group.records for group in iter(queue.take, None))
    assert waiting + sum(lost) == 1 + 2 * QUEUE_BYTES // len(LINE)


async def test_who_waits_is_told_when_it_is_stored() -> None:
    queue = RecordQueue()
    stored = queue.required(LINE, AT, "alice", "m1")
    assert await queue.due(0.001), "it is due at once"
    group = queue.take()
    assert group is not None
    assert not stored.done()
    queue.written(group)
    async with asyncio.timeout(1):
        await stored
