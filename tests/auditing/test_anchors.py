"""Where audit logs end is told as events, each minute: of what went on, one behind the other, and a copy shows what was cut."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from services.audit import anchors
from services.audit.anchors import Anchors, digest
from skerry import cloudevents, subjects
from skerry.audit.export import ANCHOR, PREVIOUS, AuditAnchor, anchor_of
from skerry.bus import Bus, Stream
from skerry.controller.publisher import EventPublisher
from skerry.controller.recorder import Recorder
from skerry.storage import make_all
from tests.audit.logs import Log, verified, whole
from tests.fixtures.nats import NatsHost

pytestmark = pytest.mark.integration


class World:
    """Streams, and a service that tells anchors."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.recorder = Recorder(
            None, "audit", publisher=EventPublisher(Stream(bus, subjects.EVENT_STREAM), "audit", source)
        )

    def service(self) -> Anchors:
        return Anchors(self.bus, self.recorder, source)

    async def store(self, log: Log, begin: int = 0) -> None:
        """The batches of a log, from one on."""
        stream = Stream(self.bus, subjects.AUDIT)
        for batch in log.batches[begin:]:
            await stream.publish(f"auditlog.proxy.{log.writer}", batch.body, headers=dict(batch.headers))

    async def told(self) -> list[cloudevents.CloudEvent]:
        """All anchors so far."""
        async with asyncio.timeout(20):
            await self.recorder.flushed()
        page = await Stream(self.bus, subjects.EVENT_STREAM).read("event.system.audit.auditanchor")
        return [cloudevents.from_message(each.headers, each.data) for each in page.messages]


async def source() -> str:
    return "/hosts/u/audit"


@pytest.fixture
async def world(fresh_nats_host: NatsHost) -> AsyncIterator[World]:
    async with fresh_nats_host.open_bus("controller-manager") as bus:
        await make_all(bus)
        made = World(bus)
        task = asyncio.create_task(made.recorder.run())
        try:
            yield made
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _anchor(event: cloudevents.CloudEvent) -> AuditAnchor:
    return msgspec.json.decode(event.data.details[ANCHOR], type=AuditAnchor)


async def test_each_anchor_has_the_logs_that_went_on_and_names_the_one_before(world: World) -> None:
    service, log, quiet = world.service(), whole(2, "P1"), whole(1, "P2")
    await world.store(log)
    await world.store(quiet)
    assert (await service.reconcile("all")).seconds == anchors.PERIOD_S
    await service.reconcile("all")
    begin = len(log.batches)
    log.write("carol")
    await world.store(log, begin)
    await service.reconcile("all")

    first, second = await world.told()

    assert {each.writer: each.last for each in _anchor(first).heads} == {"P1": 6, "P2": 4}
    assert {each.writer: (each.last, each.hash) for each in _anchor(second).heads} == {"P1": (7, log.chain.head)}
    assert (_anchor(first).host, first.data.details[PREVIOUS]) == ("u", "")
    assert second.data.details[PREVIOUS] == digest(first.data.details[ANCHOR])


async def test_who_leads_next_goes_on_behind_the_last_anchor(world: World) -> None:
    await world.store(whole(1, "P1"))
    await world.service().reconcile("all")
    (first,) = await world.told()

    await world.service().reconcile("all")

    _, second = await world.told()
    assert second.data.details[PREVIOUS] == digest(first.data.details[ANCHOR])
    assert _anchor(second).heads == _anchor(first).heads


async def test_a_batch_whose_headers_say_nothing_is_passed_over(world: World) -> None:
    await world.store(whole(1, "P1"))
    await Stream(world.bus, subjects.AUDIT).publish("auditlog.proxy.P9", b"{}\n")

    await world.service().reconcile("all")

    (event,) = await world.told()
    assert [each.writer for each in _anchor(event).heads] == ["P1"]


async def test_many_logs_are_told_in_several(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anchors, "MOST_HEADS", 2)
    for name in ("P1", "P2", "P3"):
        await world.store(whole(1, name))

    await world.service().reconcile("all")

    assert [len(_anchor(each).heads) for each in await world.told()] == [2, 1]


async def test_events_that_were_carried_away_show_what_was_cut(world: World) -> None:
    service, log = world.service(), whole(2, "P1")
    await world.store(log)
    await service.reconcile("all")
    begin = len(log.batches)
    log.write("carol")
    await world.store(log, begin)
    await service.reconcile("all")
    lines = [cloudevents.structured(each) for each in await world.told()]

    for kept in (b"\n".join(lines), b"[" + b",".join(lines) + b"]"):
        anchor = anchor_of(kept)
        assert [each.last for each in anchor.heads] == [7]
        (report,) = verified(*log.batches[:-1], anchored=anchor.heads)
        assert report.state == "behind anchor: it had 7 records, and has 6"


@pytest.mark.parametrize("text", [b"", b"{}", b"[1]", b'{"data": {"details": {"anchor": 7}}}', b'{"data": 1}'])
def test_what_has_no_anchor_is_told(text: bytes) -> None:
    with pytest.raises(ValueError, match="no anchor"):
        anchor_of(text)
