"""Messages and the subscriptions that deliver them: inline for plain functions, in bounded tasks for `async def`.

nats-py runs the handlers of one subscription one at a time, ends a subscription whose handler was cancelled, and drops
silently past half a million messages; none of that is possible here.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol, cast

import msgspec

from skerry.bus.headers import STATUS, decode_headers
from skerry.errors import ServiceUnavailable

log = logging.getLogger(__name__)


class ConnectionLost(ServiceUnavailable):
    """503: there is no connection to the bus; nothing was sent."""


class Origin(Protocol):
    """The part of a connection that its messages and subscriptions need."""

    async def publish(self, subject: str, payload: bytes, *, headers: dict[str, str] | None = None) -> None: ...
    def publish_now(
        self, subject: str, payload: bytes, reply: str = "", headers: dict[str, str] | None = None
    ) -> None: ...
    async def flush(self) -> None: ...
    def mute(self, subject: str, seconds: float) -> None: ...
    def leave(self, sid: int) -> None: ...
    def forget(self, sid: int) -> None: ...


class Message:
    """One message. The headers are parsed when they are asked for."""

    __slots__ = ("_connection", "_headers", "data", "reply", "subject")

    def __init__(self, connection: Origin, subject: str, reply: str, data: bytes, headers: bytes | None) -> None:
        self._connection = connection
        self._headers = headers
        self.subject = subject
        self.reply = reply
        self.data = data

    @property
    def headers(self) -> dict[str, str]:
        """NATS headers; empty if there are none. A status of the server is under `Status`."""
        return {} if self._headers is None else decode_headers(self._headers)

    @property
    def no_responders(self) -> bool:
        """True if this is the server saying that nobody listens where the request went."""
        return self._headers is not None and not self.data and self.headers.get(STATUS) == "503"

    async def respond(self, data: bytes, headers: dict[str, str] | None = None) -> None:
        """Answer; nothing happens if no answer was asked for. Raises as `Connection.publish`."""
        if self.reply:
            await self._connection.publish(self.reply, data, headers=headers)

    def respond_now(self, data: bytes, headers: dict[str, str] | None = None) -> None:
        """The same from a plain handler: what cannot wait for a socket that is behind. Raises as `Connection.publish_now`."""
        if self.reply:
            self._connection.publish_now(self.reply, data, headers=headers)

    def mute(self, seconds: float) -> None:
        """Whoever sends it floods: what else comes with its subject is dropped unread for so long."""
        self._connection.mute(self.subject, seconds)

    def __repr__(self) -> str:
        return f"Message({self.subject}, {len(self.data)} bytes)"


SHARE = 1024
"""Messages with one subject that run and wait at once at a subscription to many (`join.*`), a quarter of an ordinary backlog.
The subject says whose they are: who sends as fast as he can fills his own share, not the queue of all."""

MessageHandler = Callable[[Message], Awaitable[None] | None]
Gate = Callable[[Message, int], bool]
"""Whether a message may have a task: asked of each as it comes, inline, with how many of its subject run and wait already (0 where a
subscription has one subject). What may not is dropped, or was answered there."""


class HandlerLimits(msgspec.Struct, frozen=True):
    """Of an `async def` handler: how many run at once, how many messages wait."""

    concurrency: int
    backlog: int


class Subscription:
    """Interest in one subject on one connection."""

    def __init__(
        self,
        connection: Origin,
        sid: int,
        subject: str,
        handler: MessageHandler,
        limits: HandlerLimits,
        gate: Gate | None = None,
    ) -> None:
        self.subject = subject
        self.dropped = 0
        self._connection = connection
        self._sid = sid
        self._handler = handler
        self._limits, self._gate = limits, gate
        self._waiting: deque[Message] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._shares: Counter[str] | None = Counter() if "*" in subject else None
        """How many with each subject run and wait."""
        self._idle = asyncio.Event()
        self._idle.set()
        self.deliver = self._dispatch if _is_async(handler) else self._inline

    def unsubscribe(self) -> None:
        """Stop now: waiting messages are dropped, handlers that run go on. Never raises."""
        self._waiting.clear()
        self._connection.leave(self._sid)
        self._connection.forget(self._sid)

    async def drain(self) -> None:
        """Leave, behind a barrier (UNSUB reaches the server before we wait), then wait for the handlers."""
        self._connection.leave(self._sid)
        try:
            await self._connection.flush()
        except ServiceUnavailable:
            log.debug("the connection was lost while %s drained", self.subject)
        self._connection.forget(self._sid)
        await self._idle.wait()

    @property
    def busy(self) -> bool:
        """True if a handler is running."""
        return bool(self._tasks)

    def forget(self) -> None:
        """Drop what waits: the connection is lost, nobody can be answered, and whoever asked was told so."""
        self._waiting.clear()

    def cancel(self) -> None:
        """Stop the handlers too."""
        self.unsubscribe()
        for task in self._tasks:
            task.cancel()

    def _inline(self, message: Message) -> None:
        try:
            self._handler(message)
        except ConnectionLost:
            log.debug("a handler could not answer: the connection is lost", extra={"subject": message.subject})
        except Exception:
            log.exception("a handler failed", extra={"subject": message.subject})

    def _dispatch(self, message: Message) -> None:
        if self._gate is not None and not self._is_admitted(self._gate, message):
            return
        is_busy = len(self._tasks) >= self._limits.concurrency
        if self._is_full(message.subject) or (is_busy and len(self._waiting) >= self._limits.backlog):
            self._drop()
            return
        if self._shares is not None:
            self._shares[message.subject] += 1
        if is_busy:
            self._waiting.append(message)
        else:
            self._start(message)

    def _is_admitted(self, gate: Gate, message: Message) -> bool:
        try:
            return gate(message, self._shares[message.subject] if self._shares is not None else 0)
        except Exception:
            log.exception("a gate failed", extra={"subject": message.subject})
            return False

    def _is_full(self, subject: str) -> bool:
        return self._shares is not None and self._shares[subject] >= SHARE

    def _drop(self) -> None:
        self.dropped += 1
        if self.dropped & (self.dropped - 1) == 0:
            log.warning("messages dropped: too many wait", extra={"subject": self.subject, "dropped": self.dropped})

    def _start(self, message: Message) -> None:
        self._idle.clear()
        task = asyncio.get_running_loop().create_task(self._run(message))
        self._tasks.add(task)
        task.add_done_callback(partial(self._done, message.subject))

    async def _run(self, message: Message) -> None:
        try:
            await cast(Awaitable[None], self._handler(message))
        except ConnectionLost:
            log.debug("a handler could not answer: the connection is lost", extra={"subject": message.subject})
        except Exception:
            log.exception("a handler failed", extra={"subject": message.subject})

    def _done(self, subject: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._shares is not None:
            self._shares[subject] -= 1
            if not self._shares[subject]:
                del self._shares[subject]
        if self._waiting:
            self._start(self._waiting.popleft())
        elif not self._tasks:
            self._idle.set()


def _is_async(handler: MessageHandler) -> bool:
    function: Any = handler
    while isinstance(function, partial):
        function = function.func
    if not inspect.isroutine(function):
        function = getattr(function, "__call__", function)  # noqa: B004
    return inspect.iscoroutinefunction(function)
