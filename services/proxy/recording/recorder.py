"""What passes in a session, as its recording: pure, and never in the way. Bytes and times in, bytes of asciicast out.

It reads both directions (skerry/httpwire/channels): of the member's all output and the Status at the end, of the client's the size
of its terminal and nothing else. What is made waits here until it is stored, at most WAITING_BYTES: beyond them output is left
out and a mark says how much (`lost`), unless whoever passes the bytes on waits (`has_room`), as for a session that may not go on
unrecorded.
"""

from __future__ import annotations

from services.proxy.recording import asciicast
from services.proxy.recording.asciicast import MARK, OUTPUT, RESIZE, OutputText, event, exit_of, header, terminal_size
from skerry.api.recordings import RecordingBegin, RecordingState
from skerry.httpwire.channels import Channel, ChannelReader, Piece
from skerry.httpwire.websocket import WebSocketError

LIMIT_BYTES = 64 << 20
"""Of one recording."""
RESERVED_BYTES = 64 << 10
"""Of that, for the marks at its end."""
WAITING_BYTES, BACKLOG_BYTES = 1 << 20, 16 << 20
"""Bytes that wait to be stored: of one session, of all sessions of a process."""


class Backlog:
    """What waits to be stored, of all recordings of a process."""

    def __init__(self, most: int = BACKLOG_BYTES) -> None:
        self.most = most
        self.bytes = 0


class SessionRecorder:
    """One session. Times are Unix seconds."""

    def __init__(self, about: RecordingBegin, backlog: Backlog, *, limit: int = LIMIT_BYTES) -> None:
        self._about, self._backlog = about, backlog
        self._most = limit - RESERVED_BYTES
        self._member = ChannelReader(from_client=False, wanted=(Channel.STDOUT, Channel.STDERR, Channel.ERROR))
        self._client = ChannelReader(from_client=True, wanted=(Channel.RESIZE,))
        self._texts = {Channel.STDOUT: OutputText(), Channel.STDERR: OutputText()}
        self._status, self._resize = bytearray(), bytearray()
        self._made = bytearray()
        self._size = 0
        self._begun = False  # the header is made
        self._gap = 0  # bytes of output left out since the last event
        self._client_reads = True
        self._finished = False
        self.ended_because = ""
        """Why nothing more is recorded, before the session's end; empty while it is."""
        self.state = RecordingState.COMPLETE
        self.lost = 0
        self.exit = ""

    @property
    def waiting(self) -> int:
        """Bytes that are to be stored."""
        return len(self._made)

    @property
    def has_room(self) -> bool:
        """False while more would be left out."""
        return len(self._made) < WAITING_BYTES and self._backlog.bytes < self._backlog.most

    def take(self, most: int) -> bytes:
        """The next bytes to store."""
        data = bytes(memoryview(self._made)[:most])
        del self._made[: len(data)]
        self._backlog.bytes -= len(data)
        return data

    def forget(self) -> None:
        """Drop what waits: it will not be stored."""
        self.take(len(self._made))

    # What passes

    def from_member(self, data: bytes, at: float) -> None:
        """Bytes on their way to the client."""
        if self.unreadable or self._finished:
            return
        try:
            pieces = self._member.feed(data)
        except WebSocketError as error:
            self._stop(RecordingState.UNREADABLE, f"the session cannot be read from here on: {error}", at)
            return
        for piece in pieces:
            if piece.channel == Channel.ERROR:
                self._ends(piece, at)
            else:
                self._output(Channel(piece.channel), piece.data, at)

    def from_client(self, data: bytes, at: float) -> None:
        """Bytes on their way to the member. What cannot be read costs the sizes of the terminal, and nothing else."""
        if not self._client_reads or self.ended_because or self._finished:
            return
        try:
            pieces = self._client.feed(data)
        except WebSocketError:
            self._client_reads = False
            return
        for piece in pieces:
            self._resized(piece, at)

    def finish(self, at: float) -> None:
        """Nothing passes any more. Idempotent."""
        if self._finished:
            return
        if not self.ended_because:
            for text in self._texts.values():
                for rest in text.feed(b"", last=True):
                    self._event(at, OUTPUT, rest)
            self._tell_gap(at)
            self._begin(asciicast.DEFAULT_SIZE)
        self._finished = True

    @property
    def unreadable(self) -> bool:
        """True if the member's direction is no WebSocket."""
        return self.state is RecordingState.UNREADABLE

    # What becomes of it

    def _output(self, channel: Channel, data: bytes, at: float) -> None:
        if self.ended_because:
            return
        if not self.has_room and data:
            self._gap += len(data)
            self.lost += len(data)
            return
        for text in self._texts[channel].feed(data):
            if self._size + asciicast.LONGEST_EVENT > self._most:
                self._stop(
                    RecordingState.FULL,
                    f"the recording ends here: it has {self._most >> 20} MiB, the most that one may have",
                    at,
                )
                return
            self._event(at, OUTPUT, text)

    def _resized(self, piece: Piece, at: float) -> None:
        message = _whole(self._resize, piece, asciicast.RESIZE_BYTES)
        size = terminal_size(message) if message is not None else None
        if size is None or self._size + asciicast.LONGEST_EVENT > self._most:
            return
        if not self._begun:
            self._begin(size)
        elif self.has_room:
            self._event(at, RESIZE, f"{size[0]}x{size[1]}")

    def _ends(self, piece: Piece, at: float) -> None:
        message = _whole(self._status, piece, asciicast.STATUS_BYTES)
        if message and not self.exit:
            self.exit = exit_of(message)
            self._event(at, MARK, f"exit {self.exit}")

    def _stop(self, state: RecordingState, why: str, at: float) -> None:
        self._event(at, MARK, why)
        self.state, self.ended_because = state, why

    def _event(self, at: float, code: str, data: str) -> None:
        self._begin(asciicast.DEFAULT_SIZE)
        self._tell_gap(at)
        self._append(event(at - self._about.start, code, data))

    def _tell_gap(self, at: float) -> None:
        if self._gap:
            gap, self._gap = self._gap, 0
            self.state = RecordingState.GAPS
            self._begin(asciicast.DEFAULT_SIZE)
            self._append(event(at - self._about.start, MARK, f"gap: {gap} bytes of output could not be stored"))

    def _begin(self, size: tuple[int, int]) -> None:
        if not self._begun:
            self._begun = True
            self._append(header(size, self._about))

    def _append(self, line: bytes) -> None:
        self._made += line
        self._size += len(line)
        self._backlog.bytes += len(line)


def _whole(buffer: bytearray, piece: Piece, most: int) -> bytes | None:
    """The message that ends with this piece; None while it has not, empty if it was too long."""
    if len(buffer) <= most:
        buffer += piece.data
    if not piece.last:
        return None
    message = bytes(buffer) if len(buffer) <= most else b""
    buffer.clear()
    return message
