"""A recording is stored beside its session: who waits for what, and what happens where nothing can be stored."""

from __future__ import annotations

import asyncio
import hashlib

import msgspec
import pytest

from services.proxy.recording.recorder import RESERVED_BYTES, WAITING_BYTES, Backlog
from services.proxy.recording.writing import Recording, RecordingTimes
from skerry.api.recordings import RecordingBegin, RecordingEnd, RecordingState
from skerry.errors import BadGateway, Forbidden, ServiceUnavailable, StatusError
from tests.fixtures.nats import eventually
from tests.proxy.recording.frames import ABOUT, SUCCESS, lines, marks, output, shown, size, status

AGREED = [(b"sec-websocket-protocol", b"v5.channel.k8s.io")]
REQUIRED = msgspec.structs.replace(ABOUT, required=True)
QUICK = RecordingTimes(chunk=0.05, attempt=0.05, again=0.01, stuck=0.2, begin=0.1, sign=0.05)


class MemoryStore:
    """A RecordingStore of this process, which is `away` when it is told so."""

    def __init__(self) -> None:
        self.away = False
        self.begun: RecordingBegin | None = None
        self.chunks: list[bytes] = []
        self.ended: RecordingEnd | None = None
        self.attempts = 0

    async def begin(self, about: RecordingBegin, *, timeout_s: float) -> None:
        """Keep it."""
        self._look()
        self.begun = about

    async def add(self, session: str, chunk: bytes, offset: int, after: int, *, timeout_s: float) -> int:
        """Keep it, behind the others."""
        self._look()
        assert (offset, after) == (len(self.content), len(self.chunks))
        self.chunks.append(chunk)
        return len(self.chunks)

    async def end(self, session: str, end: RecordingEnd, *, timeout_s: float) -> None:
        """Keep it."""
        self._look()
        self.ended = end

    def _look(self) -> None:
        self.attempts += 1
        if self.away:
            raise ServiceUnavailable("away")

    @property
    def content(self) -> bytes:
        """The recording."""
        return b"".join(self.chunks)


class Room:
    """A recording, its store, and why its session was cut."""

    def __init__(self, about: RecordingBegin = ABOUT, *, limit: int = 64 << 20, times: RecordingTimes = QUICK) -> None:
        self.store, self.cuts, self.backlog = MemoryStore(), list[StatusError](), Backlog()
        self.recording = Recording(self.store, about, self.cuts.append, self.backlog, limit=limit, times=times)

    async def fill(self) -> None:
        """Have the session show more than may wait, while a part of it is on its way to the store."""
        self.recording.from_member(output(b"x" * 50_000))
        attempts = self.store.attempts
        await eventually(lambda: self.store.attempts > attempts)
        while not self.recording.behind:
            self.recording.from_member(output(b"x" * 50_000))


async def test_a_session_is_stored_with_its_end() -> None:
    room = Room()
    await room.recording.prepare()
    assert room.store.begun is None
    room.recording.start(AGREED)
    room.recording.from_client(size(100, 30))
    room.recording.from_member(output(b"$ ") + status(SUCCESS))
    end = await room.recording.finish()
    assert room.store.begun == ABOUT
    assert end == room.store.ended
    assert end is not None
    assert (end.state, end.exit, end.lost) == (RecordingState.COMPLETE, "0", 0)
    assert (end.bytes, end.sha256) == (len(room.store.content), hashlib.sha256(room.store.content).hexdigest())
    assert shown(lines(room.store.content)) == "$ "


async def test_what_was_shown_is_stored_while_the_session_runs() -> None:
    room = Room()
    room.recording.start(AGREED)
    room.recording.from_member(output(b"first"))
    await eventually(lambda: b"first" in room.store.content)
    room.recording.from_member(output(b"x" * 40_000))
    await eventually(lambda: len(room.store.content) > 40_000)
    await room.recording.finish()


async def test_much_output_does_not_wait_for_its_time() -> None:
    room = Room(times=QUICK._replace(chunk=60.0))
    room.recording.start(AGREED)
    room.recording.from_member(output(b"x" * 40_000))
    await eventually(lambda: len(room.store.content) > 40_000)
    await room.recording.finish()


async def test_a_session_that_shows_nothing_gives_a_sign() -> None:
    room = Room()
    room.recording.start(AGREED)
    await eventually(lambda: len(room.store.chunks) > 1)
    assert room.store.content == b""
    await room.recording.finish()


async def test_a_session_goes_on_while_nothing_can_be_stored_and_what_did_not_fit_is_marked() -> None:
    room = Room()
    room.recording.start(AGREED)
    room.store.away = True
    room.recording.from_member(output(b"before"))
    for _ in range(WAITING_BYTES // 50_000 + 10):
        room.recording.from_member(output(b"x" * 50_000))
        assert not room.recording.behind
    await eventually(lambda: room.store.attempts > 30)
    room.store.away = False
    await eventually(lambda: len(room.store.content) > WAITING_BYTES)
    room.recording.from_member(output(b"behind"))
    end = await room.recording.finish()
    assert end is not None
    assert end.state is RecordingState.GAPS
    assert not room.cuts
    events = lines(room.store.content)
    assert marks(events) == [f"gap: {end.lost} bytes of output could not be stored"]
    assert shown(events).startswith("before")
    assert shown(events).endswith("xbehind")


async def test_a_session_that_must_be_recorded_does_not_begin_where_that_cannot_be_stored() -> None:
    room = Room(REQUIRED)
    room.store.away = True
    with pytest.raises(ServiceUnavailable, match=r"a rule demands that this session is recorded.*nothing was executed"):
        await room.recording.prepare()
    assert await room.recording.finish() is None


async def test_a_session_that_must_be_recorded_is_cut_when_nothing_is_stored_for_long() -> None:
    room = Room(REQUIRED)
    await room.recording.prepare()
    assert room.store.begun == REQUIRED
    room.recording.start(AGREED)
    room.store.away = True
    room.recording.from_member(output(b"x"))
    await eventually(lambda: bool(room.cuts))
    assert "could not store that for" in room.cuts[0].message
    assert room.cuts[0].code == 503
    room.store.away = False
    end = await room.recording.finish()
    assert end is not None
    assert shown(lines(room.store.content)) == "x"


async def test_a_session_that_must_be_recorded_waits_where_it_shows_more_than_is_stored() -> None:
    room = Room(REQUIRED, times=QUICK._replace(stuck=30.0))
    await room.recording.prepare()
    room.recording.start(AGREED)
    room.store.away = True
    await room.fill()
    waiting = asyncio.ensure_future(room.recording.caught_up())
    attempts = room.store.attempts
    await eventually(lambda: room.store.attempts > attempts + 5)
    assert not waiting.done()
    room.store.away = False
    await waiting
    end = await room.recording.finish()
    assert end is not None
    assert (end.state, end.lost) == (RecordingState.COMPLETE, 0)


async def test_who_waits_is_let_go_when_the_session_is_cut() -> None:
    room = Room(REQUIRED)
    await room.recording.prepare()
    room.recording.start(AGREED)
    room.store.away = True
    await room.fill()
    await room.recording.caught_up()
    assert room.cuts
    assert await room.recording.finish() is None
    assert room.backlog.bytes == 0


@pytest.mark.parametrize(("about", "cut"), [(ABOUT, False), (REQUIRED, True)])
async def test_a_full_recording_ends_a_session_that_must_be_recorded_and_no_other(
    about: RecordingBegin, cut: bool
) -> None:
    room = Room(about, limit=RESERVED_BYTES + 100_000)
    await room.recording.prepare()
    room.recording.start(AGREED)
    for _ in range(10):
        room.recording.from_member(output(b"x" * 50_000))
    end = await room.recording.finish()
    assert end is not None
    assert end.state is RecordingState.FULL
    assert end.bytes < RESERVED_BYTES + 100_000
    assert [type(each) for each in room.cuts] == ([Forbidden] if cut else [])


@pytest.mark.parametrize(("about", "cut"), [(ABOUT, False), (REQUIRED, True)])
async def test_a_session_that_cannot_be_read_goes_on_unless_it_must_be_recorded(
    about: RecordingBegin, cut: bool
) -> None:
    room = Room(about)
    await room.recording.prepare()
    room.recording.start(AGREED)
    room.recording.from_member(b"\xff\xff")
    room.recording.from_member(b"\xff\xff")
    end = await room.recording.finish()
    assert end is not None
    assert end.state is RecordingState.UNREADABLE
    assert len(room.cuts) == cut


async def test_what_a_member_refused_leaves_a_trace_only_where_it_had_to() -> None:
    must, may = Room(REQUIRED), Room()
    for room in (must, may):
        await room.recording.prepare()
    end = await must.recording.finish()
    assert end is not None
    assert end.state is RecordingState.REFUSED
    assert await may.recording.finish() is None
    assert may.store.attempts == 0


async def test_a_session_that_ends_while_nothing_can_be_stored_has_no_end() -> None:
    room = Room()
    room.recording.start(AGREED)
    room.store.away = True
    room.recording.from_member(output(b"x"))
    assert await room.recording.finish() is None
    assert room.backlog.bytes == 0


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"sec-websocket-protocol", b"base64.channel.k8s.io")],
        [*AGREED, (b"sec-websocket-extensions", b"permessage-deflate")],
    ],
)
async def test_a_member_that_agrees_on_something_else_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    room = Room()
    with pytest.raises(BadGateway, match="cluster m1"):
        room.recording.start(headers)
    assert await room.recording.finish() is None
