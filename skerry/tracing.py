"""Spans of the host's services: the only module that imports OpenTelemetry, and that not before a `Tracer` is made.

    tracer = Tracer() if settings.tracing else None
    async with Bus(how, source, tracer) as connected: …

A request on the bus that a service makes or answers, and each reconcile, is a span; what a request is part of travels with
it in the headers of W3C Trace Context, its sampled flag too. While tracing is off there is no `Tracer`, and the bus and the
controllers call nothing. OpenTelemetry's API alone is needed: where spans go, and which of them are kept, is the matter of the
provider that stands behind it (`OTEL_PYTHON_TRACER_PROVIDER`); with none they go nowhere.

A span says where something was done, how long it took, and the reason of a failure; never a message's text or body. A
context that came from a member is not followed: nobody outside the host decides what the host keeps.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from skerry import __version__, subjects
from skerry.errors import StatusError
from skerry.settings import SettingsError

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanKind, TracerProvider
    from opentelemetry.util.types import Attributes

TRACING = "Open spans of requests on the bus and of reconciles, for the provider in OTEL_PYTHON_TRACER_PROVIDER."
"""The setting's description, in every process that has it."""
SHORT = 256
"""Characters of a key that a span shows."""
SERVER_ERROR = 500
"""A Status below is the caller's error; the span of who answered it has not failed (OpenTelemetry's rule for servers)."""


class Tracer:
    """Opens spans. Each method is a context manager to hold around what it is named for."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        """`provider` defaults to the one that the environment names. SettingsError if that cannot be had."""
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()
        self._tracer = (provider or _provider()).get_tracer("skerry", __version__)

    @contextmanager
    def requesting(self, subject: str, headers: Mapping[str, str] | None) -> Iterator[dict[str, str] | None]:
        """A request that is made on the bus; gives the headers to send, None if there are none."""
        template = subjects.template(subject)
        with self._span(f"{template} request", self._trace.SpanKind.CLIENT, _on_bus(template)):
            carrying = dict(headers or {})
            self._propagator.inject(carrying)
            yield carrying or None

    @contextmanager
    def serving(self, subject: str, headers: Mapping[str, str]) -> Iterator[None]:
        """A request that is answered at the endpoint `subject`, as part of what its headers say."""
        parent = None if subjects.from_members(subject) else self._propagator.extract(headers)
        with self._span(f"{subject} process", self._trace.SpanKind.SERVER, _on_bus(subject), parent):
            yield

    @contextmanager
    def reconciling(self, controller: str, key: str) -> Iterator[None]:
        """One reconcile of a key."""
        attributes = {"skerry.controller": controller, "skerry.key": key[:SHORT]}
        with self._span(f"{controller} reconcile", self._trace.SpanKind.INTERNAL, attributes):
            yield

    @contextmanager
    def _span(self, name: str, kind: SpanKind, attributes: Attributes, context: Any = None) -> Iterator[None]:
        """OpenTelemetry's own record of an exception has its text and stack, which are nobody's outside: not asked for."""
        with self._tracer.start_as_current_span(
            name, context, kind, attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except Exception as error:
                self._failed(span, kind, error)
                raise

    def _failed(self, span: Span, kind: SpanKind, error: Exception) -> None:
        known = isinstance(error, StatusError)
        reason = error.reason if isinstance(error, StatusError) else type(error).__name__
        span.set_attribute("error.type", reason)
        if isinstance(error, StatusError) and kind is self._trace.SpanKind.SERVER and error.code < SERVER_ERROR:
            return
        span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, reason if known else "a bug"))


def _on_bus(subject: str) -> dict[str, str]:
    """Attributes of OpenTelemetry's conventions for messaging."""
    return {"messaging.system": "nats", "messaging.destination.template": subject}


def _provider() -> TracerProvider:
    from opentelemetry import trace

    logging.getLogger("opentelemetry.util").setLevel(logging.CRITICAL + 1)  # it logs a stack; ours is one line
    try:
        return trace.get_tracer_provider()
    except Exception as error:
        raise SettingsError(
            "the tracer provider that OTEL_PYTHON_TRACER_PROVIDER names cannot be loaded: is its package installed?"
        ) from error
