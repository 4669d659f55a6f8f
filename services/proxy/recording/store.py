"""The stream RECORDINGS, as the front door writes and reads it.

`recording.<session>.about` has two documents, one that begins a session and one that ends it; `recording.<session>.data` has its
bytes in order. Each message of data is stored only behind the one before it: an attempt whose answer was lost is seen to have been
stored, and nothing is stored twice. Nobody makes a consumer: whoever reads asks for the messages behind a sequence.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import NamedTuple, TypeVar

import msgspec

from skerry import bus, subjects
from skerry.api.decode import decoded
from skerry.api.recordings import RecordingBegin, RecordingEnd
from skerry.errors import Conflict, GatewayTimeout, ServiceUnavailable

EXPECTED = "Nats-Expected-Last-Subject-Sequence"
OFFSET = "Skerry-Offset"
"""Header of a message of data: how many bytes of the recording come before it."""
DOCUMENTS_AT_ONCE, DATA_AT_ONCE = 500, 16

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode


class Chunk(NamedTuple):
    """A message of data."""

    sequence: int
    at: float
    """When it was stored, Unix seconds."""
    offset: int
    data: bytes

    @property
    def end(self) -> int:
        """Bytes of the recording up to here."""
        return self.offset + len(self.data)


class Recordings:
    """All recordings of a host. Each call raises StatusError; NotFound where the stream is not there yet."""

    def __init__(self, connected: bus.Bus) -> None:
        self._bus = connected
        self._opened: bus.Stream | None = None

    async def _stream(self) -> bus.Stream:
        if self._opened is None:
            self._opened = await self._bus.stream(subjects.RECORDING_STREAM)
        return self._opened

    # Writing

    async def begin(self, about: RecordingBegin, *, timeout_s: float) -> None:
        """Store that a session begins."""
        await _within(timeout_s, self._tell(about.id, about, "begin"))

    async def end(self, session: str, end: RecordingEnd, *, timeout_s: float) -> None:
        """Store how it ended."""
        await _within(timeout_s, self._tell(session, end, "end"))

    async def add(self, session: str, chunk: bytes, offset: int, after: int, *, timeout_s: float) -> int:
        """Store the bytes that come at `offset`, behind the message with sequence `after` (0: none); the sequence of this one."""
        return await _within(timeout_s, self._add(session, chunk, offset, after))

    async def _tell(self, session: str, document: RecordingBegin | RecordingEnd, what: str) -> None:
        stream = await self._stream()
        await stream.publish(subjects.recording_about(session), _encode(document), message_id=f"{session}:{what}")

    async def _add(self, session: str, chunk: bytes, offset: int, after: int) -> int:
        stream, subject = await self._stream(), subjects.recording_data(session)
        headers = {EXPECTED: str(after), OFFSET: str(offset)}
        try:
            return (await stream.publish(subject, chunk, headers=headers)).sequence
        except Conflict:
            last = await stream.last(subject)
            if last is None or last.sequence <= after or last.headers.get(OFFSET) != str(offset) or last.data != chunk:
                raise
            return last.sequence

    # Reading

    async def kept_s(self) -> float:
        """How long recordings are kept, in seconds."""
        return float((await (await self._stream()).info())["config"]["max_age"]) / 1e9

    async def documents(self, session: str = "") -> AsyncIterator[tuple[str, RecordingBegin | RecordingEnd]]:
        """Sessions, and what begins or ends each, in the order in which that was stored; of all sessions, or of one."""
        stream, after = await self._stream(), 0
        while True:
            page = await stream.read(subjects.recording_about(session or "*"), after=after, limit=DOCUMENTS_AT_ONCE)
            for message in page.messages:
                after = message.sequence
                yield subjects.recording_of(message.subject), _read(message)
            if not page.more:
                return

    async def data(self, session: str, after: int = 0) -> AsyncIterator[Chunk]:
        """What is stored of a session behind a sequence."""
        stream = await self._stream()
        while True:
            page = await stream.read(subjects.recording_data(session), after=after, limit=DATA_AT_ONCE)
            for message in page.messages:
                after = message.sequence
                yield _chunk(message)
            if not page.more:
                return

    async def last(self, session: str) -> Chunk | None:
        """The last message of data; None if there is none."""
        message = await (await self._stream()).last(subjects.recording_data(session))
        return None if message is None else _chunk(message)


def _chunk(message: bus.StoredMessage) -> Chunk:
    offset = message.headers.get(OFFSET, "")
    return Chunk(message.sequence, message.created, int(offset) if offset.isdecimal() else 0, message.data)


def _read(message: bus.StoredMessage) -> RecordingBegin | RecordingEnd:
    try:
        document: RecordingBegin | RecordingEnd = decoded(message.data, RecordingBegin | RecordingEnd)
    except msgspec.DecodeError as error:
        raise ServiceUnavailable(
            f"what is stored about a recorded session ({message.subject}) cannot be read: {error}"
        ) from error
    return document


async def _within(timeout_s: float, work: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(timeout_s):
            return await work
    except TimeoutError as error:
        raise GatewayTimeout(f"the stream {subjects.RECORDING_STREAM} did not answer within {timeout_s:g} s") from error
