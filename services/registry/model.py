"""Presence of members: from heartbeats and connection events to one verdict per member. Pure.

Heartbeats live in memory against a monotonic clock; a verdict changes rarely, and only then is anything written. Agents
are counted, not connections: an agent is its nkey. A connection event tells of an end within milliseconds, a missing
heartbeat within 35 s, and what this process cannot know (it has just started, or was cut off from the bus itself) it
does not claim.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from skerry.api.conditions import REPAIRED, RIGHTS_MISSING, Verdict
from skerry.api.messages import Heartbeat
from skerry.api.times import rfc3339
from skerry.heartbeats import Admission

BEAT_S = 10.0
"""Agents send a heartbeat this often."""
LOST_S = 35.0
"""Without a heartbeat for so long a member is not ready: three were missed."""
SUSPECT_S = 2.5
"""After the last connection ended, a reconnect within this time is no outage."""
UNCOUNTED_SUSPECT_S = BEAT_S + 2
"""The same, when connections may exist that this process does not know."""
MAX_AGENTS = 64
YEAR_3000 = 32_503_680_000
"""What a member says to end later is nonsense."""
WRONG, TAKEN_OVER = "WrongCluster", "TakenOver"
TEXT_LIMIT = 1000
"""Characters of what is missing or repaired that are kept in a condition."""
_encode = msgspec.json.Encoder().encode


class Now(NamedTuple):
    """Two clocks: `mono` for ages, `wall` (seconds since the epoch, host time) for what people read."""

    mono: float
    wall: float


class PresenceStatus(NamedTuple):
    """A member's presence as its Cluster's status has it, or should have it."""

    ready: Verdict
    replicas: int
    """Agents that are connected."""


class Connected(NamedTuple):
    """A connection to the bus."""

    member: str
    connection: str
    """Unique over all servers."""
    agent: str
    """Its nkey."""
    epoch: str = ""
    """Of the process that it says to be of, in its name: `<nkey>/<class>/<epoch>`."""


@dataclass(slots=True)
class Agent:
    """One agent of a member, as it was heard last."""

    beat: Heartbeat
    heard: float
    wall: float
    left: bool = False
    """It said goodbye."""
    first: float = 0.0
    """When this process of it was heard for the first time."""
    inventory: bytes = b""
    """What it said last of what the cluster has, as JSON: a tenth of the objects' memory. Empty: nothing yet."""
    vanished: float = math.inf
    """When the last connection of this process ended, if that is known and it did not come back."""
    facts: tuple[object, ...] = field(init=False)
    """What a status is made of."""

    def __post_init__(self) -> None:
        beat = self.beat
        self.facts = (
            beat.epoch, beat.version, beat.kubernetes_version, beat.cluster_uid, beat.nodes, beat.healthy, beat.message,
            beat.missing, beat.repaired, beat.ceiling, beat.expires, beat.leaving, beat.taken_over, beat.app_store, self.inventory,
            _off(beat.clock_s), beat.server_certificate, beat.client_certificate,
        )  # fmt: skip


@dataclass(slots=True)
class MemberAgents:
    """A member's agents, as far as they are known."""

    object: str
    """uid of its Cluster object: another one after it was removed and joined again."""
    uid: str
    """UID of the physical cluster, from joining; a heartbeat with another one is not believed."""
    since: Now
    """Since when this process hears it without a break."""
    agents: dict[tuple[str, str], Agent] = field(default_factory=dict)
    """By nkey and the epoch of the process."""
    connections: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Connection -> the process that it is of, as in `agents`."""
    counted: bool = False
    """Every connection of this member was seen to begin: no agent is there that was not heard."""
    listed: bool = False
    """Every connection of this member is known: seen to begin, or told by the bus."""
    suspect: Now | None = None
    unseen: set[str] = field(default_factory=set)
    """Agents, by nkey, that spoke when none of the member's connections was known: until the bus tells of one of theirs."""

    @property
    def complete(self) -> bool:
        """Whether the end of the last connection that is known is the end of all."""
        return (self.counted or self.listed) and not self.unseen


class PresenceTable:
    """All members. Methods return the names whose verdict or facts may have changed."""

    def __init__(self) -> None:
        self.members: dict[str, MemberAgents] = {}
        self.admission = Admission()
        self.listening = 0
        """How often it was begun to hear."""
        self._ended: set[str] | None = None
        """Connections whose end was heard since; None when it is not asked any more which there were."""

    # Members come and go

    def know(self, name: str, object_uid: str, uid: str, now: Now, *, fresh: bool = False) -> bool:
        """Start to look at a member; `fresh` if it joined just now and has no credential yet, so that all its connections
        will be seen. Whether it was unknown."""
        known = self.members.get(name)
        if known is not None and known.object == object_uid:
            known.counted = known.counted or fresh
            return False
        self.members[name] = MemberAgents(object=object_uid, uid=uid, since=now, counted=fresh)
        return True

    def forget(self, name: str, object_uid: str) -> None:
        """The member was removed; news of an earlier one of that name come late and change nothing."""
        if name in self.members and self.members[name].object == object_uid:
            del self.members[name]
            self.admission.forget(name)

    # Events

    def heartbeat(self, name: str, beat: Heartbeat, now: Now) -> set[str]:
        """A heartbeat of a member; ignored if the member is unknown. Ask `admits` first."""
        member = self.members.get(name)
        if member is None:
            return set()
        key = (beat.agent, beat.epoch)
        before = _before(member, beat)
        if before is None and len(member.agents) >= MAX_AGENTS:
            oldest = min(member.agents, key=lambda agent: member.agents[agent].heard)
            del member.agents[oldest]
        if member.suspect is not None and now.mono - member.suspect.mono > 1.0:
            member.suspect, before = None, None
            member.unseen.add(beat.agent)
        first = now.mono if before is None else before.first
        inventory = b"" if before is None else before.inventory
        if beat.inventory is not None:
            inventory, beat = _encode(beat.inventory), msgspec.structs.replace(beat, inventory=None)
        agent = member.agents[key] = Agent(beat, now.mono, now.wall, beat.leaving, first, inventory)
        fresh = before is not None and before.heard >= member.since.mono and now.mono - before.heard < LOST_S
        if before is not None and fresh and before.facts == agent.facts:
            return set()
        return {name}

    def admits(self, name: str, now: Now) -> bool:
        """True if one more message of a member may be looked at now. What is beyond the rate is only counted."""
        return name in self.members and self.admission.admits(name, now.mono)

    def floods(self, name: str, now: Now) -> bool:
        """True if so many were counted out that it is no accident."""
        return self.admission.floods(name, now.mono)

    def connected(self, name: str, connection: str, agent: str, epoch: str = "") -> set[str]:
        """A connection of a member began: of that agent, by its nkey, and of the process that it says."""
        member = self.members.get(name)
        if member is None:
            return set()
        if len(member.connections) < MAX_AGENTS:
            member.connections[connection] = agent, epoch
            member.unseen.discard(agent)
            _vanish(member, (agent, epoch), math.inf)
        if member.suspect is None:
            return set()
        member.suspect = None
        return {name}

    def disconnected(self, name: str, connection: str, now: Now) -> set[str]:
        """A connection of a member ended; the verdict follows when it is `due`, unless it comes back."""
        if self._ended is not None:
            self._ended.add(connection)
        member = self.members.get(name)
        if member is None:
            return set()
        process = member.connections.pop(connection, None)
        if member.complete and process is not None and process not in member.connections.values():
            _vanish(member, process, now.mono)
        if member.connections or member.suspect is not None:
            return set()
        member.suspect = now
        return {name}

    def listen(self, now: Now) -> None:
        """From now on this process hears, at its start or after a break: what it knew of connections is void, and so is
        silence until now.
        """
        self.listening, self._ended = self.listening + 1, set()
        for member in self.members.values():
            member.connections.clear()
            member.unseen.clear()
            member.counted, member.listed, member.suspect, member.since = False, False, None, now

    def listed(self, listening: int, connections: Iterable[Connected], surely: int) -> set[str] | None:
        """The bus told of all connections that there are, asked after it was begun to hear for the `listening`th time: the end of
        a member's last one is an end from now on. What ended meanwhile may still be among them. None, and nothing is known,
        if more than `surely` did: then one that is there may have been passed over."""
        if listening != self.listening or self._ended is None:
            return set()
        if len(self._ended) > surely:
            self._ended = set()
            return None
        ended, self._ended = self._ended, None
        changed = set()
        for name, connection, agent, epoch in connections:
            member = self.members.get(name)
            if member is None or connection in ended or len(member.connections) >= MAX_AGENTS:
                continue
            member.connections[connection] = agent, epoch
            if member.suspect is not None:
                member.suspect = None
                changed.add(name)
        for member in self.members.values():
            member.listed = True
            member.unseen.clear()
        return changed

    def judge(self, name: str, stored: PresenceStatus, now: Now) -> PresenceStatus:
        """How a member stands; as it is `stored` if nothing is known of it."""
        member = self.members.get(name)
        return stored if member is None else judge(member, stored, now)


def _vanish(member: MemberAgents, process: tuple[str, str], at_s: float) -> None:
    if process in member.agents:
        member.agents[process].vanished = at_s


def _before(member: MemberAgents, beat: Heartbeat) -> Agent | None:
    """What was heard of this process last, maybe with the key that it had before: that is no second agent."""
    before = member.agents.get((beat.agent, beat.epoch))
    return before or (member.agents.pop((beat.replaces, beat.epoch), None) if beat.replaces else None)


def _off(clock_s: float | None) -> float | None:
    """A clock's offset in steps of 5 s up to half a minute: beyond, one hour is as bad as another."""
    return None if clock_s is None else max(-7.0, min(7.0, clock_s // 5))


def heard(member: MemberAgents) -> list[Agent]:
    """Agents that were heard since this process hears without a break."""
    return [agent for agent in _current(member) if agent.heard >= member.since.mono]


def _current(member: MemberAgents) -> list[Agent]:
    """Agents without those that were started again."""
    agents = list(member.agents.values())
    return [agent for agent in agents if not any(_replaces(later, agent) for later in agents)]


def _replaces(later: Agent, agent: Agent) -> bool:
    """Whether a process is an earlier one of the same key, started again: that was not heard since the later one began, as a replica
    in another pod is. A later one that said goodbye may have come and gone between two words of a replica: that is none if its
    last connection had ended before, or it had said goodbye too."""
    if later.beat.agent != agent.beat.agent or not agent.first < later.first >= agent.heard:
        return False
    return not later.left or agent.left or agent.vanished <= later.first


def alive(member: MemberAgents, now: Now) -> list[Agent]:
    """Of these, those that were heard within LOST_S and did not say goodbye, the one heard last first."""
    agents = [agent for agent in heard(member) if not agent.left and now.mono - agent.heard < LOST_S]
    return sorted(agents, key=lambda agent: -agent.heard)


def judge(member: MemberAgents, stored: PresenceStatus, now: Now) -> PresenceStatus:
    """The verdict whether a member can be reached. The message holds no running figure: an unchanged state is an unchanged text.

    What some of its agents say proves what works at once, and what does not only when all of them were heard.
    """
    if member.suspect is not None and now.mono - member.suspect.mono >= _patience(member):
        left = _last_left(_current(member))
        ended = f"its agent's last connection ended at {at(member.suspect.wall)}"
        return PresenceStatus(left or Verdict("False", "AgentDisconnected", ended), 0)
    live = alive(member, now)
    verdict = _of_live(member, live) if live else None
    if not _knows_all(member, stored, now):
        if verdict is None or verdict.status != "True":
            return stored
        return PresenceStatus(verdict, max(stored.replicas, len(live)))
    if verdict is None:
        return _without_live(member, stored, now)
    return PresenceStatus(verdict, 0 if verdict.reason == WRONG else len(live))


def due(member: MemberAgents, now: Now) -> float | None:
    """In how many seconds the verdict on a member may become another one by time alone; None: not before something happens."""
    moments = [member.since.mono, *(agent.heard for agent in member.agents.values() if not agent.left)]
    ends = [moment + LOST_S - now.mono for moment in moments]
    if member.suspect is not None:
        ends.append(member.suspect.mono + _patience(member) - now.mono)
    return min((left for left in ends if left > 0), default=None)


def _knows_all(member: MemberAgents, stored: PresenceStatus, now: Now) -> bool:
    """True if no agent of the member can be there that this process has not heard."""
    counted = member.counted and not member.unseen
    return counted or _listened(member, now) or len(heard(member)) >= max(stored.replicas, 1)


def _listened(member: MemberAgents, now: Now) -> bool:
    return now.mono - member.since.mono >= LOST_S


def _without_live(member: MemberAgents, stored: PresenceStatus, now: Now) -> PresenceStatus:
    left = _last_left(_current(member))
    if left is not None and heard(member):
        return PresenceStatus(left, 0)
    if not _listened(member, now) or (stored.ready.status == "False" and not heard(member)):
        return stored
    wall = max((agent.wall for agent in member.agents.values()), default=member.since.wall)
    return PresenceStatus(Verdict("False", "HeartbeatLost", f"no heartbeat of its agent since {at(wall)}"), 0)


def _patience(member: MemberAgents) -> float:
    return SUSPECT_S if member.complete else UNCOUNTED_SUSPECT_S


def _of_live(member: MemberAgents, live: list[Agent]) -> Verdict:
    right = [agent for agent in live if agent.beat.cluster_uid in ("", member.uid)]
    if not right:
        beat = live[0].beat
        return Verdict(
            "False",
            WRONG,
            beat.message
            or f"its agent speaks of another cluster (kube-system UID {beat.cluster_uid!r}, joined was {member.uid!r}): "
            "give the agent the kubeconfig of the cluster that joined",
        )
    serving = [agent.beat for agent in right if agent.beat.healthy]
    if not serving:
        return _unserved(right[0].beat)
    lacking = [beat.missing for beat in serving if beat.missing]
    if len(lacking) == len(serving):
        return rights(lacking[0], "")
    return Verdict("True", "AgentConnected", "its agent is connected and its API server answers")


def _unserved(beat: Heartbeat) -> Verdict:
    if beat.taken_over:
        return Verdict("False", TAKEN_OVER, beat.message)
    if beat.missing and beat.message and beat.missing.startswith(beat.message):
        return rights(beat.missing, "")
    why = beat.message or "no reason given"
    return Verdict("False", "APIServerUnreachable", f"its agent is connected, its API server does not answer: {why}")


def rights(missing: str, repaired: str) -> Verdict:
    """The condition RightsComplete, by what the last look at a member found."""
    if missing:
        return Verdict("False", RIGHTS_MISSING, missing[:TEXT_LIMIT])
    if repaired:
        return Verdict("True", REPAIRED, repaired[:TEXT_LIMIT])
    return Verdict("True", "Complete", "its account and the four bindings are as serving needs them")


def _last_left(agents: list[Agent]) -> Verdict | None:
    if not agents or not all(agent.left for agent in agents):
        return None
    wall = max(agent.wall for agent in agents)
    return Verdict("False", "AgentStopped", f"its agent was stopped at {at(wall)}; start it again with skerry agent")


def at(wall: float) -> str:
    """RFC 3339 in UTC, whole seconds."""
    return rfc3339(wall)


JOINED = Verdict("Unknown", "AgentJoined", "joined; waiting for the first heartbeat of its agent")
