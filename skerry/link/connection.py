"""One connection of a class (interactive or bulk) with its streams, peers, round robin and timers; it is never repaired.

The proxy's and the agent's connections differ in how they address frames and in what they do with frames of unknown
streams. One writer task per connection publishes what had to wait; everything else is published inline, and leaves in one
write per loop turn.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar

from skerry import subjects
from skerry.errors import BadRequest, ServiceUnavailable, StatusError
from skerry.httpwire.room import Room
from skerry.link.settings import LinkSettings
from skerry.link.stream import Stream
from skerry.relay import ResetCode, StreamReset
from skerry.tunnel import frames
from skerry.tunnel.codes import ProtocolError
from skerry.tunnel.frames import Frame, Type
from skerry.tunnel.peer import Consequence, Peer, answer_sync
from skerry.tunnel.roundrobin import DeficitRoundRobin
from skerry.tunnel.stream import INLINE
from skerry.tunnel.window import Budget

_BEHIND = 256 << 10
_CHUNK = {subjects.INTERACTIVE: 32 << 10, subjects.BULK: 128 << 10}
_MIN_PAYLOAD = 128 << 10
_FORGET_S = 10.0

S = TypeVar("S", bound=Stream)

_log = logging.getLogger(__name__)


class Incoming(Protocol):
    """The part of `skerry.bus.Message` that a connection uses."""

    @property
    def subject(self) -> str: ...
    @property
    def data(self) -> bytes: ...
    @property
    def no_responders(self) -> bool: ...


class Interest(Protocol):
    """The part of `skerry.bus.Subscription` that a connection uses."""

    def unsubscribe(self) -> None: ...
    async def drain(self) -> None: ...


class BusConnection(Protocol):
    """The part of `skerry.bus.Connection` that streams need."""

    @property
    def id(self) -> str: ...
    @property
    def lost(self) -> asyncio.Future[str]: ...
    @property
    def max_payload(self) -> int: ...
    @property
    def pending_bytes(self) -> int: ...
    def publish_now(self, subject: str, payload: bytes, reply: str = "") -> None: ...
    async def writable(self) -> None: ...
    async def subscribe(self, subject: str, handler: Callable[[Any], None], *, queue: str = "") -> Interest: ...
    async def flush(self, timeout_s: float = 5.0) -> None: ...
    def abort(self, reason: str = "closed") -> None: ...


class LinkConnection(ABC, Generic[S]):
    """A connection to the bus and everything on it."""

    def __init__(self, bus: BusConnection, kind: str, settings: LinkSettings, budget: Budget, room: Room) -> None:
        if bus.max_payload < _MIN_PAYLOAD:
            raise BadRequest(
                f"the bus allows messages of {bus.max_payload} bytes; set its max_payload to {_MIN_PAYLOAD} or more"
            )
        self.bus = bus
        self.kind = kind
        self.id = bus.id + kind
        self.settings = settings
        self.budget = budget
        self.room = room
        self.loop = asyncio.get_running_loop()
        # A head never shares the space of a body: the largest of both still is one message of the bus.
        most = bus.max_payload - frames.HEADER_SIZE - frames.MAX_HEAD
        self.inline = min(INLINE, most)
        self.chunk = min(_CHUNK[kind], most)
        self.streams: dict[tuple[str, str], S] = {}
        self.peers: dict[tuple[str, str], Peer] = {}
        self.turns: DeficitRoundRobin[Stream] = DeficitRoundRobin()
        self.empty = asyncio.Event()
        self.empty.set()
        self.strays = 0
        """Frames that belonged to nothing, since the start."""
        self._turn = asyncio.Event()
        self.down = ""
        """Why the connection is gone; empty while it is there."""
        bus.lost.add_done_callback(self._on_lost)

    # -- for streams ----------------------------------------------------------------------------------------------

    @property
    def behind(self) -> bool:
        """True if the connection has enough to do: then messages are published in turn."""
        return bool(self.turns) or self.bus.pending_bytes > _BEHIND

    def publish(self, subject: str, frame: bytes, reply: str = "") -> None:
        """Publish now. A lost connection breaks its streams by itself: what is published then goes nowhere."""
        if self.down:
            return
        try:
            self.bus.publish_now(subject, frame, reply)
        except ServiceUnavailable as e:
            self.fail(e.message)
        except StatusError:
            _log.warning("a frame was not sent; its stream will be reset", extra={"subject": subject}, exc_info=True)

    async def writable(self) -> None:
        """Wait until the connection is no longer behind. Raises StreamReset when it is lost."""
        try:
            await self.bus.writable()
        except StatusError as e:
            raise StreamReset(ResetCode.PEER_LOST, e.message, local=True) from e

    def wait_turn(self, stream: Stream) -> None:
        """`stream` has a message to publish, when it is its turn."""
        self.turns.add(stream)
        self._turn.set()

    def release(self, stream: Stream) -> None:
        """`stream` is over: nothing is delivered to it any more."""
        self.streams.pop(self.key(stream.member, stream.peer, stream.number), None)
        self.turns.remove(stream)
        peer = self.peers.get((stream.member, stream.peer))
        if peer is not None:
            peer.remove(stream.number)
        if not self.streams:
            self.empty.set()

    def misbehaved(self, stream: Stream) -> None:
        """The other end of `stream` did what no correct peer does."""
        self.stray(stream.member, 0, excusable=False)

    # -- life -----------------------------------------------------------------------------------------------------

    async def write(self) -> None:
        """The writer: gives turns for ever, or until the connection is lost."""
        while not self.down:
            await self._turn.wait()
            self._turn.clear()
            while (stream := self.turns.next()) is not None:
                try:
                    await self.bus.writable()
                except StatusError as e:
                    self.fail(e.message)
                    return
                stream.turn()

    def tick(self, now: float, factor: float) -> None:
        """PING, SYNC, lost peers, stalled readers; forgets peers that have nothing with us any more."""
        stall_s = self._patience_s()
        for (member, remote), peer in list(self.peers.items()):
            self.apply(member, remote, peer.tick(now, factor, stall_s))
            if not peer.streams and now - peer.heard > _FORGET_S:
                self.forget(member, remote)

    def _patience_s(self) -> float:
        settings = self.settings
        pressed = self.budget.used > self.budget.total // 2
        return min(settings.stall_s, settings.pressed_stall_s) if pressed else settings.stall_s

    @property
    def active_peers(self) -> int:
        """Peers with live streams: those that cost PING and SYNC."""
        return sum(1 for peer in self.peers.values() if peer.streams)

    def fail(self, reason: str) -> None:
        """The connection is useless: break all streams, at once. Idempotent."""
        if self.down:
            return
        self.down = reason or "the connection to the bus is lost"
        for stream in list(self.streams.values()):
            stream.lost(self.down)
        self._turn.set()  # the writer wakes, sees `down` and ends

    def reset_all(self, code: ResetCode, message: str, which: Iterable[S] | None = None) -> int:
        """RESET the streams in `which` (default: all); returns how many."""
        chosen = list(self.streams.values() if which is None else which)
        for stream in chosen:
            stream.reset(code, message)
            if stream.task is not None:
                stream.task.cancel()
        return len(chosen)

    def _on_lost(self, lost: asyncio.Future[str]) -> None:
        self.fail("closed" if lost.cancelled() else lost.result())

    # -- frames ---------------------------------------------------------------------------------------------------

    def on_message(self, message: Incoming) -> None:
        """A message for this connection: `<direction>.<member>.<a or s>.<us>.<sender>.<number>`."""
        parts = message.subject.split(".")
        if len(parts) != 6:
            self.stray(parts[1], len(message.data), excusable=False)
            return
        member, sender, number = parts[1], parts[4], parts[5]
        data = message.data
        if not data and message.no_responders:  # the server itself answers, in the name of who is not there
            self.unheard(member, number)
            return
        try:
            frame = frames.decode(data)
        except ProtocolError:
            self.stray(member, len(data), excusable=False)
            return
        now = self.loop.time()
        if number == "-":
            self._connection_frame(member, sender, frame, now, len(data))
            return
        stream = self.streams.get(self.key(member, sender, number))
        # The account proves the member; which of its agents sends is its own affair, but a stream stays with who took it.
        if stream is None or (stream.peer != sender and not self.claim(stream, sender, now)):
            self.unknown(member, sender, number, frame, len(data))
            return
        self.peers[member, sender].heard = now
        stream.receive_frame(frame, now)

    def _connection_frame(self, member: str, sender: str, frame: Frame, now: float, size: int) -> None:
        peer = self.peers.get((member, sender))
        if peer is None:
            self._stranger(member, sender, frame, size)
            return
        outcomes = peer.receive(frame, now)
        if outcomes is None:
            self.stray(member, size, excusable=False)
            return
        peer.heard = now
        self.heard(member, sender, peer, now)
        self.apply(member, sender, outcomes)

    def _stranger(self, member: str, sender: str, frame: Frame, size: int) -> None:
        """Somebody with whom we share no stream: it must learn that, or its ends of streams would hang."""
        self.stray(member, size)
        if frame.type is Type.SYNC:
            self.apply(member, sender, answer_sync(frame.head, {}))

    def apply(self, member: str, remote: str, outcomes: list[Consequence]) -> None:
        """Do what a peer's frame or tick asks for."""
        for number, event, frame in outcomes:
            if frame is not None:
                reply = self.reply_to(member, remote) if number == "-" else ""
                self.publish(self.address(member, remote, number), frame, reply)
            if event is not None:
                stream = self.streams.get(self.key(member, remote, number))
                if stream is not None:
                    stream.on_event(event)

    def join(self, stream: S, remote: str, now: float) -> bool:
        """`stream` is with the connection `remote` from now on. False if that is not a connection's id."""
        peer = self.peers.get((stream.member, remote))
        if peer is None:
            try:
                subjects.token(remote)
            except BadRequest:
                return False
            peer = self.peers[stream.member, remote] = Peer(now)
        stream.peer = remote
        stream.subject = self.address(stream.member, remote, stream.number)
        peer.add(stream.number, stream.core, now)
        return True

    # -- what the two ends do differently -------------------------------------------------------------------------

    @abstractmethod
    def key(self, member: str, remote: str, number: str) -> tuple[str, str]:
        """The key of a stream on this connection."""

    @abstractmethod
    def address(self, member: str, remote: str, number: str) -> str:
        """The subject of frames to the other end."""

    @abstractmethod
    def reply_to(self, member: str, remote: str) -> str:
        """Where the server says that nobody listens at `remote`; empty if it shall not."""

    @abstractmethod
    def claim(self, stream: S, sender: str, now: float) -> bool:
        """True if `sender`, which is not the known other end of `stream`, may become it."""

    @abstractmethod
    def unknown(self, member: str, sender: str, number: str, frame: Frame, size: int) -> None:
        """A frame of no live stream."""

    @abstractmethod
    def unheard(self, member: str, number: str) -> None:
        """No responders for the OPEN of the stream `number`, or for what was sent to a connection (`reply_to`)."""

    @abstractmethod
    def heard(self, member: str, remote: str, peer: Peer, now: float) -> None:
        """A connection-level frame of a peer came."""

    @abstractmethod
    def forget(self, member: str, remote: str) -> None:
        """A peer has nothing with us any more."""

    @abstractmethod
    def stray(self, member: str, size: int, *, excusable: bool = True) -> None:
        """A frame that belongs to nothing."""
