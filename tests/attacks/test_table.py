"""What each holder of something stolen can do, attempt by attempt: nothing moves but what its row of table.txt says.

A row is a holder, an attempt and all that came of it, in the words of `world`. What stays open by decision is in it as such:
services of one host trust each other with the store (docs/adr/0024), and who may speak to members is believed by signature.
A change of the table shows here line by line: read each new one as an attacker would, then write the file anew
(SKERRY_TEST_WRITE_TABLE=1).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import msgspec
import pytest

from skerry import subjects
from skerry.api.kinds import CLUSTER, JOIN_TOKEN
from skerry.api.messages import Heartbeat, JoinRequest, RenewAnswer, RenewRequest
from skerry.bus import Connection, Message, connect
from skerry.errors import StatusError, Unauthorized
from skerry.identity import jwt, nkey, rekeying
from skerry.identity.creds import Credentials
from skerry.identity.nkey import KeyType
from tests.attacks.world import EVIL, VICTIM, WORK, World, world
from tests.fixtures.nats import NatsHost, eventually
from tests.registry.conftest import Agent

pytestmark = pytest.mark.integration

CLUSTER_KEY = subjects.key(CLUSTER.group, CLUSTER.kind, "", VICTIM)
PLACES = (
    "up.victim.hb", "up.victim.svc.renew", "up.victim.svc.desired", "up.victim.svc.desired-status", "up.victim.ev.x",
    "up.victim.svc.rekey", "up.victim.svc.retire", "down.victim.rekey", "down.victim.farewell.x",
    "up.victim.s.P.A.1", "down.victim.open.i", "down.victim.open.b", "down.victim.a.A.P.1", "down.victim.ask",
    "down.victim.desired.x", "down.victim.approved", "down.victim.farewell", "up.victim.svc.join", "renew.victim", "registry.clusters.delete", "registry.clusters.connection-create",
    "registry.jointokens.create", "registry.proxies.certify", "registry.desired.tenancy", "tenancy.credentials.create", "tenancy.delegate",
    "direct.victim.connect", "probe.victim", "quarantine.victim", "cut.victim", f"$KV.resources.{CLUSTER_KEY}", "$KV.secrets.member.victim",
    "$KV.registry.x", "$KV.leaders.registry", "$KV.desired.victim.tenancy._.configmap._.x", "$KV.events.x", "$O.uploads.C.x", "$O.uploads.M.eA==",
    "$JS.API.STREAM.DELETE.KV_resources", "$JS.API.STREAM.PURGE.KV_resources", "$JS.API.STREAM.CREATE.evil",
    "$JS.API.CONSUMER.CREATE.KV_secrets", "$JS.API.STREAM.MSG.DELETE.KV_resources", "$SYS.REQ.CLAIMS.UPDATE",
    "$SYS.REQ.CLAIMS.DELETE", "$SYS.REQ.SERVER.x.RELOAD", "$SYS.ACCOUNT.x.DISCONNECT", "$SRV.PING", "event.x.y.z",
    "_INBOX.x.y", "_R_.x", "skerry", "a.b.c",
)  # fmt: skip
TARGETS = (
    "down.victim.open.i", "down.victim.a.A.P.1", "down.victim.ask", "up.victim.hb", "renew.victim", "registry.clusters.delete",
    "registry.proxies.certify", f"$KV.resources.{CLUSTER_KEY}", "$KV.secrets.member.victim", "$JS.API.STREAM.DELETE.KV_resources",
    "$SYS.REQ.CLAIMS.DELETE", "_R_.x",
)  # fmt: skip
WIDE = (
    ">", "*", "*.>", "up.>", "up.*.hb", "up.victim.>", "down.>", "down.victim.>", "down.*.open.i", "join.*", "renew.*", "registry.>",
    "$KV.>", "$JS.>", "$SYS.>", "$SRV.>", "_INBOX.>", "_R_.>", "event.>",
)  # fmt: skip
GARBAGE = (
    b"", b"{", b"null", b"[]", b'"x"', b"\xff\xfe", b"[" * 20_000, b'{"nodes":NaN}', b'{"nodes":-1,"agent":1e400}',
    b'{"agent":"\\u001b]0;x\\u0007"}', b"{" + b'"x":1,' * 5_000 + b'"y":2}',
)  # fmt: skip
TRICKS: tuple[Mapping[str, str], ...] = (
    {"Nats-Rollup": "all"},
    {"Nats-Msg-Id": "1", "Nats-Expected-Stream": "KV_resources"},
    {"Nats-Expected-Last-Subject-Sequence": "0", "KV-Operation": "PURGE"},
    {"Nats-Service-Error": "x", "Nats-Service-Error-Code": "200"},
    {"Skerry-Signature": "x.y", "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"},
    {"Nats-Trace-Dest": "down.victim.open.i"},
    {"Nats-Trace-Dest": f"$KV.resources.{CLUSTER_KEY}", "Nats-Trace-Only": "true"},
    {"Nats-Subject": f"$KV.resources.{CLUSTER_KEY}", "Nats-TTL": "1s", "Nats-Schedule": "@every 1s"},
)


class Attacker:
    """Who holds something, what it may publish there, and what it hears."""

    def __init__(self, one: World, credentials: Credentials, own: str) -> None:
        self.world, self.credentials, self.own = one, credentials, own
        self.connection: Connection

    def hear(self, message: Message) -> None:
        """Its own messages are no news to it."""
        if WORK in message.data or VICTIM.encode() in message.data or f".{VICTIM}." in message.subject:
            self.world.seen.add(f"heard {self.world.named(message.subject)}")

    def send(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """One message that the watchers know as an attacker's."""
        marked = {"x": EVIL, **(headers or {})}
        self.connection.publish_now(subject, payload, reply, marked)


Attempt = Callable[[Attacker], Awaitable[None]]
Holder = Callable[[World], Awaitable[Attacker]]


async def publishes_everywhere(a: Attacker) -> None:
    for subject in (*PLACES, subjects.join(a.world.jti("somebody"))):
        a.send(subject)


async def redirects_the_answer(a: Attacker) -> None:
    for target in (*TARGETS, subjects.join(a.world.jti("somebody")), a.world.connection.inbox()):
        a.send(a.own, b"{}", reply=target)


async def listens_everywhere(a: Attacker) -> None:
    for subject in WIDE:
        a.connection.subscribe_now(subject, a.hear)
    await a.connection.flush()
    await asyncio.sleep(0.1)


async def joins_every_group(a: Attacker) -> None:
    for group in ("agents", "registry", "proxy", "q"):
        for subject in ("down.victim.open.i", "up.victim.hb", "up.*.hb", "registry.clusters.delete", "renew.*"):
            a.connection.subscribe_now(subject, a.hear, queue=group)
    await a.connection.flush()
    await asyncio.sleep(0.1)


async def poses_as_a_service(a: Attacker) -> None:
    async def answer(message: Message) -> None:
        await message.respond(EVIL.encode())

    for subject in (
        "$SRV.PING",
        "$SRV.INFO.registry",
        "registry.proxies.certify",
        "up.victim.hb",
        "direct.victim.connect",
    ):
        a.connection.subscribe_now(subject, answer)
    with contextlib.suppress(StatusError):
        await a.connection.flush()
    found = await a.world.everything.gather("$SRV.PING", b"", timeout_s=0.2)
    if any(EVIL.encode() in each.data for each in found):
        a.world.seen.add("posed as a service")


async def plays_with_headers(a: Attacker) -> None:
    for headers in TRICKS:
        a.send(a.own, b"{}", headers=headers)


async def sends_too_much(a: Attacker) -> None:
    a.connection._wire.write(f"PUB {a.own} 99999999\r\n".encode(), EVIL.encode() * 1000)


async def sends_garbage(a: Attacker) -> None:
    for payload in GARBAGE:
        a.send(a.own, payload)


async def uses_wildcards_and_reserved_names(a: Attacker) -> None:
    for subject in (
        "up.*.hb",
        "up.>",
        "down.*.open.i",
        "up.host.hb",
        "join.*",
        "renew.host",
        "up.mallory.*",
        "$KV.*.x",
    ):
        a.send(subject)


async def asks_jetstream(a: Attacker) -> None:
    own = a.connection.inbox()
    a.connection.subscribe_now(own, a.hear)
    for call in ("INFO", "STREAM.LIST", "STREAM.NAMES", "STREAM.MSG.GET.KV_resources", "DIRECT.GET.KV_resources"):
        a.send(f"$JS.API.{call}", b'{"last_by_subj":"$KV.resources.' + CLUSTER_KEY.encode() + b'"}', reply=own)


async def stores_by_an_answer(a: Attacker) -> None:
    """JetStream's answer to a read is published to whatever the reader calls its inbox."""
    for stream in ("KV_resources", "KV_secrets", "KV_leaders"):
        a.send(f"$JS.API.STREAM.MSG.GET.{stream}", b'{"seq":1}', reply=f"$KV.resources.{CLUSTER_KEY}")


async def asks_the_system(a: Attacker) -> None:
    """Also to take an account away, or to exchange it, by the signature of an operator of its own."""
    own, server, operator = a.connection.inbox(), f"SERVER.{a.world.server}", nkey.create(KeyType.OPERATOR)
    account = jwt.decode(a.world.answers[VICTIM].user_jwt).nats["issuer_account"]
    signed = {"accounts": [account], "type": "generic", "version": jwt.VERSION}
    wide = {"limits": jwt.AccountLimits(), "type": "account", "version": jwt.VERSION}
    claims = {
        "CLAIMS.DELETE": jwt.encode(operator, operator.public, "delete", signed),
        "CLAIMS.UPDATE": jwt.encode(operator, account, VICTIM, wide),
    }
    a.connection.subscribe_now(own, a.hear)
    for call in (
        "SERVER.PING", "SERVER.PING.CONNZ", "ACCOUNT.PING.CONNZ", "CLAIMS.LIST", "CLAIMS.PACK", *claims, f"{server}.KICK",
        f"{server}.LDM", f"{server}.RELOAD",
    ):  # fmt: skip
        a.send(f"$SYS.REQ.{call}", claims.get(call, "").encode(), reply=own)


async def claims_to_be_the_victim(a: Attacker) -> None:
    victim = a.world.victim
    key, uid = victim.key.public, victim.cluster_uid
    beat = Heartbeat(agent=key, epoch="1", version="0.1.0", kubernetes_version="v1.36.3", cluster_uid=uid, nodes=3)
    join = JoinRequest(nkey=key, name=VICTIM, cluster_uid=uid, kubernetes_version="v1.36.3", agent_version="0.1.0")
    renew = RenewRequest(nkey=key, challenge=f"{VICTIM} {key} 1 x", signature="AAAA")
    payloads = [msgspec.json.encode(request) for request in (beat, join, renew)]
    others = (subjects.heartbeat(VICTIM), subjects.renewal(VICTIM), subjects.join(a.world.jti("somebody")))
    for _ in range(5):  # what came before may have used up its rate
        for payload in payloads:
            for subject in (a.own, *others):
                a.send(subject, payload)
        await a.connection.flush()
        await asyncio.sleep(0.3)


async def takes_the_key(a: Attacker) -> None:
    """Another key for the victim's agent, which the attacker alone has; and its own in the place of the victim's."""
    victim, now = a.world.victim.key, time.time()
    mine, other = nkey.create(KeyType.USER), nkey.create(KeyType.USER)
    late = rekeying.rekey_request(VICTIM, victim, mine, now - 3600, "recorded")
    good = rekeying.rekey_request(VICTIM, other, mine, now, "x")
    forged = msgspec.structs.replace(good, text=good.text.replace(other.public, victim.public))
    retire = rekeying.retire_request(VICTIM, mine, (), now, "x")
    for request in (late, good, forged, msgspec.structs.replace(forged, by_old=forged.by_new), retire):
        for subject in (
            a.own,
            *(each(name) for name in (VICTIM, "mallory") for each in (subjects.rekey, subjects.retire)),
            subjects.rekey_order(VICTIM),
        ):
            a.send(subject, msgspec.json.encode(request))
    await a.connection.flush()
    await asyncio.sleep(0.1)


async def replays(a: Attacker) -> None:
    for payload in a.world.recorded.values():
        for subject in (a.own, *a.world.recorded, subjects.renew(VICTIM)):
            a.send(subject, payload)
    await a.connection.flush()
    await asyncio.sleep(0.1)


async def floods(a: Attacker) -> None:
    async with contextlib.AsyncExitStack() as held:
        for _ in range(40):
            with contextlib.suppress(StatusError):
                found = await connect(a.world.host.settings("flood"), a.credentials)
                held.callback(found.abort)
        for _ in range(500):
            a.connection.subscribe_now(a.connection.inbox(), a.hear)
        for _ in range(12):
            for _ in range(500):
                a.send(a.own, b"x" * 500, reply=a.connection.inbox())
            await a.connection.flush()


ATTEMPTS: tuple[Attempt, ...] = (
    publishes_everywhere, redirects_the_answer, listens_everywhere, joins_every_group, poses_as_a_service,
    plays_with_headers, sends_too_much, sends_garbage, uses_wildcards_and_reserved_names, asks_jetstream,
    stores_by_an_answer, asks_the_system, claims_to_be_the_victim, takes_the_key, replays, floods,
)  # fmt: skip


async def bearer(one: World) -> Attacker:
    """Of a join token that nobody used."""
    return Attacker(one, one.bearer("bearer"), subjects.join(one.jti("bearer")))


async def replica(one: World) -> Attacker:
    """Of a token for one more agent of the victim, and it knows the victim's UID."""
    await one.token("replica", clusterName=VICTIM, replica=True, clusterUID=one.victim.cluster_uid)
    return Attacker(one, one.bearer("replica"), subjects.join(one.jti("replica")))


async def pattern(one: World) -> Attacker:
    """Of a token for names of a pattern, which the victim's is one of."""
    await one.token("pattern", pattern=f"{VICTIM[:3]}*", uses=3)
    return Attacker(one, one.bearer("pattern"), subjects.join(one.jti("pattern")))


async def pending(one: World) -> Attacker:
    """An agent whose member waits for approval."""
    waiter = Agent(one.host, "waiter")
    answer = await waiter.join(await one.client.token("waiter", approval=True))
    return Attacker(one, waiter.credentials(answer), subjects.approval("waiter"))


async def pending_seed(one: World) -> Attacker:
    """The seed of the account of such a member: users of it have no permissions of their own."""
    await pending(one)
    return Attacker(one, await one.wide("waiter"), subjects.approval("waiter"))


async def agent(one: World) -> Attacker:
    """The directory of another member's agent."""
    return Attacker(one, one.mallory.credentials(one.answers["mallory"]), subjects.heartbeat("mallory"))


async def renewal(one: World) -> Attacker:
    """That agent's credential for renewals."""
    return Attacker(
        one, Credentials(one.answers["mallory"].renewal_jwt, one.mallory.key.seed), subjects.renewal("mallory")
    )


async def seed(one: World) -> Attacker:
    """The seed of another member's account: users of it have no permissions of their own."""
    return Attacker(one, await one.wide("mallory"), subjects.heartbeat("mallory"))


async def expired(one: World) -> Attacker:
    """A user of that account whose time is over."""
    return Attacker(one, await one.wide("mallory", -5), subjects.heartbeat("mallory"))


async def after_removal(one: World, holder: Holder) -> Attacker:
    """The same, once its member was removed."""
    attacker = await holder(one)
    await one.client.write(CLUSTER, "delete", "mallory")
    return attacker


async def removed(one: World) -> Attacker:
    """An agent whose member was removed."""
    return await after_removal(one, agent)


async def removed_renewal(one: World) -> Attacker:
    """Its credential for renewals."""
    return await after_removal(one, renewal)


async def removed_seed(one: World) -> Attacker:
    """The seed of the account of a member that was removed."""
    return await after_removal(one, seed)


async def replaced(one: World) -> Attacker:
    """The directory of an agent that has got another key since."""
    attacker, mallory = await agent(one), one.mallory
    new = nkey.create(KeyType.USER)
    async with one.host.connection(attacker.credentials) as connection:
        request = rekeying.rekey_request("mallory", mallory.key, new, time.time(), "x")
        reply = await connection.request(subjects.rekey("mallory"), msgspec.json.encode(request), timeout_s=5)
        answer = msgspec.json.decode(reply.data, type=RenewAnswer)
    async with one.host.connection(Credentials(answer.user_jwt, new.seed)) as connection:
        retire = rekeying.retire_request("mallory", new, (), time.time(), "x")
        await connection.request(subjects.retire("mallory"), msgspec.json.encode(retire), timeout_s=5)
    return attacker


async def replaced_renewal(one: World) -> Attacker:
    """Its credential for renewals."""
    attacker = await renewal(one)
    await replaced(one)
    return attacker


async def revoked_bearer(one: World) -> Attacker:
    """Of a token that was revoked."""
    found = await bearer(one)
    await one.client.write(JOIN_TOKEN, "delete", "bearer")
    return found


async def proxy(one: World) -> Attacker:
    """A tower's bus user."""
    return Attacker(one, one.host.service("proxy"), "registry.clusters.delete")


async def tenancy(one: World) -> Attacker:
    """The bus user of another service."""
    return Attacker(one, one.host.service("tenancy"), "registry.desired.tenancy")


async def appstore(one: World) -> Attacker:
    """That of the App Store, which alone asks for delegations: what it says of them is looked at, not who says it."""
    return Attacker(one, one.host.service("appstore"), subjects.DELEGATIONS)


async def system(one: World) -> Attacker:
    """The system key, with which accounts are pushed that another key signs, and servers are asked and told to reload."""
    return Attacker(one, one.host.system(), "$SYS.REQ.SERVER.PING")


HOLDERS = (
    bearer, replica, pattern, pending, pending_seed, agent, renewal, seed, expired, removed, removed_renewal, removed_seed,
    replaced, replaced_renewal, revoked_bearer, proxy, tenancy, appstore, system,
)  # fmt: skip
TABLE = Path(__file__).with_name("table.txt")


async def rows(host: NatsHost, holder: Holder, told: Mapping[str, set[str]]) -> AsyncIterator[str]:
    """What each attempt does. What the table tells of may come late on a busy machine, and is waited for."""
    async with world(host) as one:
        attacker = await holder(one)
        for attempt in ATTEMPTS:
            name = f"{holder.__name__} {attempt.__name__}"
            await one.calm()
            try:
                attacker.connection = await connect(host.settings("attacker"), attacker.credentials)
            except Unauthorized:
                yield f"{name}: refused"
                continue
            with contextlib.suppress(StatusError):  # the server may cut it, which is its good right
                await attempt(attacker)
                await attacker.connection.flush()
            with contextlib.suppress(TimeoutError):
                await eventually(lambda: told.get(name, set()) - {"nothing"} <= one.seen)  # noqa: B023 - awaited here
            attacker.connection.abort()
            yield f"{name}: {', '.join(sorted(await one.effects())) or 'nothing'}"


@pytest.mark.parametrize("holder", HOLDERS, ids=lambda holder: holder.__name__)
async def test_nothing_moves_but_what_its_row_says(fresh_nats_host: NatsHost, holder: Holder) -> None:
    table = TABLE.read_text().splitlines()
    told = {pair: set(effects.split(", ")) for pair, _, effects in (row.partition(": ") for row in table)}
    came = [row async for row in rows(fresh_nats_host, holder, told)]
    if os.environ.get("SKERRY_TEST_WRITE_TABLE"):
        others = [row for row in table if row.split()[0] != holder.__name__]
        TABLE.write_text("\n".join((*others, *came)) + "\n")
    assert came == [row for row in table if row.split()[0] == holder.__name__]


def test_the_table_has_a_row_for_each_pair() -> None:
    pairs = [row.partition(":")[0] for row in TABLE.read_text().splitlines()]
    assert pairs == [f"{holder.__name__} {attempt.__name__}" for holder in HOLDERS for attempt in ATTEMPTS]


def test_only_the_services_of_the_host_reach_what_is_not_theirs() -> None:
    """Whoever is outside moves its own slice of the bus, and of the store what the host writes about itself."""
    own = {
        "bearer": {"host join.bearer", "kv resources jointoken bearer"},
        "replica": {"host join.replica", "kv resources jointoken replica"},
        "pattern": {"host join.pattern", "kv resources jointoken pattern"},
        "pending": {"host up.waiter.svc.join", "host quarantine.waiter", "kv resources cluster waiter"},
        "pending_seed": {"host up.waiter.svc.join", "host quarantine.waiter", "kv resources cluster waiter"},
        "renewal": {"host up.mallory.svc.renew", "host quarantine.mallory", "kv resources cluster mallory"},
    }
    slice_ = {"host up.mallory.hb", "host up.mallory.*", "host quarantine.mallory", "kv resources cluster mallory"}
    slice_ |= {"host up.mallory.svc.rekey", "host up.mallory.svc.retire"}
    for row in TABLE.read_text().splitlines():
        pair, _, effects = row.partition(": ")
        holder = pair.split()[0]
        if holder not in ("proxy", "tenancy", "appstore", "system"):
            assert set(effects.split(", ")) <= own.get(holder, slice_) | {"nothing", "refused"}, row
        assert "victim lost" not in effects
