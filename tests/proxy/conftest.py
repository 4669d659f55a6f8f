"""A whole host in one process for the proxy's tests: real nats-server, real proxy, real agent relay, recorded member.

What the registry and tenancy store is stored here by their own Store, under their own credentials; the registry's
signature of the proxy's key is made with its real key.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from services.proxy.authn import name_of
from services.proxy.serve import Proxy
from services.proxy.settings import ProxySettings, bus_settings
from skerry import bus, subjects
from skerry.api.kinds import ACCESS_GRANT, CLUSTER, CREDENTIAL
from skerry.api.messages import CertifyAnswer, CertifyRequest
from skerry.api.times import rfc3339
from skerry.http import Client
from skerry.http.tls import client_context
from skerry.httpwire.head import Headers, RequestHead
from skerry.identity.assertion import make_record
from skerry.identity.services import STREAMS
from skerry.runtime import Runtime
from skerry.storage import Store, utc_now
from skerry.storage.buckets import stream_config
from tests.fixtures.nats import NatsHost, eventually
from tests.proxy.member import Agent, Recorder


class Answer(msgspec.Struct, frozen=True):
    """A whole answer of the front door."""

    status: int
    headers: Headers
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key == name), None)

    def json(self) -> Any:
        """The body."""
        return msgspec.json.decode(self.body)


class World:
    """The host, one member `m1`, and tokens."""

    def __init__(self, nats: NatsHost, settings: ProxySettings) -> None:
        self.nats = nats
        self.settings = settings
        self.recorder = Recorder()
        self.proxy: Proxy
        self.runtime: Runtime
        self.client: Client
        self.agent: Agent
        self.clusters: Store
        self.credentials: Store
        self.grants: Store
        self.admin = b""

    @property
    def address(self) -> tuple[str, int]:
        """Of the front door."""
        return self.proxy.addresses[0]

    async def token(self, user: str, *groups: str, expires_s: float = 3600.0) -> bytes:
        """A new bearer token, known to the proxy."""
        text = b"skerry_" + secrets.token_urlsafe(32).encode()
        expires = rfc3339(utc_now().fromtimestamp(time.time() + expires_s, utc_now().tzinfo))
        document = {
            "metadata": {"name": name_of(text)},
            "spec": {"user": user, "groups": list(groups), "ttl": "1h"},
            "status": {"expires": expires},
        }
        await self.credentials.create(document)
        await eventually(lambda: self.proxy.directory.credential(name_of(text)) is not None)
        return text

    async def revoke(self, token: bytes) -> None:
        """Delete a token's Credential; returns when the proxy knows."""
        await self.credentials.delete(name_of(token))
        await eventually(lambda: self.proxy.directory.credential(name_of(token)) is None)

    async def cluster(self, name: str, mode: str = "agent", **status: Any) -> None:
        """A Cluster object, known to the proxy."""
        spec = {"role": "host" if mode == "none" else "member", "connection": {"mode": mode}}
        await self.clusters.create({"metadata": {"name": name}, "spec": spec, "status": status})
        await eventually(lambda: self.proxy.directory.member(name) is not None)

    async def grant(self, name: str, **spec: Any) -> None:
        """An AccessGrant on m1 for alice, as tenancy stores it; the proxy may not know it yet."""
        uid = self.proxy.directory.uid("m1")
        base = {"subjects": [{"kind": "User", "name": "alice"}], "clusters": {"names": ["m1"]}, "role": "edit"}
        status = {"clusters": [{"name": "m1", "uid": uid}]}
        await self.grants.create({"metadata": {"name": name}, "spec": {**base, **spec}, "status": status})

    async def connect_agent(self, name: str = "m1") -> Agent:
        """A new agent of a member, whose API server is the recorder."""
        account, credentials = await self.nats.member(name)
        del account
        agent = Agent(name, self.nats.authority.assertion_root.public, self.recorder.server.addresses[0])
        await agent.start(self.nats.settings(f"agent-{name}"), credentials)
        return agent

    def head(
        self, method: bytes, target: bytes, token: bytes = b"", headers: Headers | None = None, **more: Any
    ) -> RequestHead:
        """A request head with a bearer token (default: the admin's; `b"-"`: none)."""
        bearer = [] if token == b"-" else [(b"authorization", b"Bearer " + (token or self.admin))]
        return RequestHead(method=method, target=target, headers=[*bearer, *(headers or [])], **more)

    async def raw(self, data: bytes) -> bytes:
        """What the front door answers to these very bytes, up to the end of the first body part that arrives."""
        reader, writer = await asyncio.open_connection(*self.address)
        writer.write(data)
        async with asyncio.timeout(5):
            answer = await reader.read(65536)
        writer.close()
        return answer

    async def ask(
        self,
        target: bytes,
        method: bytes = b"GET",
        *,
        token: bytes = b"",
        headers: Headers | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """One request, its whole answer."""
        response = await self.client.request(self.head(method, target, token, headers), body)
        try:
            data = await response.body(1 << 30)
            return Answer(response.status, list(response.headers), data)
        finally:
            response.abort()


@contextlib.asynccontextmanager
async def world(nats: NatsHost, settings: ProxySettings) -> AsyncIterator[World]:
    """A running world; `settings` may shorten limits."""
    made = World(nats, settings)
    async with contextlib.AsyncExitStack() as stack:
        registry = await stack.enter_async_context(nats.bus("registry"))
        tenancy = await stack.enter_async_context(nats.bus("tenancy"))
        await registry.ready()
        await tenancy.ready()
        made.clusters = Store(await registry.bucket(subjects.RESOURCES, create=bus.BucketConfig()), CLUSTER)
        for row in STREAMS:
            await registry.stream(row.name, create=stream_config(row, 1))
        made.credentials = Store(await tenancy.bucket(subjects.RESOURCES), CREDENTIAL)
        made.grants = Store(await tenancy.bucket(subjects.RESOURCES), ACCESS_GRANT)
        registry.serve("registry", "0.1.0", {subjects.CERTIFY: lambda message: certify(nats, message)})
        await registry.ready()
        await made.recorder.server.start()
        stack.push_async_callback(made.recorder.server.close)
        await stack.enter_async_context(_proxy(made))
        tls = client_context(ca_data=nats.ca_pem) if settings.tls_cert_file else None
        made.client = Client(*made.address, tls)
        stack.push_async_callback(made.client.close)
        made.admin = await made.token("admin", "skerry:cluster-admin")
        await made.cluster("m1")
        made.agent = await made.connect_agent()
        stack.push_async_callback(made.agent.close)
        yield made


@contextlib.asynccontextmanager
async def _proxy(made: World) -> AsyncIterator[None]:
    reached = bus_settings(made.settings, "proxy")
    async with bus.Bus(reached, lambda: made.nats.service("proxy")) as connected, asyncio.TaskGroup() as tasks:
        made.proxy = Proxy(made.settings, connected, reached)
        made.runtime = Runtime("proxy", tasks, lambda text: None)
        serving = tasks.create_task(made.proxy.serve(made.runtime))
        await eventually(lambda: made.runtime.is_ready or serving.done())
        try:
            yield
        finally:
            made.runtime.stop.set()
            await serving


async def certify(nats: NatsHost, message: bus.Message) -> bytes:
    """What the registry answers to a proxy's CertifyRequest."""
    ask = msgspec.json.decode(message.data, type=CertifyRequest)
    expires = int(time.time()) + 3600
    record = make_record(nats.authority.assertion_root, ask.proxy, ask.key, expires)
    return msgspec.json.encode(CertifyAnswer(record=record, expires=expires, root=nats.authority.assertion_root.public))


def settings_for(nats: NatsHost, **limits: Any) -> ProxySettings:
    """Settings of a proxy on a free loopback port."""
    credentials = nats.directory / f"proxy-{secrets.token_hex(4)}.creds"
    nats.service("proxy").save(credentials)
    return ProxySettings(
        bus_servers=list(nats.servers),
        bus_ca_file=nats.directory / "ca.crt",
        bus_credentials_file=credentials,
        listen=("127.0.0.1:0",),
        **{"grace_s": 0.2, **limits},
    )


@pytest.fixture
async def host(fresh_nats_host: NatsHost) -> AsyncIterator[World]:
    """A world of one's own."""
    async with world(fresh_nats_host, settings_for(fresh_nats_host)) as made:
        yield made
