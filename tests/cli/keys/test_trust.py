"""The trust root is replaced: agents that are awake have it in a moment, one that sleeps is waited for or lost."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator

import msgspec
import pytest

from skerry import subjects
from skerry.api.kinds import JOIN_TOKEN
from skerry.api.messages import SIGNATURE, Caller, CertifyAnswer, CertifyRequest, Heartbeat, HeartbeatAnswer, Write
from skerry.bus import Bucket, BucketConfig
from skerry.cli.failure import Failure
from skerry.cli.keys import rotation
from skerry.cli.keys.trust import TrustRootKey
from skerry.desired.entry import Entry, opened, signed
from skerry.errors import Unauthorized
from skerry.identity import nkey, requests
from skerry.identity.assertion import Signer, make_record
from skerry.identity.creds import Credentials
from skerry.identity.federation import Authority
from skerry.identity.keyfiles import KeyFiles
from skerry.identity.nkey import KeyPair, KeyType
from skerry.identity.trust import check_statement, is_signed
from skerry.storage.sealed import Keyring
from tests.cli.keys.test_rotation import no_root, quiet
from tests.fixtures.nats import NatsHost
from tests.registry.conftest import DEADLINE_S, Agent, Client, Running, client_of

pytestmark = pytest.mark.integration
DESIRED_KEY = "awake.tenancy.core.configmap.default.a"


class World:
    """A host whose keys are files, its registry, and what the command has."""

    def __init__(self, host: NatsHost, client: Client, secrets: Bucket, desired: Bucket) -> None:
        self.host, self.client, self.desired = host, client, desired
        self.files = KeyFiles(host.keys_dir)
        keyring = Keyring(host.keys_dir / "secrets.key")
        self.key = TrustRootKey(self.files, host.authority, keyring, secrets, desired, 0.1)

    async def ask(self, signer: Signer) -> None:
        """A write as a front door with this signer sends it; Unauthorized if it is not believed."""
        subject = subjects.write(JOIN_TOKEN.owner, JOIN_TOKEN.plural, "create")
        document = {
            "apiVersion": JOIN_TOKEN.api_version,
            "kind": JOIN_TOKEN.kind,
            "metadata": {},
            "spec": {"clusterName": "x"},
        }
        write = Write(request_id=uuid.uuid4().hex, body=msgspec.Raw(msgspec.json.encode(document)))
        payload = msgspec.json.encode(write)
        signature = requests.sign(signer, Caller(user="admin"), subject, payload, time.time())
        await self.client.bus.request(subject, payload, timeout_s=DEADLINE_S, headers={SIGNATURE: signature})

    async def certified(self) -> Signer:
        """A front door that asks to be certified now."""
        key = nkey.create(KeyType.USER)
        ask = msgspec.json.encode(CertifyRequest(proxy="P2", key=key.public))
        answer = msgspec.json.decode((await self.client.bus.request(subjects.CERTIFY, ask)).data, type=CertifyAnswer)
        assert answer.root == self.host.authority.active("assertion")
        return Signer("P2", key, answer.record)

    async def store(self, key: str, root: KeyPair) -> None:
        """Something that a member should have, signed by a root."""
        entry = Entry(cluster="u", owner="tenancy", epoch="e", previous=0, object=msgspec.Raw(b'{"kind":"ConfigMap"}'))
        await self.desired.create(key, signed(key, entry, root.sign))


class Member:
    """An agent that keeps what it is told."""

    def __init__(self, host: NatsHost, name: str) -> None:
        self.host, self.agent = host, Agent(host, name)
        self.roots: tuple[str, ...] = ()
        self.credentials: Credentials

    async def join(self, client: Client) -> None:
        answer = await self.agent.join(await client.token(self.agent.name))
        self.credentials, self.roots = self.agent.credentials(answer), (answer.assertion_root,)

    async def beat(self, times: int = 1) -> None:
        """On a connection of its own, until answered. Unauthorized: it was told what none of its roots signed."""
        async with self.host.connection(self.credentials) as connection:
            for _ in range(times):
                beat = Heartbeat(agent=self.agent.key.public, epoch="1", version="0.1.0", roots=self.roots)
                reply = await connection.request(
                    subjects.heartbeat(self.agent.name), msgspec.json.encode(beat), timeout_s=DEADLINE_S
                )
                answer = msgspec.json.decode(reply.data, type=HeartbeatAnswer)
                if answer.roots:
                    self.roots = check_statement(answer.roots, self.roots)

    async def believes(self, root: str) -> None:
        """Until it is told: the registry looks at its keys twice a second."""
        async with asyncio.timeout(DEADLINE_S):
            while self.roots != (root,):
                await self.beat()


@pytest.fixture
async def world(fresh_nats_host: NatsHost) -> AsyncIterator[World]:
    host = fresh_nats_host
    host.authority = Authority.load(host.keys_dir)
    async with Running(host).running(), client_of(host) as client, host.bus("registry") as bus:
        yield World(
            host, client, await bus.bucket("secrets"), await bus.bucket(subjects.DESIRED, create=BucketConfig())
        )


async def awake_until(member: Member, over: asyncio.Event) -> None:
    while not over.is_set():
        await member.beat(2)
        await asyncio.sleep(0.1)


async def test_the_trust_root_is_replaced_when_a_sleeper_came_back(world: World) -> None:
    host, old = world.host, world.host.authority.assertion_root
    awake, sleeper = Member(host, "awake"), Member(host, "sleeper")
    for each in (awake, sleeper):
        await each.join(world.client)
    await world.store(DESIRED_KEY, old)
    front_door, over = host.proxy, asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(awake_until(awake, over))
        assert (await world.key.look()).total == 2
        await world.key.begin(no_root)
        async with asyncio.timeout(DEADLINE_S):
            while (await world.key.look()).moved == 0:
                await asyncio.sleep(0.05)
        with pytest.raises(Failure, match=r"1 of 2 moved.*\(sleeper \(agent U"):
            await rotation.rotate(world.key, no_root, 0.0, quiet)
        assert host.authority.active("assertion") == old.public
        with pytest.raises(Failure, match=r"1 of 2 would be lost with the old trust-root key: sleeper"):
            await rotation.finish(world.key, quiet, drop_away=False)
        await world.ask(front_door)
        await sleeper.beat(3)
        assert len(sleeper.roots) == 2
        assert (await rotation.rotate(world.key, no_root, DEADLINE_S, quiet)).state == "moved"
        world.files.use("assertion")  # a command that was killed has done so much
        await world.ask(front_door)
        await world.ask(await world.certified())
        await rotation.finish(world.key, quiet, drop_away=False)
        over.set()
    new = host.authority.assertion_root
    assert new.public != old.public
    for each in (awake, sleeper):
        await each.believes(new.public)
    entry = await world.desired.get(DESIRED_KEY)
    assert entry is not None
    opened(DESIRED_KEY, entry.value or b"", lambda data, signature: is_signed((new.public,), data, signature))
    await world.ask(await world.certified())
    with pytest.raises(Unauthorized, match="did not certify"):
        await world.ask(front_door)
    thief = nkey.create(KeyType.USER)
    forged = make_record(old, "P9", thief.public, int(time.time()) + 3600)
    with pytest.raises(Unauthorized, match="did not certify"):
        await world.ask(Signer("P9", thief, forged))
    assert (await world.key.look()).state == "in use"


async def test_who_is_away_is_dropped_on_demand_and_told_so(world: World) -> None:
    sleeper, old = Member(world.host, "sleeper"), world.host.authority.active("assertion")
    await sleeper.join(world.client)
    await world.key.begin(no_root)
    await rotation.finish(world.key, quiet, drop_away=True)
    with pytest.raises(Unauthorized, match="was not signed by this member's host"):
        await sleeper.believes(world.host.authority.active("assertion"))
    assert sleeper.roots == (old,)
    newcomer = Member(world.host, "newcomer")
    world.host.__dict__.pop("proxy", None)
    await newcomer.join(world.client)
    await newcomer.beat()
    assert newcomer.roots == (world.host.authority.active("assertion"),)


async def test_an_agent_that_knows_nothing_of_replacements_is_told_nothing_and_waited_for(world: World) -> None:
    older = Member(world.host, "older")
    await older.join(world.client)
    older.roots = ()
    await world.key.begin(no_root)
    await older.beat(3)
    found = await world.key.look()
    assert (found.moved, found.total, older.roots) == (0, 1, ())
