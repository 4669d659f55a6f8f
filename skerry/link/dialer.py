"""The proxy's end of the tunnel: finds an agent, opens streams, and cuts off members that flood.

Finding an agent: an OPEN goes to an agent that was heard from in the last 3 s, else to the queue subject of the
member's agents. "No responders" is a shortcut, timers decide: without ACK in 1 s the agent is unknown again and is sent
RESET(CANCEL); a GET is repeated once elsewhere, then 503; a mutation is 504, outcome unknown. A refusal that is safe to repeat is,
whatever the method: at once elsewhere, and then after pauses: the queue cannot be told whom to pass over, and who just woke takes it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

from skerry import subjects
from skerry.errors import RequestHeaderFieldsTooLarge, ServiceUnavailable, StatusError, TooManyRequests
from skerry.httpwire.room import Room
from skerry.link.call import Call, OpenVerdict, open_head, opening
from skerry.link.connection import BusConnection, Interest, LinkConnection
from skerry.link.pair import ConnectionPair
from skerry.link.settings import LinkSettings
from skerry.link.stream import Stream
from skerry.relay import AgentAway, OpenRequest, ResetCode, StreamReset
from skerry.tunnel.agents import Agents
from skerry.tunnel.codes import RejectCode, TooLarge
from skerry.tunnel.frames import Frame, Type, reset
from skerry.tunnel.peer import AbuseCounter, Peer
from skerry.tunnel.stream import Core
from skerry.tunnel.window import Budget, Window

UNACKED = 2 << 20
"""Inline bytes on their way to one agent that it has not acknowledged; beyond it bodies wait for the ACK."""
_ATTEMPTS = 8
_PAUSES_S = (0.0, 0.05, 0.1)
"""Before each repeat of what was refused: together longer than an agent that was stopped refuses streams (acceptor.py)."""
_AT = "at-"

Beating = Callable[[str, str], Iterable[str]]
"""(member, class) -> ids of connections of its agents that are there by their heartbeats, who was heard last first."""

_log = logging.getLogger(__name__)


class _Member:
    """A member in use on one connection: our interest in its frames, its agents and what of its frames belonged to nothing."""

    def __init__(self, loop: asyncio.AbstractEventLoop, settings: LinkSettings) -> None:
        now = loop.time()
        self.ready: asyncio.Future[Interest] = loop.create_future()
        self.agents = Agents(settings.heard_s)
        self.abuse = AbuseCounter(settings.flood, now)
        self.streams = 0
        self.used = now
        self.unacked: dict[str, int] = {}


class DialerConnection(LinkConnection[Call]):
    """One connection of the proxy. Stream numbers are its own, so a member and a number name a stream."""

    def __init__(
        self,
        bus: BusConnection,
        kind: str,
        settings: LinkSettings,
        budget: Budget,
        room: Room,
        on_flood: Callable[[str], None],
        beating: Beating,
    ) -> None:
        super().__init__(bus, kind, settings, budget, room)
        self._beating = beating
        self._members: dict[str, _Member] = {}
        self._cut: dict[str, float] = {}
        self._on_flood = on_flood
        self._numbers = 0

    # -- opening --------------------------------------------------------------------------------------------------

    async def open(self, member: str, request: OpenRequest) -> Call:
        """See Dialer.open."""
        await self._listen(member)
        avoid: frozenset[str] = frozenset()
        repeated, pauses = False, iter(_PAUSES_S)
        for _ in range(_ATTEMPTS):
            call, agent, verdict = await self._attempt(member, request, avoid)
            if verdict is OpenVerdict.TAKEN:
                return await self._followed(call)
            # Nobody heard an OPEN to a known agent: nothing was executed, and others are asked. Nobody on the queue subject is
            # the answer. What may have been heard is repeated once at most, if it harms nobody (Call.repeatable).
            again = verdict is OpenVerdict.UNHEARD if agent else False
            if call.is_refused_safely and (pause_s := next(pauses, None)) is not None:
                again = True
                await asyncio.sleep(pause_s)
            elif not again and not repeated:
                again = repeated = call.repeatable(verdict)
            if not again:
                raise call.failure(verdict)
            avoid |= {agent or call.peer} - {""}
        raise AgentAway(member, "none of its known agents answers")

    async def _attempt(self, member: str, request: OpenRequest, avoid: frozenset[str]) -> tuple[Call, str, OpenVerdict]:
        state = self._members.get(member)
        if self.down:
            raise _no_bus(self.down)
        if state is None:
            raise _cut_off(member)
        now = self.loop.time()
        beating = partial(self._beating, member, self.kind)
        agent = state.agents.pick(now, repeatable=request.repeatable, avoid=avoid, beating=beating) or ""
        inline = len(request.body)
        if inline > self.inline or state.unacked.get(agent, 0) + inline > UNACKED:
            inline = 0  # the body follows the ACK, under the agent's credit
        call = self._send_open(member, state, agent, request, inline)
        state.unacked[agent] = state.unacked.get(agent, 0) + inline
        verdict = OpenVerdict.BROKEN
        try:
            verdict = await call.verdict(self.settings.ack_s)
        finally:
            state.unacked[agent] -= inline
            if verdict is not OpenVerdict.TAKEN:
                call.close()
        _learn(state.agents, call, agent, verdict, self.loop.time())
        return call, agent, verdict

    def _send_open(self, member: str, state: _Member, agent: str, request: OpenRequest, inline: int) -> Call:
        peer = self.peers.get((member, agent))
        window = Window(self.budget, bulk=self.kind == subjects.BULK)
        if not window.open(rate=peer.rate if peer else None):
            raise TooManyRequests(
                f"this proxy has {self.budget.total >> 20} MiB granted to streams and not yet written: try again later"
            )
        core = Core(window, initiator=True, long_running=request.long_running)
        self._numbers += 1
        number = f"{self._numbers:x}"
        try:
            head = open_head(self.id, number, self.kind, request, window.granted)
            frame, follows = opening(core, head, request, inline)
        except TooLarge as e:
            window.close()
            raise RequestHeaderFieldsTooLarge(f"the request's head is too large for the tunnel: {e}") from e
        call = Call(self, core, member, number, request, follows=follows)
        self.streams[member, number] = call
        self.empty.clear()
        state.streams += 1
        if agent:
            self.join(call, agent, self.loop.time())
        subject = call.subject or subjects.open_any(member, self.kind)
        self.publish(subject, frame, subjects.to_proxy(member, self.id, "-", number))
        return call

    async def _followed(self, call: Call) -> Call:
        """Sends what could not travel with the OPEN, now that the agent took the call. `response` tells a reset."""
        follows, call.follows = call.follows, ()
        if not follows:
            return call
        if len(follows) > 1 and not call.core.long:
            call.close()
            raise RequestHeaderFieldsTooLarge(
                f"the request head is larger than 64 KiB, which the agent of cluster {call.member} does not take: it is of "
                "an older version; nothing was executed"
            )
        try:
            with suppress(StreamReset):
                for piece in follows:
                    if piece:
                        await call.send(piece)
                if call.request.end:
                    await call.send_end()
        except BaseException:
            call.close()
            raise
        return call

    async def _listen(self, member: str) -> None:
        now = self.loop.time()
        if self._cut.get(member, now) > now:
            raise _cut_off(member)
        state = self._members.get(member)
        if state is None:
            self._cut.pop(member, None)
            state = self._members[subjects.member(member)] = _Member(self.loop, self.settings)
            await self._subscribe(member, state)
        elif not state.ready.done():
            await asyncio.shield(state.ready)
        state.used = now

    async def _subscribe(self, member: str, state: _Member) -> None:
        try:
            interest = await self.bus.subscribe(subjects.proxy_inbox(member, self.id), self.on_message)
        except BaseException as e:
            self._members.pop(member, None)
            error = _no_bus(self.down or "it is being lost")
            state.ready.set_exception(error)
            state.ready.exception()
            if isinstance(e, StatusError):
                raise error from e
            raise
        state.ready.set_result(interest)
        if self._members.get(member) is not state:  # the member was cut off, or left, while the server was asked
            interest.unsubscribe()

    # -- what LinkConnection asks ---------------------------------------------------------------------------------

    def key(self, member: str, remote: str, number: str) -> tuple[str, str]:
        """A member and a number."""
        return member, number

    def address(self, member: str, remote: str, number: str) -> str:
        """`down.<m>.a.<agent>.<us>.<number>`"""
        return subjects.to_agent(member, remote, self.id, number)

    def reply_to(self, member: str, remote: str) -> str:
        """`up.<m>.s.<us>.-.at-<agent>`: a killed agent is known in a second, not after three missed PINGs."""
        return subjects.to_proxy(member, self.id, "-", _AT + remote)

    def claim(self, stream: Call, sender: str, now: float) -> bool:
        """The first to answer an OPEN on the queue subject has it."""
        return not stream.peer and self.join(stream, sender, now)

    def unknown(self, member: str, sender: str, number: str, frame: Frame, size: int) -> None:
        """Late frames are excused within what the ended streams left; a late ACK or RESP is told to stop."""
        issued = len(number) <= 16 and _issued(number, self._numbers)
        self.stray(member, size, excusable=issued)
        late = frame.type is Type.ACK or frame.type is Type.RESP
        if late and issued and not self._ends(frame):
            self.publish(self.address(member, sender, number), reset(ResetCode.CANCEL, "too late"))

    @staticmethod
    def _ends(frame: Frame) -> bool:
        return bool(frame.flags & 1) or (frame.type is Type.ACK and frame.head is not None)

    def unheard(self, member: str, number: str) -> None:
        """Nobody got this OPEN, or nobody listens at this agent's connection."""
        if number.startswith(_AT):
            agent = number.removeprefix(_AT)
            peer, state = self.peers.get((member, agent)), self._members.get(member)
            if peer is not None and state is not None:
                state.agents.drop(agent)
                self.apply(member, agent, peer.unheard(self.loop.time()))
            return
        stream = self.streams.get((member, number))
        if stream is not None:
            stream.unheard()

    def heard(self, member: str, remote: str, peer: Peer, now: float) -> None:
        """Feeds the table of agents."""
        state = self._members.get(member)
        if state is not None:
            if peer.draining:
                state.agents.leaving(remote)
            else:
                state.agents.heard(remote, now)

    def forget(self, member: str, remote: str) -> None:
        """Nothing is left between us and that agent."""
        self.peers.pop((member, remote), None)
        state = self._members.get(member)
        if state is not None:
            state.agents.forget(remote)

    def release(self, stream: Stream) -> None:
        """Forget the stream; frames of it that are on their way are excused."""
        super().release(stream)
        state = self._members.get(stream.member)
        if state is not None:
            window = stream.core.window
            state.abuse.ended(window.granted - window.received)
            state.streams -= 1
            state.used = self.loop.time()

    def stray(self, member: str, size: int, *, excusable: bool = True) -> None:
        """Counted per member; a flood cuts the member off, alone."""
        self.strays += 1
        state = self._members.get(member)
        if state is not None and state.abuse.stray(size, self.loop.time(), excusable=excusable):
            self._on_flood(member)

    # -- members --------------------------------------------------------------------------------------------------

    def cut(self, member: str) -> None:
        """Stop listening to a member that floods; its streams are reset."""
        self._cut[member] = self.loop.time() + self.settings.flood_s
        self._leave(member)
        self.reset_member(member, ResetCode.LIMIT, "the cluster's agent sent frames that belong to nothing")

    def reset_member(self, member: str, code: ResetCode, message: str) -> int:
        """RESET all streams of a member."""
        return self.reset_all(code, message, [s for s in self.streams.values() if s.member == member])

    def tick(self, now: float, factor: float) -> None:
        """Members that are not in use are left."""
        super().tick(now, factor)
        for member, state in list(self._members.items()):
            if not state.streams and state.ready.done() and now - state.used > self.settings.idle_s:
                self._leave(member)

    def _leave(self, member: str) -> None:
        state = self._members.pop(member, None)
        if state is not None and state.ready.done() and state.ready.exception() is None:
            state.ready.result().unsubscribe()


class Dialer(ConnectionPair[DialerConnection]):
    """Opens streams to members over one pair of connections.

    When either connection is lost, `await dialer.run()` returns the reason; every stream was RESET(PEER_LOST) at once
    and both connections are aborted: the caller makes new ones and a new Dialer. `on_flood(member)` asks for
    quarantine of a flooding member, which is cut off here for a minute. `budget` and `room` are the process's, where
    one pair retires while the next works; its own by default.
    """

    def __init__(
        self,
        interactive: BusConnection,
        bulk: BusConnection,
        settings: LinkSettings | None = None,
        *,
        on_flood: Callable[[str], None] | None = None,
        beating: Beating = lambda member, kind: (),
        budget: Budget | None = None,
        room: Room | None = None,
    ) -> None:
        settings = settings or LinkSettings()
        budget = budget or Budget(settings.budget)
        room = room or Room()
        self._asks_quarantine = on_flood
        connections = [
            DialerConnection(bus, kind, settings, budget, room, self._flooded, beating)
            for bus, kind in ((interactive, subjects.INTERACTIVE), (bulk, subjects.BULK))
        ]
        super().__init__(connections[0], connections[1], settings)

    async def open(self, member: str, request: OpenRequest) -> Call:
        """A stream that an agent of `member` took (ACK or RESP).

        Raises AgentAway (nothing was executed), OutcomeUnknown (a mutation without ACK), TooManyRequests (a limit,
        which one), ServiceUnavailable (draining, or the connection is lost: nothing was sent), BadRequest (not a
        member's name), RequestHeaderFieldsTooLarge.
        """
        connection = self.connections[0 if request.class_ == "interactive" else 1]
        if self.draining:
            raise ServiceUnavailable("this proxy is leaving; nothing was sent: repeat the request")
        if connection.down:
            raise _no_bus(connection.down)
        if len(connection.streams) >= self.settings.streams:
            raise TooManyRequests(
                f"this proxy has {self.settings.streams} {request.class_} streams open: try again later"
            )
        return await connection.open(member, request)

    def reset_member(self, member: str, code: ResetCode, message: str = "") -> int:
        """RESET all streams of a member (removed, revoked); returns how many."""
        return sum(connection.reset_member(member, code, message) for connection in self.connections)

    async def drain(self, grace_s: float) -> None:
        """Refuse new streams, let the live ones finish within the grace, RESET(GOAWAY) the rest."""
        self.draining = True
        await self.finish(grace_s)

    def _flooded(self, member: str) -> None:
        for connection in self.connections:
            connection.cut(member)
        _log.warning("member cut off: it floods the tunnel", extra={"member": member})
        if self._asks_quarantine is not None:
            self._asks_quarantine(member)


def _learn(agents: Agents, call: Call, agent: str, verdict: OpenVerdict, now: float) -> None:
    """What the fate of an OPEN says about the agent."""
    if verdict is OpenVerdict.TAKEN:
        agents.heard(call.peer, now)
    elif verdict is OpenVerdict.SILENT:
        agents.silent(agent, now)
    elif verdict is not OpenVerdict.REFUSED:
        agents.drop(agent)
    elif call.refusal is not None and call.refusal.code is RejectCode.GOAWAY:
        agents.leaving(call.peer)


def _issued(number: str, last: int) -> bool:
    try:
        return 0 < int(number, 16) <= last
    except ValueError:
        return False


def _no_bus(reason: str) -> StatusError:
    return ServiceUnavailable(
        f"this proxy has no connection to the bus ({reason}); nothing was sent: repeat the request"
    )


def _cut_off(member: str) -> StatusError:
    return ServiceUnavailable(
        f"cluster {member} is cut off for a minute: its agent sent frames that belong to nothing; nothing was executed",
        kind="clusters",
        name=member,
    )
