"""Presence of members: from heartbeats and connection events to one verdict per member. Pure.

Heartbeats live in memory against a monotonic clock; a verdict changes rarely, and only then is anything written. Agents
are counted, not connections: an agent is its nkey. A connection event tells of an end within milliseconds, a missing
heartbeat within 35 s, and what this process cannot know (it has just started, or was cut off from the bus itself) it
does not claim.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from skerry.api.messages import Heartbeat

BEAT_S = 10.0
"""Agents send a heartbeat this often."""
LOST_S = 35.0
"""Without a heartbeat for so long a member is not ready: three were missed."""
SUSPECT_S = 2.5
"""After the last connection ended, a reconnect within this time is no outage."""
UNCOUNTED_SUSPECT_S = BEAT_S + 2
"""The same, when connections may exist that this process never saw begin."""
FORGET_S = 600.0
"""An agent that was not heard for so long is no longer listed among several."""
MAX_AGENTS = 64
FLOOD_PER_S = 10.0
"""Heartbeats of one member beyond this rate (with a burst of as many) are counted and ignored."""
FLOOD_BEATS = 500
"""So many ignored heartbeats within FLOOD_WINDOW_S are no accident: the member is quarantined."""
FLOOD_WINDOW_S = 60.0


class Now(NamedTuple):
    """Two clocks: `mono` for ages, `wall` (seconds since the epoch, host time) for what people read."""

    mono: float
    wall: float


class Verdict(NamedTuple):
    """The condition Ready."""

    status: str
    reason: str
    message: str


@dataclass(slots=True)
class Agent:
    """One agent of a member, as it was heard last."""

    beat: Heartbeat
    heard: float
    wall: float
    left: bool = False


@dataclass(slots=True)
class Member:
    """What is known of a member's agents."""

    object: str
    """uid of its Cluster object: another one after it was removed and joined again."""
    uid: str
    """UID of the physical cluster, from joining; a heartbeat with another one is not believed."""
    known: Now
    """Since when this process looks at it."""
    fallback: Verdict
    """What holds until something is heard, or the grace has passed."""
    agents: dict[str, Agent] = field(default_factory=dict)
    connections: dict[str, str] = field(default_factory=dict)
    """Connection -> agent's nkey."""
    counted: bool = False
    """Every connection of this member was seen to begin."""
    suspect: Now | None = None
    allowance: float = FLOOD_PER_S
    allowed_at: float = 0.0
    floods: int = 0
    """Heartbeats that were ignored, since this process looks at the member."""
    flooding: int = 0
    """The same, within the present window."""
    flooding_since: float = 0.0


class Presence:
    """All members. Methods return the names whose verdict or facts may have changed."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self._suspects: set[str] = set()

    # Members come and go

    def know(self, name: str, object_uid: str, uid: str, fallback: Verdict, now: Now, *, fresh: bool = False) -> None:
        """Start to look at a member; `fresh` if it joined just now, so that all its connections will be seen."""
        if name not in self.members or self.members[name].object != object_uid:
            self.members[name] = Member(object=object_uid, uid=uid, known=now, fallback=fallback, counted=fresh)

    def forget(self, name: str, object_uid: str) -> None:
        """The member was removed; news of an earlier one of that name come late and change nothing."""
        if name in self.members and self.members[name].object == object_uid:
            del self.members[name]
            self._suspects.discard(name)

    # Events

    def heartbeat(self, name: str, beat: Heartbeat, now: Now) -> set[str]:
        """A heartbeat of a member; ignored if the member is unknown. Ask `admits` first."""
        member = self.members.get(name)
        if member is None:
            return set()
        before = member.agents.get(beat.agent)
        if before is None and len(member.agents) >= MAX_AGENTS:
            oldest = min(member.agents, key=lambda agent: member.agents[agent].heard)
            del member.agents[oldest]
        if member.suspect is not None and now.mono - member.suspect.mono > 1.0:
            member.suspect, member.counted = None, False
            self._suspects.discard(name)
            before = None
        member.agents[beat.agent] = Agent(beat, now.mono, now.wall, beat.leaving)
        if before is not None and _same(before.beat, beat) and now.mono - before.heard < LOST_S:
            return set()
        return {name}

    def admits(self, name: str, now: Now) -> bool:
        """Whether one more message of a member may be looked at now. What is beyond the rate is only counted."""
        member = self.members.get(name)
        return member is not None and _within_rate(member, now)

    def floods(self, name: str) -> bool:
        """Whether a member was counted out FLOOD_BEATS times within the window; asked once per such count."""
        member = self.members.get(name)
        if member is None or member.flooding < FLOOD_BEATS:
            return False
        member.flooding = 0
        return True

    def connected(self, name: str, connection: str, agent: str) -> set[str]:
        """A connection of a member began."""
        member = self.members.get(name)
        if member is None:
            return set()
        if len(member.connections) < MAX_AGENTS:
            member.connections[connection] = agent
        if member.suspect is None:
            return set()
        member.suspect = None
        self._suspects.discard(name)
        return {name}

    def disconnected(self, name: str, connection: str, now: Now) -> None:
        """A connection of a member ended; the verdict follows by `tick`, unless it comes back."""
        member = self.members.get(name)
        if member is None:
            return
        member.connections.pop(connection, None)
        if not member.connections and member.suspect is None:
            member.suspect = now
            self._suspects.add(name)

    def blind(self, now: Now) -> None:
        """This process was cut off from the bus: what it knew of connections is void, silence then proves nothing."""
        self._suspects.clear()
        for member in self.members.values():
            member.connections.clear()
            member.counted, member.suspect = False, None
            for agent in member.agents.values():
                agent.heard = now.mono

    def tick(self) -> set[str]:
        """Members whose verdict may change within milliseconds; all others are looked at by a slower round."""
        return set(self._suspects)

    def judge(self, name: str, now: Now) -> Verdict | None:
        """The verdict of a member; None if it is unknown."""
        member = self.members.get(name)
        return None if member is None else judge(member, now)


def _same(one: Heartbeat, other: Heartbeat) -> bool:
    """Whether two heartbeats lead to the same status."""
    return _facts(one) == _facts(other)


def _facts(beat: Heartbeat) -> tuple[object, ...]:
    return (
        beat.epoch, beat.version, beat.kubernetes_version, beat.cluster_uid, beat.nodes, beat.healthy, beat.message,
        beat.ceiling, beat.expires, beat.leaving,
    )  # fmt: skip


def _within_rate(member: Member, now: Now) -> bool:
    """A token bucket per member: a flood is counted, not handled."""
    gained = (now.mono - member.allowed_at) * FLOOD_PER_S
    member.allowance = min(FLOOD_PER_S, member.allowance + gained)
    member.allowed_at = now.mono
    if member.allowance < 1:
        _counted_out(member, now)
        return False
    member.allowance -= 1
    return True


def _counted_out(member: Member, now: Now) -> None:
    if now.mono - member.flooding_since > FLOOD_WINDOW_S:
        member.flooding, member.flooding_since = 0, now.mono
    member.floods += 1
    member.flooding += 1


def alive(member: Member, now: Now) -> list[Agent]:
    """Agents that were heard within LOST_S and did not say goodbye, the one heard last first."""
    found = [agent for agent in member.agents.values() if not agent.left and now.mono - agent.heard < LOST_S]
    return sorted(found, key=lambda agent: -agent.heard)


def judge(member: Member, now: Now) -> Verdict:
    """Whether a member can be reached. The message holds no running figure: an unchanged state is an unchanged text."""
    if member.suspect is not None and now.mono - member.suspect.mono >= _patience(member):
        left = _last_left(member.agents.values())
        return left or Verdict(
            "False", "AgentDisconnected", f"its agent's last connection ended at {at(member.suspect.wall)}"
        )
    live = alive(member, now)
    if live:
        return _of_live(member, live)
    left = _last_left(member.agents.values())
    if left is not None:
        return left
    if member.agents:
        wall = max(agent.wall for agent in member.agents.values())
        return Verdict("False", "HeartbeatLost", f"no heartbeat of its agent since {at(wall)}")
    return _unheard(member, now)


def _patience(member: Member) -> float:
    return SUSPECT_S if member.counted else UNCOUNTED_SUSPECT_S


def _of_live(member: Member, live: list[Agent]) -> Verdict:
    right = [agent for agent in live if agent.beat.cluster_uid in ("", member.uid)]
    if not right:
        return Verdict(
            "False",
            "WrongCluster",
            f"its agent speaks of another cluster (kube-system UID {live[0].beat.cluster_uid[:64]!r}, joined was "
            f"{member.uid!r}): give the agent the kubeconfig of the cluster that joined",
        )
    if any(agent.beat.healthy for agent in right):
        return Verdict("True", "AgentConnected", "its agent is connected and its API server answers")
    why = right[0].beat.message[:500] or "no reason given"
    return Verdict("False", "APIServerUnreachable", f"its agent is connected, its API server does not answer: {why}")


def _last_left(agents: Iterable[Agent]) -> Verdict | None:
    known = list(agents)
    if not known or not all(agent.left for agent in known):
        return None
    wall = max(agent.wall for agent in known)
    return Verdict("False", "AgentStopped", f"its agent was stopped at {at(wall)}; start it again with skerry agent")


def _unheard(member: Member, now: Now) -> Verdict:
    if member.fallback.status == "False" or now.mono - member.known.mono < LOST_S:
        return member.fallback
    return Verdict("False", "HeartbeatLost", f"no heartbeat of an agent since {at(member.known.wall)}")


def at(wall: float) -> str:
    """RFC 3339 in UTC, whole seconds."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


JOINED = Verdict("Unknown", "AgentJoined", "joined; waiting for the first heartbeat of its agent")
RESTARTED = Verdict("Unknown", "RegistryStarted", "the host has started; waiting for a heartbeat of its agent")
