"""Services beside each other in one process: what fails is named and tried again, and takes nothing else with it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from skerry import subjects
from skerry.admission import Rules
from skerry.api.kinds import CLUSTER
from skerry.bus import Message
from skerry.controller import controller as controllers
from skerry.errors import Conflict, InternalError, ServiceUnavailable
from skerry.identity.trust import pinned
from skerry.informer import Change, Informer
from skerry.service import Context, process
from skerry.service.metrics import rendered
from skerry.service.process import expected
from skerry.storage import Store
from tests.fixtures.bucket import cluster
from tests.fixtures.nats import NatsHost, eventually
from tests.fixtures.service import process as running
from tests.fixtures.service import serving
from tests.service.harbour import one_key, service

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "FIRST_S", 0.001)


class Start:
    """A state that fails a number of times before it is there."""

    def __init__(self, *failures: Exception) -> None:
        self._failures = list(failures)
        self.starts = self.ends = 0

    @contextlib.asynccontextmanager
    async def __call__(self, context: Context[Any, Any]) -> AsyncIterator[int]:
        self.starts += 1
        if self._failures:
            raise self._failures.pop(0)
        yield self.starts
        self.ends += 1


async def test_a_service_that_fails_at_its_start_is_named_and_tried_again_beside_one_that_serves(
    nats_host: NatsHost, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "FIRST_S", 0.2)
    steady, shaky = Start(), Start(Conflict("another host is here"), RuntimeError("a bug with secret text"))
    problems = set[str]()
    async with running(
        nats_host, service("steady", state=steady), service("shaky", state=shaky), user="anybody"
    ) as one:

        def ready() -> bool:
            problems.add(one.problem)
            return not one.problem

        await eventually(ready)
        assert (steady.starts, shaky.starts) == (1, 3)
        counted = [(each.service, each.ready, each.failures) for each in one.services()]
        assert counted == [("steady", True, 0), ("shaky", True, 2)]
        text = rendered(one.metrics(), one.services()).decode()
    assert 'skerry_service_failures_total{service="shaky"} 2' in text
    assert 'skerry_service_ready{service="shaky"} 1' in text
    assert (steady.ends, shaky.ends) == (1, 1)
    assert "shaky: another host is here" in problems
    assert "shaky: it failed; the log says why" in problems
    assert not any("secret text" in problem for problem in problems)
    assert {getattr(record, "service", "") for record in caplog.records if record.levelno >= logging.ERROR} == {"shaky"}


async def test_a_reconcile_that_always_raises_is_in_readiness_log_and_metrics_and_stops_nothing_else(
    nats_host: NatsHost, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controllers, "FIRST_S", 0.01)
    seen = asyncio.Event()

    async def broken(key: str) -> None:
        raise RuntimeError("a bug with secret text")

    async def fine(key: str) -> None:
        seen.set()

    parts = (service("bad", one_key("broken", broken)), service("good", one_key("fine", fine)))
    async with running(nats_host, *parts, user="anybody") as one:
        await asyncio.wait_for(seen.wait(), 10)
        await eventually(lambda: "bad/broken: key failed" in one.problem)
        assert "secret text" not in one.problem
        assert "good" not in one.problem
        text = rendered(one.metrics(), one.services()).decode()
    assert 'skerry_service_ready{service="bad"} 0' in text
    assert 'skerry_service_ready{service="good"} 1' in text
    failures = [line for line in text.splitlines() if line.startswith("skerry_controller_errors_total{")]
    assert [line.partition("}")[0] for line in failures] == ['skerry_controller_errors_total{controller="bad/broken"']
    (logged,) = (record for record in caplog.records if getattr(record, "controller", "") == "bad/broken")
    assert (logged.levelname, getattr(logged, "key", "")) == ("ERROR", "key")


async def test_a_key_that_never_ends_is_in_readiness_and_metrics_and_stops_nothing_else(
    nats_host: NatsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controllers, "STUCK_S", 0.05)
    seen, ended = asyncio.Event(), asyncio.Event()

    async def endless(key: str) -> None:
        await ended.wait()

    async def fine(key: str) -> None:
        seen.set()

    parts = (service("bad", one_key("endless", endless)), service("good", one_key("fine", fine)))
    async with running(nats_host, *parts, user="anybody") as one:
        await asyncio.wait_for(seen.wait(), 10)
        await eventually(lambda: "bad/endless: key has been worked on for" in one.problem)
        assert "good" not in one.problem
        assert {each.controller for each in one.metrics() if each.longest_seconds >= 0.05} == {"bad/endless"}
        ended.set()
        await eventually(lambda: not one.problem)


async def test_what_runs_is_finished_at_the_end_and_nothing_new_is_begun(nats_host: NatsHost) -> None:
    begun, gate, calls = asyncio.Event(), asyncio.Event(), list[str]()

    async def slow(key: str) -> None:
        calls.append("begun")
        begun.set()
        await gate.wait()
        calls.append("finished")

    stop = asyncio.Event()
    await nats_host.make_buckets()
    async with nats_host.open_bus("test") as bus, asyncio.TaskGroup() as tasks:
        one = process.Process(
            [service("slow", one_key("slow", slow))], bus, nats_host.settings(), trust_roots=pinned("A")
        )
        tasks.create_task(one.serve(stop))
        await asyncio.wait_for(begun.wait(), 10)
        one.parts[0].controllers[0].add("another")
        stop.set()
        await eventually(lambda: one.problem == "slow: stopping")
        gate.set()
    assert calls == ["begun", "finished"]


async def test_a_stop_while_it_starts_ends_the_start(nats_host: NatsHost) -> None:
    at = asyncio.Event()

    @contextlib.asynccontextmanager
    async def never(context: Context[Any, Any]) -> AsyncIterator[None]:
        at.set()
        await asyncio.Event().wait()
        yield

    async with asyncio.timeout(10), running(nats_host, service("never", state=never), user="anybody"):
        await at.wait()


async def test_what_failed_while_the_bus_was_away_is_tried_at_once_when_it_is_back(
    fresh_nats_host: NatsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not when a pause of minutes is over."""
    monkeypatch.setattr(controllers, "FIRST_S", 300.0)
    failing, done = True, asyncio.Event()

    async def reconcile(key: str) -> None:
        if failing:
            raise ServiceUnavailable("away")
        done.set()

    async with serving(fresh_nats_host, service("one", one_key("key", reconcile)), user="anybody") as one:
        await eventually(lambda: one.metrics()[0].errors == 1)
        failing = False
        fresh_nats_host.restart()
        await asyncio.wait_for(done.wait(), 20)


async def test_a_service_that_starts_again_hears_each_change_once(nats_host: NatsHost) -> None:
    end = asyncio.Event()

    def following(context: Context[Any, Any]) -> Any:
        async def reconcile(key: str) -> None:
            return None

        return context.follow(CLUSTER, context.controller("clusters", reconcile))

    @contextlib.asynccontextmanager
    async def failing(context: Context[Any, Any]) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(fail(end))
            yield
            watch.cancel()

    async def fail(event: asyncio.Event) -> None:
        await event.wait()
        event.clear()
        raise Conflict("once more")

    async with serving(nats_host, service("one", following, state=failing), user="anybody") as one:
        first = one.parts[0].controllers
        end.set()
        await eventually(lambda: one.parts[0].controllers not in {first, ()} and not one.problem)
        assert len(one.informer._store(CLUSTER)._handlers) == 2  # the controller's and garbage collection's


async def test_a_service_whose_event_handler_raises_begins_anew_from_what_is_stored(nats_host: NatsHost) -> None:
    """What a handler that raised keeps, such as rights, would be out of date for ever."""
    known = set[str]()

    class Names:
        """Keeps the names of Clusters; it stumbles over one of them, once."""

        def __init__(self, context: Context[Any, Any]) -> None:
            known.clear()
            known.update(item.name for item in context.informer.list(CLUSTER))
            context.closing.callback(context.informer.add_event_handler(CLUSTER, self._seen))

        def _seen(self, change: Change) -> None:
            if change.new is None:
                return
            if change.new.name == "handler-stumbles" and not stumbled.is_set():
                stumbled.set()
                raise KeyError("a bug with secret text")
            known.add(change.new.name)

    def following(context: Context[Any, Any]) -> Any:
        Names(context)

        async def nothing(key: str) -> None:
            return None

        return context.controller("names", nothing)

    stumbled = asyncio.Event()
    names = ("handler-hears", "handler-stumbles", "handler-hears-again")
    async with (
        serving(nats_host, service("one", following), service("other"), user="anybody") as one,
        nats_host.open_bus("test") as bus,
    ):
        other, store = one.parts[1].controllers, Store(await bus.bucket(subjects.RESOURCES), CLUSTER)
        for name in names:
            await store.create(cluster(name))
        await eventually(lambda: known >= set(names) and not one.problem)
        assert (one.parts[0].failures, one.parts[1].failures) == (1, 0)
        assert one.parts[1].controllers == other


async def test_an_informer_that_ends_ends_the_process(
    fresh_nats_host: NatsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that goes on with one that stands still serves lies."""
    ended = asyncio.Event()

    class Ending(Informer):
        async def feed(self, bucket: Any) -> None:
            async with bucket.watch() as watch:
                async for event in watch:
                    self.take(event)
                    if self.filled.is_set():
                        await ended.wait()
                        return

    monkeypatch.setattr(process, "Informer", Ending)
    await fresh_nats_host.make_buckets()
    async with fresh_nats_host.open_bus("test") as bus:
        one = process.Process([service("one")], bus, fresh_nats_host.settings(), trust_roots=pinned("A"))
        serve = asyncio.ensure_future(one.serve(asyncio.Event()))
        await eventually(lambda: not one.problem)
        ended.set()
        with pytest.raises(ExceptionGroup) as failure:
            await asyncio.wait_for(serve, 10)
        assert failure.group_contains(InternalError, match="the informer ended by itself")


async def test_subjects_that_it_hears_come_with_the_context(nats_host: NatsHost) -> None:
    heard = list[tuple[str, bytes]]()

    def hear(context: Context[Any, Any], message: Message) -> None:
        heard.append((context.name, message.data))

    async with serving(nats_host, service("ear", hears={"sounds.*": hear}), user="anybody") as one:
        await one.bus.publish("sounds.loud", b"boom")
        await eventually(lambda: heard == [("ear", b"boom")])


def test_rules_for_a_kind_of_another_service_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="service harbour has rules for Cluster, which another service owns"):
        dataclasses.replace(service("harbour")[0], rules={CLUSTER: Rules})


def test_admission_to_an_endpoint_that_it_does_not_answer_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"service harbour admits requests to harbour\.x, which it does not answer"):
        dataclasses.replace(service("harbour")[0], admits={"harbour.x": lambda context: None})


def test_an_error_on_purpose_is_found_inside_groups() -> None:
    error = Conflict("named")
    assert expected(ExceptionGroup("outer", [ExceptionGroup("inner", [error])])) is error
    assert expected(ExceptionGroup("outer", [error, ValueError("bug")])) is None
    assert expected(ValueError("bug")) is None


async def test_what_outsiders_fill_holds_up_neither_what_others_say_nor_the_store(nats_host: NatsHost) -> None:
    contexts, heard = list[Context[Any, Any]](), list[str]()

    @contextlib.asynccontextmanager
    async def state(context: Context[Any, Any]) -> AsyncIterator[None]:
        contexts.append(context)
        yield

    async def ask(context: Context[Any, Any], request: dict[str, Any]) -> dict[str, Any]:
        return request

    def hear(context: Context[Any, Any], message: Message) -> None:
        heard.append(message.subject)

    busy = service(
        "busy",
        state=state,
        endpoints={"ask": ask, "own": ask},
        admits={"ask": lambda context, pending: None},
        hears={"inside.x": hear},
        hears_outsiders={"outside.x": hear},
    )
    async with serving(nats_host, busy, user="anybody") as one, nats_host.open_bus("caller") as caller:
        await caller.ready()
        (context,) = contexts
        ways = {"busy.ask": context.asked, "outside.x": context.heard, "inside.x": context.bus, "busy.own": context.bus}
        for full in (context.asked, context.heard):
            reading = cast(asyncio.Transport, (await full.connection(5.0))._wire._io)
            reading.pause_reading()
            for subject, way in ways.items():
                if way is full:
                    continue
                heard.clear()
                if subject.startswith("busy."):
                    assert (await caller.request(subject, b"{}")).data == b"{}"
                else:
                    await caller.publish(subject, b"")
                    await eventually(lambda: heard == [subject])  # noqa: B023
            reading.resume_reading()
        assert not one.problem
        (await context.asked.connection(5.0)).abort("lost")
        assert "busy: one of its connections to the bus is lost" in one.problem
        await eventually(lambda: not one.problem)
        assert (await caller.request("busy.ask", b"{}")).data == b"{}"
