"""Spans: what they say, whose part they are, and what they never tell."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from skerry import subjects
from skerry.bus import Bus, Message
from skerry.errors import InternalError, NotFound, StatusError
from skerry.service import Context
from skerry.tracing import Tracer
from tests.fixtures.nats import NatsHost, eventually
from tests.fixtures.service import serving
from tests.fixtures.spans import Provider, Recorded
from tests.service.harbour import one_key, service
from tests.service.test_minimal import environment, written
from tests.service.test_run import ended

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def is_child(span: Recorded, parent: Recorded) -> bool:
    return span.parent is not None and span.parent.span_id == parent.get_span_context().span_id


def test_a_request_says_where_it_goes_and_carries_its_context() -> None:
    provider = Provider()
    with Tracer(provider).requesting("direct.munich.connect", {"Signature": "abc"}) as headers:
        (span,) = provider.spans
        assert not span.ended
    context = span.get_span_context()
    assert headers == {"Signature": "abc", "traceparent": f"00-{context.trace_id:032x}-{context.span_id:016x}-01"}
    assert (span.name, span.kind, span.ended) == ("direct.*.connect request", SpanKind.CLIENT, True)
    assert span.attributes == {"messaging.system": "nats", "messaging.destination.template": "direct.*.connect"}
    assert span.status is StatusCode.UNSET


def test_an_answer_is_a_part_of_what_the_headers_say() -> None:
    provider = Provider()
    with Tracer(provider).serving("registry.clusters.create", {"traceparent": TRACEPARENT, "tracestate": "a=1"}):
        pass
    (span,) = provider.spans
    assert span.parent is not None
    assert f"{span.parent.trace_id:032x}-{span.parent.span_id:016x}" in TRACEPARENT
    assert span.parent.trace_state.get("a") == "1"
    assert (span.name, span.kind) == ("registry.clusters.create process", SpanKind.SERVER)


@pytest.mark.parametrize("subject", [subjects.JOINS, subjects.RENEWALS, subjects.DESIRED_SYNCS, subjects.HEARTBEATS])
def test_the_context_of_a_member_is_not_followed(subject: str) -> None:
    provider = Provider()
    with Tracer(provider).serving(subject, {"traceparent": TRACEPARENT}):
        pass
    assert provider.spans[0].parent is None


@pytest.mark.parametrize(
    "hostile",
    ["", "00", "zz" * 27, TRACEPARENT[:-1], f"ff{TRACEPARENT[2:]}", "00-" + "0" * 32 + TRACEPARENT[35:], "x" * 100_000],
)
def test_a_garbled_context_is_none(hostile: str) -> None:
    provider = Provider()
    with Tracer(provider).serving("a.b", {"traceparent": hostile, "tracestate": "=,;" * 1000}):
        pass
    assert provider.spans[0].parent is None


def test_a_key_is_shown_as_far_as_it_is_short() -> None:
    provider = Provider()
    with Tracer(provider).reconciling("quota/leases", "k" * 1000):
        pass
    (span,) = provider.spans
    assert (span.name, span.kind) == ("quota/leases reconcile", SpanKind.INTERNAL)
    assert span.attributes == {"skerry.controller": "quota/leases", "skerry.key": "k" * 256}


@pytest.mark.parametrize(
    ("error", "answered", "asked", "reason"),
    [
        (NotFound("secret"), StatusCode.UNSET, StatusCode.ERROR, "NotFound"),
        (InternalError("secret"), StatusCode.ERROR, StatusCode.ERROR, "InternalError"),
        (KeyError("secret"), StatusCode.ERROR, StatusCode.ERROR, "KeyError"),
    ],
)
def test_a_failure_is_told_by_its_reason_and_not_by_its_text(
    error: Exception, answered: StatusCode, asked: StatusCode, reason: str
) -> None:
    provider = Provider()
    tracer = Tracer(provider)
    for opened in (tracer.serving("a.b", {}), tracer.requesting("a.b", None), tracer.reconciling("a/b", "key")):
        with pytest.raises(type(error)), opened:
            raise error
    assert [span.status for span in provider.spans] == [answered, asked, StatusCode.ERROR]
    assert all(span.ended and span.attributes["error.type"] == reason for span in provider.spans)
    assert not any("secret" in str(vars(span)) for span in provider.spans)


def test_with_no_provider_spans_go_nowhere_and_a_context_goes_through() -> None:
    tracer = Tracer()
    with tracer.requesting("a.b", None) as headers:
        assert headers is None
    with tracer.serving("a.b", {"traceparent": TRACEPARENT}), tracer.requesting("c.d", None) as headers:
        assert headers == {"traceparent": TRACEPARENT}
    assert not trace.get_current_span().get_span_context().is_valid


@pytest.mark.integration
async def test_a_request_its_answer_and_what_is_asked_for_it_are_one_trace(nats_host: NatsHost) -> None:
    here, there = Provider(), Provider()
    seen = list[dict[str, str]]()
    async with (
        Bus(nats_host.settings(), nats_host.anybody, Tracer(here)) as asking,
        Bus(nats_host.settings(), nats_host.anybody, Tracer(there)) as answering,
    ):

        async def last(message: Message) -> bytes:
            seen.append(message.headers)
            return b"done"

        async def first(message: Message) -> bytes:
            return (await answering.request("traced.last", headers={"Own": "1"})).data

        async def refuse(message: Message) -> bytes:
            raise NotFound("no such thing")

        answering.serve("traced", "1", {"traced.first": first, "traced.last": last, "traced.refuse": refuse})
        await answering.ready()
        assert (await asking.request("traced.first")).data == b"done"
        with pytest.raises(NotFound, match="no such thing"):
            await asking.request("traced.refuse")
    (asked, refused), (served, again, done, refusing) = here.spans, there.spans
    assert is_child(served, asked)
    assert is_child(again, served)
    assert is_child(done, again)
    assert is_child(refusing, refused)
    assert (asked.parent, refused.parent) == (None, None)
    assert [headers["Own"] for headers in seen] == ["1"]
    assert (refusing.status, refused.status) == (StatusCode.UNSET, StatusCode.ERROR)


@pytest.mark.integration
async def test_answers_that_overlap_are_parts_of_their_own_requests(nats_host: NatsHost) -> None:
    here, there = Provider(), Provider()
    together = asyncio.Barrier(5)
    async with (
        Bus(nats_host.settings(), nats_host.anybody, Tracer(here)) as asking,
        Bus(nats_host.settings(), nats_host.anybody, Tracer(there)) as answering,
    ):

        async def wait(message: Message) -> bytes:
            await together.wait()
            return b""

        answering.serve("overlap", "1", {"overlap.wait": wait})
        await answering.ready()
        await asyncio.gather(*(asking.request("overlap.wait", timeout_s=30) for _ in range(5)))
    assert all(span.parent is None for span in here.spans)
    parents = [span.parent.span_id for span in there.spans if span.parent is not None]
    assert sorted(parents) == sorted(span.get_span_context().span_id for span in here.spans)


@pytest.mark.integration
async def test_a_bus_without_a_tracer_sends_the_headers_that_it_was_given(nats_host: NatsHost) -> None:
    seen = list[dict[str, str]]()
    async with nats_host.open_bus("test") as bus:

        async def answer(message: Message) -> bytes:
            seen.append(message.headers)
            return b""

        bus.serve("plain", "1", {"plain.a": answer})
        await bus.ready()
        await bus.request("plain.a")
        await bus.request("plain.a", headers={"Own": "1"})
    assert seen == [{}, {"Own": "1"}]


@pytest.mark.integration
async def test_a_reconcile_of_a_service_is_a_span_and_what_it_asks_is_a_part_of_it(nats_host: NatsHost) -> None:
    provider = Provider()
    buses = list[Context[Any, Any]]()

    async def reconcile(key: str) -> None:
        with pytest.raises(StatusError):
            await buses[0].bus.request("nobody.answers")

    def make(context: Context[Any, Any]) -> Any:
        buses.append(context)
        return one_key("asks", reconcile)(context)

    async with serving(nats_host, service("traced", make), user="anybody", tracer=Tracer(provider)):
        await eventually(lambda: bool(provider.named("nobody.answers request")) and provider.spans[-1].ended)
    (reconciled,), (asked,) = provider.named("traced/asks reconcile"), provider.named("nobody.answers request")
    assert reconciled.attributes == {"skerry.controller": "traced/asks", "skerry.key": "key"}
    assert reconciled.status is StatusCode.UNSET
    assert is_child(asked, reconciled)
    assert asked.attributes["error.type"] == "ServiceUnavailable"


@pytest.mark.integration
def test_a_provider_that_is_not_there_ends_the_process_with_the_names_of_what_to_look_at(
    nats_host: NatsHost, tmp_path: Path
) -> None:
    written(tmp_path)
    env = environment(nats_host, tmp_path, SKERRY_TRACING="1") | {"OTEL_PYTHON_TRACER_PROVIDER": "nonsense"}
    exit_code, line = ended("import harbour.__main__", env)
    assert exit_code == 2
    assert "OTEL_PYTHON_TRACER_PROVIDER" in line


@pytest.mark.parametrize(
    "module",
    ["services.agent.__main__", "services.tower.__main__", "services.controller_manager.__main__", "skerry.cli.app"],
)
def test_nothing_imports_opentelemetry_until_there_is_a_tracer(module: str) -> None:
    commands = "skerry.cli.app.tree('')" if module == "skerry.cli.app" else ""
    code = f"import sys, {module}; {commands}\nprint(sorted(n for n in sys.modules if n.startswith('opentelemetry')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr
