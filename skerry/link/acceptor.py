"""The agent's end of the tunnel: takes streams for one member and runs a handler for each.

ACK at once for what is not a small exchange (a body that follows, or an answer without end), otherwise only when no
answer is ready in 50 ms: a small call is two messages.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from skerry import subjects
from skerry.errors import StatusError
from skerry.httpwire.room import Room
from skerry.link.connection import BusConnection, Incoming, Interest, LinkConnection
from skerry.link.pair import ConnectionPair
from skerry.link.settings import LinkSettings
from skerry.link.stream import Stream
from skerry.relay import OpenRequest, ResetCode, StreamReset
from skerry.tunnel import frames, longhead
from skerry.tunnel.codes import ProtocolError, RejectCode
from skerry.tunnel.frames import END, Frame, Open, Type
from skerry.tunnel.peer import Peer
from skerry.tunnel.replay import ReplayWindow
from skerry.tunnel.stream import Core
from skerry.tunnel.window import Budget, Window

StreamHandler = Callable[[Stream], Awaitable[None]]
_WAKING_S = 0.1
"""So long after a stop OPENs are refused: they waited in sockets meanwhile."""
BUDGET = 32 << 20
"""Bytes of request bodies that an agent may have granted and not yet written."""

_log = logging.getLogger(__name__)


class AcceptorConnection(LinkConnection[Stream]):
    """One connection of the agent. Numbers are the proxies', so a proxy and a number name a stream."""

    def __init__(
        self,
        bus: BusConnection,
        kind: str,
        settings: LinkSettings,
        budget: Budget,
        room: Room,
        member: str,
        handler: StreamHandler,
    ) -> None:
        super().__init__(bus, kind, settings, budget, room)
        self.member = member
        self.leaving = False
        self._ticked = float("inf")
        self._awake = 0.0
        self.tasks: set[asyncio.Task[None]] = set()
        self._handler = handler
        self._seen = ReplayWindow()
        self._queue: Interest | None = None

    async def start(self) -> None:
        """The own inbox first, then the queue group: an OPEN may be followed by frames at once."""
        await self.bus.subscribe(subjects.agent_inbox(self.member, self.id), self.on_message)
        self._queue = await self.bus.subscribe(
            subjects.open_any(self.member, self.kind), self.on_open, queue=subjects.AGENTS
        )

    async def leave(self) -> None:
        """DRAIN to the proxies, then out of the queue group; what is on its way is still taken."""
        for member, proxy in self.peers:
            self.publish(self.address(member, proxy, "-"), frames.encode(Type.DRAIN))
        if self._queue is not None and not self.down:
            await self._queue.drain()
        self.leaving = True

    # -- taking ---------------------------------------------------------------------------------------------------

    def on_open(self, message: Incoming) -> None:
        """An OPEN on the queue subject; the head names the proxy and the stream."""
        try:
            frame = frames.decode(message.data)
        except ProtocolError:
            self.strays += 1
            return
        if frame.type is Type.OPEN:
            self._open(frame)
        else:
            self.strays += 1

    def _open(self, frame: Frame) -> None:
        head: Open = frame.head
        now = self.loop.time()
        # First of all, also before refusals: one that was refused as safe to repeat must not be executed by its second copy.
        if not self._seen.first(head.proxy, head.number, now):
            self._reject(head, RejectCode.DUPLICATE, "this stream was opened before")
            return
        if self._asleep(now):
            self._reject(head, RejectCode.LIMIT, "its agent was stopped for a while")
            return
        if self.leaving:
            self._reject(head, RejectCode.GOAWAY, "its agent is leaving")
            return
        if len(self.streams) >= self.settings.streams:
            self._reject(head, RejectCode.LIMIT, f"its agent has {self.settings.streams} streams open")
            return
        if head.rest and (head.rest > longhead.REST_LIMIT or not self.room.has(head.rest)):
            self._reject(head, RejectCode.LIMIT, "its agent has too many large request heads at once")
            return
        core = self._core(head, frame)
        if core is None:
            self._reject(head, RejectCode.LIMIT, f"its agent has all of its {self.budget.total >> 20} MiB granted")
            return
        self._take(head, frame, core, now)

    def tick(self, now: float, factor: float) -> None:
        """Notices too that this process was stopped, or blocked."""
        self._asleep(now)
        self._ticked = now
        super().tick(now, factor)

    def _asleep(self, now: float) -> bool:
        """True if we stood still for so long that what comes now may have been given up by who sent it: a change that
        was answered with "outcome unknown" must not be executed when we wake.
        """
        if now - self._ticked > self.settings.ack_s:
            self._awake = now + _WAKING_S
        return now < self._awake

    def _core(self, head: Open, frame: Frame) -> Core | None:
        window = Window(self.budget, bulk=head.bulk)
        ended = bool(frame.flags & END)
        if not window.open(len(frame.body), more=not ended):
            return None
        core = Core(window, initiator=False, long_running=head.long_running)
        core.in_end, core.credit, core.packs, core.long = ended, head.window, head.packed, head.long
        core.consumed(len(frame.body), self.loop.time())
        return core

    def _take(self, head: Open, frame: Frame, core: Core, now: float) -> None:
        request = _request(head, frame.body, end=core.in_end)
        stream = Stream(self, core, self.member, head.number, request)
        if head.rest:
            stream.share.upto(head.rest)
        self.join(stream, head.proxy, now)
        self.streams[head.proxy, head.number] = stream
        self.empty.clear()
        # A short request whose body is here is answered soon: the answer says that it was taken, and saves the ACK.
        if head.long_running or not core.in_end:
            stream.ack()
        else:
            stream.ack_later(self.settings.ack_delay_s)
        stream.task = task = self.loop.create_task(self._serve(stream, head))
        self.tasks.add(task)
        task.add_done_callback(partial(self._served, stream))

    def _served(self, stream: Stream, task: asyncio.Task[None]) -> None:
        """A task that was cancelled before its first step has cleaned nothing up."""
        stream.close()
        self.tasks.discard(task)

    async def _serve(self, stream: Stream, head: Open) -> None:
        """The guard: a bug resets this stream only."""
        try:
            if head.rest:
                await self._complete(stream, head)
            await self._handler(stream)
            stream.reset(ResetCode.UPSTREAM, "the agent ended the exchange early")
        except StreamReset as e:
            stream.reset(e.code, e.message)
        except Exception:  # noqa: BLE001 - the guard; logged with its traceback
            _log.exception("stream failed", extra={"stream": stream.request.id})
            stream.reset(ResetCode.UPSTREAM, "internal error in the agent; its log has it")

    @staticmethod
    async def _complete(stream: Stream, head: Open) -> None:
        """The request of an OPEN whose head continues, and its body too if all of it comes at once. Raises StreamReset."""
        rest, body = await stream.beginning(head.rest)
        try:
            head, whole = longhead.join_open(head, rest)
        except ProtocolError as e:
            raise stream.fail(ResetCode.LIMIT, str(e)) from e
        if whole:
            parts = [body]
            while data := await stream.receive():
                parts.append(data)
                stream.consumed(len(data))
            body = b"".join(parts)
        stream.request = _request(head, body, end=whole)

    def _reject(self, head: Open, code: RejectCode, message: str) -> None:
        self.publish(self.address(self.member, head.proxy, head.number), frames.reject(code, message))

    # -- what LinkConnection asks ---------------------------------------------------------------------------------

    def key(self, member: str, remote: str, number: str) -> tuple[str, str]:
        """A proxy and a number."""
        return remote, number

    def address(self, member: str, remote: str, number: str) -> str:
        """`up.<m>.s.<proxy>.<us>.<number>`"""
        return subjects.to_proxy(member, remote, self.id, number)

    def reply_to(self, member: str, remote: str) -> str:
        """None: a reply through the member's import costs the server an entry each time."""
        return ""

    def claim(self, stream: Stream, sender: str, now: float) -> bool:
        """The proxy that opened a stream keeps it."""
        return False

    def unknown(self, member: str, sender: str, number: str, frame: Frame, size: int) -> None:
        """An OPEN that is addressed to us, or a late frame."""
        if frame.type is Type.OPEN and (frame.head.proxy, frame.head.number) == (sender, number):
            self._open(frame)
        else:
            self.strays += 1

    def unheard(self, member: str, number: str) -> None:
        """Agents open nothing."""

    def heard(self, member: str, remote: str, peer: Peer, now: float) -> None:
        """Agents keep no table."""

    def forget(self, member: str, remote: str) -> None:
        """Nothing is left between us and that proxy."""
        self.peers.pop((member, remote), None)

    def stray(self, member: str, size: int, *, excusable: bool = True) -> None:
        """Only proxies can publish to us: strays are late, or a bug; SYNC repairs them."""
        self.strays += 1


class Acceptor(ConnectionPair[AcceptorConnection]):
    """Takes streams for one member over one pair of connections.

    `handler(stream)` runs as one task per stream under a guard: an exception RESETs that stream only (UPSTREAM,
    logged), its return closes the stream. When the other side resets or is lost, the task is cancelled: clean up
    (close the upstream socket) in `finally`. `budget` and `room` are the process's, where one pair retires while the next works.
    """

    def __init__(
        self,
        interactive: BusConnection,
        bulk: BusConnection,
        member: str,
        handler: StreamHandler,
        settings: LinkSettings | None = None,
        *,
        budget: Budget | None = None,
        room: Room | None = None,
    ) -> None:
        settings = settings or LinkSettings(budget=BUDGET)
        budget = budget or Budget(settings.budget)
        room = room or Room()
        connections = [
            AcceptorConnection(bus, kind, settings, budget, room, member, handler)
            for bus, kind in ((interactive, subjects.INTERACTIVE), (bulk, subjects.BULK))
        ]
        super().__init__(connections[0], connections[1], settings)
        self._started = False

    async def start(self) -> None:
        """Subscribe; returns when the server knows. Idempotent; `run` does it too."""
        if not self._started:
            self._started = True
            for connection in self.connections:
                await connection.start()

    async def run(self) -> str:
        """`start`, timers and writers; returns the reason when a connection is lost, after all streams were reset."""
        try:
            try:
                await self.start()
            except StatusError as e:
                await self.abandon()
                return e.message
            return await super().run()
        finally:
            tasks = [task for connection in self.connections for task in connection.tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def drain(self, grace_s: float) -> None:
        """DRAIN to the proxies, leave the queue group, finish within the grace, RESET(GOAWAY) the rest."""
        self.draining = True
        for connection in self.connections:
            await connection.leave()
        await self.finish(grace_s)


def _request(head: Open, body: bytes, *, end: bool) -> OpenRequest:
    return OpenRequest(
        id=head.id,
        assertion=head.assertion,
        method=head.method,
        target=head.target,
        headers=list(head.headers),
        class_="bulk" if head.bulk else "interactive",
        long_running=head.long_running,
        deadline_s=head.deadline_ms / 1000,
        body=body,
        end=end,
        traceparent=head.traceparent,
    )
