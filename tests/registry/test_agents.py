"""`clusters/<m>/agents`: which agents there are, by keys that the member has and by what was heard of them."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
import pytest

from services.registry.agents import AgentLists, listed
from services.registry.model import LOST_S, MemberAgents, Now, PresenceTable
from services.registry.secrets import MemberSecret
from skerry import subjects
from skerry.api.agentlist import ListedAgent
from skerry.api.messages import Heartbeat, Write
from skerry.api.meta import Document
from skerry.errors import BadRequest
from tests.fixtures.nats import NatsHost
from tests.registry.conftest import Agent, Client

T0 = Now(1000.0, 1_800_000_000.0)
ONE, TWO = "UAAB" + "C" * 52, "UAAB" + "D" * 52
SECRET = MemberSecret(cluster="o1", account="A", seed="S", agents={ONE: T0.wall - 60, TWO: T0.wall - 30})


def at(seconds: float) -> Now:
    return Now(T0.mono + seconds, T0.wall + seconds)


@pytest.fixture
def presence() -> PresenceTable:
    table = PresenceTable()
    table.know("m1", "o1", "u1", T0)
    return table


def beat(table: PresenceTable, agent: str, seconds: float, epoch: str = "1", **changes: Any) -> MemberAgents:
    fields: dict[str, Any] = {"agent": agent, "epoch": epoch, "version": "0.1.0", "cluster_uid": "u1"}
    table.heartbeat("m1", Heartbeat(**(fields | changes)), at(seconds))
    return table.members["m1"]


def rows(member: MemberAgents | None, seconds: float, secret: MemberSecret = SECRET) -> list[tuple[str, str, bool]]:
    return [(row.nkey, row.connected, row.lead) for row in listed(secret, member, at(seconds))]


def test_each_says_all_that_is_known_of_it(presence: PresenceTable) -> None:
    member = beat(presence, ONE, 5, expires=int(T0.wall) + 3600)
    assert listed(SECRET, member, at(6))[0] == ListedAgent(
        name=ONE[:10],
        nkey=ONE,
        epoch="1",
        version="0.1.0",
        connected="True",
        last_heartbeat="2027-01-15T08:00:05Z",
        lead=True,
        expires="2027-01-15T09:00:00Z",
        since="2027-01-15T07:59:00Z",
    )


def test_the_smallest_key_that_lives_leads(presence: PresenceTable) -> None:
    beat(presence, ONE, 1)
    member = beat(presence, TWO, 20)
    assert rows(member, 21) == [(ONE, "True", True), (TWO, "True", False)]
    assert rows(member, LOST_S + 2) == [(ONE, "False", False), (TWO, "True", True)]


def test_one_that_said_goodbye_is_not_connected(presence: PresenceTable) -> None:
    beat(presence, ONE, 1)
    assert rows(beat(presence, ONE, 2, leaving=True), 3) == [(ONE, "False", False), (TWO, "Unknown", False)]


def test_one_without_a_connection_is_not_connected_once_all_connections_are_known(presence: PresenceTable) -> None:
    member = beat(presence, ONE, 1)
    presence.connected("m1", "s/1", TWO)
    assert rows(member, 2)[0] == (ONE, "True", True)
    member.listed = True
    assert rows(member, 2)[0] == (ONE, "False", False)
    presence.connected("m1", "s/2", ONE)
    assert rows(member, 2)[0] == (ONE, "True", True)


def test_of_one_that_was_not_heard_it_is_unknown_until_it_was_listened_for_long_enough(presence: PresenceTable) -> None:
    assert rows(None, 1) == [(ONE, "Unknown", False), (TWO, "Unknown", False)]
    member = presence.members["m1"]
    assert rows(member, LOST_S - 1) == [(ONE, "Unknown", False), (TWO, "Unknown", False)]
    assert rows(member, LOST_S + 1) == [(ONE, "False", False), (TWO, "False", False)]


def test_a_key_that_is_not_the_members_is_nobody(presence: PresenceTable) -> None:
    member = beat(presence, "UAAA", 1)
    assert [row[0] for row in rows(member, 2)] == [ONE, TWO]


def test_a_copy_of_an_agents_directory_is_a_row_of_its_own_and_a_restart_is_none(presence: PresenceTable) -> None:
    beat(presence, ONE, 1, "1")
    member = beat(presence, ONE, 2, "2")
    assert [row.epoch for row in listed(SECRET, member, at(3))] == ["2", ""]
    member = beat(presence, ONE, 4, "1")
    assert [row.epoch for row in listed(SECRET, member, at(5))] == ["1", "2", ""]


@pytest.mark.parametrize(("expires", "said"), [(0, ""), (-1, ""), (10**15, ""), (60, "1970-01-01T00:01:00Z")])
def test_an_end_that_cannot_be_is_left_out(presence: PresenceTable, expires: int, said: str) -> None:
    assert listed(SECRET, beat(presence, ONE, 1, expires=expires), at(2))[0].expires == said


def cluster(mode: str = "agent", uid: str = "o1") -> Document:
    return {"metadata": {"name": "m1", "uid": uid}, "spec": {"connection": {"mode": mode}}}


def lists(document: Document, secret: MemberSecret | None, member: MemberAgents | None = None) -> AgentLists:
    async def find(name: str) -> Document:
        return document

    async def secret_of(name: str) -> MemberSecret | None:
        return secret

    return AgentLists(find, secret_of, lambda name: member, lambda: at(1))


async def test_a_member_without_agents_says_so() -> None:
    with pytest.raises(BadRequest, match="cluster 'm1' has no agents: the host reaches it without one"):
        await lists(cluster("direct"), None).answer("m1")


async def test_what_is_left_of_an_earlier_member_of_the_name_is_not_told(presence: PresenceTable) -> None:
    assert (await lists(cluster(uid="o2"), SECRET).answer("m1"))["items"] == []
    assert (await lists(cluster(uid="o1"), None).answer("m1"))["items"] == []
    secret = MemberSecret(cluster="o2", account="A", seed="S", agents={ONE: 0.0})
    member = beat(presence, ONE, 0)
    (row,) = (await lists(cluster(uid="o2"), secret, member).answer("m1"))["items"]
    assert (row["connected"], row["epoch"]) == ("Unknown", "")


@pytest.mark.integration
async def test_the_registry_answers_by_what_it_heard_and_writes_nothing(client: Client, nats_host: NatsHost) -> None:
    name = f"m-{uuid.uuid4().hex[:8]}"
    agent = Agent(nats_host, name)
    credentials = agent.credentials(await agent.join(await client.token(name)))
    async with nats_host.connection(credentials, "agent") as connection:
        await agent.beat(connection, expires=4102444800)
        await client.ready(name, "True")
        before = await client.cluster(name)
        write = Write(request_id=uuid.uuid4().hex, name=name, subresource="agents")
        answer = msgspec.json.decode(await client.ask(subjects.action("registry", "clusters", "agents", "get"), write))
        assert await client.cluster(name) == before
    (row,) = answer["items"]
    assert (answer["kind"], row["nkey"], row["lead"]) == ("ClusterAgentList", agent.key.public, True)
    assert (row["connected"], row["expires"]) == ("True", "2100-01-01T00:00:00Z")
