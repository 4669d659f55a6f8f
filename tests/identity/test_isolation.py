"""Isolation by account, on a real server: each statement of the bus's design, tried by an attacker."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator

import pytest

from skerry.bus import BucketConfig, Bus, Connection, Message, NoResponders, connect
from skerry.errors import (
    Forbidden,
    GatewayTimeout,
    ServiceUnavailable,
    StatusError,
    Unauthorized,
)
from skerry.identity import jwt, nkey
from skerry.identity.creds import Credentials
from skerry.identity.federation import (
    BEARER_CONNECTIONS,
    BEARER_PAYLOAD,
    Authority,
    MemberAccount,
)
from skerry.identity.nkey import KeyType
from skerry.identity.resolver import Resolver
from tests.fixtures.nats import NatsHost, eventually

pytestmark = pytest.mark.integration


class Seen:
    """Collects what arrives, in order."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def __call__(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def subjects(self) -> list[str]:
        return [m.subject for m in self.messages]


@pytest.fixture
async def registry(nats_host: NatsHost) -> AsyncIterator[Bus]:
    async with nats_host.bus("registry") as bus:
        await bus.ready()
        yield bus


@pytest.fixture
async def proxy(nats_host: NatsHost) -> AsyncIterator[Connection]:
    async with nats_host.connection(nats_host.service("proxy")) as connection:
        yield connection


@pytest.fixture
async def mallory(nats_host: NatsHost) -> AsyncIterator[Connection]:
    """An agent of member `mallory`, with permissions of the user widened to all: only the account isolates."""
    account = nats_host.authority.member_account("mallory")
    await nats_host.push(account.jwt)
    async with nats_host.connection(wide(account)) as connection:
        yield connection


def wide(account: MemberAccount) -> Credentials:
    """A user of a member's account without any permission of its own, as its stolen account seed could make one."""
    key, signer = nkey.create(KeyType.USER), nkey.from_seed(account.seed)
    nats = {"issuer_account": account.public, "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1}
    return Credentials(jwt.encode(signer, key.public, "wide", nats), key.seed)


async def test_a_member_reaches_the_host_on_its_own_slice(nats_host: NatsHost, registry: Bus) -> None:
    _, agent = await nats_host.member("good")

    async def answer(message: Message) -> None:
        await message.respond(message.subject.encode())

    registry.subscribe("up.*.hb", answer)
    await registry.ready()
    async with nats_host.connection(agent) as connection:
        assert (await connection.request("up.good.hb", timeout_s=2)).data == b"up.good.hb"


async def test_no_responders_is_reported_at_once(nats_host: NatsHost) -> None:
    _, agent = await nats_host.member("lonely")
    async with nats_host.connection(agent) as connection:
        started = time.monotonic()
        with pytest.raises(NoResponders):
            await connection.request("up.lonely.svc.x", timeout_s=5)
        assert time.monotonic() - started < 1


async def test_a_member_cannot_publish_outside_its_slice(
    nats_host: NatsHost, registry: Bus, mallory: Connection
) -> None:
    seen = Seen()
    for subject in ("up.*.hb", "join.*", "renew.*", "registry.>"):
        registry.subscribe(subject, seen)
    await registry.ready()
    for subject in ("up.victim.hb", "join.x", "renew.victim", "registry.x", "$KV.resources.x", "up.mallory.hb"):
        mallory.publish_now(subject, b"")
    await mallory.flush()
    await eventually(lambda: seen.messages)
    assert seen.subjects == ["up.mallory.hb"]


async def test_a_member_cannot_see_outside_its_slice(
    nats_host: NatsHost, proxy: Connection, mallory: Connection
) -> None:
    seen = Seen()
    await mallory.subscribe(">", seen)
    for subject in ("down.victim.open.i", "down.victim.a.x", "registry.x", "down.mallory.open.i"):
        proxy.publish_now(subject, b"")
    await proxy.flush()
    await eventually(lambda: seen.messages)
    await mallory.flush()
    assert seen.subjects == ["down.mallory.open.i"]


async def test_an_agents_own_user_may_do_less_than_its_account(nats_host: NatsHost) -> None:
    account, agent = await nats_host.member("narrow")
    async with nats_host.connection(agent) as connection:
        with pytest.raises(Forbidden):
            await connection.request("_INBOX.other.x", timeout_s=2)
        connection.subscribe_now(">", Seen())
        connection.subscribe_now(f"_INBOX.{account.public}.>", Seen())
        await connection.flush()
        assert connection.denied == 3


async def test_a_reply_subject_of_another_member_gets_nothing(
    nats_host: NatsHost, registry: Bus, mallory: Connection
) -> None:
    """The trick that worked with one shared account: the host's answer redirected into a victim's commands."""
    account, _ = await nats_host.member("victim")
    victim_sees, hosts = Seen(), Seen()

    async def answer(message: Message) -> None:
        hosts(message)
        await message.respond(b"answer of the host")

    registry.subscribe("up.*.hb", answer)
    await registry.ready()
    async with nats_host.connection(wide(account)) as victim:
        await victim.subscribe(">", victim_sees)
        own = Seen()
        await mallory.subscribe("down.victim.>", own)
        mallory.publish_now("up.mallory.hb", b"", reply="down.victim.open.i")
        await eventually(lambda: own.messages)
        assert hosts.messages[0].reply != "down.victim.open.i"
        await victim.flush()
        assert victim_sees.messages == []


async def test_a_reply_subject_cannot_reach_jetstream_of_the_host(
    nats_host: NatsHost, registry: Bus, mallory: Connection
) -> None:
    bucket = await registry.bucket("registry", create=BucketConfig())
    revision = await bucket.create("kept", b"value")

    async def answer(message: Message) -> None:
        await message.respond(b"overwritten")

    registry.subscribe("up.*.hb", answer)
    await registry.ready()
    mallory.publish_now("up.mallory.hb", b"", reply="$KV.registry.kept")
    assert (await mallory.request("up.mallory.hb", timeout_s=2)).data == b"overwritten"
    entry = await bucket.get("kept")
    assert entry is not None
    assert (entry.value, entry.revision) == (b"value", revision)


async def test_jetstream_headers_on_up_do_nothing(nats_host: NatsHost, registry: Bus, mallory: Connection) -> None:
    bucket = await registry.bucket("registry", create=BucketConfig())
    before = await bucket.last_revision()
    seen = Seen()
    registry.subscribe("up.*.hb", seen)
    await registry.ready()
    headers = {"Nats-Rollup": "all", "Nats-Msg-Id": "x", "Nats-Expected-Stream": "KV_registry"}
    await mallory.publish("up.mallory.hb", b"", headers=headers)
    await eventually(lambda: seen.messages)
    assert await bucket.last_revision() == before


async def test_a_member_has_no_jetstream(mallory: Connection) -> None:
    for subject in ("INFO", "STREAM.NAMES", "STREAM.CREATE.x"):
        answer = json.loads((await mallory.request(f"$JS.API.{subject}", timeout_s=2)).data)
        assert "not enabled for account" in answer["error"]["description"]


async def test_a_member_cannot_hold_more_than_its_connections(nats_host: NatsHost) -> None:
    _, agent = await nats_host.member("greedy")
    async with contextlib.AsyncExitStack() as held:
        for _ in range(16):
            await held.enter_async_context(nats_host.connection(agent))
        with pytest.raises(StatusError, match="maximum account active connections"):
            await connect(nats_host.settings(), agent)


async def test_the_stolen_account_of_one_member_cannot_mint_into_another(nats_host: NatsHost) -> None:
    thief, _ = await nats_host.member("thief")
    victim, _ = await nats_host.member("robbed")
    key = nkey.create(KeyType.USER)
    nats = {"issuer_account": victim.public, "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1}
    forged = Credentials(jwt.encode(nkey.from_seed(thief.seed), key.public, "forged", nats), key.seed)
    with pytest.raises(Unauthorized):
        async with nats_host.connection(forged):
            pass


# Ways in.


async def test_a_bearer_publishes_its_own_join_subject_only(nats_host: NatsHost, registry: Bus) -> None:
    seen = Seen()

    async def answer(message: Message) -> None:
        seen(message)
        await message.respond(b"welcome")

    for subject in ("join.*", "renew.*", "up.*.hb"):
        registry.subscribe(subject, answer)
    await registry.ready()
    async with nats_host.connection(await nats_host.bearer("jti-1", 60)) as bearer:
        assert (await bearer.request("join.jti-1", timeout_s=2)).data == b"welcome"
        for subject in ("join.jti-2", "renew.m1", "up.m1.hb", "$SYS.REQ.SERVER.PING", "anything"):
            with pytest.raises(Forbidden):
                await bearer.request(subject, timeout_s=2)
    assert seen.subjects == ["join.jti-1"]


async def test_a_bearer_hears_its_own_inbox_only(nats_host: NatsHost, registry: Bus) -> None:
    async def answer(message: Message) -> None:
        await message.respond(b"secret of " + message.subject.encode())

    registry.subscribe("join.*", answer)
    await registry.ready()
    async with (
        nats_host.connection(await nats_host.bearer("jti-a", 60)) as alice,
        nats_host.connection(await nats_host.bearer("jti-b", 60)) as eve,
    ):
        seen = Seen()
        for subject in (">", "_INBOX.>", "join.*", "_R_.>", f"{alice.inbox().rpartition('.x.')[0]}.*"):
            eve.subscribe_now(subject, seen)
        await eve.flush()
        assert eve.denied == 5
        assert (await alice.request("join.jti-a", timeout_s=2)).data == b"secret of join.jti-a"
        await eve.flush()
        assert seen.messages == []


async def test_a_bearers_reply_subject_cannot_use_another_token(nats_host: NatsHost, registry: Bus) -> None:
    """The answer may land on `join.<other>` in the account JOIN; what the host then sees must not be a request."""
    seen = Seen()

    async def answer(message: Message) -> None:
        seen(message)
        await message.respond(b"answer")

    registry.subscribe("join.*", answer)
    await registry.ready()
    async with nats_host.connection(await nats_host.bearer("jti-x", 60)) as eve:
        eve.publish_now("join.jti-x", b"request", reply="join.victim")
        assert (await eve.request("join.jti-x", b"request", timeout_s=2)).data == b"answer"
    assert not [m for m in seen.messages if m.subject == "join.victim" and m.data == b"request"]


async def test_an_expired_bearer_is_refused(nats_host: NatsHost) -> None:
    expired = await nats_host.bearer("jti-old", -5)
    with pytest.raises(Unauthorized, match="expired"):
        async with nats_host.connection(expired):
            pass


async def test_a_renewal_credential_publishes_its_own_renewal_only(nats_host: NatsHost, registry: Bus) -> None:
    async def answer(message: Message) -> None:
        await message.respond(message.subject.encode())

    registry.subscribe("renew.*", answer)
    registry.subscribe("up.*.svc.renew", answer)
    await registry.ready()
    account, _ = await nats_host.member("m1")
    key = nkey.create(KeyType.USER)
    credentials = Credentials(nats_host.authority.renewal_user(account, key.public), key.seed)
    for each, asked in (
        (credentials, ("up.m1.svc.renew", "renew.m1")),
        (nats_host.old_renewal("m1", key), ("renew.m1",)),
    ):
        async with nats_host.connection(each) as agent:
            for subject in asked:
                assert (await agent.request(subject, timeout_s=2)).data == subject.encode()
            for subject in ("renew.m2", "up.m2.svc.renew", "join.x", "up.m1.hb", "up.m1.svc.desired"):
                with pytest.raises(Forbidden):
                    await agent.request(subject, timeout_s=2)
            agent.subscribe_now("down.m1.>", Seen())
            await agent.flush()
            assert agent.denied == 6


async def test_a_renewal_credential_ends_with_its_account(nats_host: NatsHost) -> None:
    account, _ = await nats_host.member("renewed")
    key = nkey.create(KeyType.USER)
    credentials = Credentials(nats_host.authority.renewal_user(account, key.public), key.seed)
    async with nats_host.connection(credentials) as connection:
        await nats_host.push(nats_host.authority.tombstone("renewed", account.public))
        async with asyncio.timeout(2):
            await asyncio.shield(connection.lost)
    with pytest.raises(Unauthorized):
        async with nats_host.connection(credentials):
            pass


# Join tokens: an account each.


async def test_who_fills_the_account_of_one_token_keeps_nobody_else_out(nats_host: NatsHost) -> None:
    """With one account for all, whoever held any token could use its connections up: nobody joined or renewed any more."""
    greedy, other = await nats_host.bearer("jti-greedy"), await nats_host.bearer("jti-other")
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(BEARER_CONNECTIONS):
            await stack.enter_async_context(nats_host.connection(greedy))
        with pytest.raises(StatusError, match="maximum"):
            await stack.enter_async_context(nats_host.connection(greedy))
        async with nats_host.connection(other) as connection:
            await connection.flush()


async def test_a_bearer_may_not_take_more_than_a_join_needs(nats_host: NatsHost) -> None:
    async with nats_host.connection(await nats_host.bearer("jti-wants")) as connection:
        connection._wire.write(
            b"PUB join.jti-wants %d\r\n" % (BEARER_PAYLOAD + 1), b"x" * (BEARER_PAYLOAD + 1), b"\r\n"
        )
        async with asyncio.timeout(2):
            await asyncio.shield(connection.lost)


async def test_a_tombstone_of_a_token_cuts_its_bearer_alone(nats_host: NatsHost) -> None:
    ended, stays = await nats_host.bearer("jti-ended"), await nats_host.bearer("jti-stays")
    async with nats_host.connection(ended) as cut, nats_host.connection(stays) as kept:
        await nats_host.push(nats_host.authority.token_tombstone("jti-ended"))
        async with asyncio.timeout(2):
            await asyncio.shield(cut.lost)
        await kept.flush()
    with pytest.raises(Unauthorized):
        async with nats_host.connection(ended):
            pass


async def test_the_account_of_a_token_ends_by_itself(nats_host: NatsHost) -> None:
    """On every server that ever held it, also on one that was down when the token was revoked."""
    authority = nats_host.authority
    await nats_host.push(authority.join_account("jti-short", int(time.time()) + 2))
    bearer = Credentials(authority.join_bearer("jti-short", 60))
    async with nats_host.connection(bearer) as connection, asyncio.timeout(10):
        await asyncio.shield(connection.lost)
    with pytest.raises(Unauthorized):
        async with nats_host.connection(bearer):
            pass


async def test_a_bearer_of_older_days_works_until_it_ends(nats_host: NatsHost, registry: Bus) -> None:
    async def answer(message: Message) -> None:
        await message.respond(b"welcome")

    registry.subscribe("join.*", answer)
    await registry.ready()
    async with nats_host.connection(nats_host.old_bearer("jti-1975")) as connection:
        assert (await connection.request("join.jti-1975", timeout_s=2)).data == b"welcome"


async def test_a_key_without_its_seed_does_not_connect(nats_host: NatsHost) -> None:
    """Only bearers come without a signature."""
    _, agent = await nats_host.member("seedless")
    with pytest.raises(Unauthorized):
        async with nats_host.connection(Credentials(agent.jwt)):
            pass
    with pytest.raises(Unauthorized):
        async with nats_host.connection(Credentials(agent.jwt, nkey.create(KeyType.USER).seed)):
            pass


# Eviction.


async def test_a_tombstone_cuts_in_milliseconds(nats_host: NatsHost) -> None:
    account, agent = await nats_host.member("evicted")
    async with nats_host.connection(agent) as connection:
        started = time.monotonic()
        await nats_host.push(nats_host.authority.tombstone("evicted", account.public))
        async with asyncio.timeout(2):
            await asyncio.shield(connection.lost)
        assert time.monotonic() - started < 1
    with pytest.raises(Unauthorized):
        async with nats_host.connection(agent):
            pass


async def test_an_evicted_member_stays_out_after_a_restart(fresh_nats_host: NatsHost) -> None:
    host = fresh_nats_host
    account, agent = await host.member("evicted")
    await host.push(host.authority.tombstone("evicted", account.public))
    host.restart()
    for credentials in (agent, host.agent(account)):
        with pytest.raises((Unauthorized, StatusError)):
            async with host.connection(credentials):
                pass


async def test_a_member_survives_a_restart_of_the_server(fresh_nats_host: NatsHost) -> None:
    _, agent = await fresh_nats_host.member("stays")
    fresh_nats_host.restart()
    async with fresh_nats_host.connection(agent) as connection:
        await connection.flush()


async def test_the_name_of_an_evicted_member_is_free_at_once(nats_host: NatsHost) -> None:
    account, old = await nats_host.member("again")
    await nats_host.push(nats_host.authority.tombstone("again", account.public))
    _, new = await nats_host.member("again")
    async with nats_host.connection(new) as connection:
        await connection.flush()
    with pytest.raises(Unauthorized):
        async with nats_host.connection(old):
            pass


async def test_one_agent_is_revoked_and_the_other_stays(nats_host: NatsHost) -> None:
    account, stolen = await nats_host.member("replicas")
    other = nats_host.agent(account)
    async with nats_host.connection(stolen) as cut, nats_host.connection(other) as kept:
        revoked = {stolen.public: int(time.time())}
        await nats_host.push(nats_host.authority.member_account("replicas", known=account, revoked=revoked).jwt)
        async with asyncio.timeout(2):
            await asyncio.shield(cut.lost)
        await kept.flush()
    with pytest.raises(Unauthorized):
        async with nats_host.connection(stolen):
            pass


async def test_an_agents_user_ends_with_its_life(nats_host: NatsHost) -> None:
    account, _ = await nats_host.member("mortal")
    async with nats_host.connection(nats_host.agent(account, ttl_s=1)) as connection:
        async with asyncio.timeout(5):
            reason = await asyncio.shield(connection.lost)
        assert "expired" in reason.lower()


async def test_a_deleted_account_is_gone(nats_host: NatsHost) -> None:
    account, agent = await nats_host.member("deleted")
    async with nats_host.connection(nats_host.system()) as sys:
        resolver = Resolver(sys)
        assert account.public in await resolver.accounts()
        await resolver.delete(nats_host.authority, [account.public])
        assert account.public not in await resolver.accounts()
    with pytest.raises(Unauthorized):
        async with nats_host.connection(agent):
            pass


# Services among each other, and presence.


@pytest.mark.parametrize("service", ["registry", "tenancy", "controller-manager"])
async def test_only_proxies_publish_where_agents_take_requests(nats_host: NatsHost, service: str) -> None:
    async with nats_host.connection(nats_host.service(service)) as connection:
        for subject in ("down.m1.open.i", "down.m1.a.agent.proxy.sid"):
            with pytest.raises(Forbidden):
                await connection.request(subject, timeout_s=2)


@pytest.mark.parametrize(
    ("service", "key", "allowed"),
    [
        ("registry", "skerry=2Edev.cluster._.m1", True),
        ("registry", "skerry=2Edev.jointoken._.t1", True),
        ("registry", "skerry=2Edev.credential._.c1", False),
        ("tenancy", "skerry=2Edev.credential._.c1", True),
        ("tenancy", "skerry=2Edev.cluster._.m1", False),
        ("proxy", "skerry=2Edev.cluster._.m1", False),
        ("proxy", "skerry=2Edev.credential._.c1", False),
        ("controller-manager", "skerry=2Edev.cluster._.m2", True),
        ("controller-manager", "skerry=2Edev.credential._.c2", True),
    ],
)
async def test_a_key_is_written_by_the_owner_of_its_kind(
    nats_host: NatsHost, registry: Bus, service: str, key: str, allowed: bool
) -> None:
    await registry.bucket("resources", create=BucketConfig())
    async with nats_host.bus(service) as bus:
        bucket = await bus.bucket("resources")
        if allowed:
            assert await bucket.create(key, b"{}") > 0
        else:
            with pytest.raises(Forbidden):
                await bucket.create(key, b"{}")


async def test_secrets_are_read_by_the_registry_alone(nats_host: NatsHost, registry: Bus) -> None:
    bucket = await registry.bucket("secrets", create=BucketConfig())
    await bucket.create("m1", b"encrypted")
    for service in ("proxy", "tenancy"):
        async with nats_host.connection(nats_host.service(service)) as connection:
            for subject in ("STREAM.INFO", "STREAM.MSG.GET", "CONSUMER.CREATE", "DIRECT.GET"):
                with pytest.raises(Forbidden):
                    await connection.request(f"$JS.API.{subject}.KV_secrets", timeout_s=2)


async def test_nobody_but_proxies_and_registry_hears_members(nats_host: NatsHost) -> None:
    async with nats_host.connection(nats_host.service("tenancy")) as connection:
        connection.subscribe_now("up.>", Seen())
        connection.subscribe_now("down.>", Seen())
        await connection.flush()
        assert connection.denied == 2


async def test_the_host_hears_members_come_and_go_by_name(nats_host: NatsHost, registry: Bus) -> None:
    came, went = Seen(), Seen()
    registry.subscribe("$SYS.ACCOUNT.*.CONNECT", came)
    registry.subscribe("$SYS.ACCOUNT.*.DISCONNECT", went)
    await registry.ready()
    _, agent = await nats_host.member("present")
    async with nats_host.connection(agent, name="agent/i/1"):
        await eventually(lambda: [m for m in came.messages if b'"present"' in m.data])
    await eventually(lambda: [m for m in went.messages if b'"present"' in m.data])
    client = next(json.loads(m.data)["client"] for m in came.messages if b'"present"' in m.data)
    assert (client["name_tag"], client["name"]) == ("present", "agent/i/1")
    assert client["user"] == agent.public


async def test_the_keys_of_the_resolver_push_accounts_and_nothing_else(nats_host: NatsHost) -> None:
    async with nats_host.connection(nats_host.system()) as sys:
        for subject in ("$SYS.REQ.SERVER.x.LDM", "$SYS.REQ.SERVER.x.KICK", "$SYS.ACCOUNT.x.CONNECT"):
            with pytest.raises(Forbidden):
                await sys.request(subject, timeout_s=2)


async def test_a_refused_account_is_an_error(nats_host: NatsHost) -> None:
    with pytest.raises(ServiceUnavailable, match="refused to store the account"):
        await nats_host.push("not.a.jwt")


async def test_an_account_of_another_operator_opens_nothing(nats_host: NatsHost) -> None:
    foreign = Authority.create("other")
    account, key = foreign.member_account("m1"), nkey.create(KeyType.USER)
    await nats_host.push(account.jwt)
    with pytest.raises(Unauthorized):
        async with nats_host.connection(Credentials(foreign.member_user(account, key.public), key.seed)):
            pass


async def test_who_inspects_lists_services_and_changes_nothing(nats_host: NatsHost, registry: Bus) -> None:
    async def hello(message: Message) -> bytes:
        return b""

    registry.serve("registry", "0.1.0", {"registry.hello": hello})
    await registry.ready()
    async with nats_host.connection(await nats_host.inspection()) as observer:
        assert json.loads((await observer.request("$SRV.PING", timeout_s=2)).data)["name"] == "registry"
        for subject in ("registry.hello", "down.m1.open.i", "$KV.resources.x", "$JS.API.STREAM.DELETE.KV_resources"):
            with pytest.raises((Forbidden, GatewayTimeout)):
                await observer.request(subject, timeout_s=2)
