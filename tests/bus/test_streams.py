"""Streams and durable consumers, on a real server."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest

from skerry.bus import Bus, Consumer, ConsumerConfig, Stream, StreamConfig
from skerry.errors import NotFound, StatusError
from tests.fixtures.nats import NatsHost

pytestmark = pytest.mark.integration
_names = (f"S{i}" for i in itertools.count())


@pytest.fixture
async def bus(nats_host: NatsHost) -> AsyncIterator[Bus]:
    async with nats_host.open_bus("streams") as bus:
        yield bus


@pytest.fixture
async def stream(bus: Bus) -> Stream:
    """A stream of the test's own; its subjects begin with its name."""
    name = next(_names)
    return await bus.stream(name, create=StreamConfig(subjects=(f"{name}.>",)))


async def test_a_message_is_stored_once_for_each_id(stream: Stream) -> None:
    first = await stream.publish(f"{stream.name}.a", b"1", message_id="x")
    again = await stream.publish(f"{stream.name}.a", b"1", message_id="x")
    assert (first.duplicate, again.duplicate, again.sequence) == (False, True, first.sequence)


async def test_messages_are_read_by_sequence_time_and_subject(stream: Stream) -> None:
    for number in range(5):
        await stream.publish(
            f"{stream.name}.{'odd' if number % 2 else 'even'}", str(number).encode(), headers={"n": "v"}
        )
    page = await stream.read(limit=2)
    assert ([each.data for each in page.messages], page.more) == ([b"0", b"1"], True)
    page = await stream.read(after=page.messages[-1].sequence)
    assert ([each.data for each in page.messages], page.more) == ([b"2", b"3", b"4"], False)
    odd = await stream.read(f"{stream.name}.odd")
    assert [each.data for each in odd.messages] == [b"1", b"3"]
    since = await stream.read(since=page.messages[1].created)
    assert b"4" in [each.data for each in since.messages]
    assert odd.messages[0].headers["n"] == "v"
    assert await stream.read(after=99) == ((), False)
    assert (await stream.read(since=4102444800.0)).messages == ()


async def test_one_message_is_found_by_its_sequence_and_the_last_by_its_subject(stream: Stream) -> None:
    ack = await stream.publish(f"{stream.name}.a", b"1")
    await stream.publish(f"{stream.name}.a", b"2")
    found, last = await stream.at(ack.sequence), await stream.last(f"{stream.name}.a")
    assert found is not None
    assert last is not None
    assert (found.data, last.data, last.sequence) == (b"1", b"2", ack.sequence + 1)
    assert await stream.at(99) is None
    assert await stream.last(f"{stream.name}.b") is None


async def test_a_stream_that_is_not_there_is_not_found(bus: Bus) -> None:
    with pytest.raises(NotFound):
        await bus.stream("NONE")
    with pytest.raises(StatusError):
        await Stream(bus, "NONE").publish("none.a", b"")


async def test_what_was_not_acknowledged_comes_again_in_order_before_anything_newer(bus: Bus, stream: Stream) -> None:
    consumer = await bus.consumer(stream.name, "c", ConsumerConfig(subjects=(f"{stream.name}.>",)))
    for number in range(4):
        await stream.publish(f"{stream.name}.a", str(number).encode())
    first, second, third = await consumer.fetch(3)
    second.acknowledge()
    first.acknowledge()
    await bus.ready()
    assert [each.data for each in (await consumer.fetch(1))] == [b"3"]
    state = await consumer.state()
    assert (state.acknowledged, state.delivered, state.unacknowledged) == (2, 4, 2)
    await consumer.reset()
    assert [each.data for each in await consumer.fetch(10)] == [b"2", b"3"]
    assert third.deliveries == 1


async def test_a_fetch_waits_for_the_first_message_and_ends_without_one(bus: Bus, stream: Stream) -> None:
    consumer = await bus.consumer(stream.name, "c", ConsumerConfig(subjects=(f"{stream.name}.>",)))
    assert await consumer.fetch(5) == []
    assert await consumer.fetch(5, wait_s=0.05) == []
    await stream.publish(f"{stream.name}.a", b"1")
    (only,) = await consumer.fetch(5, wait_s=5)
    only.acknowledge()


async def test_a_consumer_begins_behind_a_sequence_and_keeps_what_a_newer_replica_added(
    bus: Bus, stream: Stream
) -> None:
    for subject in ("a", "b", "a", "b"):
        await stream.publish(f"{stream.name}.{subject}", subject.encode())
    narrow, wide = ((f"{stream.name}.a",), (f"{stream.name}.a", f"{stream.name}.b"))
    consumer = await bus.consumer(stream.name, "c", ConsumerConfig(subjects=narrow, after=1))
    (only,) = await consumer.fetch(5)
    assert only.sequence == 3
    await bus.consumer(stream.name, "c", ConsumerConfig(subjects=wide, after=9))
    older = await bus.consumer(stream.name, "c", ConsumerConfig(subjects=narrow, after=1))
    await stream.publish(f"{stream.name}.b", b"new")
    assert b"new" in [each.data for each in await older.fetch(5)]


async def test_a_consumer_that_is_not_there_is_not_found(bus: Bus, stream: Stream) -> None:
    with pytest.raises(NotFound):
        await Consumer(bus, stream.name, "none").fetch(1)
    with pytest.raises(NotFound):
        await Consumer(bus, stream.name, "none").state()
