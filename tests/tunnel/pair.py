"""An in-memory pair of tunnel ends with a network that loses, repeats and reorders on demand. No clock, no threads."""

from __future__ import annotations

from collections import deque
from typing import Literal

from skerry.relay import ResetCode
from skerry.tunnel import frames
from skerry.tunnel.frames import END, Frame, Open, Resp, Type, decode
from skerry.tunnel.peer import Consequence, Peer, answer_sync
from skerry.tunnel.stream import Accepted, Answered, Broken, Core, Data, Ended, StreamEvent, StreamRefused
from skerry.tunnel.window import Budget, Window

Side = Literal["proxy", "agent"]
SIDES: tuple[Side, Side] = ("proxy", "agent")
CONTENT = bytes(range(251)) * 5000


def opening(number: str, *, window: int = 0, bulk: bool = False) -> Open:
    """A plausible OPEN; the answers of bulk ones may be packed."""
    return Open(
        proxy="p1i", number=number, id=f"audit-{number}", assertion=b"x", method=b"GET", target=b"/", headers=(),
        bulk=bulk, long_running=True, deadline_ms=1000, window=window, packed=bulk,
    )  # fmt: skip


def answering(status: int = 200) -> Resp:
    """A plausible RESP."""
    return Resp(status=status, reason=b"", headers=(), length=None)


class End:
    """One end of one stream, driven by a test: what it sent, what it received, how it ended."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.received = bytearray()
        self.unread = 0
        self.sent = 0
        self.clean = False
        self.broken: Broken | None = None
        self.opened_at = 0.0

    def take(self, body: bytes) -> None:
        self.received += body
        self.unread += len(body)


class Process:
    """One process: its peer, and the ends of its streams."""

    def __init__(self, side: Side, network: Network) -> None:
        self.side = side
        self.network = network
        self.peer = Peer(0.0)
        self.ends: dict[str, End] = {}
        self.budget = Budget(64 << 20)

    def send(self, number: str, frame: bytes | None) -> None:
        if frame is not None:
            self.network.put(self.side, number, frame)

    # -- actions --------------------------------------------------------------------------------------------------

    def open(self, number: str, body: bytes, *, end: bool, bulk: bool) -> None:
        window = Window(self.budget, bulk=bulk)
        assert window.open(rate=self.peer.rate)
        core = Core(window, initiator=True, long_running=True)
        self.ends[number] = made = End(core)
        made.sent, made.opened_at = len(body), self.network.now
        self.peer.add(number, core, self.network.now)
        self.send(number, core.open(opening(number, window=window.granted, bulk=bulk), body, end=end))

    def respond(self, number: str, n: int, status: int, *, end: bool) -> None:
        made = self.ends.get(number)
        if made is None or made.core.finished or made.core.answered or made.core.initiator:
            return
        n = min(n, made.core.room)
        self.send(number, made.core.respond(answering(status), CONTENT[:n], end=end))
        made.sent = n
        self._settle(number)

    def write(self, number: str, n: int) -> None:
        made = self.ends.get(number)
        if made is None or not self._may_write(made):
            return
        n = min(n, made.core.room, len(CONTENT) - made.sent)
        self.send(number, made.core.data(CONTENT[made.sent : made.sent + n], flush=n == 0))
        made.sent += n

    def finish(self, number: str) -> None:
        made = self.ends.get(number)
        if made is not None and self._may_write(made):
            self.send(number, made.core.end())
            self._settle(number)

    def read(self, number: str, n: int) -> None:
        made = self.ends.get(number)
        if made is None or made.broken is not None:
            return
        n = min(n, made.unread)
        made.unread -= n
        self.send(number, made.core.consumed(n, self.network.now))

    def cancel(self, number: str) -> None:
        made = self.ends.get(number)
        if made is not None and not made.core.finished:
            self._broke(number, Broken(ResetCode.CANCEL, "", tell=False), made.core.abort(ResetCode.CANCEL, ""))

    @staticmethod
    def _may_write(made: End) -> bool:
        core = made.core
        return not core.finished and not core.out_end and core.taken and (core.initiator or core.answered)

    # -- receiving ------------------------------------------------------------------------------------------------

    def receive(self, number: str, data: bytes) -> None:
        frame = decode(data)
        now = self.network.now
        if number == "-":
            outcomes = self.peer.receive(frame, now)
            self._apply(outcomes if outcomes is not None else [])
        elif number in self.ends:
            made = self.ends[number]
            event = made.core.receive(frame, now)
            if event is not None:
                self._event(number, event)
        elif frame.type is Type.OPEN and self.side == "agent":
            self._accept(number, frame)
        elif frame.type is Type.SYNC:
            self._apply(answer_sync(frame.head, {}))

    def _accept(self, number: str, frame: Frame) -> None:
        window = Window(self.budget, bulk=frame.head.bulk)
        assert window.open(len(frame.body), more=not frame.flags & END)
        core = Core(window, initiator=False, long_running=True)
        core.in_end, core.credit, core.packs = bool(frame.flags & END), frame.head.window, frame.head.packed
        self.ends[number] = made = End(core)
        made.take(frame.body)
        made.clean = core.in_end
        self.peer.add(number, core, self.network.now)
        self.send(number, core.ack())

    def tick(self) -> None:
        now = self.network.now
        self._apply(self.peer.tick(now, 1.0, 60.0))
        for number, made in list(self.ends.items()):
            if not made.core.taken and now - made.opened_at > 1.0:
                self.cancel(number)

    def _apply(self, outcomes: list[Consequence]) -> None:
        for number, event, frame in outcomes:
            self.send(number, frame)
            if event is not None:
                self._event(number, event)

    def _event(self, number: str, event: StreamEvent) -> None:
        made = self.ends[number]
        match event:
            case Data(body):
                made.take(body)
            case Answered(_, body, end):
                made.take(body)
                made.clean = end
            case Ended():
                made.clean = True
            case StreamRefused() | Accepted():
                pass
            case Broken(code, message, tell, _):
                self._broke(number, event, frames.reset(code, message) if tell else None)
                return
        self._settle(number)

    def _broke(self, number: str, event: Broken, frame: bytes | None) -> None:
        self.ends[number].broken = event
        self.send(number, frame)
        self._settle(number)

    def _settle(self, number: str) -> None:
        if self.ends[number].core.finished:
            self.peer.remove(number)


class Network:
    """Two directions, each a queue of (number, frame)."""

    def __init__(self) -> None:
        self.now = 0.0
        self.proxy = Process("proxy", self)
        self.agent = Process("agent", self)
        self.queues: dict[Side, deque[tuple[str, bytes]]] = {"proxy": deque(), "agent": deque()}
        self.deaf = False

    def put(self, side: Side, number: str, frame: bytes) -> None:
        self.queues[side].append((number, frame))

    def side(self, name: Side) -> Process:
        return self.proxy if name == "proxy" else self.agent

    def other(self, name: Side) -> Process:
        return self.agent if name == "proxy" else self.proxy

    def deliver(self, sender: Side, which: int = 0, *, keep: bool = False) -> None:
        """The first frame of the `which`-th stream in the queue: order holds within a stream, not across streams."""
        queue = self.queues[sender]
        if not queue:
            return
        numbers = list(dict.fromkeys(number for number, _ in queue))
        chosen = numbers[which % len(numbers)]
        item = next(i for i in queue if i[0] == chosen)
        if not keep:
            queue.remove(item)
        self.other(sender).receive(*item)

    def drop(self, sender: Side) -> None:
        if self.queues[sender]:
            self.queues[sender].popleft()

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.proxy.tick()
        self.agent.tick()

    def settle(self, rounds: int = 200) -> bool:
        """Everybody goes on as well as they can over a good network; whether everything came to an end."""
        for _ in range(rounds):
            for name in SIDES:
                while self.queues[name]:
                    self.deliver(name)
            for name in SIDES:
                process = self.side(name)
                for number, made in list(process.ends.items()):
                    process.read(number, made.unread)
                    process.respond(number, 100, 200, end=False)
                    process.write(number, 128 << 10)
                    if made.sent >= len(CONTENT):
                        process.finish(number)
            if not any(self.queues.values()) and all(e.core.finished for e in self.ends()):
                return True
            self.pass_time(0.3)
        return False

    def ends(self) -> list[End]:
        return [*self.proxy.ends.values(), *self.agent.ends.values()]
