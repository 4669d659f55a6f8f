"""A session that is being recorded: the taps that the relay calls, and the task that stores what the recorder makes.

Whoever passes bytes on never waits for the store: what was made is stored a second later, or when there are CHUNK_BYTES of it,
one message after the other, each expected behind the one before, so that one whose answer was lost is not stored twice. Nothing
stored for 5 s: a session that must be recorded is cut; another goes on, and what it shows then is missing, with a mark. Only
the session that must be recorded waits, where it shows more than the store takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from services.proxy.recording.demand import check_agreed
from services.proxy.recording.recorder import LIMIT_BYTES, Backlog, SessionRecorder
from skerry.api.recordings import RecordingBegin, RecordingEnd, RecordingState
from skerry.errors import Forbidden, ServiceUnavailable, StatusError
from skerry.httpwire.head import Headers

T = TypeVar("T")
log = logging.getLogger("skerry.proxy")

CHUNK_BYTES = 32 * 1024
"""What was made is stored when there is so much of it, at the latest."""
MESSAGE_BYTES = 256 * 1024
"""Most of one message, where the store was slower than the session."""


class RecordingTimes(NamedTuple):
    """Seconds."""

    chunk: float = 1.0
    """What was made is stored so soon, at the latest."""
    attempt: float = 2.0
    """How long an attempt to store something may take."""
    again: float = 0.2
    """Between attempts."""
    stuck: float = 5.0
    """When a session that must be recorded is cut because nothing could be stored, and when a session that is over is given up."""
    begin: float = 2.0
    """How long a session that must be recorded waits for its beginning to be stored."""
    sign: float = 30.0
    """A session that shows nothing is known to run by an empty message so often."""


TIMES = RecordingTimes()


class RecordingStore(Protocol):
    """The stream, as far as it is written: see services/proxy/recording/store.py. Each raises StatusError."""

    async def begin(self, about: RecordingBegin, *, timeout_s: float) -> None: ...
    async def add(self, session: str, chunk: bytes, offset: int, after: int, *, timeout_s: float) -> int: ...
    async def end(self, session: str, end: RecordingEnd, *, timeout_s: float) -> None: ...


class Recording:
    """One session: `prepare` it, `start` it, call the taps, and `finish` it whatever happened."""

    def __init__(
        self,
        store: RecordingStore,
        about: RecordingBegin,
        cut: Callable[[StatusError], None],
        backlog: Backlog,
        *,
        limit: int = LIMIT_BYTES,
        times: RecordingTimes = TIMES,
    ) -> None:
        """`cut` ends the session; `backlog` is that of the process."""
        self.about = about
        self._times = times
        self._store, self._cut = store, cut
        self._recorder = SessionRecorder(about, backlog, limit=limit)
        self._digest = hashlib.sha256()
        self._stored = self._after = 0
        self._some, self._enough = asyncio.Event(), asyncio.Event()
        self._room = asyncio.Event()
        self._started = self._ending = self._refused = False
        self._keeping: asyncio.Task[None] | None = None
        self.ended: RecordingEnd | None = None
        """What is stored of its end, once it is."""

    async def prepare(self) -> None:
        """Before anything is executed: store the beginning of a session that must be recorded. ServiceUnavailable."""
        if self.about.required:
            try:
                await self._store.begin(self.about, timeout_s=self._times.begin)
            except StatusError as error:
                raise ServiceUnavailable(
                    f"a rule demands that this session is recorded, and the host cannot store that now ({error.message}); "
                    "nothing was executed: try again in a moment",
                    retry_after_s=2,
                ) from error
            self._keeping = asyncio.create_task(self._keep())

    def start(self, headers: Headers) -> None:
        """The member let the session begin, with an answer that has these headers. BadGateway if it cannot be read."""
        check_agreed(self.about.cluster, headers)
        self._started = True
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep())

    # The taps

    def from_member(self, data: bytes) -> None:
        """Bytes on their way to the client."""
        self._recorder.from_member(data, time.time())
        self._look()

    def from_client(self, data: bytes) -> None:
        """Bytes on their way to the member."""
        self._recorder.from_client(data, time.time())
        self._look()

    @property
    def summary(self) -> str:
        """What there is of it, for the audit record of its request: its state, and the SHA-256 of the recording."""
        if self._keeping is None:
            return ""
        return "cut" if self.ended is None else f"{self.ended.state.value} sha256:{self.ended.sha256}"

    @property
    def behind(self) -> bool:
        """True if nothing more may pass until more is stored: of a session of which nothing may be missing."""
        return self.about.required and not self._recorder.has_room and not self._refused

    async def caught_up(self) -> None:
        """Wait until it is not behind."""
        while self.behind:
            self._room.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._times.again):  # others of the process may have made room
                    await self._room.wait()

    def _refuse(self, error: StatusError) -> None:
        """End a session that must be recorded."""
        if not self._refused:
            self._refused = True
            self._room.set()
            self._cut(error)

    def _look(self) -> None:
        recorder = self._recorder
        if recorder.waiting:
            self._some.set()
            if recorder.waiting >= CHUNK_BYTES:
                self._enough.set()
        if self.about.required and recorder.ended_because:
            self._refuse(Forbidden(f"a rule demands that this session is recorded: {recorder.ended_because}"))

    # Storing

    async def _keep(self) -> None:
        if not self.about.required:
            await self._until_stored(partial(self._store.begin, self.about))
        while not (self._ending and not self._recorder.waiting):
            await _set(self._some, self._times.sign)
            if self._recorder.waiting and not self._ending:
                await _set(self._enough, self._times.chunk)
            await self._store_next()

    async def _store_next(self) -> None:
        chunk = self._recorder.take(MESSAGE_BYTES)
        self._enough.clear()
        if not self._recorder.waiting and not self._ending:
            self._some.clear()
        self._room.set()
        self._after = await self._until_stored(
            partial(self._store.add, self.about.id, chunk, self._stored, self._after)
        )
        self._digest.update(chunk)
        self._stored += len(chunk)
        self._look()

    async def _until_stored(self, store: Callable[..., Awaitable[T]]) -> T:
        """Try until it is done. A session that must be recorded is cut after a while; `finish` gives up for others."""
        loop = asyncio.get_running_loop()
        deadline, is_told = loop.time() + self._times.stuck, False
        while True:
            left_s = max(deadline - loop.time(), self._times.again) if self.about.required else self._times.stuck
            try:
                return await store(timeout_s=min(self._times.attempt, left_s))
            except StatusError as error:
                if loop.time() >= deadline and not is_told:
                    is_told = True
                    log.warning(
                        "a recording cannot be stored", extra={"session": self.about.id, "error": error.message}
                    )
                    if self.about.required:
                        self._refuse(
                            ServiceUnavailable(
                                "a rule demands that this session is recorded, and the host could not store that for "
                                f"{self._times.stuck:.0f} s ({error.message})"
                            )
                        )
            await asyncio.sleep(self._times.again)

    async def finish(self) -> RecordingEnd | None:
        """The session is over: store what is left, and its end. None if that could not be done in a while."""
        if self._keeping is None:
            return None
        recorder = self._recorder
        recorder.finish(time.time())
        self._ending = True
        self._some.set()
        self._enough.set()
        try:
            async with asyncio.timeout(self._times.stuck):
                await self._keeping
                end = RecordingEnd(
                    state=recorder.state if self._started else RecordingState.REFUSED,
                    end=time.time(),
                    bytes=self._stored,
                    sha256=self._digest.hexdigest(),
                    exit=recorder.exit,
                    lost=recorder.lost,
                )
                await self._until_stored(partial(self._store.end, self.about.id, end))
                self.ended = end
                return end
        except TimeoutError:
            log.warning("a recording has no end: it cannot be stored", extra={"session": self.about.id})
            return None
        finally:
            self._keeping.cancel()
            recorder.forget()


async def _set(event: asyncio.Event, longest_s: float) -> None:
    """Wait for an event, or so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(longest_s):
            await event.wait()
