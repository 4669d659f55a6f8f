"""GET /events: which events are asked for, and how they come, also while the bus is away."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.proxy.events import EventQuery, Events, query_of
from services.proxy.hostapi.request import Query
from skerry import cloudevents, subjects
from skerry.bus import Bus, Stream
from skerry.cloudevents import CloudEvent, EventData
from skerry.errors import BadRequest, MethodNotAllowed, ServiceUnavailable
from skerry.http import ClientGone
from skerry.httpwire.head import RequestHead
from skerry.storage import make_all
from tests.fixtures.nats import NatsHost, eventually

NOW = 1_900_000_000.0


def event(number: int, name: str = "m1", kind: str = "cluster", verb: str = "ready") -> CloudEvent:
    return CloudEvent(
        id=f"resources:{number}:{verb}",
        source="/hosts/u/registry",
        type=f"dev.skerry.{kind}.{verb}",
        subject=f"{kind}/{name}",
        time="2030-01-31T12:00:00.000Z",
        data=EventData(type="Normal", reason=verb.title(), cluster=name if kind == "cluster" else ""),
    )


class TestTheQuery:
    def test_nothing_asks_for_all(self) -> None:
        assert query_of(Query(""), NOW) == EventQuery()

    def test_filters_are_alternatives_each_and_all_hold(self) -> None:
        query = query_of(Query("kind=Cluster&kind=member&cluster=m1&type=dev.skerry.*.notready&type=*.ready"), NOW)
        assert query.subject == "event.>"
        assert query.matches(event(1))
        assert not query.matches(event(1, name="m2"))
        assert not query.matches(event(1, kind="workspace"))
        assert not query.matches(event(1, verb="joined"))

    def test_one_kind_is_read_alone(self) -> None:
        assert query_of(Query("kind=Cluster"), NOW).subject == "event.cluster.>"

    @pytest.mark.parametrize(("since", "when"), [("90m", NOW - 5400), ("2030-01-31T12:00:00Z", 1896091200.0)])
    def test_since_is_a_duration_or_a_time(self, since: str, when: float) -> None:
        assert query_of(Query(f"since={since}"), NOW).since == when

    @pytest.mark.parametrize(
        ("query", "why"),
        [
            ("since=yesterday", "use for example since=1h"),
            ("since=2030-13-01T00:00:00Z", "use for example since=1h"),
            ("since=-1h", "use for example since=1h"),
            ("after=x", "is not the sequence of an event"),
            ("after=-1", "is not the sequence of an event"),
            ("after=" + "9" * 30, "is not the sequence of an event"),
            ("kind=a.>", "cannot be part of a subject"),
            ("type=" + "x" * 200, "128 characters"),
            ("&".join(["cluster=m"] * 17), "at most 16 values of cluster"),
            ("clutser=m1", "there is no parameter 'clutser': use after, cluster"),
        ],
    )
    def test_what_is_wrong_is_said_with_what_is_right(self, query: str, why: str) -> None:
        with pytest.raises(BadRequest, match=why):
            query_of(Query(query), NOW)


class Client:
    """Takes an answer."""

    def __init__(self, query: str = "", method: bytes = b"GET") -> None:
        self.head = RequestHead(
            method=method, target=b"/events" + (b"?" + query.encode() if query else b""), headers=[]
        )
        self.data, self.left, self.finished = b"", False, False

    async def start(self, head: Any, *, length: int | None) -> None:
        assert dict(head.headers)[b"content-type"] == b"application/x-ndjson"

    async def write(self, data: bytes) -> None:
        if self.left:
            raise ClientGone
        self.data += data

    async def finish(self) -> None:
        self.finished = True

    @property
    def ids(self) -> list[str]:
        return [json.loads(line)["id"] for line in self.data.splitlines() if line]


class Told:
    """The stream of events, and who reads it with the front door's rights."""

    def __init__(self, registry: Bus, proxy: Bus) -> None:
        self.stream, self.events = Stream(registry, subjects.EVENT_STREAM), Events(proxy)
        self.bus = proxy

    async def tell(self, *events: CloudEvent) -> None:
        for each in events:
            headers = cloudevents.headers_of(each)
            await self.stream.publish(cloudevents.bus_subject(each), cloudevents.data_of(each), headers=headers)

    async def ask(self, query: str = "") -> list[str]:
        client = Client(query)
        await self.events.answer(client)
        assert client.finished
        return client.ids


@pytest.fixture
async def told(fresh_nats_host: NatsHost) -> AsyncIterator[Told]:
    async with fresh_nats_host.bus("registry") as registry, fresh_nats_host.bus("proxy") as proxy:
        await make_all(registry)
        yield Told(registry, proxy)


@pytest.mark.integration
class TestTheAnswer:
    async def test_has_what_happened_in_order_and_filtered(self, told: Told) -> None:
        await told.tell(*(event(number, f"m{number % 2}") for number in range(1, 1201)))
        ids = await told.ask()
        assert ids == [f"resources:{number}:ready" for number in range(1, 1201)]
        assert await told.ask("cluster=m1&type=dev.skerry.cluster.*") == ids[::2]
        assert await told.ask("kind=cluster&after=1198") == ids[1198:]
        assert await told.ask("since=1h") == ids
        assert await told.ask(f"since={_later()}") == []

    async def test_goes_on_with_what_happens_through_a_restart_of_the_bus(
        self, told: Told, fresh_nats_host: NatsHost
    ) -> None:
        await told.tell(event(1))
        client, other = Client("follow=1"), Client("follow=1&cluster=none")
        tasks = [asyncio.create_task(told.events.answer(each)) for each in (client, other)]
        await eventually(lambda: client.ids == ["resources:1:ready"])
        await told.tell(event(2))
        await eventually(lambda: len(client.ids) == 2)
        fresh_nats_host.restart()
        await told.bus.ready()
        await told.stream._link.ready()  # type: ignore[attr-defined]
        await told.tell(event(3))
        await eventually(lambda: client.ids == [f"resources:{number}:ready" for number in (1, 2, 3)], 15)
        client.left = other.left = True
        for number in (4, 5):
            await told.tell(event(number, "none"))
        with pytest.raises(ClientGone):
            await tasks[0]
        with pytest.raises(ClientGone):
            await tasks[1]

    async def test_skips_what_is_no_event(self, told: Told, fresh_nats_host: NatsHost) -> None:
        await told.stream.publish("event.system.x.y", b"rubbish")
        await told.tell(event(1))
        assert await told.ask() == ["resources:1:ready"]

    async def test_is_refused_without_a_stream_and_to_other_methods(self, fresh_nats_host: NatsHost) -> None:
        async with fresh_nats_host.bus("proxy") as proxy:
            with pytest.raises(ServiceUnavailable, match="its bus has no stream for them yet"):
                await Events(proxy).answer(Client())
            with pytest.raises(MethodNotAllowed):
                await Events(proxy).answer(Client(method=b"POST"))


def _later() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
