"""GET /events: what happened, as lines of JSON, each a CloudEvent in structured mode; with `follow` also what happens.

Everything is read from the stream EVENTS by sequence, so a follower misses nothing, whatever becomes of the bus meanwhile; that an
event came is only the sign to look. An empty line now and then tells a client that the answer lives.
"""

from __future__ import annotations

import asyncio
import fnmatch
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from services.proxy.hostapi.request import Query, parse
from skerry import cloudevents, subjects
from skerry.api import duration
from skerry.api.times import seconds
from skerry.bus import Bus, Message, NoResponders, Page, Registration, Stream
from skerry.cloudevents import CloudEvent
from skerry.controller.publisher import EventPublisher
from skerry.controller.recorder import Recorder
from skerry.errors import BadRequest, MethodNotAllowed, NotFound, ServiceUnavailable, StatusError
from skerry.httpwire.head import Headers, RequestHead, ResponseHead

HEADERS: Headers = [
    (b"content-type", b"application/x-ndjson"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-cache, private"),
]
LOOK_S, ALIVE_S, AGAIN_S = 5.0, 30.0, 0.5
"""A follower looks at least so often, sends an empty line after so long, and looks again so long after a look failed."""
MOST = 16
"""Values of one filter."""
_PARAMETERS = ("after", "cluster", "follow", "kind", "since", "type")
_EXAMPLES = "use for example since=1h, since=90m or since=2030-01-31T12:00:00Z"


class EventExchange(Protocol):
    """The part of an exchange that is needed here."""

    head: RequestHead

    async def start(self, head: ResponseHead, *, length: int | None) -> None: ...
    async def write(self, data: bytes) -> None: ...
    async def finish(self) -> None: ...


class EventQuery(NamedTuple):
    """Which events are asked for."""

    kinds: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    """Patterns, such as `dev.skerry.cluster.*`."""
    since: float | None = None
    """Seconds since the epoch."""
    after: int = 0
    """A sequence of the stream."""
    follow: bool = False

    @property
    def subject(self) -> str:
        """What is read of the stream."""
        return subjects.events_of(self.kinds[0]) if len(self.kinds) == 1 else subjects.ALL_EVENTS

    def matches(self, event: CloudEvent) -> bool:
        """True if it is one of those."""
        return (
            (not self.kinds or event.kind in self.kinds)
            and (not self.clusters or event.data.cluster in self.clusters)
            and (not self.types or any(fnmatch.fnmatchcase(event.type, each) for each in self.types))
        )


def query_of(query: Query, now: float) -> EventQuery:
    """The query of a request. BadRequest says what is wrong and what is right."""
    if unknown := [name for name in query.names() if name not in _PARAMETERS]:
        raise BadRequest(f"there is no parameter {unknown[0][:40]!r}: use {', '.join(_PARAMETERS)}")
    kinds, clusters, types = (tuple(query.all(name)) for name in ("kind", "cluster", "type"))
    for name, values in (("kind", kinds), ("cluster", clusters), ("type", types)):
        if len(values) > MOST or any(len(each) > 128 for each in values):
            raise BadRequest(f"at most {MOST} values of {name}, of 128 characters each")
    kinds = tuple(each.lower() for each in kinds)
    for each in kinds:
        subjects.token(each)
    after = query.text("after") or "0"
    if not (after.isascii() and after.isdigit() and len(after) < 19):
        raise BadRequest(f"after={after[:40]!r} is not the sequence of an event: a number")
    return EventQuery(kinds, clusters, types, _since(query.text("since"), now), int(after), query.flag("follow"))


def _since(text: str, now: float) -> float | None:
    if not text:
        return None
    try:
        return seconds(text) if "T" in text else now - duration.parse(text)
    except ValueError as error:
        raise BadRequest(f"since={text[:40]!r} is neither a duration nor a time: {_EXAMPLES}") from error


class Events:
    """Answers with events. `clock` is Unix time."""

    def __init__(self, bus: Bus, clock: Callable[[], float] = time.time) -> None:
        self._bus, self._clock = bus, clock
        self._stream = Stream(bus, subjects.EVENT_STREAM)
        self._registration: Registration | None = None
        self._followers = 0
        self._came = asyncio.Event()

    async def answer(self, exchange: EventExchange) -> str:
        """Answer one GET, as long as its client stays if it follows; the status. BadRequest, MethodNotAllowed, ServiceUnavailable; ClientGone."""
        if exchange.head.method != b"GET":
            raise MethodNotAllowed(f"{exchange.head.method.decode('latin-1')} is not allowed here: use GET")
        query = query_of(parse(exchange.head.target)[1], self._clock())
        page = await self._read(query, query.after, None if query.after else query.since)
        await exchange.start(ResponseHead(status=200, headers=HEADERS), length=None)
        after = await _write(exchange, query, page, query.after)
        while page.more:
            page = await self._read(query, after, None)
            after = await _write(exchange, query, page, after)
        if query.follow:
            await self._follow(exchange, query, after)
        await exchange.finish()
        return "200"

    async def _follow(self, exchange: EventExchange, query: EventQuery, after: int) -> None:
        loop = asyncio.get_running_loop()
        said = loop.time()
        self._enter()
        try:
            while True:
                came = self._came
                try:
                    page = await self._read(query, after, None if after else query.since)
                except StatusError:
                    await asyncio.sleep(AGAIN_S)  # nothing is missed: it is read from where this one is
                    page = Page((), more=False)
                before, after = after, await _write(exchange, query, page, after)
                if after != before:
                    said = loop.time()
                elif loop.time() - said > ALIVE_S:
                    said = loop.time()
                    await exchange.write(b"\n")
                if not page.more:
                    await _until(came, LOOK_S)
        finally:
            self._leave()

    async def _read(self, query: EventQuery, after: int, since: float | None) -> Page:
        try:
            return await self._stream.read(query.subject, after=after, since=since)
        except (NoResponders, NotFound) as error:
            raise ServiceUnavailable(
                "the events of this host cannot be read: its bus has no stream for them yet"
            ) from error

    def _enter(self) -> None:
        self._followers += 1
        if self._registration is None:
            self._registration = self._bus.subscribe(subjects.ALL_EVENTS, self._heard)

    def _leave(self) -> None:
        self._followers -= 1
        if not self._followers and self._registration is not None:
            self._registration.stop()
            self._registration = None

    def _heard(self, message: Message) -> None:
        """Wake who waits, and let the next ones wait anew."""
        came, self._came = self._came, asyncio.Event()
        came.set()


async def _until(came: asyncio.Event, longest_s: float) -> None:
    try:
        async with asyncio.timeout(longest_s):
            await came.wait()
    except TimeoutError:
        return


async def _write(exchange: EventExchange, query: EventQuery, page: Page, after: int) -> int:
    """Write what matches; the sequence of the last one that was read."""
    if lines := b"".join(_lines(query, page)):
        await exchange.write(lines)
    return page.messages[-1].sequence if page.messages else after


def _lines(query: EventQuery, page: Page) -> Iterator[bytes]:
    for message in page.messages:
        try:
            event = cloudevents.from_message(message.headers, message.data, message.sequence)
        except BadRequest:
            continue  # nobody but services publishes there; another version may say what this one cannot read
        if query.matches(event):
            yield cloudevents.structured(event) + b"\n"


def recording(bus: Bus, host_uid: str) -> Recorder:
    """What the front door itself tells. A task must run it."""

    async def source() -> str:
        return f"/hosts/{host_uid}/proxy"

    return Recorder(None, "proxy", publisher=EventPublisher(Stream(bus, subjects.EVENT_STREAM), "proxy", source))
