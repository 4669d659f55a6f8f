"""Other keys and revoked agents on a real bus: who has one, who is cut, and what is left when somebody dies in between."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from services.registry import agentkeys
from services.registry.secrets import BUCKET, MemberSecret, Secrets
from skerry import subjects
from skerry.api.messages import (
    HeartbeatAnswer,
    JoinAnswer,
    RekeyOrder,
    RekeyRequest,
    RenewAnswer,
    Retired,
    RetireRequest,
    Write,
)
from skerry.api.meta import Document
from skerry.bus import Connection, Message
from skerry.errors import BadRequest, Conflict, Forbidden, Gone, NotFound, ServiceUnavailable, StatusError, Unauthorized
from skerry.identity import nkey, rekeying
from skerry.identity.creds import Credentials
from skerry.identity.farewell import check_farewell
from skerry.identity.nkey import KeyPair, KeyType
from skerry.storage.sealed import Keyring
from tests.fixtures.nats import NatsHost, eventually
from tests.registry.conftest import DEADLINE_S, Agent, Client, Running, client_of, connect

pytestmark = pytest.mark.integration


async def acted(client: Client, name: str, what: str, body: Document) -> Document:
    """An action of the administrator on a Cluster."""
    write = Write(request_id=uuid.uuid4().hex, name=name, subresource=what, body=msgspec.Raw(msgspec.json.encode(body)))
    answer: Document = msgspec.json.decode(
        await client.ask(subjects.action("registry", "clusters", what, "create"), write)
    )
    return answer


class Keyed(Agent):
    """An agent that can have another key."""

    def __init__(self, host: NatsHost, name: str, cluster_uid: str = "") -> None:
        super().__init__(host, name, cluster_uid)
        self.next = nkey.create(KeyType.USER)
        self.answer: JoinAnswer

    async def joined(self, client: Client, **spec: object) -> Keyed:
        """As a member, or one more agent of it."""
        self.answer = await self.join(await client.token(self.name, **spec))
        return self

    @property
    def first(self) -> Credentials:
        """Those that it joined with."""
        return self.credentials(self.answer)

    def connected(self) -> contextlib.AbstractAsyncContextManager[Connection]:
        return self._host.connection(self.first, "agent")

    def request(self) -> RekeyRequest:
        return rekeying.rekey_request(self.name, self.key, self.next, time.time(), uuid.uuid4().hex)

    async def rekey(self, connection: Connection, request: RekeyRequest | None = None) -> Credentials:
        """Ask; the credentials of the next key."""
        data = msgspec.json.encode(request or self.request())
        reply = await connection.request(subjects.rekey(self.name), data, timeout_s=DEADLINE_S)
        answer = msgspec.json.decode(reply.data, type=RenewAnswer)
        return Credentials(answer.user_jwt, self.next.seed)

    async def retire(self, connection: Connection, key: KeyPair, *used: str) -> tuple[str, ...]:
        """Say that of what `key` replaced only these are used; what is revoked."""
        request = rekeying.retire_request(self.name, key, used, time.time(), uuid.uuid4().hex)
        reply = await connection.request(subjects.retire(self.name), msgspec.json.encode(request), timeout_s=DEADLINE_S)
        return msgspec.json.decode(reply.data, type=Retired).revoked

    async def order(self, connection: Connection, key: KeyPair | None = None) -> RekeyOrder | None:
        """What a heartbeat is answered."""
        beat = {"agent": (key or self.key).public, "epoch": "1", "version": "0.1.0", "clusterUid": self.cluster_uid}
        reply = await connection.request(subjects.heartbeat(self.name), msgspec.json.encode(beat), timeout_s=DEADLINE_S)
        return msgspec.json.decode(reply.data, type=HeartbeatAnswer).rekey


@pytest.fixture
def keyed(nats_host: NatsHost) -> Keyed:
    return Keyed(nats_host, f"m-{uuid.uuid4().hex[:8]}")


async def refused(host: NatsHost, credentials: Credentials) -> None:
    """The server takes them no more."""
    with pytest.raises((Unauthorized, ServiceUnavailable)):
        async with host.connection(credentials):
            pass


async def lost(connection: Connection) -> None:
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.wait((connection.lost,))


async def rekey_of(client: Client, name: str) -> Any:
    """As the Cluster has it now."""
    return (((await client.cluster(name)) or {}).get("status", {}).get("credentials") or {}).get("rekey")


async def until_done(client: Client, name: str) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while await rekey_of(client, name) is not None:
            await asyncio.sleep(0.02)


async def test_agents_are_told_get_another_key_and_the_first_goes_when_it_is_used_no_longer(
    client: Client, nats_host: NatsHost, keyed: Keyed
) -> None:
    name = (await keyed.joined(client)).name
    told: list[Message] = []
    async with keyed.connected() as old:
        await old.subscribe(subjects.rekey_order(name), told.append)
        assert await keyed.order(old) is None
        cluster = await acted(client, name, "rekey", {})
        assert cluster["status"]["credentials"]["rekey"]["pending"] == [keyed.key.public]
        assert cluster["status"]["credentials"]["rekey"]["by"] == "admin"
        await eventually(lambda: told)
        order = msgspec.json.decode(told[0].data, type=RekeyOrder)
        assert order == RekeyOrder(keys=(keyed.key.public,))
        async with asyncio.timeout(DEADLINE_S):
            while await keyed.order(old) != order:
                await asyncio.sleep(0.02)
        new = await keyed.rekey(old)
        assert (await rekey_of(client, name))["replaced"][0]["by"] == keyed.next.public
        async with nats_host.connection(new) as connection:
            assert await keyed.retire(connection, keyed.next, keyed.key.public) == ()
            await keyed.order(old)
            assert await keyed.retire(connection, keyed.next) == (keyed.key.public,)
            await lost(old)
            await until_done(client, name)
            assert await keyed.order(connection, keyed.next) is None
    await refused(nats_host, keyed.first)
    with pytest.raises(Gone, match=f"agent {keyed.key.public[:10]} of cluster '{name}' was revoked"):
        await keyed.renew(
            Credentials(
                nats_host.authority.renewal_user(await account(nats_host, name), keyed.next.public), keyed.next.seed
            )
        )


async def account(host: NatsHost, name: str) -> Any:
    """The member's account, as the registry's secret has it."""
    secret = await stored(host, name)
    known = type(host.authority.member_account(name))(
        name=name, public=secret.account, seed=secret.seed.encode(), jwt=""
    )
    return host.authority.member_account(name, known=known)


@contextlib.asynccontextmanager
async def opened(host: NatsHost) -> AsyncIterator[Secrets]:
    async with host.bus("registry") as bus:
        yield Secrets(await bus.bucket(BUCKET), Keyring(host.keys_dir / "secrets.key"))


async def stored(host: NatsHost, name: str) -> MemberSecret:
    async with opened(host) as secrets:
        secret = await secrets.member(name)
    assert secret is not None
    return secret


async def test_an_agent_whose_answer_was_lost_gets_it_again_and_works_with_its_first_key_until_then(
    client: Client, nats_host: NatsHost, keyed: Keyed
) -> None:
    await keyed.joined(client)
    async with keyed.connected() as connection:
        await keyed.rekey(connection)
    renewed = await keyed.renew(keyed.answer)
    async with nats_host.connection(Credentials(renewed.user_jwt, keyed.key.seed)) as connection:
        again = await keyed.rekey(connection)
        assert again.public == keyed.next.public
    async with nats_host.connection(again) as connection:
        await keyed.order(connection, keyed.next)
    assert (await stored(nats_host, keyed.name)).agents.keys() == {keyed.next.public}


async def test_at_once_cuts_as_soon_as_the_agent_was_heard_with_the_other_key_whatever_it_says(
    client: Client, nats_host: NatsHost, keyed: Keyed
) -> None:
    await keyed.joined(client)
    async with keyed.connected() as thief:
        await acted(client, keyed.name, "rekey", {"atOnce": True})
        new = await keyed.rekey(thief)
        assert not thief.lost.done()
        async with nats_host.connection(new) as connection:
            await keyed.order(connection, keyed.next)
            await lost(thief)
            await until_done(client, keyed.name)
            await keyed.order(connection, keyed.next)
    await refused(nats_host, keyed.first)


async def test_what_does_not_come_from_both_keys_of_this_member_now_is_refused(
    client: Client, nats_host: NatsHost, keyed: Keyed
) -> None:
    await keyed.joined(client)
    other = await Keyed(nats_host, f"{keyed.name}-2").joined(client)
    good, stranger = keyed.request(), nkey.create(KeyType.USER)
    async with other.connected() as elsewhere:
        with pytest.raises(BadRequest):
            await other.rekey(elsewhere, good)
    old = rekeying.rekey_request(keyed.name, keyed.key, keyed.next, time.time() - 3600, "n")
    foreign = rekeying.rekey_request(keyed.name, other.key, keyed.next, time.time(), "n")
    unknown = rekeying.rekey_request(keyed.name, stranger, keyed.next, time.time(), "n")
    async with keyed.connected() as connection:
        for request, error in (
            (msgspec.structs.replace(good, by_old=good.by_new), Unauthorized),
            (msgspec.structs.replace(good, by_new=good.by_old), Unauthorized),
            (old, Unauthorized),
            (foreign, ServiceUnavailable),
            (unknown, ServiceUnavailable),
        ):
            with pytest.raises(error):
                await keyed.rekey(connection, request)
        assert (await stored(nats_host, keyed.name)).agents.keys() == {keyed.key.public}
        new = await keyed.rekey(connection, good)
        late = rekeying.rekey_request(keyed.name, keyed.key, stranger, time.time(), "n")
        with pytest.raises(Unauthorized, match="was replaced already, or revoked"):
            await keyed.rekey(connection, late)
        assert await keyed.retire(connection, keyed.key) == ()
        text = rekeying.retire_request(keyed.name, keyed.next, (), time.time(), "n").text
        data = msgspec.json.encode(RetireRequest(text=text, signature=good.by_old))
        with pytest.raises(Unauthorized):
            await connection.request(subjects.retire(keyed.name), data, timeout_s=DEADLINE_S)
        assert await keyed.rekey(connection, good) is not None, "the same again is no attack"
    async with nats_host.connection(new) as connection:
        await keyed.retire(connection, keyed.next)
        with pytest.raises(Gone):
            await keyed.rekey(connection, good)


async def test_a_key_that_was_replaced_joins_no_more_with_the_token_that_it_came_with(
    client: Client, nats_host: NatsHost, keyed: Keyed
) -> None:
    await keyed.joined(client)
    token = await client.token(keyed.name, replica=True)
    replica = Keyed(nats_host, keyed.name, keyed.cluster_uid)
    replica.answer = await replica.join(token)
    async with replica.connected() as connection:
        await replica.rekey(connection)
    with pytest.raises(Forbidden, match="was revoked or replaced: nobody joins with it again"):
        await replica.join(token)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replaced key's longest time."""
    monkeypatch.setattr(agentkeys, "CAP_S", 0.5)


@pytest.mark.usefixtures("quick")
async def test_an_agent_that_never_says_that_a_key_is_over_has_it_revoked_in_time(
    client: Client, nats_host: NatsHost, keyed: Keyed
) -> None:
    await keyed.joined(client)
    async with keyed.connected() as old:
        new = await keyed.rekey(old)
        async with nats_host.connection(new) as connection:
            await keyed.order(connection, keyed.next)
            await lost(old)
            await keyed.order(connection, keyed.next)
    await until_done(client, keyed.name)


async def test_a_registry_that_died_between_storing_and_telling_the_servers_does_it_when_it_is_back(
    fresh_nats_host: NatsHost,
) -> None:
    host = fresh_nats_host
    async with Running(host).running(), client_of(host) as client:
        agent = await Keyed(host, "m1").joined(client)
        replica = await Keyed(host, "m1", agent.cluster_uid).joined(client, replica=True)
    async with agent.connected() as connection, replica.connected() as cut:
        async with opened(host) as secrets:

            def marked(secret: MemberSecret | None) -> MemberSecret:
                assert secret is not None
                return agentkeys.with_revoked(secret, {replica.key.public}, 1.0)

            await secrets.change("m1", marked)
        async with Running(host).running(), client_of(host) as client:
            await lost(cut)
            await until_done(client, "m1")
            await agent.order(connection)
        host.restart()
    await refused(host, replica.first)
    assert not agentkeys.untold(await stored(host, "m1"))


async def test_one_revoked_agent_is_told_cut_and_out_and_the_others_go_on(
    client: Client, nats_host: NatsHost, keyed: Keyed
) -> None:
    name = (await keyed.joined(client)).name
    token = await client.token(name, replica=True)
    thief = Keyed(nats_host, name, keyed.cluster_uid)
    thief.answer = await thief.join(token)
    farewells: list[Message] = []
    async with keyed.connected() as stays, thief.connected() as cut:
        others: list[Message] = []
        await stays.subscribe("down.*.farewell.>".replace("*", name), others.append)
        await cut.subscribe(subjects.agent_farewell(name, thief.key.public), farewells.append)
        for who in ("UXXXX", ""):
            with pytest.raises(NotFound):
                await acted(client, name, "revoke-agent", {"agent": who})
        cluster = await acted(client, name, "revoke-agent", {"agent": thief.key.public[:20].lower()})
        revoked = cluster["status"]["credentials"]["revoked"]
        assert (revoked["key"], revoked["by"]) == (thief.key.public, "admin")
        await lost(cut)
        await keyed.order(stays)
        with pytest.raises(Conflict, match="is the last agent of cluster"):
            await acted(client, name, "revoke-agent", {"agent": keyed.key.public})
        await acted(client, name, "revoke-agent", {"agent": thief.key.public})
        assert not stays.lost.done()
        verify = lambda data, signature: nkey.verify(nats_host.trust_root, data, signature)  # noqa: E731
        text = check_farewell(name, thief.key.public, farewells[0].data, verify)
        assert f"agent {thief.key.public[:10]} of cluster '{name}' was revoked" in text
        request = thief.request()
        with pytest.raises(Gone):
            await keyed.rekey(stays, request)
        with pytest.raises(Gone):
            await thief.renew(Credentials(keyed.answer.renewal_jwt, keyed.key.seed))
    with pytest.raises(Unauthorized):
        await thief.join(token)
    with pytest.raises(Forbidden):
        await thief.join(await client.token(name, replica=True))
    await refused(nats_host, thief.first)
    await until_done(client, name)


async def test_what_has_no_agents_has_no_keys(client: Client, nats_host: NatsHost, keyed: Keyed) -> None:
    for what, body in (("rekey", {}), ("revoke-agent", {"agent": "UAAAAA"})):
        with pytest.raises(NotFound):
            await acted(client, "nobody", what, body)
        with pytest.raises(BadRequest, match="is the host itself"):
            await acted(client, "host", what, body)
    with pytest.raises(StatusError):
        await connect(client, "create", keyed.name, "{}")
