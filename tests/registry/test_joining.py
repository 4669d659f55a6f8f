"""Joining on a real bus: a token works once, for one key, one name, one physical cluster, until it ends."""

from __future__ import annotations

import asyncio
import time

import pytest

from services.registry import secrets
from skerry import subjects
from skerry.api.kinds import CLUSTER, JOIN_TOKEN
from skerry.errors import BadRequest, Conflict, Forbidden, Gone, ServiceUnavailable, StatusError, Unauthorized
from skerry.identity import nkey
from skerry.identity.creds import Credentials
from skerry.identity.farewell import check_farewell
from skerry.identity.nkey import KeyType
from tests.fixtures.nats import NatsHost
from tests.registry.conftest import Agent, Client

pytestmark = pytest.mark.integration


async def test_a_token_and_a_key_make_a_working_member(nats_host: NatsHost, client: Client) -> None:
    agent = Agent(nats_host, "works")
    answer = await agent.join(await client.token("works"))
    assert (answer.member, answer.host) == ("works", "isle")
    async with nats_host.connection(agent.credentials(answer)) as connection:
        await agent.beat(connection)
        condition = await client.ready("works", "True")
    assert condition["reason"] == "AgentConnected"
    cluster = await client.cluster("works")
    assert cluster is not None
    assert cluster["spec"] == {"role": "member", "connection": {"mode": "agent"}}
    assert cluster["status"]["uid"] == agent.cluster_uid
    assert cluster["status"]["nodes"] == 3
    assert cluster["metadata"]["generation"] == 1


async def test_the_same_key_gets_the_same_answer_again(nats_host: NatsHost, client: Client) -> None:
    agent, token = Agent(nats_host, "repeats"), await client.token("repeats")
    first, second = await agent.join(token), await agent.join(token)
    assert first.member == second.member
    async with nats_host.connection(agent.credentials(first)) as connection:
        await agent.beat(connection)
    async with nats_host.connection(agent.credentials(second)) as connection:
        await agent.beat(connection)


async def test_another_key_may_not_use_the_token(nats_host: NatsHost, client: Client) -> None:
    agent, token = Agent(nats_host, "once"), await client.token("once")
    await agent.join(token)
    thief = Agent(nats_host, "once", agent.cluster_uid)
    with pytest.raises(Forbidden, match="used already, by another agent"):
        await thief.join(token)


async def test_a_used_token_says_so_and_never_shows_its_secret(nats_host: NatsHost, client: Client) -> None:
    agent, token = Agent(nats_host, "used"), await client.token("used")
    await agent.join(token)
    await client.cache.current()
    stored = next(i for i in client.cache.list(JOIN_TOKEN) if i.document()["spec"]["clusterName"] == "used")
    status = stored.document()["status"]
    assert (status["used"], status["usedBy"]) == (True, agent.key.public)
    assert b"skerry-join-" not in stored.body


async def test_the_name_must_be_the_tokens(nats_host: NatsHost, client: Client) -> None:
    agent = Agent(nats_host, "other")
    with pytest.raises(Forbidden, match="is for a cluster named 'wanted'"):
        await agent.join(await client.token("wanted"))


async def test_an_expired_token_is_refused_by_the_hosts_clock(nats_host: NatsHost, client: Client) -> None:
    agent, token = Agent(nats_host, "late"), await client.token("late", ttl="1s")
    ended = time.time() + 1.05
    async with nats_host.connection(nats_host.system()) as waiting:
        while time.time() < ended:
            await waiting.flush()
    with pytest.raises(Unauthorized, match=r"expired at .* by the host's clock"):
        await agent.join(token)


async def test_a_revoked_token_is_refused(nats_host: NatsHost, client: Client) -> None:
    agent, token = Agent(nats_host, "revoked"), await client.token("revoked")
    await client.cache.current()
    stored = next(i for i in client.cache.list(JOIN_TOKEN) if i.document()["spec"]["clusterName"] == "revoked")
    await client.write(JOIN_TOKEN, "delete", stored.name)
    with pytest.raises(Unauthorized):
        await agent.join(token)


async def test_one_physical_cluster_joins_once(nats_host: NatsHost, client: Client) -> None:
    first = Agent(nats_host, "original")
    await first.join(await client.token("original"))
    second = Agent(nats_host, "copy", first.cluster_uid)
    with pytest.raises(Conflict, match="has joined already, as 'original'"):
        await second.join(await client.token("copy"))
    assert await client.cluster("copy") is None


async def test_a_refused_join_does_not_burn_the_token(nats_host: NatsHost, client: Client) -> None:
    first = Agent(nats_host, "owner")
    await first.join(await client.token("owner"))
    token = await client.token("spare")
    with pytest.raises(Conflict):
        await Agent(nats_host, "spare", first.cluster_uid).join(token)
    assert (await Agent(nats_host, "spare").join(token)).member == "spare"


async def test_a_taken_name_is_refused(nats_host: NatsHost, client: Client) -> None:
    await Agent(nats_host, "taken").join(await client.token("taken"))
    with pytest.raises(Conflict, match="belongs to another cluster"):
        await Agent(nats_host, "taken").join(await client.token("taken"))


async def test_a_second_agent_needs_a_replica_token(nats_host: NatsHost, client: Client) -> None:
    first = Agent(nats_host, "pair")
    await first.join(await client.token("pair"))
    second = Agent(nats_host, "pair", first.cluster_uid)
    with pytest.raises(Conflict, match="--replica"):
        await second.join(await client.token("pair"))
    answer = await second.join(await client.token("pair", replica=True))
    async with nats_host.connection(second.credentials(answer)) as connection:
        await second.beat(connection)


async def test_a_replica_token_needs_a_member(nats_host: NatsHost, client: Client) -> None:
    with pytest.raises(Forbidden, match="no such cluster has joined"):
        await Agent(nats_host, "nobody").join(await client.token("nobody", replica=True))


async def test_a_newer_format_is_refused_naming_both(nats_host: NatsHost, client: Client) -> None:
    agent = Agent(nats_host, "newer")
    with pytest.raises(BadRequest, match=r"format 9, this host understands up to 1"):
        await agent.join(await client.token("newer"), format=9)


@pytest.mark.parametrize("name", ["host", "a.b", "*", ">", "UPPER", ""])
async def test_tokens_for_names_that_are_no_names_are_refused(client: Client, name: str) -> None:
    with pytest.raises(StatusError) as caught:
        await client.token(name)
    assert caught.value.code == 422


async def test_renewal_gives_a_new_jwt_to_the_known_key(nats_host: NatsHost, client: Client) -> None:
    agent = Agent(nats_host, "renews")
    answer = await agent.join(await client.token("renews"))
    renewed = await agent.renew(answer)
    assert renewed.user_jwt


async def test_renewal_signed_by_another_key_is_refused(nats_host: NatsHost, client: Client) -> None:
    agent = Agent(nats_host, "forged")
    answer = await agent.join(await client.token("forged"))
    with pytest.raises(Unauthorized, match="not signed by the key"):
        await agent.renew(answer, key=nkey.create(KeyType.USER))


async def test_renewal_from_another_time_is_refused_naming_both(nats_host: NatsHost, client: Client) -> None:
    agent = Agent(nats_host, "skewed")
    answer = await agent.join(await client.token("skewed"))
    with pytest.raises(Unauthorized, match="correct the clock"):
        await agent.renew(answer, at=time.time() - 3600)


async def test_a_removed_member_cannot_renew_and_its_renewal_credential_does_not_connect(
    nats_host: NatsHost, client: Client
) -> None:
    agent = Agent(nats_host, "gone")
    answer = await agent.join(await client.token("gone"))
    await client.write(CLUSTER, "delete", "gone")
    with pytest.raises(Unauthorized):
        await agent.renew(answer)


async def test_agents_of_a_removed_member_are_told_before_they_are_cut_and_believe_it(
    nats_host: NatsHost, client: Client
) -> None:
    """Nobody can ask afterwards, and agents end on proof alone."""
    agent = Agent(nats_host, "told")
    answer = await agent.join(await client.token("told"))
    account, root = agent.credentials(answer).account, answer.assertion_root
    said: list[bytes] = []
    async with nats_host.connection(agent.credentials(answer)) as connection:
        await connection.subscribe(subjects.farewell("told"), lambda message: said.append(message.data))
        await client.write(CLUSTER, "delete", "told")
        async with asyncio.timeout(5):
            await asyncio.shield(connection.lost)
    text = check_farewell("told", account, said[0], lambda data, signature: nkey.verify(root, data, signature))
    assert "was removed from host 'isle'" in text


async def test_agents_of_older_days_go_on_renewing_and_move_with_the_answer(
    nats_host: NatsHost, client: Client
) -> None:
    """Both ways work until all have moved: the credential of the account JOIN, that of the member's account on the subject of
    today's agents and on that of yesterday's."""
    agent = Agent(nats_host, "moves")
    answer = await agent.join(await client.token("moves"))
    old, yesterday = nats_host.old_renewal("moves", agent.key), subjects.renew("moves")
    moved = await agent.renew(old, subject=yesterday)
    assert (await agent.renew(answer, subject=yesterday)).user_jwt
    renewal = Credentials(moved.renewal_jwt, agent.key.seed)
    assert renewal.account == agent.credentials(answer).account
    async with nats_host.connection(Credentials((await agent.renew(renewal)).user_jwt, agent.key.seed)) as connection:
        await agent.beat(connection)
    assert (await agent.renew(old, subject=yesterday)).user_jwt


async def test_every_agent_of_older_days_is_told_that_its_member_was_removed_also_after_the_name_was_taken_again(
    nats_host: NatsHost, client: Client
) -> None:
    first = Agent(nats_host, "twice")
    await first.join(await client.token("twice"))
    second = Agent(nats_host, "twice", first.cluster_uid)
    await second.join(await client.token("twice", replica=True))
    await client.write(CLUSTER, "delete", "twice")
    await Agent(nats_host, "twice").join(await client.token("twice"))
    for agent in (first, second):
        with pytest.raises(Gone, match="was removed from host 'isle'"):
            await agent.renew(nats_host.old_renewal("twice", agent.key), subject=subjects.renew("twice"))


async def test_an_agent_that_the_store_does_not_know_is_not_told_that_it_was_removed(
    nats_host: NatsHost, client: Client
) -> None:
    agent = Agent(nats_host, "unrestored")
    with pytest.raises(ServiceUnavailable, match="not restored yet"):
        await agent.renew(nats_host.old_renewal("unrestored", agent.key), subject=subjects.renew("unrestored"))


async def test_a_key_that_a_living_member_does_not_have_is_not_told_that_it_was_removed(
    nats_host: NatsHost, client: Client
) -> None:
    await Agent(nats_host, "older-backup").join(await client.token("older-backup"))
    late = Agent(nats_host, "older-backup")
    with pytest.raises(ServiceUnavailable, match="not restored yet"):
        await late.renew(nats_host.old_renewal("older-backup", late.key), subject=subjects.renew("older-backup"))


async def test_a_member_whose_secret_is_lost_is_not_told_that_it_was_removed(
    nats_host: NatsHost, client: Client
) -> None:
    agent = Agent(nats_host, "half-restored")
    answer = await agent.join(await client.token("half-restored"))
    async with nats_host.bus("registry") as bus:
        bucket = await bus.bucket(secrets.BUCKET)
        entry = await bucket.get("member.half-restored")
        assert entry is not None
        await bucket.purge("member.half-restored", entry.revision)
    with pytest.raises(ServiceUnavailable, match="not restored yet"):
        await agent.renew(answer)


async def test_a_member_that_joins_is_ready_with_its_first_heartbeat_no_other_write_comes_first(
    nats_host: NatsHost, client: Client
) -> None:
    """A write a second: one that says of the new Cluster what was known when it was made would hold up Ready."""
    agent = Agent(nats_host, "prompt")
    answer = await agent.join(await client.token("prompt"))
    await client.cache.current()
    item = client.cache.get(CLUSTER, "prompt")
    assert item is not None
    await asyncio.sleep(0.3)
    await client.cache.current()
    again = client.cache.get(CLUSTER, "prompt")
    assert again is not None
    assert again.revision == item.revision
    async with nats_host.connection(agent.credentials(answer)) as connection:
        await agent.beat(connection)
        await client.ready("prompt", "True")
