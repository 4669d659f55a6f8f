"""One stream: the state machine of both ends. The initiator (proxy) sends OPEN, the acceptor (agent) sends RESP.

Sequenced frames (OPEN, RESP, DATA, END) are numbered per direction from 0; the rest is not. The rules:

    seq       expected: deliver; lower: drop (the bus repeats); higher: RESET(GAP) (the bus lost)
    credit    absolute and monotonic, so a lost or repeated CREDIT harms nobody; an inline body counts
    END       carries the exact total: no total, no end
    order     RESP before DATA, nothing after END; an answer's END ends the stream, whatever the request still sends,
              except after 101, where both directions end on their own
    PACKED    in an answer that is not upgraded, if OPEN said that it is read; all counts are of plain bytes
    ACK       anything but a refusal that comes from the acceptor means that the stream was taken

Frames that move nothing (repeats, stale credit, DATA without a byte, credit that hardly rises) are tolerated in
proportion to those that do; beyond that, and for everything that no correct peer sends, the stream is reset and
`Broken.stray` asks the owner to count it.
`receive` returns at most one event; what must be sent is returned by the methods that say so.
"""

from __future__ import annotations

from typing import NamedTuple

from skerry.relay import ResetCode
from skerry.tunnel import frames, packing
from skerry.tunnel.codes import ProtocolError, RejectCode
from skerry.tunnel.frames import (
    END,
    FLUSH,
    LONG,
    MAX_OFFSET,
    PACKED,
    SEQ_MASK,
    Frame,
    Open,
    Reject,
    Reset,
    Resp,
    Sent,
    Trail,
    Type,
    ahead,
)
from skerry.tunnel.window import LEAST_CREDIT, MAX_WINDOW, PeerRate, Window

INLINE = 256 << 10
"""Bytes that an OPEN may carry before the acceptor granted any."""
_TOLERATED = 100


class Accepted(NamedTuple):
    """The acceptor took the stream (ACK)."""


class StreamRefused(NamedTuple):
    """The acceptor did not take the stream; nothing was executed."""

    code: RejectCode
    safe: bool
    message: str


class Answered(NamedTuple):
    """The response's head, and its inline body."""

    head: Resp
    body: bytes
    end: bool


class Data(NamedTuple):
    """The next bytes."""

    body: bytes


class Ended(NamedTuple):
    """The other direction is complete: every byte was delivered. `trail` is what came behind them."""

    trail: Trail | None = None


class Writable(NamedTuple):
    """There is more credit."""


class Broken(NamedTuple):
    """The stream is reset. `tell`: the other side must be sent RESET(code, message). `stray`: it misbehaved."""

    code: ResetCode
    message: str
    tell: bool = True
    stray: bool = False


StreamEvent = Accepted | StreamRefused | Answered | Data | Ended | Writable | Broken


class Core:
    """The state of one end of one stream."""

    __slots__ = (
        "_idle", "_progress", "answered", "credit", "in_end", "in_seq", "initiator", "long", "long_running", "out_end",
        "out_seq", "packs", "reset", "sent", "taken", "upgraded", "window",
    )  # fmt: skip

    def __init__(self, window: Window, *, initiator: bool, long_running: bool) -> None:
        self.window = window
        self.initiator = initiator
        self.long_running = long_running
        self.in_seq = 0 if initiator else 1
        self.out_seq = self.sent = 0
        self.credit = INLINE if initiator else 0
        self.in_end = self.out_end = False
        self.taken = not initiator
        self.answered = self.upgraded = self.reset = False
        self.packs = False
        """Whether pieces of the answer may be packed: the initiator offers it, the acceptor does it while it helps."""
        self.long = False
        """Whether the other end reads heads that continue: the acceptor knows it from OPEN, the initiator from ACK."""
        self._idle = self._progress = 0

    @property
    def finished(self) -> bool:
        """True if nothing more can happen: reset, or everything was exchanged."""
        if self.reset:
            return True
        if self.upgraded:
            return self.in_end and self.out_end
        return self.answered and (self.in_end if self.initiator else self.out_end)

    @property
    def room(self) -> int:
        """Bytes that may be sent now."""
        return self.credit - self.sent

    # -- sending: each returns the frame --------------------------------------------------------------------------

    def open(self, head: Open, body: bytes, *, end: bool) -> bytes:
        """OPEN, the initiator's first frame. Raises TooLarge."""
        self._may_send(len(body))
        self.packs = head.packed
        frame = frames.encode(Type.OPEN, flags=END if end else 0, head=head, body=body)
        self._advance(len(body), end=end)
        self.credit = self.sent
        return frame

    def ack(self) -> bytes:
        """ACK with the credit that the acceptor grants."""
        return frames.encode(Type.ACK, flags=LONG if self.long else 0, offset=self.window.granted)

    def respond(self, head: Resp, body: bytes, *, end: bool) -> bytes:
        """RESP, the acceptor's first sequenced frame. Raises TooLarge."""
        if self.initiator or self.answered:
            raise ProtocolError("a response is sent once, by the acceptor")
        self._may_send(len(body))
        self.upgraded = head.status == 101
        if self.upgraded or _is_encoded(head):
            self.packs = False
        piece, packed = self._piece(body)
        flags = packed | (END if end else 0)
        frame = frames.encode(Type.RESP, flags=flags, offset=self.window.granted, head=head, body=piece)
        self.answered = True
        self._advance(len(body), end=end)
        return frame

    def data(self, body: bytes | memoryview, *, flush: bool = False) -> bytes:
        """DATA, at most `room` bytes."""
        self._may_send(len(body))
        self._may_follow()
        piece, packed = self._piece(body)
        flags = packed | (FLUSH if flush else 0)
        frame = frames.encode(Type.DATA, flags=flags, seq=self.out_seq, offset=self.sent, body=piece)
        self._advance(len(body), end=False)
        return frame

    def _piece(self, body: bytes | memoryview) -> tuple[bytes | memoryview, int]:
        """`body` as it travels, and its flag. After a piece that does not shrink the rest of the answer is left alone."""
        if self.packs and not self.initiator and len(body) >= packing.LEAST:
            packed = packing.pack(body)
            if packed is not None:
                return packed, PACKED
            self.packs = False
        return body, 0

    def end(self, trail: Trail | None = None) -> bytes:
        """END of this direction."""
        self._may_send(0)
        self._may_follow()
        frame = frames.encode(Type.END, seq=self.out_seq, offset=self.sent, head=trail)
        self._advance(0, end=True)
        return frame

    def abort(self, code: ResetCode, message: str) -> bytes | None:
        """RESET of both directions; None when the stream is finished already."""
        if self.finished:
            return None
        self.reset = True
        return frames.reset(code, message)

    def consumed(self, n: int, now: float) -> bytes | None:
        """The local socket took `n` bytes; CREDIT when it is time to announce it and somebody may use it."""
        granted = self.window.take(n, now)
        if granted is None or self.in_end or self.finished:
            return None
        return self.grant()

    def grant(self) -> bytes:
        """CREDIT with what is granted."""
        return frames.encode(Type.CREDIT, offset=self.window.granted)

    def state(self, number: str) -> Sent:
        """This end in a SYNC."""
        return Sent(number=number, seq=self.out_seq, offset=self.sent, credit=self.window.granted)

    def bind(self, rate: PeerRate, now: float) -> None:
        """The other end's connection is known."""
        self.window.attach(rate, now)

    # -- receiving ------------------------------------------------------------------------------------------------

    def receive(self, frame: Frame, now: float) -> StreamEvent | None:
        """The event of one frame of this stream, if it is one."""
        if self.finished:
            return None
        kind = frame.type
        if kind is Type.DATA or kind is Type.RESP or kind is Type.END:
            distance = ahead(frame.seq, self.in_seq)
            if distance:
                return self._idled() if distance < 0 else self._break(ResetCode.GAP, "frames were lost on the bus")
            return self._sequenced(frame, now)
        if kind is Type.CREDIT:
            return self._credited(frame.offset)
        if kind is Type.ACK:
            return self._acknowledged(frame)
        if kind is Type.RESET:
            self.reset = True
            head: Reset = frame.head
            return Broken(head.code, head.message, tell=False)
        return self._misbehaved(f"{kind.name} inside a stream")

    def synced(self, other: Sent) -> StreamEvent | None:
        """Compare with what the other end has sent and received; it was said after all that it counts."""
        if self.finished:
            return None
        if ahead(other.seq, self.in_seq) > 0 or other.offset > self.window.received:
            return self._break(ResetCode.GAP, "the last frames were lost on the bus")
        return self._raise_credit(other.credit)

    def tick(self, now: float, stall_s: float) -> Broken | None:
        """Break the stream if the local reader has stalled for too long; None if it has not."""
        if self.long_running or self.upgraded or not self.window.stalled(now, stall_s):
            return None
        return self._break(ResetCode.LIMIT, f"the reader took nothing for {stall_s:.0f} s")

    def lose(self, message: str) -> Broken:
        """The other process is lost."""
        return self._break(ResetCode.PEER_LOST, message)

    def _sequenced(self, frame: Frame, now: float) -> StreamEvent | None:
        if not frame.flags & PACKED:
            return self._delivered(frame, len(frame.body), now)
        if not (self.packs and self.initiator):
            return self._misbehaved("a packed piece that nobody asked for")
        try:
            return self._delivered(frame, packing.plain_size(frame.body), now)
        except ProtocolError as e:
            return self._misbehaved(str(e))

    def _delivered(self, frame: Frame, n: int, now: float) -> StreamEvent | None:
        """A frame of `n` plain bytes, in its turn. Raises ProtocolError when a packed piece is not what it said."""
        kind = frame.type
        if self.in_end or (kind is Type.RESP) != (self.initiator and not self.answered):
            return self._misbehaved(f"{kind.name} out of turn")
        if kind is not Type.RESP and frame.offset != self.window.received:
            return self._misbehaved(f"{kind.name} at {frame.offset} after {self.window.received} bytes")
        if not self.window.arrived(n, now, len(frame.body)):
            return self._misbehaved(f"{n} bytes beyond the credit")
        body = packing.unpack(frame.body, n) if frame.flags & PACKED else frame.body
        self.in_seq = (self.in_seq + 1) & SEQ_MASK
        if kind is Type.DATA and not n:
            return self._idled()
        self._progress += 1
        if kind is Type.DATA:
            return Data(body)
        if kind is Type.END:
            self.in_end = True
            return Ended(frame.head)
        return self._answer(frame, body)

    def _answer(self, frame: Frame, body: bytes) -> Answered:
        head: Resp = frame.head
        self.taken = self.answered = True
        self.upgraded = head.status == 101
        self.packs = self.packs and not self.upgraded
        self.in_end = bool(frame.flags & END)
        self._raise_credit(frame.offset)
        return Answered(head, body, self.in_end)

    def _acknowledged(self, frame: Frame) -> StreamEvent | None:
        refusal: Reject | None = frame.head
        if self.taken or (refusal is not None and refusal.code is RejectCode.DUPLICATE):
            return self._idled()
        if refusal is not None:
            self.reset = True
            return StreamRefused(refusal.code, refusal.safe, refusal.message)
        self.taken = True
        self.long = bool(frame.flags & LONG)
        self._raise_credit(frame.offset)
        return Accepted()

    def _credited(self, offset: int) -> StreamEvent | None:
        before = self.credit
        writable = self._raise_credit(offset)
        if self.credit - before >= LEAST_CREDIT:
            self._progress += 1
            return writable
        return self._idled() or writable

    def _raise_credit(self, offset: int) -> Writable | None:
        """No correct peer grants more than a window beyond what was sent: what is more is not believed."""
        credit = min(offset, self.sent + MAX_WINDOW)
        if credit <= self.credit:
            return None
        self.credit = credit
        return Writable()

    def _idled(self) -> Broken | None:
        """A frame moved nothing; Broken when there were too many of these."""
        self._idle += 1
        if self._idle > self._progress + self.out_seq + _TOLERATED:
            return self._misbehaved("frames that move nothing, without end")
        return None

    def _misbehaved(self, message: str) -> Broken:
        self.reset = True
        return Broken(ResetCode.LIMIT, message, stray=True)

    def _break(self, code: ResetCode, message: str) -> Broken:
        self.reset = True
        return Broken(code, message)

    def _may_send(self, n: int) -> None:
        if self.finished or self.out_end:
            raise ProtocolError("nothing can be sent after the end")
        if n > self.room:
            raise ProtocolError(f"{n} bytes, and credit for {self.room}")

    def _may_follow(self) -> None:
        if not self.initiator and not self.answered:
            raise ProtocolError("the response's head comes first")

    def _advance(self, n: int, *, end: bool) -> None:
        self.out_seq = (self.out_seq + 1) & SEQ_MASK
        self.sent = min(self.sent + n, MAX_OFFSET)
        self.out_end = end


def _is_encoded(head: Resp) -> bool:
    """True if the body is packed already."""
    for name, _ in head.headers:  # noqa: SIM110 - a generator costs more than the whole loop
        if name == b"content-encoding":
            return True
    return False
