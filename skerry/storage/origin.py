"""On whose behalf something is stored: three headers of the message in the bucket, from which events know it.

A service's own writes are its own. What it does for a request, however deep inside, it does for who made that request: like the
context of a trace this belongs to the task that answers, not to the arguments of everything between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple
from urllib.parse import unquote

from skerry.api.messages import AUDIT_ID
from skerry.cloudevents import percent_encoded

ACTOR, TRACEPARENT = "Skerry-Actor", "traceparent"


class Origin(NamedTuple):
    """Who causes a write: a user's name or `service:<name>`, the audit id of the request, its place in a trace. Empty: not known."""

    actor: str = ""
    audit_id: str = ""
    traceparent: str = ""

    def headers(self) -> dict[str, str]:
        """Those of the message that is stored."""
        named = {ACTOR: self.actor, AUDIT_ID: self.audit_id, TRACEPARENT: self.traceparent}
        return {name: percent_encoded(value) for name, value in named.items() if value}


_current: ContextVar[Origin | None] = ContextVar("origin", default=None)


@contextmanager
def on_behalf_of(origin: Origin) -> Iterator[None]:
    """What is stored inside is caused by `origin`."""
    token = _current.set(origin)
    try:
        yield
    finally:
        _current.reset(token)


def current(service: str) -> Origin:
    """Who causes what the service `service` stores now: the service itself, if nobody else."""
    return _current.get() or Origin(f"service:{service}")


def origin_of(headers: Mapping[str, str]) -> Origin:
    """Who caused a stored message."""
    return Origin(*(unquote(headers.get(name, "")) for name in (ACTOR, AUDIT_ID, TRACEPARENT)))
