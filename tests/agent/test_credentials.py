"""Another key for a real agent of a real registry: what runs goes on, nothing is lost, and whoever dies on the way works after it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from services.agent import membership as members
from services.agent.model import HostClock
from services.agent.storage import Directory
from services.agent.store import AgentStore, Membership
from skerry import subjects
from skerry.api.messages import JoinRequest, Write
from skerry.api.meta import Document
from skerry.errors import ServiceUnavailable, StatusError, Unauthorized
from skerry.http.exchange import Exchange
from skerry.httpwire.head import ResponseHead
from skerry.identity import creds, jointoken
from skerry.identity.creds import Credentials
from skerry.identity.rekeying import WISH
from skerry.link import Dialer
from skerry.link.call import Call
from skerry.relay import OpenRequest, StreamReset
from tests.agent.conftest import Agent
from tests.agent.standin import Host
from tests.agent.test_process import dialing, status
from tests.fixtures.nats import NatsHost, eventually
from tests.member.apiserver import ApiServer
from tests.registry.conftest import Client, Running, client_of

pytestmark = pytest.mark.integration

DEADLINE_S = 20.0
PIECES, PIECE_WORDS = 320, 8 << 10
"""20 MiB in pieces of 64 KiB."""


@pytest.fixture
async def client(nats_host: NatsHost) -> AsyncIterator[Client]:
    """Of a real registry."""
    async with Running(nats_host).running(), client_of(nats_host) as found:
        yield found


async def acted(client: Client, name: str, what: str, **body: object) -> Document:
    """An action of the administrator."""
    write = Write(request_id=uuid.uuid4().hex, name=name, subresource=what, body=msgspec.Raw(msgspec.json.encode(body)))
    answer: Document = msgspec.json.decode(
        await client.ask(subjects.action("registry", "clusters", what, "create"), write)
    )
    return answer


async def rekey_of(client: Client, name: str) -> Document:
    """What is left to do, as the Cluster has it."""
    status = ((await client.cluster(name)) or {}).get("status", {})
    rekey: Document = (status.get("credentials") or {}).get("rekey") or {}
    return rekey


async def until(client: Client, name: str, fits: Callable[[Document], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not fits(await rekey_of(client, name)):
            await asyncio.sleep(0.02)


def key_of(agent: Agent) -> str:
    return creds.load(agent.state / "user.creds").public


class Streams:
    """What an API server sends while a test goes on: a watch that waits, and a copy that flows."""

    def __init__(self, api: ApiServer) -> None:
        self.go_on = asyncio.Event()
        self.replaced = asyncio.Event()
        """The second half of the copy waits for it."""
        api.routes["/watch"] = self._watch
        api.routes["/copy"] = self._copy

    async def _watch(self, exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=[]), length=None)
        await exchange.write(b"before")
        await self.go_on.wait()
        await exchange.write(b"after")
        await exchange.finish()

    async def _copy(self, exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=[]), length=None)
        for number in range(PIECES):
            if number == PIECES // 2:
                await self.replaced.wait()
            await exchange.write(piece(number))
        await exchange.finish()


class Proxy:
    """A proxy of the host."""

    def __init__(self, host: Host, dialer: Dialer, name: str) -> None:
        self.host, self.dialer, self.name = host, dialer, name

    @contextlib.asynccontextmanager
    async def opened(self, target: bytes, class_: Literal["interactive", "bulk"]) -> AsyncIterator[Call]:
        """A stream that has answered; what came with the head is read."""
        assertion = self.host.signer().assertion(self.name, "skerry:a", ("skerry:view",), {}, self.host.now)
        request = OpenRequest(
            id=uuid.uuid4().hex[:8], assertion=assertion, method=b"GET", target=target, headers=[], class_=class_, long_running=True
        )  # fmt: skip
        with await self.dialer.open(self.name, request) as stream:
            yield stream

    async def works(self) -> None:
        """A request is served."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                with contextlib.suppress(StatusError):
                    assert await status(self.dialer, self.host, self.name) == 200
                    return
                await asyncio.sleep(0.05)


async def asked_until(proxy: Proxy, stop: asyncio.Event) -> list[str]:
    """What went wrong with requests, one after the other."""
    lost = []
    while not stop.is_set():
        try:
            if (code := await status(proxy.dialer, proxy.host, proxy.name)) != 200:
                lost.append(str(code))
        except (StatusError, StreamReset) as error:
            lost.append(str(error))
    return lost


def piece(number: int) -> bytes:
    """Of the copy: no two are the same, so that one which is lost, repeated or moved shows."""
    return number.to_bytes(8) * PIECE_WORDS


async def received(stream: Call, first: bytes) -> str:
    """The digest of all that comes until the end."""
    digest = sha256(first)
    while data := await stream.receive():
        stream.consumed(len(data))
        digest.update(data)
    return digest.hexdigest()


@pytest.fixture
async def agent(tmp_path: Path, api: ApiServer, nats_host: NatsHost) -> AsyncIterator[Agent]:
    """An agent process, ended at the end."""
    made = Agent(tmp_path / "first", api)
    (tmp_path / "first").mkdir()
    yield made
    if made.process is not None and made.process.returncode is None:
        made.process.kill()
        await made.process.wait()


async def test_what_runs_outlives_another_key_unless_it_is_to_end_at_once_and_the_first_key_goes(
    agent: Agent, api: ApiServer, client: Client, nats_host: NatsHost
) -> None:
    streams, name = Streams(api), f"m-{uuid.uuid4().hex[:8]}"
    api.uid = name
    agent.token(await client.token(name))
    await agent.start()
    await client.ready(name, "True")
    host, first, seed = Host(nats_host), key_of(agent), (agent.state / "seed").read_bytes()
    stolen = creds.load(agent.state / "user.creds")
    async with dialing(host) as dialer:
        proxy = Proxy(host, dialer, name)
        async with proxy.opened(b"/watch?watch=1", "interactive") as watch, proxy.opened(b"/copy", "bulk") as copy:
            head = await watch.response()
            assert (head.body or await watch.receive()) == b"before"
            copying = asyncio.ensure_future(received(copy, (await copy.response()).body))
            await acted(client, name, "rekey")
            await until(client, name, lambda rekey: not rekey.get("pending"))
            await proxy.works()
            assert [each["key"] for each in (await rekey_of(client, name))["replaced"]] == [first]
            streams.replaced.set()
            assert await copying == sha256(b"".join(map(piece, range(PIECES)))).hexdigest()
            streams.go_on.set()
            assert await watch.receive() == b"after"
            assert await watch.receive() == b""
        await until(client, name, lambda rekey: not rekey)
        assert key_of(agent) != first
        assert (agent.state / "seed").read_bytes() != seed
        with pytest.raises((Unauthorized, ServiceUnavailable)):
            async with nats_host.connection(stolen):
                pass
        await client.ready(name, "True")

        asking = asyncio.ensure_future(asked_until(proxy, stop := asyncio.Event()))
        for _ in range(8):
            await acted(client, name, "rekey")
            await until(client, name, lambda rekey: not rekey.get("pending"))
        stop.set()
        assert await asking == [], "one that comes while connections are made for the one before loses nothing either"
        await until(client, name, lambda rekey: not rekey)

        streams.go_on.clear()
        stolen = creds.load(agent.state / "user.creds")
        async with nats_host.connection(stolen) as thief, proxy.opened(b"/watch?watch=1", "interactive") as watch:
            assert ((await watch.response()).body or await watch.receive()) == b"before"
            await acted(client, name, "rekey", atOnce=True)
            with pytest.raises((StreamReset, StatusError)):
                await watch.receive()
            async with asyncio.timeout(DEADLINE_S):
                await asyncio.wait((thief.lost,))
        await until(client, name, lambda rekey: not rekey)
        await proxy.works()

        third = key_of(agent)
        (agent.state / WISH).touch()
        await eventually(lambda: key_of(agent) != third, DEADLINE_S)
        await until(client, name, lambda rekey: not rekey)
        await proxy.works()
        assert not (agent.state / WISH).exists()
        assert agent.process is not None
        assert agent.process.returncode is None
    assert await agent.stop() == 0


async def test_an_agent_that_was_away_gets_another_key_when_it_returns_and_one_that_is_revoked_ends_while_others_serve(
    agent: Agent, tmp_path: Path, api: ApiServer, client: Client, nats_host: NatsHost
) -> None:
    streams, name = Streams(api), f"m-{uuid.uuid4().hex[:8]}"
    api.uid = name
    agent.token(await client.token(name))
    await agent.start()
    await client.ready(name, "True")
    (tmp_path / "second").mkdir()
    replica = Agent(tmp_path / "second", api)
    replica.token(await client.token(name, replica=True))
    host, first = Host(nats_host), key_of(agent)
    async with dialing(host) as dialer:
        proxy = Proxy(host, dialer, name)
        async with proxy.opened(b"/watch?watch=1", "interactive") as watch:
            assert ((await watch.response()).body or await watch.receive()) == b"before"
            await replica.start()
            await eventually(lambda: (replica.state / "agent.json").exists(), DEADLINE_S)
            assert await replica.stop() == 0
            away = key_of(replica)
            await acted(client, name, "rekey")
            await until(client, name, lambda rekey: rekey.get("pending") == [away])
            await eventually(lambda: key_of(agent) != first, DEADLINE_S)
            await replica.start()
            await eventually(lambda: key_of(replica) != away, DEADLINE_S)
            await until(client, name, lambda rekey: [each["key"] for each in rekey.get("replaced", ())] == [first])
            await acted(client, name, "revoke-agent", agent=key_of(replica)[:12])
            code, line = await replica.ended()
            assert (code, f"agent {key_of(replica)[:10]} of cluster '{name}' was revoked" in line) == (1, True)
            del replica.environment["SKERRY_TOKEN_FILE"]
            await replica.start()
            assert await replica.ended() == (code, line)
            streams.go_on.set()
            assert await watch.receive() == b"after"
        await until(client, name, lambda rekey: not rekey)
    assert await agent.stop() == 0


# Who dies on the way


class Joined:
    """An agent's directory, and nothing that runs."""

    def __init__(self, host: NatsHost, client: Client, directory: Path) -> None:
        self.host, self.client, self.directory = host, client, directory
        self.store = AgentStore(Directory(directory))
        self.clock = HostClock(time.time() - time.monotonic())
        self.membership: Membership

    async def join(self, name: str) -> None:
        token = jointoken.decode(await self.client.token(name), 0)
        key = await self.store.own_key()
        request = JoinRequest(
            nkey=key.public,
            name=name,
            cluster_uid=str(uuid.uuid4()),
            kubernetes_version="v1.36.3",
            agent_version="0.1.0",
        )
        async with self.host.connection(Credentials(token.jwt)) as connection:
            answer = await members.join(connection, token, request)
        self.membership = await members.keep(self.store, token, request, answer, key)

    async def rekey(self) -> None:
        """As an agent does."""
        async with self.host.connection(self.store.user()) as connection:
            await self.store.finish_rekey()
            if self.store.wants_rekey:
                await members.rekey(connection, self.store, self.membership, self.clock)


@pytest.fixture
async def joined(nats_host: NatsHost, client: Client, tmp_path: Path) -> Joined:
    made = Joined(nats_host, client, tmp_path / "state")
    await made.join(f"m-{uuid.uuid4().hex[:8]}")
    return made


DEATHS = (
    "before it asked",
    "before it was answered",
    "with one of two credentials",
    "with both",
    "before it forgot the first",
)


@pytest.mark.parametrize("death", DEATHS)
@pytest.mark.parametrize("renews", [False, True])
async def test_an_agent_that_dies_on_its_way_to_another_key_works_and_finishes(
    joined: Joined, death: str, renews: bool
) -> None:
    store, stolen = joined.store, joined.store.user()
    new = await store.next_key()
    if death != DEATHS[0]:
        answered = joined.directory.with_name("answered")
        other = AgentStore(Directory(answered))
        shutil.copytree(joined.directory, answered)
        async with joined.host.connection(stolen) as connection:
            await members.rekey(connection, other, joined.membership, joined.clock)
        for file in ("renewal.creds", "user.creds", "seed")[: DEATHS.index(death) - 1]:
            shutil.copy(answered / file, joined.directory / file)
    store = joined.store = AgentStore(Directory(joined.directory))
    assert store.wants_rekey
    if renews:
        await members.renew(store, joined.membership, joined.clock)
    await joined.rekey()
    assert not store.wants_rekey
    assert store.key().public == store.user().public == store.renewal().public == new.public
    async with joined.host.connection(store.user()) as connection:
        await members.retire(connection, store, joined.membership, (), joined.clock)
    await until(joined.client, joined.membership.member, lambda rekey: not rekey)
    with pytest.raises((Unauthorized, ServiceUnavailable)):
        async with joined.host.connection(stolen):
            pass
    assert (await members.renew(store, joined.membership, joined.clock)).public == new.public


async def test_a_damaged_next_key_is_made_anew(joined: Joined) -> None:
    (joined.directory / "seed.next").write_bytes(b"SUxx")
    await joined.rekey()
    assert joined.store.user().public == joined.store.key().public


async def test_a_refused_rekey_leaves_what_there_was(joined: Joined) -> None:
    before = joined.store.user()
    membership = msgspec.structs.replace(joined.membership, member="another")
    async with joined.host.connection(before) as connection:
        with pytest.raises(StatusError):
            await members.rekey(connection, joined.store, membership, joined.clock)
    assert joined.store.user().jwt == before.jwt
    assert joined.store.wants_rekey
