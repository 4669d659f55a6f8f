"""The keys of the bus are replaced on a real server, with a registry, a member that is awake and one that sleeps."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.registry import accounts
from skerry.api.kinds import CLUSTER
from skerry.bus import ConnectionLost, NoResponders
from skerry.cli import bootstrap
from skerry.cli.failure import Failure
from skerry.cli.keys import rotation
from skerry.cli.keys.accounts import BusKey, HostBus, HostKey, OperatorSigningKey, SysKey
from skerry.errors import GatewayTimeout, ServiceUnavailable, StatusError, Unauthorized
from skerry.identity import jwt, nkey
from skerry.identity.creds import Credentials
from skerry.identity.federation import Authority
from skerry.identity.keyfiles import KeyFiles
from skerry.identity.nkey import KeyPair
from skerry.identity.resolver import Resolver
from tests.cli.keys.test_rotation import quiet
from tests.fixtures.nats import NatsHost
from tests.registry.conftest import Agent, Client, Running, client_of, until_answered

pytestmark = pytest.mark.integration
WAIT_S = 40.0


class World:
    """A host whose keys are files, with a registry that looks often."""

    def __init__(self, host: NatsHost, client: Client, directory: Path, thief: Authority) -> None:
        """`thief` has a copy of all keys as they were."""
        self.host, self.client, self.thief = host, client, thief
        self.bus = HostBus(
            host=directory,
            files=KeyFiles(host.keys_dir),
            authority=host.authority,
            settings=host.settings("keys"),
            configure=self.configure,
            settle_s=0.1,
        )
        self.starts = 0

    async def configure(self) -> str:
        """As the supervisor does it: the server is started anew if the operator's JWT is another one."""
        conf = self.host.directory / "nats.conf"
        if self.host.authority.public.operator_jwt not in conf.read_text():
            self.starts += 1
            await asyncio.to_thread(self.host.stop)
            await asyncio.to_thread(self.host.start)
        return ""

    def root(self) -> KeyPair:
        return nkey.from_seed((self.host.keys_dir / "root" / "operator.nk").read_bytes())

    async def joined(self, name: str) -> tuple[Agent, Credentials, Credentials]:
        """A member's agent with its credentials, those for renewal last."""
        agent = Agent(self.host, name)
        answer = await agent.join(await self.client.token(name))
        return agent, agent.credentials(answer), Credentials(answer.renewal_jwt, agent.key.seed)

    async def refused(self, credentials: Credentials) -> None:
        with pytest.raises(Unauthorized):
            async with self.host.connection(credentials):
                pass


@pytest.fixture
async def world(fresh_nats_host: NatsHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(accounts, "ROUND_S", 0.2)
    host, created = fresh_nats_host, fresh_nats_host.authority
    host.authority = Authority.load(host.keys_dir)
    (tmp_path / "h").mkdir()
    bootstrap.renew_credentials(tmp_path / "h", host.authority)
    async with Running(host).running(), client_of(host) as client:
        yield World(host, client, tmp_path / "h", created)


async def beats(world: World, agent: Agent, credentials: Credentials, over: asyncio.Event, lost: list[str]) -> None:
    """A member that is awake: it beats, and comes back when it was cut. To be refused by the bus is a failure."""
    while not over.is_set():
        with contextlib.suppress(ServiceUnavailable):
            async with world.host.connection(credentials) as connection:
                with contextlib.suppress(ConnectionLost, GatewayTimeout):
                    while not over.is_set() and not connection.lost.done():
                        with contextlib.suppress(NoResponders):
                            await agent.beat(connection)
                        await asyncio.sleep(0.02)
                if not over.is_set():
                    lost.append(connection.reason)
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("kind", [OperatorSigningKey, HostKey, SysKey])
async def test_a_key_of_the_bus_is_replaced_while_members_work_and_sleep(world: World, kind: type[BusKey]) -> None:
    host, key, before = world.host, kind(world.bus), time.time()
    awake, sleeper, gone = [await world.joined(name) for name in ("awake", "sleeper", "gone")]
    unused = await world.client.token("later")
    await world.client.write(CLUSTER, "delete", "gone")
    over, lost = asyncio.Event(), list[str]()
    async with asyncio.TaskGroup() as group:
        group.create_task(beats(world, *awake[:2], over, lost))
        assert (await key.look()).state == "in use"
        world.bus.files.begin(key.name, world.root, before)  # a command that was killed has done so much
        assert (await key.look()).moved == 0
        found = await rotation.rotate(kind(world.bus), _no_root_needed, WAIT_S, quiet)
        assert (found.state, found.missing) == ("moved", ())
        assert found.total >= 1
        async with host.connection(sleeper[1]) as connection:
            await sleeper[0].beat_until_answered(connection)
        world.bus.files.disbelieve(key.name)  # and so much did one that finished
        await rotation.finish(kind(world.bus), quiet, drop_away=False)
        assert (await key.look()).state == "in use"
        async with host.connection(sleeper[1]) as connection:
            await sleeper[0].beat_until_answered(connection)
        renewed = await until_answered(lambda: sleeper[0].renew(sleeper[2]))
        async with host.connection(Credentials(renewed.user_jwt, sleeper[0].key.seed)) as connection:
            await sleeper[0].beat_until_answered(connection)
        newcomer = Agent(host, "later")
        async with host.connection(
            newcomer.credentials(await until_answered(lambda: newcomer.join(unused)))
        ) as connection:
            await newcomer.beat_until_answered(connection)
        async with host.connection(awake[1]) as connection:
            await awake[0].beat_until_answered(connection)
        over.set()
    assert len(lost) == world.starts == (2 if kind is OperatorSigningKey else 0)
    await world.refused(gone[1])
    await _worthless(world, key.name)


def _no_root_needed() -> KeyPair:
    raise AssertionError("the root seed was given when the rotation began")


async def _worthless(world: World, name: str) -> None:
    """What somebody who has a copy of the old key makes with it."""
    thief, host = world.thief, world.host
    if name == "signing":
        forged = thief.member_account("forged")
        with contextlib.suppress(StatusError):
            async with host.connection(host.system()) as connection:
                await Resolver(connection).push(forged.jwt)
        key = nkey.create(nkey.KeyType.USER)
        await world.refused(Credentials(thief.member_user(forged, key.public), key.seed))
    else:
        made = {"host": thief.service_credentials("registry"), "sys": thief.system_credentials()}
        await world.refused(made[name])


async def test_what_a_key_needs_to_be_replaced_is_asked_before_anything_is_made(world: World) -> None:
    def missing() -> KeyPair:
        raise Failure("the root seed is not there")

    files = sorted(world.host.keys_dir.rglob("*"))
    with pytest.raises(Failure, match="root seed is not there"):
        await rotation.rotate(OperatorSigningKey(world.bus), missing, 0.0, quiet)
    assert sorted(world.host.keys_dir.rglob("*")) == files
    assert world.bus.files.public().replacements == {}


async def test_an_account_that_nobody_makes_anew_is_named_and_lost_only_on_demand(world: World) -> None:
    stray = world.host.authority.member_account("stray")
    await world.host.push(stray.jwt)
    agent = world.host.agent(stray)
    key = OperatorSigningKey(world.bus)
    with pytest.raises(Failure, match=r"account stray.*run it again"):
        await rotation.rotate(key, world.root, 1.0, quiet)
    with pytest.raises(Failure, match=r"1 of \d+ would be lost with the old signing key: account stray"):
        await rotation.finish(key, quiet, drop_away=False)
    async with world.host.connection(agent):
        pass
    await rotation.finish(key, quiet, drop_away=True)
    await world.refused(agent)


async def test_a_server_that_keeps_the_configuration_of_before_holds_up_the_new_key(world: World) -> None:
    """As one of somebody else's does, until its people did what they were told."""
    files, old = world.bus.files, world.host.authority.active("signing")

    async def told() -> str:
        return "give each server the new one"

    theirs = HostBus(
        host=world.bus.host, files=files, authority=world.bus.authority, settings=world.bus.settings, configure=told
    )
    with pytest.raises(Failure, match=r"server skerry has the operator's JWT of before: give each server the new one"):
        await rotation.rotate(OperatorSigningKey(theirs), world.root, 0.0, quiet)
    assert world.host.authority.active("signing") == old
    assert (await rotation.rotate(OperatorSigningKey(world.bus), _no_root_needed, WAIT_S, quiet)).state == "moved"
    with pytest.raises(Failure, match=r"still believed \(server skerry has .*keys finish signing"):
        await rotation.finish(OperatorSigningKey(theirs), quiet, drop_away=False)
    assert set(files.public().replacements) == {"signing"}
    await rotation.finish(OperatorSigningKey(world.bus), quiet, drop_away=False)
    assert jwt.decode(world.host.authority.public.operator_jwt).nats["signing_keys"] == [
        world.host.authority.active("signing")
    ]
