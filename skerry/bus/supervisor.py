"""Connections for ever: `connections` yields one after another, `Bus` keeps everything declared alive on the latest.

A client of nats-py that lost its credentials, or broke a limit, stays closed whatever it was told about reconnecting.
So nothing here reconnects: each connection is a new client with credentials read anew, after a jittered pause (many
agents come back at once after a restart of the server). An attempt that fails, whatever the reason, is a failed attempt.
A supervisor that ends by a bug takes its process with it: one that stays up without a connection helps nobody.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, cast

import msgspec

from skerry.backoff import Backoff
from skerry.bus.connection import Connection, Credentials, Settings
from skerry.bus.consumers import Consumer, ConsumerConfig, open_consumer
from skerry.bus.delivery import ConnectionLost, Gate, Message, MessageHandler, Subscription
from skerry.bus.dial import connect
from skerry.bus.kv import Bucket, BucketConfig, open_bucket
from skerry.bus.objects import ObjectStore, StoreConfig, open_store
from skerry.bus.services import Admit, EndpointHandler, Metadata, MicroService
from skerry.bus.streams import Stream, StreamConfig, open_stream
from skerry.bus.tracer import BusTracer
from skerry.errors import InternalError, ServiceUnavailable, StatusError

log = logging.getLogger(__name__)

TURN_BYTES = 32 * 1024
"""A hundred requests or so, which are refused within a millisecond."""
STABLE_S = 10.0
"""A connection that lived this long ends the backoff."""

CredentialsSource = Callable[[], Credentials | Awaitable[Credentials]]
"""Gives the credentials for the next connection, for example by reading the file again. What it raises is a failure of
that attempt."""


async def connections(
    settings: Settings,
    source: CredentialsSource,
    *,
    stop: asyncio.Event,
    failed: Callable[[StatusError], None] | None = None,
) -> AsyncGenerator[Connection]:
    """Connections, one after another, until `stop`; `failed` hears why each attempt failed.

    The consumer uses a connection until `lost` is done (or as long as it likes) and then asks for the next one; the
    old one is cut then. Iterate inside `contextlib.aclosing`, so that the last one is cut too.
    """
    backoff = Backoff(longest_s=settings.longest_pause_s)
    while not stop.is_set():
        try:
            connection = await _attempt(settings, source)
        except StatusError as e:
            log.warning("no connection to the bus: %s", e.message, extra={"connection": settings.name})
            if failed is not None:
                failed(e)
        else:
            started = time.monotonic()
            try:
                yield connection
            finally:
                connection.abort(handlers=False)
            if time.monotonic() - started > STABLE_S:
                backoff.reset()
        await _pause(stop, backoff.next())


async def _attempt(settings: Settings, source: CredentialsSource) -> Connection:
    try:
        read = source()
        credentials = await read if inspect.isawaitable(read) else read
    except OSError as e:
        raise ServiceUnavailable(f"the credentials for the bus cannot be read: {e}") from e
    except StatusError:
        raise
    except Exception as e:
        log.exception("the credentials for the bus cannot be read")
        raise ServiceUnavailable("the credentials for the bus cannot be read: internal error, see the log") from e
    return await connect(settings, credentials)


class ConnectionPairs:
    """Pairs of connections of two classes, one after another; asking for the next cuts the last.

    To keep an old pair beside a new one, make a second `ConnectionPairs` for the new one.
    """

    def __init__(self, interactive: AsyncGenerator[Connection], bulk: AsyncGenerator[Connection]) -> None:
        self._interactive = interactive
        self._bulk = bulk

    async def next(self) -> tuple[Connection, Connection] | None:
        """The next pair, after a jittered pause if the last one was lost soon; None when they are to stop."""
        first, second = await anext(self._interactive, None), await anext(self._bulk, None)
        return None if first is None or second is None else (first, second)

    async def close(self) -> None:
        """Cut the last pair."""
        await self._interactive.aclose()
        await self._bulk.aclose()


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    waiter = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((waiter,), timeout=seconds)
    finally:
        waiter.cancel()


class _Declared(msgspec.Struct, frozen=True):
    subject: str
    queue: str
    handler: MessageHandler
    concurrency: int
    backlog: int
    gate: Gate | None = None


class Registration:
    """Declared subscriptions; they live over connections until `stop()`."""

    def __init__(self, bus: Bus, declared: list[_Declared], others: tuple[Registration, ...]) -> None:
        """`others` on other connections end with this one."""
        self._bus = bus
        self._declared, self._others = declared, others
        self._live: list[Subscription] = []

    def stop(self) -> None:
        """Unsubscribe, now and on connections to come."""
        self._bus._registrations.discard(self)
        for subscription in self._live:
            subscription.unsubscribe()
        self._live = []
        for other in self._others:
            other.stop()

    def _open(self, connection: Connection) -> None:
        self._live = [
            connection.subscribe_now(
                d.subject, d.handler, queue=d.queue, concurrency=d.concurrency, backlog=d.backlog, gate=d.gate
            )
            for d in self._declared
        ]


class Bus:
    """A supervised connection for everything but frames: `async with Bus(settings, source) as bus`.

    It is entered without waiting for a connection: what needs one waits (`request`, `bucket`) or raises (`publish`).
    """

    def __init__(self, settings: Settings, source: CredentialsSource, tracer: BusTracer | None = None) -> None:
        self._settings = settings
        self._source = source
        self._tracer = tracer
        self._registrations: set[Registration] = set()
        self._connection: Connection | None = None
        self._finishing: list[Connection] = []
        self._up = asyncio.Event()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._owner: asyncio.Task[Any] | None = None
        self._failure: BaseException | None = None
        self.reason = "not connected yet"
        self.generation = 0
        """How many connections it has had; 0 before the first."""

    def another(self, name: str) -> Bus:
        """One more connection with the same credentials, to be entered, for what others may fill; `name` is added to this one's.
        What waits in front of one holds up nothing of the other."""
        settings = msgspec.structs.replace(self._settings, name=f"{self._settings.name}/{name}", turn_bytes=TURN_BYTES)
        return Bus(settings, self._source, self._tracer)

    async def __aenter__(self) -> Bus:
        self._owner = asyncio.current_task()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="bus")
        self._task.add_done_callback(self._ended)
        return self

    async def __aexit__(self, kind: object = None, *exc: object) -> None:
        self._stop.set()
        await self._closed()
        if self._failure is None:
            return
        if kind is asyncio.CancelledError and self._owner is not None:
            self._owner.uncancel()
        raise InternalError("the supervisor of the connection to the bus ended: the log says why") from self._failure

    async def _closed(self) -> None:
        if self._connection is not None and self.connected:
            await self._connection.drain()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        for connection in self._finishing:
            connection.abort()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """The supervisor must outlive the block that entered it: else the block ends too, as a TaskGroup's would."""
        if self._stop.is_set() or task.cancelled():
            return
        self._failure = task.exception() or InternalError("it returned")
        self.reason = "its supervisor ended by a bug"
        log.critical("the supervisor of the connection to the bus ended", exc_info=self._failure)
        if self._owner is not None:
            self._owner.cancel()

    @property
    def connected(self) -> bool:
        """True if there is a live connection now; `reason` says why not."""
        return self._up.is_set() and self._connection is not None and not self._connection.lost.done()

    async def connection(self, timeout_s: float) -> Connection:
        """The live connection; ConnectionLost if there is none within `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self.connected:
                    self._up.clear()
                    await self._up.wait()
        except TimeoutError as e:
            raise ConnectionLost(f"the bus is not connected: {self.reason}") from e
        return cast(Connection, self._connection)

    async def ready(self) -> None:
        """Wait until connected and all declared subscriptions are known to the server. It may take for ever."""
        while True:
            try:
                await (await self.connection(3600.0)).flush()
                return
            except StatusError as e:
                log.debug("the bus is not ready: %s", e.message)

    async def publish(self, subject: str, payload: bytes, *, headers: dict[str, str] | None = None) -> None:
        """Raises ConnectionLost at once while disconnected; nothing is buffered."""
        if not self.connected:
            raise ConnectionLost(f"the bus is not connected: {self.reason}")
        await cast(Connection, self._connection).publish(subject, payload, headers=headers)

    def request(
        self, subject: str, payload: bytes = b"", *, timeout_s: float = 5.0, headers: dict[str, str] | None = None
    ) -> Coroutine[Any, Any, Message]:
        """As Connection.request; while disconnected it waits up to `timeout_s`, then ConnectionLost (not sent)."""
        if self._tracer is None:
            return self._request(subject, payload, timeout_s, headers)
        return self._traced(self._tracer, subject, payload, timeout_s, headers)

    async def _traced(
        self, tracer: BusTracer, subject: str, payload: bytes, timeout_s: float, headers: dict[str, str] | None
    ) -> Message:
        with tracer.requesting(subject, headers) as carrying:
            return await self._request(subject, payload, timeout_s, carrying)

    async def _request(self, subject: str, payload: bytes, timeout_s: float, headers: dict[str, str] | None) -> Message:
        deadline = time.monotonic() + timeout_s
        connection = await self.connection(timeout_s)
        left = max(deadline - time.monotonic(), 0.001)
        return await connection.request(subject, payload, timeout_s=left, headers=headers)

    def subscribe(
        self, subject: str, handler: MessageHandler, *, queue: str = "", concurrency: int = 64, backlog: int = 4096
    ) -> Registration:
        """Declare a subscription: it is created now if connected, and again on every new connection.

        Handlers as in `Connection.subscribe`. `ready()` is the barrier.
        """
        return self._declare([_Declared(subject, queue, handler, concurrency, backlog)])

    def serve(
        self,
        service: str,
        version: str,
        endpoints: Mapping[str, EndpointHandler],
        *,
        description: str = "",
        metadata: Mapping[str, Metadata] | None = None,
        data: Callable[[], object] | None = None,
        admits: Mapping[str, Admit] | None = None,
        asked: Bus | None = None,
    ) -> Registration:
        """A NATS micro service (`nats micro ls`): subject -> handler; queue group = the service's name.

        `metadata` (by subject) is what `nats micro info` shows of an endpoint, `data` what `nats micro stats` shows of all. `admits`
        (by subject) raises a StatusError, inline, for a request that is not to be read; such endpoints are asked on `asked`.
        """
        served = MicroService(service, version, endpoints, description, metadata, data, self._tracer, admits)
        gates = served.gates()
        declared = [
            _Declared(subject, queue, handler, 64, 4096, gates.get(subject))
            for subject, queue, handler in served.subscriptions()
        ]
        others = [each for each in declared if each.gate is None]
        gated = [each for each in declared if each.gate is not None]
        return self._declare(others, ((asked or self)._declare(gated),) if gated else ())

    async def bucket(self, name: str, *, create: BucketConfig | None = None) -> Bucket:
        """The bucket; made if it does not exist and `create` says how, else NotFound. ConnectionLost after 5 s."""
        return await open_bucket(self, name, create)

    async def objects(self, name: str, *, create: StoreConfig | None = None) -> ObjectStore:
        """The object store; made if it does not exist and `create` says how, else NotFound. ConnectionLost after 5 s."""
        return await open_store(self, name, create)

    async def stream(self, name: str, *, create: StreamConfig | None = None) -> Stream:
        """The stream; made if it does not exist and `create` says how, else NotFound. ConnectionLost after 5 s."""
        return await open_stream(self, name, create)

    async def consumer(self, stream: str, name: str, config: ConsumerConfig) -> Consumer:
        """The durable consumer `name` of a stream, made if there is none. NotFound if there is no such stream."""
        return await open_consumer(self, stream, name, config)

    def _declare(self, declared: list[_Declared], others: tuple[Registration, ...] = ()) -> Registration:
        registration = Registration(self, declared, others)
        self._registrations.add(registration)
        if self.connected:
            registration._open(cast(Connection, self._connection))
        return registration

    async def _run(self) -> None:
        async with aclosing(
            connections(self._settings, self._source, stop=self._stop, failed=self._failed)
        ) as attempts:
            async for connection in attempts:
                self.reason = await self._used(connection)
                self._up.clear()
                log.warning("the connection to the bus is lost: %s", self.reason, extra={"connection": connection.name})

    async def _used(self, connection: Connection) -> str:
        """Use a connection until it is lost; returns why. It may be lost before it was used at all: what ends it can come
        with the last bytes of the handshake."""
        try:
            self._use(connection)
        except StatusError as e:
            return e.message
        except Exception:
            log.exception("a connection to the bus cannot be used", extra={"connection": connection.name})
            return "internal error, see the log"
        return await connection.closed()

    def _use(self, connection: Connection) -> None:
        for registration in list(self._registrations):
            registration._open(connection)
        self._finishing = [c for c in self._finishing if c.busy] + [connection]
        self._connection = connection
        self.generation += 1
        self.reason = ""
        self._up.set()

    def _failed(self, error: StatusError) -> None:
        self.reason = error.message
