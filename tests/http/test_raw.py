"""Raw streams after 101: byte-exact, early bytes kept, ends that are ends, and cuts that are cuts (rules 2, 4, 12)."""

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import AsyncExitStack

import pytest

from skerry.http.errors import ClientGone, Cut, UpstreamProtocolError
from skerry.http.exchange import Exchange
from skerry.http.raw import Raw
from skerry.httpwire.head import RequestHead, ResponseHead
from tests.http.conftest import Lab, Tls
from tests.http.peers import DEADLINE_S, Peer

TAIL_BYTES = int(os.environ.get("SKERRY_TEST_TAIL_MB", "10")) * 1024 * 1024
UPGRADE = RequestHead(method=b"GET", target=b"/exec", headers=[(b"a", b"b")], upgrade=b"SPDY/3.1")
_ASK = b"GET /exec HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"


def _block(index: int, size: int = 64 * 1024) -> bytes:
    return index.to_bytes(8, "big") * (size // 8)


async def _read_slowly(raw: Raw, pause_every: int = 8) -> tuple[int, str]:
    """Reads to the end; now and then lets the other side run far ahead first."""
    digest, total, count = hashlib.sha256(), 0, 0
    while data := await raw.read():
        digest.update(data)
        total += len(data)
        count += 1
        if count % pause_every == 0:
            for _ in range(20):
                await asyncio.sleep(0)
    return total, digest.hexdigest()


def _expected(blocks: int) -> tuple[int, str]:
    digest = hashlib.sha256()
    for index in range(blocks):
        digest.update(_block(index))
    return blocks * 64 * 1024, digest.hexdigest()


async def _to_the_end(raw: Raw) -> None:
    while await raw.read():
        pass


async def _send_all(raw: Raw, blocks: int) -> None:
    for index in range(blocks):
        await raw.write(_block(index))


@pytest.mark.parametrize("slow", [1, 1000])
async def test_everything_that_the_server_wrote_before_its_end_arrives(lab: Lab, slow: int) -> None:
    blocks = TAIL_BYTES // 65536

    async def handler(exchange: Exchange) -> None:
        raw = await exchange.upgrade(ResponseHead(status=101, headers=[]))
        await _send_all(raw, blocks)
        await raw.write_eof()

    server = await lab.server(handler)
    response = await lab.client(server.addresses[0][1]).request(UPGRADE)
    assert response.raw is not None
    async with asyncio.timeout(60):
        assert await _read_slowly(response.raw, slow) == _expected(blocks)
    await response.release()


@pytest.mark.parametrize("slow", [1, 1000])
async def test_everything_that_the_client_wrote_before_its_end_arrives(lab: Lab, slow: int) -> None:
    blocks = TAIL_BYTES // 65536
    got: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    async def handler(exchange: Exchange) -> None:
        raw = await exchange.upgrade(ResponseHead(status=101, headers=[]))
        got.set_result(await _read_slowly(raw, slow))
        await raw.write_eof()

    server = await lab.server(handler)
    response = await lab.client(server.addresses[0][1]).request(UPGRADE)
    assert response.raw is not None
    async with asyncio.timeout(60):
        await _send_all(response.raw, blocks)
        await response.raw.write_eof()
        assert await got == _expected(blocks)
    await response.release()


async def test_both_directions_at_once_are_byte_exact(lab: Lab) -> None:
    blocks = 64

    async def handler(exchange: Exchange) -> None:
        raw = await exchange.upgrade(ResponseHead(status=101, headers=[]))
        while data := await raw.read():
            await raw.write(data)
        await raw.write_eof()

    server = await lab.server(handler)
    response = await lab.client(server.addresses[0][1]).request(UPGRADE)
    raw = response.raw
    assert raw is not None
    expected, size = _expected(blocks)[1], blocks * 65536
    digest, total = hashlib.sha256(), 0
    async with asyncio.TaskGroup() as group, asyncio.timeout(30):
        group.create_task(_send_all(raw, blocks))
        while total < size:
            data = await raw.read()
            assert data
            digest.update(data)
            total += len(data)
    assert digest.hexdigest() == expected
    await response.release()


async def test_bytes_sent_early_and_with_the_head_belong_to_the_stream(lab: Lab) -> None:
    async def handler(exchange: Exchange) -> None:
        raw = await exchange.upgrade(ResponseHead(status=101, headers=[(b"x-a", b"b")]))
        await raw.write(b"got " + await raw.read())
        await raw.write_eof()

    server = await lab.server(handler)
    peer = await lab.peer(server)
    await peer.send(_ASK + b"early")
    answer = await peer.answer()
    assert (answer.status, answer.headers["upgrade"], answer.headers["connection"]) == (101, "SPDY/3.1", "Upgrade")
    assert answer.headers["x-a"] == "b"
    assert await peer.exactly(9) == b"got early"


async def test_bytes_behind_the_101_of_an_upstream_belong_to_the_stream(lab: Lab) -> None:
    async def talk(peer: Peer) -> None:
        await peer.line(b"\r\n\r\n")
        await peer.send(
            b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: spdy/3.1\r\n\r\nfirst"
        )
        await peer.rest()

    upstream = await lab.upstream(talk)
    response = await lab.client(upstream.port).request(UPGRADE)
    assert response.raw is not None
    assert await response.raw.read() == b"first"
    await response.release()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 X\r\n\r\n",
        b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 101 X\r\nUpgrade: SPDY/3.1\r\n\r\n",
    ],
)
async def test_only_the_right_101_switches(plain: Lab, answer: bytes) -> None:
    async def talk(peer: Peer) -> None:
        await peer.line(b"\r\n\r\n")
        await peer.send(answer)
        await peer.rest()

    upstream = await plain.upstream(talk)
    with pytest.raises(UpstreamProtocolError):
        await plain.client(upstream.port).request(UPGRADE)


@pytest.mark.parametrize("status", [200, 204, 301, 304, 403, 500])
async def test_another_answer_to_an_upgrade_is_an_ordinary_one_and_the_connection_ends(lab: Lab, status: int) -> None:
    body = b"" if status in (204, 304) else b"no"

    async def handler(exchange: Exchange) -> None:
        await exchange.respond(status, [], body)

    server = await lab.server(handler)
    client = lab.client(server.addresses[0][1])
    response = await client.request(UPGRADE)
    assert (response.status, response.raw, await response.body(10)) == (status, None, body)
    async with asyncio.timeout(DEADLINE_S):
        while client.connections:
            await asyncio.sleep(0.01)


async def test_a_101_that_nobody_asked_for_is_refused(plain: Lab) -> None:
    async def talk(peer: Peer) -> None:
        await peer.line(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
        await peer.rest()

    upstream = await plain.upstream(talk)
    with pytest.raises(UpstreamProtocolError):
        await plain.client(upstream.port).request(RequestHead(method=b"GET", target=b"/", headers=[]))


async def test_a_cut_by_the_server_is_never_a_clean_end(lab: Lab) -> None:
    async def handler(exchange: Exchange) -> None:
        raw = await exchange.upgrade(ResponseHead(status=101, headers=[]))
        await raw.write(b"partial")
        raw.abort()

    server = await lab.server(handler)
    response = await lab.client(server.addresses[0][1]).request(UPGRADE)
    assert response.raw is not None
    with pytest.raises(Cut):
        await _to_the_end(response.raw)


async def test_a_handler_that_forgets_its_stream_cuts_it(lab: Lab) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.upgrade(ResponseHead(status=101, headers=[]))

    server = await lab.server(handler)
    response = await lab.client(server.addresses[0][1]).request(UPGRADE)
    assert response.raw is not None
    with pytest.raises(Cut):
        await _to_the_end(response.raw)


async def test_a_cut_by_the_client_is_never_a_clean_end(lab: Lab) -> None:
    seen: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def handler(exchange: Exchange) -> None:
        raw = await exchange.upgrade(ResponseHead(status=101, headers=[]))
        try:
            await _to_the_end(raw)
            seen.set_result("end")
        except ClientGone:
            seen.set_result("cut")

    server = await lab.server(handler)
    peer = await lab.peer(server)
    await peer.send(_ASK)
    await peer.answer()
    await peer.send(b"x")
    peer.reset()
    async with asyncio.timeout(DEADLINE_S):
        assert await seen == "cut"


async def test_over_tls_an_end_without_close_notify_is_a_cut(tls: Tls) -> None:
    seen: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def handler(exchange: Exchange) -> None:
        raw = await exchange.upgrade(ResponseHead(status=101, headers=[]))
        try:
            await _to_the_end(raw)
            seen.set_result("end")
        except ClientGone:
            seen.set_result("cut")

    async with AsyncExitStack() as stack:
        lab = Lab(tls, stack, encrypted=True)
        peer = await lab.peer(await lab.server(handler))
        await peer.send(_ASK)
        await peer.answer()
        peer.truncate()
        async with asyncio.timeout(DEADLINE_S):
            assert await seen == "cut"


async def test_over_tls_an_upstream_that_ends_without_close_notify_is_a_cut(tls: Tls) -> None:
    async def talk(peer: Peer) -> None:
        await peer.line(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nfirst")
        peer.truncate()
        await peer.rest()

    async with AsyncExitStack() as stack:
        lab = Lab(tls, stack, encrypted=True)
        upstream = await lab.upstream(talk)
        response = await lab.client(upstream.port).request(UPGRADE)
        assert response.raw is not None
        with pytest.raises(Cut):
            await _to_the_end(response.raw)


async def test_one_direction_can_end_before_the_other_without_tls(plain: Lab) -> None:
    async def handler(exchange: Exchange) -> None:
        raw = await exchange.upgrade(ResponseHead(status=101, headers=[]))
        total = 0
        while data := await raw.read():
            total += len(data)
        await raw.write(b"%d" % total)
        await raw.write_eof()

    server = await plain.server(handler)
    response = await plain.client(server.addresses[0][1]).request(UPGRADE)
    raw = response.raw
    assert raw is not None
    await raw.write(b"12345")
    await raw.write_eof()
    assert await raw.read() == b"5"
    assert await raw.read() == b""
    async with asyncio.timeout(DEADLINE_S):
        while not raw.closed:
            await asyncio.sleep(0.01)


async def test_a_stalled_reader_stops_the_writer(lab: Lab) -> None:
    written = 0
    stalled = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        nonlocal written
        raw = await exchange.upgrade(ResponseHead(status=101, headers=[]))
        try:
            while True:
                await raw.write(bytes(65536))
                written += 65536
                stalled.clear()
        except ClientGone:
            stalled.set()

    server = await lab.server(handler)
    response = await lab.client(server.addresses[0][1]).request(UPGRADE)
    assert response.raw is not None
    last, same = -1, 0
    async with asyncio.timeout(DEADLINE_S):
        while same < 20:
            await asyncio.sleep(0.01)
            same = same + 1 if written == last else 0
            last = written
    assert written < 16 * 1024 * 1024
    response.raw.abort()
    async with asyncio.timeout(DEADLINE_S):
        await stalled.wait()


async def test_a_reader_slower_than_every_limit_loses_nothing_as_long_as_it_reads(lab: Lab) -> None:
    """The writer ends at once; its peer takes the tail in small steps, each one later than the limit allows."""
    size = 1024 * 1024

    async def handler(exchange: Exchange) -> None:
        raw = await exchange.upgrade(ResponseHead(status=101, headers=[]))
        await raw.write(bytes(size))
        await raw.write_eof()

    server = await lab.server(handler, linger_s=0.01)
    peer = await lab.peer(server)
    await peer.send(_ASK)
    await peer.answer()
    got = 0
    while data := await peer.some():
        got += len(data)
        await asyncio.sleep(0.02)
    assert got == size
