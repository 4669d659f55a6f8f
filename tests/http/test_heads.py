"""Heads of up to 1 MiB each way, as an API server takes them, and what bounds them all together (skerry/httpwire/room)."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from skerry.http.errors import UpstreamProtocolError
from skerry.http.exchange import Exchange
from skerry.http.server import Server
from skerry.httpwire.head import HEAD_LIMIT, RequestHead, ResponseHead
from tests.http.conftest import Lab, Tls
from tests.http.peers import DEADLINE_S, Peer

LARGE = 200_000


def head(size: int) -> bytes:
    """A request's head of exactly `size` bytes."""
    start, end = b"GET /x?q=", b" HTTP/1.1\r\nHost: h\r\n\r\n"
    return start + b"a" * (size - len(start) - len(end)) + end


async def _length(exchange: Exchange) -> None:
    await exchange.respond(200, [], b"%d" % len(exchange.head.target))


class Held:
    """A handler that answers when it is told to."""

    def __init__(self) -> None:
        self.began, self.release = asyncio.Semaphore(0), asyncio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        self.began.release()
        await self.release.wait()
        await exchange.respond(200, [])


@pytest.mark.parametrize("pieces", [1, 37])
async def test_a_request_head_of_1_mib_is_taken_and_one_byte_more_is_431(lab: Lab, pieces: int) -> None:
    server = await lab.server(_length)
    peer = await lab.peer(server)
    raw = head(HEAD_LIMIT)
    step = len(raw) // pieces + 1
    for at in range(0, len(raw), step):
        await peer.send(raw[at : at + step])
    assert (await peer.answer()).status == 200
    assert server.room.used == 0
    await peer.send(head(HEAD_LIMIT + 1))
    answer = await peer.answer()
    assert (answer.status, answer.headers["connection"]) == (431, "close")


async def test_a_target_of_100_kb_and_an_answer_with_long_and_many_headers_pass(lab: Lab) -> None:
    many = [(b"x-%d" % number, b"v" * 100) for number in range(3000)]
    long = [(b"x-long", b"l" * 600_000)]

    async def answers(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=many + long), length=2)
        await exchange.write(b"ok")
        await exchange.finish()

    server = await lab.server(answers)
    client = lab.client(server.addresses[0][1])
    response = await client.request(RequestHead(method=b"GET", target=b"/?q=" + b"a" * 100_000, headers=many))
    assert [pair for pair in response.headers if pair[0] != b"content-length"] == many + long
    assert await response.body(10) == b"ok"


async def test_what_large_heads_take_is_bounded_until_their_requests_are_over(plain: Lab) -> None:
    held = Held()
    server = await plain.server(held)
    server.room.total = LARGE + LARGE // 2
    first, second, small = [await plain.peer(server) for _ in range(3)]
    await first.send(head(LARGE))
    await held.began.acquire()
    assert server.room.used >= LARGE
    await second.send(head(LARGE))
    answer = await second.answer()
    assert (answer.status, answer.json()["reason"], answer.headers["connection"]) == (
        503,
        "ServiceUnavailable",
        "close",
    )
    assert answer.headers["retry-after"] == "1"
    held.release.set()
    await small.send(head(1000))
    assert (await small.answer()).status == (await first.answer()).status == 200
    await first.send(head(LARGE))
    assert (await first.answer()).status == 200
    first.reset()
    async with asyncio.timeout(DEADLINE_S):
        while server.room.used:
            await asyncio.sleep(0.01)


async def test_the_head_that_has_been_coming_for_longest_gives_way(plain: Lab) -> None:
    server = await plain.server(_length)
    server.room.total = 2 * LARGE + 1000
    slow, slower = await plain.peer(server), await plain.peer(server)
    for peer in (slower, slow):
        await peer.send(head(LARGE)[:-1])
        await _used(server, at_least=1)
    await _used(server, at_least=2 * (LARGE - 1))
    honest = await plain.peer(server)
    await honest.send(head(LARGE))
    assert (await honest.answer()).status == 200
    assert (await slower.answer()).status == 503
    await slow.send(b"\n")
    assert (await slow.answer()).status == 200


async def test_an_idle_connection_keeps_nothing_of_a_large_head(plain: Lab) -> None:
    async def learns(exchange: Exchange) -> None:
        exchange.kept = exchange.head
        await exchange.respond(200, [])

    server = await plain.server(learns)
    peer = await plain.peer(server)
    for size, kept in ((1000, True), (LARGE, False), (1000, True)):
        await peer.send(head(size))
        assert (await peer.answer()).status == 200
        async with asyncio.timeout(DEADLINE_S):
            while not all(each.idle for each in server._connections):
                await asyncio.sleep(0)
        assert [each.heads.kept is not None for each in server._connections] == [kept]


async def _used(server: Server, *, at_least: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while server.room.used < at_least:
            await asyncio.sleep(0.01)


async def test_lines_are_paid_for_as_what_they_take(plain: Lab) -> None:
    held = Held()
    server = await plain.server(held)
    peer = await plain.peer(server)
    await peer.send(b"GET /x HTTP/1.1\r\nHost: h\r\n" + b"a:\r\n" * 1500 + b"\r\n")
    await held.began.acquire()
    assert server.room.used > 1500 * 100
    held.release.set()
    assert (await peer.answer()).status == 200
    await _used(server, at_least=0)


async def test_an_answers_large_head_is_paid_for_too(plain: Lab) -> None:
    async def talk(peer: Peer) -> None:
        while await peer.line(b"\r\n\r\n"):
            await peer.send(b"HTTP/1.1 200 OK\r\nA: " + b"a" * LARGE + b"\r\nContent-Length: 0\r\n\r\n")

    client = plain.client((await plain.upstream(talk)).port)
    request = RequestHead(method=b"GET", target=b"/", headers=[])
    assert (await client.request(request)).status == 200
    assert client.room.used == 0
    client.room.total = LARGE // 2
    with pytest.raises(UpstreamProtocolError, match="too many of them"):
        await client.request(request)
    async with asyncio.timeout(DEADLINE_S):
        while client.room.used:
            await asyncio.sleep(0.01)


_SERVER = """
import asyncio, sys, uvloop
from skerry.http import Server
from skerry.http.tls import server_context

async def main():
    async def answer(exchange):
        await exchange.respond(200, [], b"%d" % len(exchange.head.target))
    server = Server(answer, server_context(sys.argv[1], sys.argv[2]))
    await server.start()
    print(server.addresses[0][1], flush=True)
    await asyncio.Event().wait()

uvloop.run(main())
"""
CONNECTIONS, TOWER_MIB = 200, 256


def _mib(pid: int, what: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) / 1024


@pytest.mark.own_loop
async def test_hundreds_of_large_heads_that_never_end_stay_within_the_towers_memory(tls: Tls) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _SERVER, str(tls.certificate), str(tls.key), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        before = _mib(process.pid, "VmRSS")
        almost, context = head(HEAD_LIMIT)[:-1], tls.client()
        peers: list[Peer] = []
        for _ in range(CONNECTIONS):
            peers.append(await Peer.connect(port, context))
            await peers[-1].send(almost)
        honest = await Peer.connect(port, context)
        await honest.send(head(HEAD_LIMIT - 1000))
        assert (await honest.answer()).status == 200
        peak = _mib(process.pid, "VmHWM")
        print(f"{CONNECTIONS} heads of 1 MiB that never end: {before:.0f} MiB before, {peak:.0f} MiB at most")
        assert peak < TOWER_MIB / 2
        for peer in (honest, *peers):
            peer.writer.transport.abort()
    finally:
        process.kill()
        await process.wait()
