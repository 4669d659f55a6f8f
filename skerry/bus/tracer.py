"""Where spans would begin and end on the bus. `skerry.tracing` opens them; nothing here, and nothing of an agent, knows it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from skerry.bus.delivery import Message


class BusTracer(Protocol):
    """Spans of requests on the bus. What is raised inside one ends it as failed, and goes on."""

    def requesting(
        self, subject: str, headers: Mapping[str, str] | None
    ) -> AbstractContextManager[dict[str, str] | None]:
        """A span around a request that is made; inside: the headers to send, which carry it."""
        ...

    def serving(self, subject: str, headers: Mapping[str, str]) -> AbstractContextManager[object]:
        """A span around the answer of an endpoint; `headers` are the request's, `subject` may have wildcards."""
        ...


def served(
    tracer: BusTracer, subject: str, endpoint: Callable[[Message], Awaitable[bytes]]
) -> Callable[[Message], Awaitable[bytes]]:
    """`endpoint`, with a span around each answer."""

    async def traced(message: Message) -> bytes:
        with tracer.serving(subject, message.headers):
            return await endpoint(message)

    return traced
