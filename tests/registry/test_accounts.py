"""The bus loses accounts: members get them back, removed members do not."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from services.registry import accounts
from services.registry.secrets import BUCKET, MemberSecret, Secrets
from skerry.api.kinds import CLUSTER, JOIN_TOKEN
from skerry.errors import StatusError, Unauthorized
from skerry.identity import jointoken, jwt
from skerry.identity.creds import Credentials
from skerry.identity.resolver import Resolver
from skerry.storage.sealed import Keyring
from tests.fixtures.nats import NatsHost, eventually
from tests.registry.conftest import DEADLINE_S, Agent, Client, Running, client_of

pytestmark = pytest.mark.integration


@pytest.fixture
async def client(fresh_nats_host: NatsHost, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """Of a registry that looks often."""
    monkeypatch.setattr(accounts, "ROUND_S", 0.2)
    async with Running(fresh_nats_host).running(), client_of(fresh_nats_host) as client:
        yield client


async def joined(client: Client, host: NatsHost, name: str) -> Credentials:
    """A member, and the credentials of its agent."""
    agent = Agent(host, name)
    return agent.credentials(await agent.join(await client.token(name)))


async def admitted(host: NatsHost, credentials: Credentials) -> None:
    """Wait until the server takes these credentials."""
    async with asyncio.timeout(3 * DEADLINE_S):
        while True:
            with contextlib.suppress(StatusError):
                async with host.connection(credentials):
                    return
            await asyncio.sleep(0.05)


async def refused(host: NatsHost, credentials: Credentials) -> None:
    """Wait until the server no longer takes them."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                async with host.connection(credentials):
                    await asyncio.sleep(0.05)
            except Unauthorized:
                return


async def test_a_server_that_lost_its_accounts_is_given_those_of_members_and_of_nobody_else(
    client: Client, fresh_nats_host: NatsHost
) -> None:
    """Without a restart of the registry: until it came, the members could do nothing."""
    host = fresh_nats_host
    stays, leaves = await joined(client, host, "stays"), await joined(client, host, "leaves")
    await client.write(CLUSTER, "delete", "leaves")
    async with asyncio.timeout(DEADLINE_S):
        while await client.cluster("leaves") is not None:
            await asyncio.sleep(0.02)
    host.stop()
    shutil.rmtree(host.directory / "store" / "accounts")
    host.start()
    await admitted(host, stays)
    with pytest.raises(Unauthorized):
        async with host.connection(leaves):
            pass


async def test_a_server_that_lost_its_accounts_is_given_those_of_living_tokens(
    client: Client, fresh_nats_host: NatsHost
) -> None:
    host = fresh_nats_host
    lives, revoked = await client.token("lives"), await client.token("revoked")
    await client.cache.current()
    name = next(i.name for i in client.cache.list(JOIN_TOKEN) if i.name.startswith("revoked-"))
    await client.write(JOIN_TOKEN, "delete", name)
    host.stop()
    shutil.rmtree(host.directory / "store" / "accounts")
    host.start()
    await admitted(host, Credentials(jointoken.decode(lives).jwt))
    with pytest.raises(Unauthorized):
        async with host.connection(Credentials(jointoken.decode(revoked).jwt)):
            pass


async def test_what_the_server_holds_is_not_given_to_it_again(
    client: Client, fresh_nats_host: NatsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for method in (Resolver.accounts, Resolver.push):
        monkeypatch.setattr(Resolver, method.__name__, counted(method, calls))
    for name in ("one", "two"):
        await joined(client, fresh_nats_host, name)
    async with asyncio.timeout(DEADLINE_S):
        while calls.count("accounts") < 3:
            await asyncio.sleep(0.05)
    before = calls.count("push")
    async with asyncio.timeout(DEADLINE_S):
        while calls.count("accounts") < 8:
            await asyncio.sleep(0.05)
    assert (before >= 2, calls.count("push")) == (True, before)


def counted(method: Callable[..., Awaitable[Any]], calls: list[str]) -> Callable[..., Awaitable[Any]]:
    """`method`, which writes down that it was called."""

    async def call(*args: Any) -> Any:
        calls.append(method.__name__)
        return await method(*args)

    return call


async def test_a_member_that_was_removed_while_its_account_was_given_is_buried_again(
    client: Client, fresh_nats_host: NatsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tombstone went out between the look at it and the push, and the server keeps what comes last."""
    credentials = await joined(client, fresh_nats_host, "leaves")
    push, pushed = Resolver.push, list[str]()

    async def removed_before(resolver: Resolver, account: str) -> None:
        if jwt.decode(account).name != "leaves":
            await push(resolver, account)
            return
        if not pushed:
            pushed.append(account)
            await client.write(CLUSTER, "delete", "leaves")
            async with asyncio.timeout(DEADLINE_S):
                while await client.cluster("leaves") is not None:
                    await asyncio.sleep(0.02)
        pushed.append(account)
        await push(resolver, account)

    async def none(resolver: Resolver) -> list[str]:
        return []

    monkeypatch.setattr(Resolver, "push", removed_before)
    monkeypatch.setattr(Resolver, "accounts", none)
    async with asyncio.timeout(3 * DEADLINE_S):
        while pushed.count(next(iter(pushed), "")) < 2 or pushed[-1] == pushed[0]:
            await asyncio.sleep(0.02)
    assert "*" in jwt.decode(pushed[-1]).nats["revocations"], "a tombstone"
    await refused(fresh_nats_host, credentials)


async def test_a_start_reads_what_is_kept_of_all_together_and_looks_at_each_that_lacks(
    fresh_nats_host: NatsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question for each of thousands held up the start. One that cannot be read is named, and holds up nobody."""
    host, looked = fresh_nats_host, list[str]()
    async with Running(host).running(), client_of(host) as client:
        for name in ("kept", "lost", "other", "spoilt"):
            await joined(client, host, name)
    read = Secrets.member

    async def noted(secrets: Secrets, name: str) -> MemberSecret | None:
        looked.append(name)
        return await read(secrets, name)

    monkeypatch.setattr(Secrets, "member", noted)
    monkeypatch.setattr(accounts, "AT_ONCE", 1)
    async with host.open_bus("test") as bus, host.connection(host.system()) as system:
        resolver, bucket = Resolver(system), await bus.bucket(BUCKET)
        lost = await read(Secrets(bucket, Keyring(host.keys_dir / "secrets.key")), "lost")
        spoilt = await bucket.get("member.spoilt")
        assert lost is not None
        assert spoilt is not None
        await bucket.update("member.spoilt", b"rubbish", spoilt.revision)
        await resolver.delete(host.authority, [lost.account])
        async with Running(host).started() as process:
            async with asyncio.timeout(3 * DEADLINE_S):
                while lost.account not in await resolver.accounts():
                    await asyncio.sleep(0.02)
            await eventually(lambda: "registry/accounts: spoilt failed" in process.problem, 3 * DEADLINE_S)
    assert set(looked) == {"lost", "spoilt"}
