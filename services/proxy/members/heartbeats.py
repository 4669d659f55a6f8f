"""Which agents were heard from, for people: heartbeat age, round trip, and since when a member is away.

Every proxy subscribes to the heartbeats of all members itself, so that these figures never move a resourceVersion or
cause a watch event. The dialer's own table decides where a request goes; it looks here where an agent is silent and it knows of no
other one. What a member may send is what
the registry admits too; a flood is counted and told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from skerry import heartbeats, subjects
from skerry.api.times import rfc3339

LOST_S = 35.0
"""Without a heartbeat for so long an agent is not there: three were missed."""
MAX_AGENTS = 16
"""Agents remembered per member: its account allows no more connections."""


class Beat(NamedTuple):
    """The last heartbeat of one agent."""

    heard: float
    """Monotonic seconds."""
    wall: float
    """Unix seconds, host time."""
    rtt_ms: float | None
    leaving: bool
    connections: tuple[str, ...]
    """Ids of the pair that takes its streams."""


class HeartbeatTable:
    """Heartbeats by member. `monotonic` and `wall` are the clocks, in seconds; `known` tells members from rubbish."""

    def __init__(
        self,
        known: Callable[[str], bool],
        monotonic: Callable[[], float],
        wall: Callable[[], float],
        flooded: Callable[[str], None],
    ) -> None:
        self._known = known
        self._monotonic = monotonic
        self._wall = wall
        self._flooded = flooded
        self._admission = heartbeats.Admission()
        self._beats: dict[str, dict[tuple[str, str], Beat]] = {}
        """By member, and by the agent and its process: replicas in pods have one key."""
        self.rubbish = 0
        """Heartbeats of members that could not be read."""

    def heard(self, subject: str, data: bytes) -> bool:
        """Take one heartbeat. What cannot be read is counted and dropped: members are hostile until checked. True if its member
        floods: then nothing more of it is worth reading for AGAIN_S."""
        member, now = subjects.member_of(subject), self._monotonic()
        if not self._known(member):
            return False
        if self._admission.admits(member, now):
            self._take(member, data, now)
            return False
        floods = self._admission.floods(member, now)
        if floods:
            self._flooded(member)
        return floods

    def _take(self, member: str, data: bytes, now: float) -> None:
        try:
            beat = heartbeats.read(data)
        except heartbeats.UnreadableHeartbeat:
            self.rubbish += 1
            return
        agents = self._beats.setdefault(member, {})
        agents[beat.agent, beat.epoch] = Beat(now, self._wall(), beat.rtt_ms, beat.leaving, beat.connections)
        if len(agents) > MAX_AGENTS:
            del agents[min(agents, key=lambda agent: agents[agent].heard)]

    def forget(self, member: str) -> None:
        """The member was removed."""
        self._beats.pop(member, None)
        self._admission.forget(member)

    def forget_all(self) -> None:
        """This process was cut off or stood still: what it heard before says nothing of how long members are silent."""
        self._beats.clear()

    def last(self, member: str) -> Beat | None:
        """The member's youngest heartbeat, if this process has heard one."""
        return max(self._beats.get(member, {}).values(), key=lambda beat: beat.heard, default=None)

    def connections(self, member: str, kind: str) -> Iterator[str]:
        """Ids of its agents' connections of a class (subjects.INTERACTIVE or BULK), as they said them, who was heard last first."""
        now = self._monotonic()
        beats = [
            each for each in self._beats.get(member, {}).values() if now - each.heard < LOST_S and not each.leaving
        ]
        for beat in sorted(beats, key=lambda beat: -beat.heard):
            yield from (each for each in beat.connections if each.endswith(kind))

    def live(self, member: str) -> dict[str, str]:
        """The cells `heartbeat` and `rtt` of the member's row, as people read them; empty if it was never heard."""
        beat = self.last(member)
        if beat is None:
            return {}
        cells = {"heartbeat": f"{max(self._monotonic() - beat.heard, 0.0):.0f}s"}
        if beat.rtt_ms is not None:
            cells["rtt"] = f"{beat.rtt_ms:.1f}ms"
        return cells

    def since(self, member: str) -> str:
        """When the member was heard last, RFC 3339; empty if this process has not heard it."""
        beat = self.last(member)
        return "" if beat is None else rfc3339(beat.wall)
