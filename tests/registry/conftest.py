"""A registry on a real nats-server, and agents that speak to it over the bus."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import pytest

from services.agent.checks import FULL
from services.registry import service
from services.registry.clock import Clock, wall_and_mono
from services.registry.parts import Ours, Parts, opened
from services.registry.settings import RegistrySettings
from skerry import subjects
from skerry.api.kinds import CLUSTER, CLUSTER_ADMIN, EVENT, KINDS, Kind
from skerry.api.messages import (
    SIGNATURE,
    Caller,
    Heartbeat,
    JoinAnswer,
    JoinRequest,
    RenewAnswer,
    RenewRequest,
    Token,
    Write,
    WriteAnswer,
    WriteOptions,
)
from skerry.api.meta import Document
from skerry.bus import Bus, Connection, NoResponders
from skerry.controller.timers import Timers
from skerry.errors import ServiceUnavailable
from skerry.identity import jointoken, nkey
from skerry.identity.creds import Credentials
from skerry.identity.nkey import KeyPair, KeyType
from skerry.informer import Informer
from skerry.service import Process
from tests.fixtures.nats import NatsHost
from tests.fixtures.service import process, serving

Answer = TypeVar("Answer")
DEADLINE_S = 30.0
LOOK_S = 0.3
"""Between looks at direct members, each of which is one at rights too."""
HOST_UID = "11111111-0000-0000-0000-000000000001"


class Running:
    """One registry process's worth."""

    def __init__(
        self,
        host: NatsHost,
        uid: str = HOST_UID,
        name: str = "isle",
        *,
        clock: Clock = wall_and_mono,
        timers: Timers | None = None,
        **settings: Any,
    ) -> None:
        self._host, self._timers, self._clock = host, timers, clock
        self._service = dataclasses.replace(service.SERVICE, state=self._opened)
        self.parts: Parts
        """What it is made of, once it runs."""
        self._settings = RegistrySettings(
            keys_dir=host.keys_dir,
            host_uid=uid,
            host_name=name,
            bus_public=list(host.servers),
            probe_s=LOOK_S,
            look_s=0.0,
            **settings,
        )

    @contextlib.asynccontextmanager
    async def _opened(self, context: Ours) -> AsyncIterator[Parts]:
        async with opened(context, self._clock) as self.parts:
            yield self.parts

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Process]:
        """Serving inside, ready from the start."""
        async with serving(self._host, (self._service, self._settings), timers=self._timers) as process:
            yield process

    @contextlib.asynccontextmanager
    async def started(self) -> AsyncIterator[Process]:
        """Started inside, ready or not."""
        async with process(self._host, (self._service, self._settings), timers=self._timers) as one:
            yield one


class Client:
    """What the front door would do: writes over the bus, reads from a cache."""

    def __init__(self, host: NatsHost, bus: Bus, cache: Informer) -> None:
        self._host = host
        self.bus = bus
        self.cache = cache

    async def ask(self, subject: str, write: Write) -> bytes:
        """The owner's answer to a signed write of the administrator."""
        payload = msgspec.json.encode(write)
        signature = self._host.sign(Caller(user="admin", groups=(CLUSTER_ADMIN,)), subject, payload)
        return (await self.bus.request(subject, payload, timeout_s=DEADLINE_S, headers={SIGNATURE: signature})).data

    async def write(
        self,
        kind: Kind,
        verb: str,
        name: str = "",
        document: Document | None = None,
        *,
        request_id: str = "",
        dry_run: bool = False,
    ) -> Document:
        """Create or delete as the host API does."""
        if document is not None:
            document = {"apiVersion": kind.api_version, "kind": kind.kind, **document}
        write = Write(
            request_id=request_id or uuid.uuid4().hex,
            name=name,
            body=msgspec.Raw(msgspec.json.encode(document)),
            options=WriteOptions(dry_run=dry_run),
        )
        answer = await self.ask(subjects.write(kind.owner, kind.plural, verb), write)
        found: Document = msgspec.json.decode(msgspec.json.decode(answer, type=WriteAnswer).object)
        return found

    async def token(self, cluster: str, **spec: object) -> str:
        """The text of a new join token."""
        kind = next(kind for kind in KINDS if kind.kind == "JoinToken")
        document = {"metadata": {}, "spec": {"clusterName": cluster, **spec}}
        text: str = (await self.write(kind, "create", document=document))["status"]["token"]
        return text

    async def cluster(self, name: str) -> Document | None:
        """The stored Cluster, as of now."""
        await self.cache.current()
        found = self.cache.get(CLUSTER, name)
        return None if found is None else found.document()

    async def ready(self, name: str, status: str) -> Document:
        """Wait until the condition Ready has this status; the condition."""
        async with asyncio.timeout(DEADLINE_S):
            watch = self.cache.watch(CLUSTER)
            while True:
                for found in ((await self.cluster(name)) or {}).get("status", {}).get("conditions", []):
                    if (found["type"], found["status"]) == ("Ready", status):
                        return dict(found)
                watch.take()
                await watch.wait(0.2)


async def until_answered(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """What is answered to somebody who asks again while nobody listens, as agents do."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                return await ask()
            except NoResponders:
                await asyncio.sleep(0.02)


class Agent:
    """An agent's key and what it knows of its cluster."""

    def __init__(self, host: NatsHost, name: str, cluster_uid: str = "", key: KeyPair | None = None) -> None:
        self._host = host
        self.name = name
        self.key = key or nkey.create(KeyType.USER)
        self.cluster_uid = cluster_uid or str(uuid.uuid4())

    def join_request(self) -> JoinRequest:
        """What it asks with."""
        return JoinRequest(
            nkey=self.key.public,
            name=self.name,
            cluster_uid=self.cluster_uid,
            kubernetes_version="v1.36.3",
            agent_version="0.1.0",
        )

    async def join(self, token_text: str, **changes: Any) -> JoinAnswer:
        """Ask to join with a token."""
        token: Token = jointoken.decode(token_text, 0)
        request = msgspec.structs.replace(self.join_request(), **changes)
        while True:  # as agents do it that join with one token at a time: it has few connections, and they wait for one
            try:
                async with self._host.connection(Credentials(token.jwt), "join") as connection:
                    reply = await connection.request(
                        subjects.join(token.jti), msgspec.json.encode(request), timeout_s=DEADLINE_S
                    )
                return msgspec.json.decode(reply.data, type=JoinAnswer)
            except ServiceUnavailable as error:
                if FULL not in error.message:
                    raise
                await asyncio.sleep(0.05)

    def credentials(self, answer: JoinAnswer | RenewAnswer) -> Credentials:
        """For the member's own account."""
        return Credentials(answer.user_jwt, self.key.seed)

    async def beat(self, connection: Connection, **changes: Any) -> None:
        """One heartbeat, answered."""
        beat = Heartbeat(
            agent=self.key.public,
            epoch="1",
            version="0.1.0",
            kubernetes_version="v1.36.3",
            cluster_uid=self.cluster_uid,
            nodes=3,
        )
        await connection.request(
            subjects.heartbeat(self.name),
            msgspec.json.encode(msgspec.structs.replace(beat, **changes)),
            timeout_s=DEADLINE_S,
        )

    async def beat_until_answered(self, connection: Connection, **changes: Any) -> None:
        """As an agent does while the registry is still on its way back."""
        await until_answered(lambda: self.beat(connection, **changes))

    async def renew(
        self,
        renewal: JoinAnswer | RenewAnswer | Credentials,
        *,
        key: KeyPair | None = None,
        at: float | None = None,
        subject: str = "",
    ) -> RenewAnswer:
        """Ask for a new user JWT with a renewal credential: that of the answer, or another one."""
        key = key or self.key
        moment = int(time.time() if at is None else at)
        challenge = f"{self.name} {self.key.public} {moment} {uuid.uuid4().hex}"
        signature = base64.urlsafe_b64encode(key.sign(challenge.encode())).decode()
        request = RenewRequest(nkey=self.key.public, challenge=challenge, signature=signature)
        credentials = renewal if isinstance(renewal, Credentials) else Credentials(renewal.renewal_jwt, self.key.seed)
        subject = subject or subjects.renewal(self.name)
        async with self._host.connection(credentials, "renew") as connection:
            reply = await connection.request(subject, msgspec.json.encode(request), timeout_s=DEADLINE_S)
        return msgspec.json.decode(reply.data, type=RenewAnswer)


async def connect(client: Client, verb: str, name: str, text: str, *, dry_run: bool = False, **spec: Any) -> Document:
    """What the front door does with a POST (create) or PUT (update) of clusters/<name>/connection."""
    write = Write(
        request_id=uuid.uuid4().hex,
        name=name,
        subresource="connection",
        body=msgspec.Raw(msgspec.json.encode({"spec": {"kubeconfig": text, **spec}})),
        options=WriteOptions(dry_run=dry_run),
    )
    answer = await client.ask(subjects.action("registry", "clusters", "connection", verb), write)
    found: Document = msgspec.json.decode(answer)
    return found


@contextlib.asynccontextmanager
async def client_of(host: NatsHost) -> AsyncIterator[Client]:
    """A client with a proxy's permissions."""
    async with host.bus("proxy") as bus, asyncio.TaskGroup() as tasks:
        bucket = await bus.bucket(subjects.RESOURCES)
        cache = Informer(KINDS)
        feeding = tasks.create_task(cache.feed(bucket))
        async with asyncio.timeout(DEADLINE_S):
            await cache.filled.wait()
        yield Client(host, bus, cache)
        feeding.cancel()


@contextlib.asynccontextmanager
async def events_of(client: Client) -> AsyncIterator[Informer]:
    """What a proxy sees of the Events."""
    cache = Informer((EVENT,))
    async with asyncio.TaskGroup() as tasks:
        feeding = tasks.create_task(cache.feed(await client.bus.bucket(subjects.EVENTS)))
        async with asyncio.timeout(DEADLINE_S):
            await cache.filled.wait()
        yield cache
        feeding.cancel()


@pytest.fixture
async def client(nats_host: NatsHost) -> AsyncIterator[Client]:
    """A client of a running registry."""
    async with Running(nats_host).running(), client_of(nats_host) as found:
        yield found
