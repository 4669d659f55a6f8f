"""Two ends of a tunnel over a real nats-server: a proxy in HOST, an agent in its member's account."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from skerry.bus import Connection, connect
from skerry.identity.creds import Credentials
from skerry.identity.federation import MemberAccount
from skerry.link import Acceptor, Dialer, LinkSettings, Stream
from skerry.relay import OpenRequest
from tests.fixtures.nats import NatsHost

Handler = Callable[[Stream], Awaitable[None]]


def get(target: bytes = b"/version", **changes: Any) -> OpenRequest:
    """A small GET."""
    fields: dict[str, Any] = {"id": "audit-1", "assertion": b"a", "method": b"GET", "target": target, "headers": []}
    return OpenRequest(**(fields | changes))


def post(body: bytes = b"", **changes: Any) -> OpenRequest:
    """A mutation."""
    return get(**({"method": b"POST", "body": body} | changes))


async def echo(stream: Stream) -> None:
    """Answers with what it got, small in one message."""
    request = stream.request
    body = request.body
    if request.end:
        await stream.respond(200, [(b"x-target", request.target)], length=len(body), body=body, end=True)
        return
    await stream.respond(200, [], body=body)
    while data := await stream.receive():
        await stream.send(data)
        stream.consumed(len(data))
    await stream.send_end()


class Ends:
    """Makes dialers and acceptors, and ends them."""

    def __init__(self, host: NatsHost, group: asyncio.TaskGroup, member: tuple[MemberAccount, Credentials]) -> None:
        self.host = host
        self.account, self.agent_credentials = member
        self.member = self.account.name
        self._group = group
        self.connections: list[Connection] = []
        self.tasks: list[asyncio.Task[str]] = []

    async def pair(self, credentials: Credentials, name: str) -> tuple[Connection, Connection]:
        pair = [await connect(self.host.settings(name), credentials) for _ in range(2)]
        self.connections += pair
        return pair[0], pair[1]

    async def dialer(self, settings: LinkSettings | None = None, **options: Any) -> Dialer:
        dialer = Dialer(*await self.pair(self.host.service("proxy"), "proxy"), settings, **options)
        self.tasks.append(self._group.create_task(dialer.run()))
        return dialer

    async def acceptor(self, handler: Handler = echo, settings: LinkSettings | None = None) -> Acceptor:
        pair = await self.pair(self.agent_credentials, "agent")
        acceptor = Acceptor(*pair, self.member, handler, settings)
        await acceptor.start()
        self.tasks.append(self._group.create_task(acceptor.run()))
        return acceptor


@contextlib.asynccontextmanager
async def ends_on(host: NatsHost, name: str = "m1") -> AsyncIterator[Ends]:
    async with asyncio.TaskGroup() as group:
        ends = Ends(host, group, await host.member(name))
        try:
            yield ends
        finally:
            for task in ends.tasks:
                task.cancel()
            for connection in ends.connections:
                connection.abort()


@pytest.fixture
async def ends(nats_host: NatsHost) -> AsyncIterator[Ends]:
    """Ends on the module's server."""
    async with ends_on(nats_host) as made:
        yield made


async def read_all(stream: Stream) -> bytes:
    """The rest of the body, given back as it is read."""
    parts = []
    while data := await stream.receive():
        parts.append(data)
        stream.consumed(len(data))
    return b"".join(parts)
