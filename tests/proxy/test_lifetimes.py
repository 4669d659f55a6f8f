"""What ends requests from outside: limits, revocation, the session cap, a client that takes nothing, a drain."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from services.agent import handlers
from skerry import subjects
from skerry.api.decode import decoded
from skerry.bus import Message, Stream
from skerry.http import Cut, Exchange, HttpError, Response
from skerry.httpwire.head import ResponseHead
from skerry.httpwire.websocket import Receiver, WebSocketMessage, asking, check_accepted
from tests.fixtures.nats import NatsHost, eventually
from tests.proxy.conftest import World, settings_for, world
from tests.proxy.member import pattern

pytestmark = pytest.mark.integration
WATCH = b"/clusters/m1/api/v1/watch/pods"
HOST_WATCH = b"/apis/skerry.dev/v1alpha1/clusters?watch=true"
EXEC = b"/clusters/m1/api/v1/namespaces/d/pods/p/exec?command=cat"


@contextlib.asynccontextmanager
async def limited(nats: NatsHost, **limits: Any) -> AsyncIterator[World]:
    """A world with other limits."""
    async with world(nats, settings_for(nats, **limits)) as made:
        yield made


async def watching(host: World, target: bytes = WATCH, token: bytes = b"") -> Response:
    """A watch of the member that has delivered one event."""
    response = await host.client.request(host.head(b"GET", target, token))
    if target == WATCH:
        host.recorder.events.put_nowait(b"{}\n")
    assert await response.read()
    return response


async def cut(response: Response, deadline_s: float) -> None:
    """The response must break, and soon: a clean end would be a lie."""
    with pytest.raises(Cut):
        await asyncio.wait_for(whole(response), deadline_s)


async def whole(response: Response) -> None:
    """Read to the clean end."""
    while await response.read():
        pass


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        ({"streams": 1}, "this host carries 1 requests"),
        ({"streams_per_user": 1}, "user 'admin' has 1 requests"),
        ({"streams_per_member": 1}, "cluster 'm1' has 1 requests"),
    ],
)
async def test_a_limit_is_a_429_that_says_which(fresh_nats_host: NatsHost, limit: dict[str, int], text: str) -> None:
    await fresh_nats_host.make_buckets()
    async with limited(fresh_nats_host, **limit) as host, fresh_nats_host.bus("proxy") as bus:
        response = await watching(host)
        answer = await host.ask(b"/clusters/m1/api")
        assert (answer.status, answer.json()["reason"]) == (429, "TooManyRequests")
        stream = Stream(bus, subjects.EVENT_STREAM)
        async with asyncio.timeout(10):
            while not (messages := (await stream.read("event.system.admin.limitreached")).messages):
                await asyncio.sleep(0.02)
        assert text in decoded(messages[0].data)["message"]
        assert text in answer.json()["message"]
        response.abort()
        await eventually(lambda: len(host.proxy.sessions) == 0)
        assert (await host.ask(b"/clusters/m1/api")).status == 200


async def test_the_live_requests_of_a_member_that_is_removed_are_cut_and_counted(host: World) -> None:
    reports: list[Message] = []
    async with host.nats.bus("registry") as registry:
        await (await registry.connection(timeout_s=5)).subscribe(subjects.CUTS, reports.append)
        uid = host.proxy.directory.uid("m1")
        watch = await watching(host)
        session = await host.client.request(host.head(b"GET", EXEC, upgrade=b"websocket"))
        elsewhere = await watching(host, HOST_WATCH)
        await host.clusters.delete("m1")
        await eventually(lambda: reports)
        assert session.raw is not None
        for read in (watch.read, session.raw.read):
            with pytest.raises(HttpError):
                await read()
        elsewhere.abort()
    assert [(each.subject, msgspec.json.decode(each.data)) for each in reports] == [
        ("cut.m1", {"uid": uid, "streams": 2})
    ]


async def test_a_session_ends_at_its_cap(fresh_nats_host: NatsHost) -> None:
    async with limited(fresh_nats_host, session_s=0.2) as host:
        response = await host.client.request(host.head(b"GET", EXEC, upgrade=b"websocket"))
        assert response.raw is not None
        with pytest.raises(HttpError):
            async with asyncio.timeout(5):
                await response.raw.read()
        await eventually(lambda: len(host.proxy.sessions) == 0)


async def test_a_session_that_the_member_ended_is_not_held_by_a_client_that_keeps_its_socket(host: World) -> None:
    target = b"/clusters/m1/api/v1/namespaces/d/pods/p/exec?command=leave"
    response = await host.client.request(host.head(b"GET", target, upgrade=b"websocket"))
    assert response.raw is not None
    assert (await response.raw.read(), await response.raw.read()) == (b"bye", b"")
    await eventually(lambda: len(host.proxy.sessions) == 0, 8)


async def test_a_client_that_takes_nothing_is_cut_and_harms_nobody(fresh_nats_host: NatsHost) -> None:
    async with limited(fresh_nats_host, stalled_s=0.5) as host:
        # Watched from before: where the machine is busy the session may be cut before its first line is read.
        begun = asyncio.create_task(eventually(lambda: len(host.proxy.sessions) == 1, 15))
        reader, writer = await asyncio.open_connection(*host.address, limit=1024)
        writer.write(
            b"GET /clusters/m1/big?size=100000000 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %b\r\n\r\n" % host.admin
        )
        await reader.readline()
        await begun
        assert (await host.ask(b"/clusters/m1/api")).status == 200
        await eventually(lambda: len(host.proxy.sessions) == 0, 15)
        writer.close()


async def test_a_client_that_takes_nothing_is_cut_with_its_stream(host: World) -> None:
    """It would not be told, and hold its budget, for as long as it may stall: watches and sessions for ever."""
    reader, writer = await asyncio.open_connection(*host.address, limit=1024)
    writer.write(
        b"GET /clusters/m1/big?size=100000000 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %b\r\n\r\n" % host.admin
    )
    await reader.readline()
    await stalled(host)
    host.agent.kill()
    await eventually(lambda: len(host.proxy.sessions) == 0, 10)
    with pytest.raises(ConnectionError):
        await reader.read()
    writer.close()


async def test_a_session_that_takes_nothing_is_cut_with_its_stream(host: World) -> None:
    async def talks(exchange: Exchange) -> None:
        raw = await exchange.upgrade(ResponseHead(status=101, headers=[]))
        while True:
            await raw.write(b"x" * 65536)

    host.recorder.routes[b"/api/v1/namespaces/d/pods/talks/exec"] = talks
    reader, writer = await asyncio.open_connection(*host.address, limit=1024)
    writer.write(
        b"GET /clusters/m1/api/v1/namespaces/d/pods/talks/exec HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n"
        b"Upgrade: spdy\r\nAuthorization: Bearer %b\r\n\r\n" % host.admin
    )
    await reader.readuntil(b"\r\n\r\n")
    await stalled(host)
    host.agent.kill()
    await eventually(lambda: len(host.proxy.sessions) == 0, 10)
    writer.close()


async def test_a_session_that_was_said_whole_is_read_whole_by_a_client_that_pauses(
    host: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its agent may even be gone meanwhile: what it said, and its end, are here."""
    monkeypatch.setattr(handlers, "LINGER_S", 0.05)
    data = pattern(700_000)
    said = asyncio.Event()

    async def talks(exchange: Exchange) -> None:
        raw = await exchange.upgrade(ResponseHead(status=101, headers=[]))
        await raw.write(data)
        await raw.write_eof()
        assert await raw.read() == b""  # the agent has sent all of it on
        said.set()

    host.recorder.routes[b"/api/v1/namespaces/d/pods/talks/exec"] = talks
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await loop.sock_connect(client, host.address)
        await loop.sock_sendall(
            client,
            b"GET /clusters/m1/api/v1/namespaces/d/pods/talks/exec HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n"
            b"Upgrade: spdy\r\nAuthorization: Bearer %b\r\n\r\n" % host.admin,
        )
        got = b""
        while not said.is_set():  # all but the last window
            got += await loop.sock_recv(client, 4096)
            await asyncio.sleep(0.001)
        await stalled(host)
        host.agent.kill()
        async with asyncio.timeout(30):
            while piece := await loop.sock_recv(client, 65536):
                got += piece
    assert got.partition(b"\r\n\r\n")[2] == data


async def stalled(host: World) -> None:
    """Until a client takes nothing any more: its connection has not moved for a while."""
    same, last = 0, -1
    async with asyncio.timeout(60):
        while same < 25:
            await asyncio.sleep(0.02)
            connections = list(host.proxy._server._connections)
            left = sum(each._unsent() for each in connections)
            same = same + 1 if left == last and not all(each.writable for each in connections) else 0
            last = left


async def test_a_slow_upload_to_what_may_last_is_streamed_however_small(host: World) -> None:
    target = b"/clusters/m1/api/v1/namespaces/d/services/s/proxy/x"
    reader, writer = await asyncio.open_connection(*host.address)
    writer.write(
        b"POST %b HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\nAuthorization: Bearer %b\r\n\r\nabc"
        % (target, host.admin)
    )
    await eventually(lambda: len(host.recorder.heads) == 1)
    for connection in host.proxy._server._connections:
        for later in (0.0, 36_000.0):
            connection.sweep(asyncio.get_running_loop().time() + later)
    writer.write(b"def")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert host.recorder.whole == [target.removeprefix(b"/clusters/m1")]
    writer.close()


async def test_a_revoked_token_cuts_its_watch_of_the_host_too(host: World) -> None:
    token = await host.token("gone", "skerry:view")
    response = await watching(host, HOST_WATCH, token)
    await host.revoke(token)
    await cut(response, 3)


async def test_a_watch_over_websocket_that_is_cut_says_no_goodbye(host: World) -> None:
    token = await host.token("gone", "skerry:view")
    bearer = b"base64url.bearer.authorization.k8s.io." + base64.urlsafe_b64encode(token).rstrip(b"=")
    nonce, offered = os.urandom(16), [bearer, b"base64.binary.k8s.io"]
    head = host.head(b"GET", HOST_WATCH, b"-", asking(nonce, offered), upgrade=b"websocket")
    response = await host.client.request(head)
    assert check_accepted(response.head, nonce, offered) == b"base64.binary.k8s.io"
    assert response.raw is not None
    receiver = Receiver(from_client=False, limit=1 << 20)
    [first] = receiver.feed(await response.raw.read())
    assert isinstance(first, WebSocketMessage)
    await host.revoke(token)
    with pytest.raises(Cut):
        await asyncio.wait_for(response.raw.read(), 3)


async def test_an_expired_token_cuts_its_streams(host: World) -> None:
    token = await host.token("soon", "skerry:view", expires_s=2.5)
    await cut(await watching(host, WATCH, token), 6)


async def test_a_drain_cuts_watches_at_once_and_gives_the_rest_its_grace(fresh_nats_host: NatsHost) -> None:
    async with limited(fresh_nats_host, grace_s=10.0) as host:
        member, own = await watching(host), await watching(host, HOST_WATCH)
        held = asyncio.ensure_future(host.ask(b"/clusters/m1/hold"))
        await eventually(lambda: len(host.proxy.sessions) == 3)
        started = time.monotonic()
        host.runtime.stop.set()
        await cut(member, 3)
        await cut(own, 3)
        assert not held.done()
        host.recorder.release.set()
        assert (await held).status == 200
        assert time.monotonic() - started < 8


async def test_what_outlives_the_grace_is_cut(fresh_nats_host: NatsHost) -> None:
    async with limited(fresh_nats_host, grace_s=0.3) as host:
        response = await host.client.request(host.head(b"GET", EXEC, upgrade=b"SPDY/3.1"))
        assert response.raw is not None
        host.runtime.stop.set()
        with pytest.raises(HttpError):
            async with asyncio.timeout(5):
                await response.raw.read()


async def test_a_request_that_was_sent_and_lost_is_504_for_a_change_and_503_for_a_read(host: World) -> None:
    change = asyncio.ensure_future(host.ask(b"/clusters/m1/hold", b"POST", body=b"{}"))
    read = asyncio.ensure_future(host.ask(b"/clusters/m1/hold"))
    await eventually(lambda: len(host.recorder.heads) == 2)
    host.agent.kill()
    async with asyncio.timeout(15):
        changed, was_read = await asyncio.gather(change, read)
    assert changed.status == 504
    assert "outcome unknown" in changed.json()["message"]
    assert changed.header(b"retry-after") is None
    assert was_read.status in (503, 504)
