"""Clusters that wait for approval, on a real bus: what they can do meanwhile, who decides, and what becomes of them."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import msgspec
import pytest

from services.registry import joining, secrets
from services.registry.approval import WAITS_S
from services.registry.clock import wall_and_mono
from services.registry.model import Now
from services.registry.secrets import Evicted
from skerry import subjects
from skerry.api.conditions import condition_of
from skerry.api.kinds import CLUSTER, EVENT, JOIN_TOKEN, SETTING
from skerry.api.messages import ApprovalRequest, JoinAnswer, Write, WriteOptions
from skerry.api.meta import Document
from skerry.bus import Connection
from skerry.errors import Conflict, Forbidden, Gone, NotFound, StatusError, Unauthorized
from skerry.identity import nkey
from skerry.identity.creds import Credentials
from skerry.identity.farewell import check_farewell
from skerry.identity.federation import MemberAccount
from skerry.storage import Store
from skerry.storage.sealed import Keyring
from tests.fixtures.nats import NatsHost, eventually
from tests.registry.conftest import DEADLINE_S, Agent, Client, Running, client_of, events_of

pytestmark = pytest.mark.integration


async def decide(client: Client, what: str, name: str, *, dry_run: bool = False, reason: str = "") -> Document:
    """What the front door does with a POST of clusters/<name>/approve or deny."""
    write = Write(
        request_id=uuid.uuid4().hex,
        name=name,
        subresource=what,
        body=msgspec.Raw(msgspec.json.encode({"reason": reason})),
        options=WriteOptions(dry_run=dry_run),
    )
    answer = await client.ask(subjects.action("registry", "clusters", what, "create"), write)
    found: Document = msgspec.json.decode(answer)
    return found


async def asked(agent: Agent, connection: Connection) -> JoinAnswer:
    """An agent asks whether its member was approved."""
    request = msgspec.json.encode(ApprovalRequest(nkey=agent.key.public))
    reply = await connection.request(subjects.approval(agent.name), request, timeout_s=DEADLINE_S)
    return msgspec.json.decode(reply.data, type=JoinAnswer)


async def joined(client: Client, name: str) -> tuple[str, str, str]:
    """The condition Joined, as of now."""
    return condition_of(await client.cluster(name) or {}, "Joined")


async def gone(client: Client, name: str) -> None:
    """Wait until there is no such Cluster."""
    async with asyncio.timeout(DEADLINE_S):
        while await client.cluster(name) is not None:
            await asyncio.sleep(0.02)


class Pending:
    """An agent whose member waits, connected, and what it hears."""

    def __init__(self, agent: Agent, answer: JoinAnswer, connection: Connection) -> None:
        self.agent, self.answer, self.connection = agent, answer, connection
        self.calls: list[bytes] = []
        self.farewells: list[bytes] = []
        connection.subscribe_now(subjects.approved(agent.name), lambda message: self.calls.append(message.data))
        connection.subscribe_now(subjects.farewell(agent.name), lambda message: self.farewells.append(message.data))


@contextlib.asynccontextmanager
async def pending(host: NatsHost, client: Client, name: str, **token: Any) -> AsyncIterator[Pending]:
    """A member that waits because its token says so."""
    agent = Agent(host, name)
    answer = await agent.join(await client.token(name, **{"approval": True, **token}))
    assert answer.pending
    async with host.connection(agent.credentials(answer)) as connection:
        found = Pending(agent, answer, connection)
        await connection.flush()
        yield found


async def told(client: Client, name: str, reason: str) -> str:
    """The message of the Event about a Cluster with that reason, once there is one."""
    async with events_of(client) as events, asyncio.timeout(DEADLINE_S):
        watch = events.watch(EVENT)
        while True:
            for each in (item.document() for item in events.list(EVENT)):
                if (each["involvedObject"]["name"], each["reason"]) == (name, reason):
                    return str(each["message"])
            watch.take()
            await watch.wait(0.5)


async def test_a_cluster_waits_where_its_token_says_so_and_serves_once_it_is_approved(
    nats_host: NatsHost, client: Client
) -> None:
    async with pending(nats_host, client, "waits") as found:
        assert found.answer.format == 2
        ready = condition_of(await client.cluster("waits") or {}, "Ready")
        assert (ready.status, ready.reason) == ("False", "ApprovalPending")
        assert (await asked(found.agent, found.connection)).pending
        answer = await decide(client, "approve", "waits", reason="the new site")
        assert answer["kind"] == "Cluster"
        assert await joined(client, "waits") == (
            "True",
            "AgentJoined",
            "joined through its agent; approved by admin: the new site",
        )
        await eventually(lambda: found.calls)
        whole = await asked(found.agent, found.connection)
        assert not whole.pending
        async with nats_host.connection(found.agent.credentials(whole)) as connection:
            await found.agent.beat(connection)
            await client.ready("waits", "True")
        assert (await found.agent.renew(whole)).user_jwt
    assert (await told(client, "waits", "Approved")).endswith("approved by admin: the new site")
    assert "skerry cluster approve waits" in await told(client, "waits", "ApprovalPending")


async def test_while_it_waits_it_can_ask_for_that_and_nothing_else(nats_host: NatsHost, client: Client) -> None:
    async with pending(nats_host, client, "small") as found:
        for subject in (subjects.heartbeat("small"), subjects.desired_sync("small"), subjects.renewal("small"),
                        subjects.approval("other"), "up.small.svc.quota", "$JS.API.INFO"):  # fmt: skip
            with pytest.raises(StatusError):
                await found.connection.request(subject, b"{}", timeout_s=0.3)
        # Its account can do no more than its users, who may be others than those that were made for it.
        known = await account_of(nats_host, "small")
        account = nats_host.authority.member_account("small", known=known, pending=True)
        other = nats_host.agent(account)
        async with nats_host.connection(other) as connection:
            heard: list[bytes] = []
            connection.subscribe_now(subjects.down("small"), lambda message: heard.append(message.data))
            await connection.flush()
            with pytest.raises(StatusError):
                await connection.request(subjects.heartbeat("small"), b"{}", timeout_s=0.3)
            async with nats_host.bus("registry") as bus:
                host = await bus.connection(timeout_s=DEADLINE_S)
                await host.publish(subjects.farewell("small"), b"x")
                await host.flush()
            await connection.flush()
            assert heard == []
        assert not found.farewells


async def account_of(host: NatsHost, name: str) -> MemberAccount:
    """The account of a member, as only the registry knows it."""
    async with host.bus("registry") as bus:
        kept = secrets.Secrets(await bus.bucket(secrets.BUCKET), Keyring(host.keys_dir / "secrets.key"))
        secret = await kept.member(name)
    assert secret is not None
    return MemberAccount(name=name, public=secret.account, seed=secret.seed.encode(), jwt="")


async def test_a_setting_has_every_cluster_wait_and_no_replica(nats_host: NatsHost, client: Client) -> None:
    old = Agent(nats_host, "older")
    await old.join(await client.token("older"))
    document = {"metadata": {"name": "join.approval"}, "spec": {"value": "true"}}
    async with nats_host.bus("tenancy") as bus:
        settings = Store(await bus.bucket(subjects.RESOURCES), SETTING)
        await settings.create(document)
        try:
            async with pending(nats_host, client, "newer", approval=False):
                replica = Agent(nats_host, "older", old.cluster_uid)
                assert not (await replica.join(await client.token("older", replica=True))).pending
        finally:
            await settings.delete("join.approval")
    async with asyncio.timeout(DEADLINE_S):
        number = 0
        while (await (agent := Agent(nats_host, f"after{number}")).join(await client.token(agent.name))).pending:
            number += 1


async def test_a_denied_cluster_is_told_so_and_its_name_is_free(nats_host: NatsHost, client: Client) -> None:
    async with pending(nats_host, client, "denied") as found:
        account = found.agent.credentials(found.answer).account
        await decide(client, "deny", "denied", reason="not ours")
        await gone(client, "denied")
        await eventually(lambda: found.farewells)
        text = check_farewell("denied", account, found.farewells[0], _verify(nats_host))
        assert "does not let cluster 'denied' in: denied by admin: not ours" in text
        assert await asyncio.wait_for(found.connection.closed(), DEADLINE_S)
        with pytest.raises(Unauthorized):
            async with nats_host.connection(found.agent.credentials(found.answer)):
                pass
    assert await told(client, "denied", "ApprovalDenied") == "denied by admin: not ours"
    async with pending(nats_host, client, "denied") as again:
        assert again.answer.pending


def _verify(host: NatsHost) -> Any:
    return lambda data, signature: nkey.verify(host.trust_root, data, signature)


async def test_a_cluster_that_is_removed_while_it_waits_is_told_so(nats_host: NatsHost, client: Client) -> None:
    async with pending(nats_host, client, "unwanted") as found:
        account = found.agent.credentials(found.answer).account
        await client.write(CLUSTER, "delete", "unwanted")
        await gone(client, "unwanted")
        await eventually(lambda: found.farewells)
        text = check_farewell("unwanted", account, found.farewells[0], _verify(nats_host))
        assert "it was removed while it waited" in text


async def test_nobody_comes_back_with_the_token_of_a_denied_join(nats_host: NatsHost, client: Client) -> None:
    agent, token = Agent(nats_host, "insists"), await client.token("insists", approval=True)
    await agent.join(token)
    await decide(client, "deny", "insists")
    await gone(client, "insists")
    with pytest.raises(Unauthorized, match="was removed since this agent joined with this token"):
        await agent.join(token)


@pytest.mark.parametrize(("farewell", "told"), [("denied by bob", "denied by bob"), ("", "cluster 'm1' was removed")])
def test_who_asks_once_more_after_that_is_told_the_same(farewell: str, told: str) -> None:
    evicted = Evicted(name="m1", account="A", jwt="", at=0.0, farewell=farewell)
    assert joining.not_renewable("m1", "isle", evicted=evicted).message.startswith(told)


@pytest.mark.parametrize("what", ["approve", "deny"])
async def test_what_does_not_wait_cannot_be_decided_on(nats_host: NatsHost, client: Client, what: str) -> None:
    with pytest.raises(NotFound):
        await decide(client, what, "nobody")
    name = f"member-{what}"
    await Agent(nats_host, name).join(await client.token(name))
    with pytest.raises(Conflict, match=f"cluster '{name}' does not wait for approval: joined through its agent"):
        await decide(client, what, name)
    with pytest.raises(Conflict, match="'host' does not wait"):
        await decide(client, what, "host")


@pytest.mark.parametrize("what", ["approve", "deny"])
async def test_a_dry_run_decides_nothing(nats_host: NatsHost, client: Client, what: str) -> None:
    async with pending(nats_host, client, f"dry-{what}") as found:
        await decide(client, what, found.agent.name, dry_run=True)
        assert (await joined(client, found.agent.name))[1] == "ApprovalPending"
        assert (await asked(found.agent, found.connection)).pending


async def test_its_token_may_be_used_again_by_the_same_agent_alone(nats_host: NatsHost, client: Client) -> None:
    agent, token = Agent(nats_host, "repeats"), await client.token("repeats", approval=True)
    assert (await agent.join(token)).pending
    assert (await agent.join(token)).pending
    with pytest.raises(Forbidden, match="used already, by another agent"):
        await Agent(nats_host, "repeats", agent.cluster_uid).join(token)
    await decide(client, "approve", "repeats")
    assert not (await agent.join(token)).pending


async def test_it_goes_on_though_its_token_is_revoked(nats_host: NatsHost, client: Client) -> None:
    async with pending(nats_host, client, "revoked") as found:
        await client.cache.current()
        tokens = [
            each for each in client.cache.list(JOIN_TOKEN) if each.document()["spec"].get("clusterName") == "revoked"
        ]
        for each in tokens:
            await client.write(JOIN_TOKEN, "delete", each.name)
        assert (await asked(found.agent, found.connection)).pending
        await decide(client, "approve", "revoked")
        assert not (await asked(found.agent, found.connection)).pending


async def test_a_replica_of_what_waits_waits_too(nats_host: NatsHost, client: Client) -> None:
    async with pending(nats_host, client, "twice") as found:
        second = Agent(nats_host, "twice", found.agent.cluster_uid)
        answer = await second.join(await client.token("twice", replica=True))
        assert answer.pending
        await decide(client, "approve", "twice")
        async with nats_host.connection(second.credentials(answer)) as connection:
            assert not (await asked(second, connection)).pending


async def test_a_replica_token_asks_for_no_approval(client: Client) -> None:
    with pytest.raises(StatusError, match="a replica joins a cluster that is there"):
        await client.token("m", replica=True, approval=True)


async def test_a_key_that_never_joined_is_told_nothing(nats_host: NatsHost, client: Client) -> None:
    async with pending(nats_host, client, "asker") as found:
        stranger = Agent(nats_host, "asker")
        with pytest.raises(StatusError, match="does not know this agent") as caught:
            await asked(stranger, found.connection)
        assert not isinstance(caught.value, Gone)


async def test_a_question_costs_nothing_to_read_and_floods_are_counted_out(nats_host: NatsHost, client: Client) -> None:
    async with pending(nats_host, client, "floods") as found:
        body = msgspec.json.encode(ApprovalRequest(nkey=found.agent.key.public))
        answers = await asyncio.gather(
            *(found.connection.request(subjects.approval("floods"), body, timeout_s=DEADLINE_S) for _ in range(60)),
            return_exceptions=True,
        )
        refused = [each for each in answers if isinstance(each, StatusError)]
        assert refused
        assert {each.code for each in refused} == {429}


async def test_a_registry_that_comes_back_knows_who_waits(fresh_nats_host: NatsHost) -> None:
    host = fresh_nats_host
    async with client_of_first(host) as client, pending(host, client, "sleeper") as found:
        agent, answer = found.agent, found.answer
    async with Running(host).running(), client_of(host) as client:
        async with host.connection(Credentials(answer.user_jwt, agent.key.seed)) as connection:
            assert (await asked(agent, connection)).pending
            await decide(client, "approve", "sleeper")
            whole = await asked(agent, connection)
        async with host.connection(agent.credentials(whole)) as connection:
            await agent.beat(connection)
            await client.ready("sleeper", "True")


async def test_after_seven_days_it_is_turned_away_and_told_so(fresh_nats_host: NatsHost) -> None:
    host = fresh_nats_host

    def later(seconds: float) -> Now:
        now = wall_and_mono()
        return now._replace(wall=now.wall + seconds)

    async with client_of_first(host) as client, pending(host, client, "patient") as found:
        own = found.agent.credentials(found.answer)
    almost, over = partial(later, WAITS_S - 3600), partial(later, WAITS_S + 60)
    async with Running(host, clock=almost).running(), client_of(host), host.connection(own) as connection:
        assert (await asked(found.agent, connection)).pending
    farewells = list[bytes]()
    async with host.connection(own) as connection:
        await connection.subscribe(subjects.farewell("patient"), lambda message: farewells.append(message.data))
        async with Running(host, clock=over).running(), client_of(host) as client:
            await gone(client, "patient")
            assert "nobody approved it within 7 days" in await told(client, "patient", "ApprovalDenied")
            await asyncio.wait_for(connection.closed(), DEADLINE_S)
    text = check_farewell("patient", own.account, farewells[0], _verify(host))
    assert "nobody approved it within 7 days" in text


@contextlib.asynccontextmanager
async def client_of_first(host: NatsHost) -> AsyncIterator[Client]:
    """A client of a registry that ends with it."""
    async with Running(host).running(), client_of(host) as client:
        yield client
