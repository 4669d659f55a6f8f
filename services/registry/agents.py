"""Answers `clusters/<m>/agents`: each agent that the registry knows, with what it heard of it. Nothing is written for that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from services.registry import clusters
from services.registry.model import LOST_S, YEAR_3000, Agent, MemberAgents, Now, alive, at, heard
from services.registry.secrets import MemberSecret
from skerry.api.agentlist import ClusterAgentList, ListedAgent, short_name
from skerry.api.meta import Document
from skerry.errors import BadRequest


def listed(secret: MemberSecret, member: MemberAgents | None, now: Now) -> list[ListedAgent]:
    """The agents of a member, by their keys. What only an agent says is believed of keys that the member has."""
    here = [] if member is None else heard(member)
    known = [agent for agent in here if agent.beat.agent in secret.agents]
    live = [] if member is None else [(agent.beat.agent, agent.beat.epoch) for agent in alive(member, now)]
    leader = min(live, default=("", ""))
    rows = [_heard(agent, secret, member, leader, now) for agent in known if member is not None]
    silent = secret.agents.keys() - {agent.beat.agent for agent in known}
    knows = member is not None and now.mono - member.since.mono >= LOST_S
    rows += [_silent(nkey, secret, knows=knows) for nkey in silent]
    return sorted(rows, key=lambda row: (row.nkey, row.epoch))


def _heard(agent: Agent, secret: MemberSecret, member: MemberAgents, leader: tuple[str, str], now: Now) -> ListedAgent:
    beat = agent.beat
    gone = member.complete and all(nkey != beat.agent for nkey, _ in member.connections.values())
    connected = not agent.left and not gone and now.mono - agent.heard < LOST_S
    return ListedAgent(
        name=short_name(beat.agent),
        nkey=beat.agent,
        epoch=beat.epoch,
        version=beat.version,
        connected=str(connected),
        last_heartbeat=at(agent.wall),
        lead=connected and (beat.agent, beat.epoch) == leader,
        expires=at(beat.expires) if 0 < beat.expires < YEAR_3000 else "",
        since=at(secret.agents[beat.agent]),
    )


def _silent(nkey: str, secret: MemberSecret, *, knows: bool) -> ListedAgent:
    return ListedAgent(
        name=short_name(nkey), nkey=nkey, connected="False" if knows else "Unknown", since=at(secret.agents[nkey])
    )


class AgentLists:
    """`find(name)` is the Cluster, NotFound; `secret(name)` what is kept of the member; `heard(name)` what was heard of it."""

    def __init__(
        self,
        find: Callable[[str], Awaitable[Document]],
        secret: Callable[[str], Awaitable[MemberSecret | None]],
        heard_of: Callable[[str], MemberAgents | None],
        clock: Callable[[], Now],
    ) -> None:
        self._find, self._secret, self._heard_of, self._clock = find, secret, heard_of, clock

    async def answer(self, name: str) -> Document:
        """The list. StatusError."""
        cluster = await self._find(name)
        if not clusters.has_agent(cluster):
            raise BadRequest(f"cluster {name!r} has no agents: the host reaches it without one")
        secret, member = await self._secret(name), self._heard_of(name)
        uid = cluster["metadata"]["uid"]
        items: list[ListedAgent] = []
        if secret is not None and secret.cluster == uid:
            items = listed(secret, member if member is not None and member.object == uid else None, self._clock())
        document: Document = msgspec.to_builtins(ClusterAgentList(items=items))
        return document
