"""Batches on their way into a real stream: stored once each, whatever happens to their acknowledgements; told when it is cut."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from services.proxy.auditing import writer as writing
from services.proxy.auditing.queue import RecordQueue
from services.proxy.auditing.stream import AuditStream, LastBatch
from services.proxy.auditing.writer import AuditWriter
from skerry import subjects
from skerry.audit.batch import Batch, Chain
from skerry.audit.verify import StoredBatch, Verification
from skerry.bus import Bus
from skerry.errors import GatewayTimeout, ServiceUnavailable
from skerry.identity import nkey
from skerry.identity.assertion import check_record, make_record
from skerry.identity.nkey import KeyType
from tests.audit.logs import record
from tests.fixtures.nats import NatsHost, eventually

pytestmark = pytest.mark.integration
LINE = record()


class Key:
    """A key that the host certified."""

    def __init__(self, host: NatsHost) -> None:
        self._key = nkey.create(KeyType.USER)
        root = host.authority.assertion_root
        self.ready, self.record = True, make_record(root, "P1", self._key.public, int(time.time()) + 3600)

    def sign_audit(self, data: bytes) -> bytes:
        return self._key.sign(data)


class Stream(AuditStream):
    """The stream, whose answers are lost so often, or which does not answer at all."""

    lost, away = 0, False

    async def append(self, subject: str, body: bytes, headers: dict[str, str], after: int) -> int:
        if self.away:
            raise ServiceUnavailable("JetStream does not answer")
        sequence = await super().append(subject, body, headers, after)
        if self.lost:
            self.lost -= 1
            raise GatewayTimeout("no answer: the outcome is unknown")
        return sequence


class World:
    """A writer, its queue and its stream."""

    def __init__(self, host: NatsHost, bus: Bus) -> None:
        self.host, self.bus, self.stream, self.queue = host, bus, Stream(bus), RecordQueue()
        self.writer = AuditWriter(self.stream, "proxy", "P1", Key(host), self.queue)

    async def batches(self) -> list[StoredBatch]:
        return [each async for each in self.stream.batches()]

    async def states(self) -> dict[str, tuple[str, int, int]]:
        """State, records and those that are missing, by writer."""
        root = self.host.authority.assertion_root.public
        verification = Verification(lambda text: check_record((root,), text, 0.0))
        for each in await self.batches():
            verification.take(each)
        return {each.writer: (each.state, each.records, each.gaps) for each in verification.reports(time.time())}

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """While the writer works."""
        task = asyncio.create_task(self.writer.keep())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait((task,))


@pytest.fixture
async def world(fresh_nats_host: NatsHost) -> AsyncIterator[World]:
    await fresh_nats_host.make_buckets()
    async with fresh_nats_host.bus("proxy") as bus:
        yield World(fresh_nats_host, bus)


async def test_a_log_begins_with_a_start_and_ends_with_an_end(world: World) -> None:
    async with world.writing():
        for _ in range(3):
            world.queue.add(*LINE)
        await eventually(lambda: world.queue.bytes == 0)
    world.queue.add(*LINE)
    await world.writer.close(5)
    first, *_, last = await world.batches()
    assert b'"type":"Start"' in first.body
    assert last.body.endswith(b"\n")
    assert b'"type":"End"' in last.body
    assert await world.states() == {"P1": ("ok", 6, 0)}
    assert world.writer.reason == ""


async def test_a_batch_whose_answer_was_lost_is_stored_once(world: World) -> None:
    world.stream.lost = 1
    async with world.writing():
        await world.writer.required(*LINE)
        world.stream.lost = 1
        await world.writer.required(*LINE)
    await world.writer.close(5)
    assert await world.states() == {"P1": ("ok", 4, 0)}


async def test_what_was_on_its_way_when_the_writer_was_stopped_is_not_lost(world: World) -> None:
    async with world.writing():
        await eventually(lambda: not world.writer.reason)
        world.stream.away = True
        world.queue.add(*LINE)
        await eventually(lambda: bool(world.writer.reason))
    world.stream.away = False
    await world.writer.close(5)
    assert await world.states() == {"P1": ("ok", 3, 0)}


async def test_while_it_cannot_be_written_what_is_required_is_refused_and_a_gap_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "REQUIRED_S", 0.1)
    async with world.writing():
        await eventually(lambda: not world.writer.reason)
        world.stream.away = True
        with pytest.raises(ServiceUnavailable, match="nothing was executed") as caught:
            await world.writer.required(*LINE)
        assert caught.value.details.retry_after_seconds == 1
        big = (b"x" * 100_000 + b"\n", *LINE[1:])
        for _ in range(400):
            world.queue.add(*big)
        assert world.queue.bytes < 20 * 1024 * 1024
        assert "does not answer" in world.writer.reason
        world.stream.away = False
        await eventually(lambda: world.queue.bytes == 0, 20)
    await world.writer.close(5)
    ((state, records, gaps),) = (await world.states()).values()
    assert gaps > 200
    assert records - 3 + gaps == 401, "all but the start, the gap and the end are there, or told as missing"
    assert state.startswith("broken"), "the lines of this test are no records"


async def test_a_log_that_somebody_else_wrote_into_goes_on_as_another(world: World) -> None:
    async with world.writing():
        await world.writer.required(*LINE)
        forger, batch = Chain("P1", nkey.create(KeyType.USER).sign), Batch()
        batch.add(*LINE)
        forger.next = 17
        head = forger.seal(batch)
        last = await world.stream.last(subjects.audit_log("proxy", "P1"))
        await world.stream.append(subjects.audit_log("proxy", "P1"), bytes(batch.body), head.headers(), last.sequence)
        await world.writer.required(*LINE)
    await world.writer.close(5)
    states = await world.states()
    assert states["P1-2"] == ("ok", 3, 0)
    assert states["P1"][0].startswith("broken at")


async def test_a_log_says_now_and_then_that_its_writer_lives(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "ALIVE_S", 0.05)

    async def alive() -> bool:
        return sum(b'"type":"Alive"' in each.body for each in await world.batches()) >= 2

    async with world.writing(), asyncio.timeout(10):
        while not await alive():
            await asyncio.sleep(0.02)
    assert await world.stream.last("auditlog.proxy.nobody") == LastBatch(0, "")
