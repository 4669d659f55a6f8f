"""When which event is sent: the rules of a sink's deliveries. Pure: times are Unix seconds, chance is an argument.

    window.add(event)       an event came from the stream; it has a place until it is done or dead
    window.take(now)        the next that may be sent
    window.done(number)     the receiver took it
    window.failed(...)      it did not: when it is tried again, or that it is dead

Events about one object are a lane: the first of it alone is sent, so the receiver has them in order whatever happens. A lane that
fails waits by itself, and others go on; the receiver may ask for a rest of all (429, 503), and gets it.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections import deque
from typing import NamedTuple

from skerry.backoff import Backoff, Chance

AT_ONCE = 8
"""Requests to one receiver."""
PLACES = 256
"""Events that one sink has in hand: those that wait for another try count."""
FIRST_S, LONGEST_S = 3.0, 3600.0
"""Spans of pauses, of which a third to the whole is waited: 1 s at least, an hour at most."""
LIFE_S = 24 * 3600.0
"""An event is tried for so long after it happened, or after the sink could last begin to take it."""
PATIENT = 10
"""Tries after which one that the receiver refuses may lose its place to others, while that takes others."""

GONE = 410
RESTS = (429, 503)
"""Answers with which a receiver asks all to wait."""


class Answer(NamedTuple):
    """What came of a request."""

    status: int = 0
    """0: there was no answer."""
    message: str = ""
    """For people: what the receiver said, or why it could not be asked."""
    reason: str = ""
    """The same in one CamelCase word."""
    rest_s: float = 0.0
    """For how long the receiver wants to be left alone."""

    @property
    def taken(self) -> bool:
        """True if the receiver has it."""
        return 200 <= self.status < 300


class Pending(NamedTuple):
    """An event in hand."""

    number: int
    """Its place in the order of all; negative for one that comes from the dead letters, and then so far before the others."""
    lane: str
    """The object that it is about."""
    until: float
    """After this it is not tried again."""


class _Lane:
    """Events about one object, the oldest first; when and how the first was tried."""

    __slots__ = ("answered", "backoff", "due", "events", "running", "tries")

    def __init__(self, chance: Chance) -> None:
        self.events: list[Pending] = []
        self.backoff = Backoff(FIRST_S, LONGEST_S, chance)
        self.due = 0.0
        self.running = False
        self.tries = 0
        self.answered = False
        """Whether the receiver answered, and so it was this event that failed."""

    def fresh(self) -> None:
        """Its next event has not been tried."""
        self.backoff.reset()
        self.due, self.tries, self.answered = 0.0, 0, False


class Window:
    """The events that one sink has in hand."""

    def __init__(self, chance: Chance, *, places: int = PLACES, at_once: int = AT_ONCE) -> None:
        self._chance, self._places, self._at_once = chance, places, at_once
        self._lanes: dict[str, _Lane] = {}
        self._by_number: dict[int, str] = {}
        self._ready: deque[str] = deque()
        """Lanes whose first event may be sent, whose turn is next first."""
        self._waiting: list[tuple[float, str]] = []
        """A heap, in which may be lanes that do not wait any more."""
        self._running = 0
        self._rest_until = 0.0
        self.taken_at = 0.0
        """When the receiver last took something."""

    def __len__(self) -> int:
        return len(self._by_number)

    def __contains__(self, number: int) -> bool:
        return number in self._by_number

    @property
    def room(self) -> int:
        """How many more it takes."""
        return max(self._places - len(self), 0)

    @property
    def numbers(self) -> list[int]:
        """Of the events in hand, in order."""
        return sorted(self._by_number)

    def add(self, event: Pending) -> None:
        """Take an event in hand. One that is there already changes nothing."""
        if event.number in self._by_number:
            return
        self._by_number[event.number] = event.lane
        lane = self._lanes.get(event.lane)
        if lane is None:
            lane = self._lanes[event.lane] = _Lane(self._chance)
            self._ready.append(event.lane)
        # behind what is on its way, in the order in which it happened
        first = lane.events[:1] if lane.running else []
        rest = lane.events[len(first) :]
        insort(rest, event)
        lane.events = first + rest

    def rest(self, until: float) -> None:
        """Send nothing before that time."""
        self._rest_until = max(self._rest_until, until)

    def go_on(self) -> None:
        """End a rest."""
        self._rest_until = 0.0

    def take(self, now: float) -> Pending | None:
        """The next event that may be sent now; it is on its way until `done` or `failed`."""
        if now < self._rest_until or self._running >= self._at_once:
            return None
        while self._waiting and self._waiting[0][0] <= now:
            due, name = heapq.heappop(self._waiting)
            lane = self._lanes.get(name)
            if lane is not None and not lane.running and lane.due == due:
                lane.due = 0.0
                self._ready.append(name)
        if not self._ready:
            return None
        name = self._ready.popleft()
        lane = self._lanes[name]
        lane.running = True
        self._running += 1
        return lane.events[0]

    def next_due(self, now: float) -> float | None:
        """When `take` may have something that it has not now; None: when something else happens."""
        if self._running >= self._at_once:
            return None
        if now < self._rest_until:
            return self._rest_until if self._lanes else None
        while self._waiting and (
            (lane := self._lanes.get(self._waiting[0][1])) is None or lane.running or lane.due != self._waiting[0][0]
        ):
            heapq.heappop(self._waiting)
        return self._waiting[0][0] if self._waiting else None

    def done(self, number: int, now: float) -> None:
        """The receiver took it: so it can be reached, and what waits because it could not be is tried."""
        self.taken_at = now
        self._leave(number)
        for name, lane in self._lanes.items():
            if lane.due and not lane.answered:
                lane.due = 0.0
                self._ready.append(name)

    def drop(self, number: int) -> None:
        """It has ended in another way, and its lane goes on."""
        self._leave(number)

    def failed(self, number: int, answer: Answer, now: float) -> bool:
        """It was not taken: True if it will be tried again. One that is dead keeps its place until `drop`."""
        lane = self._lanes[self._by_number[number]]
        event = lane.events[0]
        lane.tries += 1
        lane.answered = bool(answer.status) and answer.status not in RESTS
        if answer.rest_s:
            self.rest(now + answer.rest_s)
        if now >= event.until:
            return False
        lane.due = min(max(now + lane.backoff.next(), self._rest_until), max(event.until, self._rest_until))
        lane.running = False
        self._running -= 1
        heapq.heappush(self._waiting, (lane.due, self._by_number[number]))
        return True

    def tries(self, number: int) -> int:
        """How often an event, the first of its lane, was tried in vain."""
        return self._lanes[self._by_number[number]].tries

    def yields(self) -> int | None:
        """Where all places are taken: an event that the receiver refuses again and again while it takes others, the oldest; so a
        receiver that never takes one kind of event is told of the others all the same.
        """
        if self.room or not self.taken_at:
            return None
        refused = (
            lane.events[0].number
            for lane in self._lanes.values()
            if lane.answered and not lane.running and lane.tries >= PATIENT
        )
        return min(refused, default=None)

    def _leave(self, number: int) -> None:
        name = self._by_number.pop(number)
        lane = self._lanes[name]
        was_first = lane.events[0].number == number
        lane.events = [event for event in lane.events if event.number != number]
        if not was_first:
            return
        if lane.running:
            lane.running = False
            self._running -= 1
        elif not lane.due:
            self._ready.remove(name)
        if not lane.events:
            del self._lanes[name]
            return
        lane.fresh()
        self._ready.append(name)
