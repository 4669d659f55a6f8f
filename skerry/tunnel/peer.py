"""Two processes that have streams together: are we both alive, and do we agree on every stream?

Three PINGs in two seconds while there are live streams; three unanswered ones mean PEER_LOST, three seconds after the
other was last heard at most. They are counted, not timed: a process that was stopped for a while asks once more before it
gives the other up. SYNC every two seconds repairs what the bus lost without a trace: a tail that is missing is RESET(GAP),
a stream that the receiver does not know is RESET, and credit is repeated in each one's own SYNC (a CREDIT frame per stream
in answer would be 500 a second for 1,000 idle watches). Both stretch so that a process sends at most 300 a second, however
many peers it has.
A member's AbuseCounter decides when frames that belong to nothing are no longer an accident.
"""

from __future__ import annotations

from typing import NamedTuple

from skerry.relay import ResetCode
from skerry.tunnel import frames
from skerry.tunnel.frames import SYNC_ENTRIES, Frame, Sync, Type
from skerry.tunnel.stream import Core, StreamEvent
from skerry.tunnel.window import PeerRate

PING_S = 2 / 3
SYNC_S = 2.0
MISSED = 3
FRAMES_PER_S = 300.0
_SURE_S = 0.5
_CONTROL_PER_S = 20
_RESETS_PER_SYNC = 64


class Consequence(NamedTuple):
    """The consequence of a connection-level frame or a tick: an event of a stream (`number`), or a frame to send.

    A frame with number `-` is for the connection itself.
    """

    number: str
    event: StreamEvent | None = None
    frame: bytes | None = None


def answer_sync(head: Sync, streams: dict[str, Core]) -> list[Consequence]:
    """The outcomes of a SYNC: events of streams that we know, and a RESET for those that we do not (bounded per frame)."""
    outcomes: list[Consequence] = []
    unknown = 0
    for other in head.streams:
        core = streams.get(other.number)
        if core is not None:
            event = core.synced(other)
            if event is not None:
                outcomes.append(Consequence(other.number, event))
        elif (unknown := unknown + 1) <= _RESETS_PER_SYNC:
            outcomes.append(Consequence(other.number, frame=frames.reset(ResetCode.PEER_LOST, "no such stream here")))
    return outcomes


def stretch(peers: int) -> float:
    """The factor on PING_S and SYNC_S that keeps `peers` peers within FRAMES_PER_S."""
    return max(1.0, peers * (1 / PING_S + 1 / SYNC_S) / FRAMES_PER_S)


class Peer:
    """One connection of another process, as seen from one of ours, and the streams between them."""

    def __init__(self, now: float) -> None:
        self.streams: dict[str, Core] = {}
        self.rate = PeerRate()
        self.heard = now
        self.draining = False
        self._pinged = self._ponged = 0
        self._unheard: float | None = None
        self._next_ping, self._next_sync = now + PING_S, now + SYNC_S
        self._second, self._control = now, 0

    def add(self, number: str, core: Core, now: float) -> None:
        """A stream between the two begins."""
        if not self.streams:
            self._ponged = self._pinged
            self._next_ping, self._next_sync = now + PING_S, now + SYNC_S
        self.streams[number] = core
        core.bind(self.rate, now)

    def remove(self, number: str) -> None:
        """A stream is over. Idempotent."""
        self.streams.pop(number, None)

    def receive(self, frame: Frame, now: float) -> list[Consequence] | None:
        """A connection-level frame. None: one that no correct peer sends, or too many; count it."""
        if self._too_many(now):
            return None
        if frame.type is Type.PING:
            return [Consequence("-", frame=frames.encode(Type.PONG, offset=frame.offset))]
        if frame.type is Type.PONG:
            self._ponged = max(self._ponged, min(frame.offset, self._pinged))
            self._unheard = None
            return []
        if frame.type is Type.SYNC:
            return answer_sync(frame.head, self.streams)
        if frame.type is Type.DRAIN:
            self.draining = True
            return []
        return None

    def tick(self, now: float, factor: float, stall_s: float) -> list[Consequence]:
        """PING and SYNC that are due, streams of a lost peer, and streams whose reader has stalled."""
        if not self.streams:
            return []
        outcomes = [Consequence(n, e) for n, core in self.streams.items() if (e := core.tick(now, stall_s)) is not None]
        if now >= self._next_ping:
            if self._pinged - self._ponged >= MISSED:
                return outcomes + self.lose("the other process does not answer")
            self._pinged += 1
            due = self._next_ping + PING_S * factor
            self._next_ping = due if due > now else now + PING_S * factor
            outcomes.append(Consequence("-", frame=frames.encode(Type.PING, offset=self._pinged)))
        if now >= self._next_sync:
            self._next_sync = now + SYNC_S * factor
            outcomes.extend(Consequence("-", frame=frame) for frame in self.sync())
        return outcomes

    def lose(self, message: str) -> list[Consequence]:
        """All streams with this peer are broken."""
        return [Consequence(number, core.lose(message)) for number, core in self.streams.items() if not core.reset]

    def unheard(self, now: float) -> list[Consequence]:
        """The bus says that nobody listens at the other end. Twice with half a second between is no accident."""
        if self._unheard is None:
            self._unheard = now
        if now - self._unheard < _SURE_S:
            return []
        return self.lose("the other process is gone")

    def sync(self) -> list[bytes]:
        """SYNC frames of all live streams."""
        states = [core.state(number) for number, core in self.streams.items() if not core.finished]
        starts = range(0, len(states), SYNC_ENTRIES)
        return [frames.encode(Type.SYNC, head=Sync(streams=tuple(states[i : i + SYNC_ENTRIES]))) for i in starts]

    def _too_many(self, now: float) -> bool:
        if now - self._second >= 1.0:
            self._second, self._control = now, 0
        self._control += 1
        return self._control > _CONTROL_PER_S


class AbuseCounter:
    """How many frames of one member belonged to nothing.

    A stream that ends leaves an allowance for what was on its way: the credit that was out, and a few repeats. What is
    beyond the allowance counts; the count halves every `half_life_s`, so that years of accidents do not add up.
    """

    _SMALLEST = 512
    _PER_STREAM = 4096
    _MOST = 8 << 20

    def __init__(self, limit: int, now: float, half_life_s: float = 60.0) -> None:
        self._limit = limit
        self._half_life_s = half_life_s
        self._since = now
        self._allowance = self._PER_STREAM
        self.strays = 0

    def ended(self, outstanding: int) -> None:
        """A stream ended with `outstanding` bytes of credit out."""
        self._allowance = min(self._allowance + outstanding + self._PER_STREAM, self._MOST)

    def stray(self, size: int, now: float, *, excusable: bool = True) -> bool:
        """A frame of `size` bytes belonged to nothing; whether that makes it a flood."""
        cost = max(size, self._SMALLEST)
        if excusable and cost <= self._allowance:
            self._allowance -= cost
            return False
        if now - self._since >= self._half_life_s:
            self._since, self.strays = now, self.strays // 2
        self.strays += 1
        return self.strays > self._limit
