"""The client: framing, the pool, repeated requests, deadlines, and hostile or broken upstream servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from skerry.http.client import Client, SendRequest
from skerry.http.errors import Cut, HttpError, NoAnswer, Unreachable, UpstreamProtocolError
from skerry.http.exchange import Exchange
from skerry.http.response import Response
from skerry.http.tls import client_context
from skerry.httpwire.head import RequestHead, ResponseHead
from tests.http.conftest import Lab, Tls
from tests.http.peers import DEADLINE_S, Peer

GET = RequestHead(method=b"GET", target=b"/x?y=%20", headers=[(b"accept", b"*/*")])
POST = RequestHead(method=b"POST", target=b"/x", headers=[])


async def _echo(exchange: Exchange) -> None:
    body = await exchange.body(2**24)
    await exchange.respond(200, [(b"x-target", exchange.head.target)], body)


async def _streamed(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        await asyncio.sleep(0)
        yield part


async def _read(response: Response) -> bytes:
    body = b""
    while data := await response.read():
        body += data
    return body


async def test_a_request_and_its_answer(lab: Lab) -> None:
    client = lab.client((await lab.server(_echo)).addresses[0][1])
    response = await client.request(GET)
    assert (response.status, response.length, response.head.get(b"x-target")) == (200, 0, b"/x?y=%20")
    assert await _read(response) == b""


async def test_connections_are_used_again(lab: Lab) -> None:
    server = await lab.server(_echo)
    client = lab.client(server.addresses[0][1])
    for size in (0, 10, 100_000):
        assert await (await client.request(POST, bytes(size))).body(2**20) == bytes(size)
    assert (client.connections, server.connections) == (1, 1)


async def test_concurrent_requests_have_connections_of_their_own(lab: Lab) -> None:
    client = lab.client((await lab.server(_echo)).addresses[0][1])

    async def one(index: int) -> None:
        for _ in range(20):
            assert await (await client.request(POST, b"%d" % index)).body(10) == b"%d" % index

    async with asyncio.TaskGroup() as group:
        for index in range(8):
            group.create_task(one(index))
    assert client.connections == 8


@pytest.mark.parametrize("length", [None, 11])
async def test_a_streamed_body_arrives_chunked_or_with_its_length(lab: Lab, length: int | None) -> None:
    client = lab.client((await lab.server(_echo)).addresses[0][1])
    head = RequestHead(method=b"POST", target=b"/", headers=[], content_length=length)
    response = await client.request(head, _streamed(b"hello", b"", b" world"))
    assert await response.body(100) == b"hello world"
    assert client.connections == 1


async def test_a_streamed_body_that_breaks_off_is_not_sent_as_complete(lab: Lab) -> None:
    got: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def handler(exchange: Exchange) -> None:
        try:
            await exchange.body(100)
            got.set_result("complete")
        except HttpError:
            got.set_result("cut")
            raise

    async def broken() -> AsyncIterator[bytes]:
        yield b"hello"
        raise ValueError("the source broke")

    client = lab.client((await lab.server(handler)).addresses[0][1])
    with pytest.raises(Cut) as caught:
        await client.request(POST, broken())
    assert isinstance(caught.value.__cause__, ValueError)
    async with asyncio.timeout(DEADLINE_S):
        assert await got == "cut"


async def test_an_early_answer_is_received_while_the_body_is_still_sent(lab: Lab) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.respond(413, [], b"too much")

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(65536)

    client = lab.client((await lab.server(handler)).addresses[0][1])
    async with asyncio.timeout(DEADLINE_S):
        response = await client.request(POST, endless())
        assert (response.status, await response.body(100)) == (413, b"too much")


async def test_a_streamed_answer_arrives_piece_by_piece(lab: Lab) -> None:
    proceed = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=[]), length=None)
        await exchange.write(b"first")
        await proceed.wait()
        await exchange.write(b"second")
        await exchange.finish()

    response = await lab.client((await lab.server(handler)).addresses[0][1]).request(GET)
    assert await response.read() == b"first"
    proceed.set()
    assert await _read(response) == b"second"


async def test_an_answer_that_is_not_read_costs_its_connection(lab: Lab) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=[]), length=None)
        while True:
            await exchange.write(bytes(65536))

    server = await lab.server(handler)
    client = lab.client(server.addresses[0][1])
    response = await client.request(GET)
    await response.release()
    async with asyncio.timeout(DEADLINE_S):
        while client.connections or server.connections:
            await asyncio.sleep(0.01)


async def test_a_cancelled_request_costs_its_connection(lab: Lab) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.gone.wait()
        exchange.abort()

    server = await lab.server(handler)
    client = lab.client(server.addresses[0][1])
    request = asyncio.ensure_future(client.request(GET))
    async with asyncio.timeout(DEADLINE_S):
        while not server.connections:
            await asyncio.sleep(0.01)
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
        while client.connections or server.connections:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("cut", [b"", b"HTTP/1.1 200 OK\r\nContent-"])
async def test_a_get_is_repeated_once_when_a_pooled_connection_is_stale(plain: Lab, cut: bytes) -> None:
    asked = 0

    async def talk(peer: Peer) -> None:
        nonlocal asked
        while True:
            await peer.line(b"\r\n\r\n")
            asked += 1
            if asked == 2:
                await peer.send(cut)
                return
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    client = plain.client((await plain.upstream(talk)).port)
    assert await (await client.request(GET)).body(10) == b"ok"
    if cut:
        with pytest.raises(Cut):
            await client.request(GET)
        return
    assert await (await client.request(GET)).body(10) == b"ok"
    assert asked == 3


async def test_a_post_is_never_repeated(plain: Lab) -> None:
    asked = 0

    async def talk(peer: Peer) -> None:
        nonlocal asked
        while True:
            await peer.line(b"\r\n\r\n")
            asked += 1
            if asked == 2:
                return
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    client = plain.client((await plain.upstream(talk)).port)
    assert await (await client.request(POST, b"")).body(10) == b"ok"
    with pytest.raises(Cut):
        await client.request(POST, b"")
    assert asked == 2


async def test_a_connection_that_the_server_closed_is_not_used(plain: Lab) -> None:
    async def talk(peer: Peer) -> None:
        await peer.line(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    upstream = await plain.upstream(talk)
    client = plain.client(upstream.port)
    for index in range(3):
        assert await (await client.request(POST, b"")).body(10) == b"ok"
        async with asyncio.timeout(DEADLINE_S):
            while client.connections:
                await asyncio.sleep(0.01)
        assert upstream.connections == index + 1


async def test_idle_connections_are_closed(lab: Lab) -> None:
    client = lab.client((await lab.server(_echo)).addresses[0][1], idle_s=0.1)
    await (await client.request(GET)).body(10)
    assert client.connections == 1
    async with asyncio.timeout(DEADLINE_S):
        while client.connections:
            await asyncio.sleep(0.01)


async def test_no_answer_in_time_says_so_and_cuts(lab: Lab) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.gone.wait()
        exchange.abort()

    client = lab.client((await lab.server(handler)).addresses[0][1])
    with pytest.raises(NoAnswer):
        await client.request(GET, head_timeout_s=0.05)
    async with asyncio.timeout(DEADLINE_S):
        while client.connections:
            await asyncio.sleep(0.01)


async def test_the_limit_of_connections_is_named(plain: Lab) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.gone.wait()
        exchange.abort()

    client = plain.client((await plain.server(handler)).addresses[0][1], connections=1)
    first = asyncio.ensure_future(client.request(GET))
    async with asyncio.timeout(DEADLINE_S):
        while not client.connections:
            await asyncio.sleep(0.01)
    with pytest.raises(Unreachable, match="all 1 connections"):
        await client.request(GET)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_nobody_listening_is_unreachable(plain: Lab) -> None:
    server = await plain.server(_echo)
    port = server.addresses[0][1]
    await server.close()
    with pytest.raises(Unreachable, match=f"127.0.0.1:{port}"):
        await plain.client(port).request(GET)


async def test_a_certificate_of_somebody_else_is_refused(tls: Tls, lab: Lab) -> None:
    server = await lab.server(_echo)
    client = Client("127.0.0.1", server.addresses[0][1], client_context(ca_data=None, verify=True))
    with pytest.raises(Unreachable):
        await client.request(GET)
    await client.close()


_OK = b"HTTP/1.1 200 OK\r\n"

HOSTILE: list[tuple[str, bytes]] = [
    ("not HTTP", b"SSH-2.0-x\r\n\r\n"),
    ("HTTP/2", b"HTTP/2 200\r\n\r\n"),
    ("length twice", _OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
    ("length and chunks", _OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("length negative", _OK + b"Content-Length: -2\r\n\r\nok"),
    ("another transfer coding", _OK + b"Transfer-Encoding: gzip\r\n\r\nok"),
    ("obs-fold", _OK + b"A: b\r\n c\r\nContent-Length: 0\r\n\r\n"),
    ("bare LF", _OK + b"A: b\nC: d\r\nContent-Length: 0\r\n\r\n"),
    ("NUL", _OK + b"A: \x00\r\nContent-Length: 0\r\n\r\n"),
    ("blank before the colon", _OK + b"Content-Length : 0\r\n\r\n"),
    ("head too large", _OK + b"A: " + b"a" * 1_100_000 + b"\r\n\r\n"),
    ("endless head", _OK + b"A: b\r\n" * 200_000),
    ("too many headers", _OK + b"A: b\r\n" * 5000 + b"\r\n"),
    ("chunk size wrong", _OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
    ("chunk too long", _OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n"),
    ("endless informational answers", b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
    ("status 099", b"HTTP/1.1 099 X\r\n\r\n"),
]


@pytest.mark.parametrize(("name", "raw"), HOSTILE, ids=[row[0] for row in HOSTILE])
async def test_a_hostile_answer_is_a_protocol_error_and_the_next_request_works(
    plain: Lab, name: str, raw: bytes
) -> None:
    async def talk(peer: Peer) -> None:
        head = await peer.line(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" if b"/after" in head else raw)
        await peer.rest()

    client = plain.client((await plain.upstream(talk)).port)
    with pytest.raises(UpstreamProtocolError):
        await _read(await client.request(GET))
    after = RequestHead(method=b"GET", target=b"/after", headers=[])
    assert await (await client.request(after)).body(10) == b"ok"


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200",
        _OK + b"Content-Length: 10\r\n\r\nok",
        _OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        _OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        _OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ],
)
async def test_a_truncated_answer_is_never_complete(lab: Lab, raw: bytes) -> None:
    async def talk(peer: Peer) -> None:
        await peer.line(b"\r\n\r\n")
        await peer.send(raw)

    client = lab.client((await lab.upstream(talk)).port)
    with pytest.raises(Cut):
        await _read(await client.request(GET))


async def test_what_arrived_before_a_cut_can_be_read(plain: Lab) -> None:
    async def talk(peer: Peer) -> None:
        await peer.line(b"\r\n\r\n")
        await peer.send(_OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        peer.reset()

    response = await plain.client((await plain.upstream(talk)).port).request(GET)
    assert await response.read() == b"hello"
    with pytest.raises(Cut):
        await response.read()


async def test_a_body_may_end_with_the_connection(lab: Lab) -> None:
    async def talk(peer: Peer) -> None:
        await peer.line(b"\r\n\r\n")
        await peer.send(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")

    client = lab.client((await lab.upstream(talk)).port)
    response = await client.request(GET)
    assert (response.length, await _read(response)) == (None, b"until the end")


@pytest.mark.parametrize("status", [204, 304])
async def test_204_and_304_end_at_their_head(plain: Lab, status: int) -> None:
    async def talk(peer: Peer) -> None:
        while True:
            await peer.line(b"\r\n\r\n")
            await peer.send(b'HTTP/1.1 %d X\r\nETag: "x"\r\n\r\n' % status)

    upstream = await plain.upstream(talk)
    client = plain.client(upstream.port)
    for _ in range(3):
        response = await client.request(GET)
        assert (response.status, await _read(response), response.head.get(b"etag")) == (status, b"", b'"x"')
    assert upstream.connections == 1


async def test_head_has_no_body_whatever_its_length_says(plain: Lab) -> None:
    async def talk(peer: Peer) -> None:
        while True:
            await peer.line(b"\r\n\r\n")
            await peer.send(_OK + b"Content-Length: 1234\r\n\r\n")

    upstream = await plain.upstream(talk)
    client = plain.client(upstream.port)
    for _ in range(2):
        response = await client.request(RequestHead(method=b"HEAD", target=b"/", headers=[]))
        assert (response.length, await _read(response)) == (1234, b"")
    assert upstream.connections == 1


async def test_bytes_behind_an_answer_are_never_the_next_answer(plain: Lab) -> None:
    async def talk(peer: Peer) -> None:
        while True:
            await peer.line(b"\r\n\r\n")
            await peer.send(_OK + b"Content-Length: 2\r\n\r\nok" + _OK + b"Content-Length: 4\r\n\r\nevil")

    upstream = await plain.upstream(talk)
    client = plain.client(upstream.port)
    for index in range(3):
        assert await _read(await client.request(GET)) == b"ok"
        assert upstream.connections == index + 1


async def test_trailers_of_a_chunked_answer_are_read(plain: Lab) -> None:
    async def answers(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=[(b"trailer", b"x-sum")]), length=None)
        await exchange.write(b"body")
        await exchange.finish([(b"x-sum", b"abc"), (b"x-more", b"")])

    server = await plain.server(answers)
    client = plain.client(server.addresses[0][1])
    for _ in range(2):
        response = await client.request(GET)
        assert (await response.body(10), response.trailers) == (b"body", [(b"x-sum", b"abc"), (b"x-more", b"")])
    assert client.connections == 1


async def test_a_trailer_that_would_smuggle_a_line_is_a_cut(plain: Lab) -> None:
    async def answers(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=[]), length=None)
        await exchange.finish([(b"x", b"a\r\n\r\nHTTP/1.1 200 OK")])

    server = await plain.server(answers)
    response = await plain.client(server.addresses[0][1]).request(GET)
    with pytest.raises(Cut):
        await response.body(10)


async def test_informational_answers_are_skipped(plain: Lab) -> None:
    async def talk(peer: Peer) -> None:
        await peer.line(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n" + _OK + b"Content-Length: 2\r\n\r\nok")

    client = plain.client((await plain.upstream(talk)).port)
    assert await _read(await client.request(GET)) == b"ok"


async def test_a_header_that_would_smuggle_a_line_is_not_sent(plain: Lab) -> None:
    server = await plain.server(_echo)
    client = plain.client(server.addresses[0][1])
    with pytest.raises(UpstreamProtocolError):
        await client.request(RequestHead(method=b"GET", target=b"/", headers=[(b"a", b"b\r\nc: d")]))
    assert server.connections == 0


async def test_a_reader_that_does_not_read_stops_the_server(lab: Lab) -> None:
    written = 0

    async def handler(exchange: Exchange) -> None:
        nonlocal written
        await exchange.start(ResponseHead(status=200, headers=[]), length=None)
        while True:
            await exchange.write(bytes(65536))
            written += 65536

    client = lab.client((await lab.server(handler)).addresses[0][1])
    response = await client.request(GET)
    last, same = -1, 0
    async with asyncio.timeout(DEADLINE_S):
        while same < 20:
            await asyncio.sleep(0.01)
            same = same + 1 if written == last else 0
            last = written
    assert written < 16 * 1024 * 1024
    await response.release()


async def _slowly(exchange: Exchange) -> None:
    """Ten bytes ten times, each when the one before was sent."""
    await exchange.start(ResponseHead(status=200, headers=[]), length=None)
    for _ in range(10):
        await exchange.write(b"0123456789")
        await asyncio.sleep(0.01)
    await exchange.finish()


async def test_gathering_waits_for_enough_bytes(lab: Lab) -> None:
    response = await lab.client((await lab.server(_slowly)).addresses[0][1]).request(GET)
    assert len(await response.gather(50, DEADLINE_S)) >= 50
    await response.release()


async def test_gathering_ends_with_the_body(lab: Lab) -> None:
    response = await lab.client((await lab.server(_slowly)).addresses[0][1]).request(GET)
    assert len(await response.gather(1_000_000, DEADLINE_S)) == 100
    assert await response.gather(1_000_000, DEADLINE_S) == b""
    await response.release()


async def test_gathering_takes_what_is_there_when_its_time_is_over(lab: Lab) -> None:
    async def stalls(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=[]), length=None)
        await exchange.write(b"early")
        await exchange.gone.wait()

    response = await lab.client((await lab.server(stalls)).addresses[0][1]).request(GET)
    assert await response.gather(1_000_000, 0.05) == b"early"
    await response.release()


async def test_gathering_never_ends_what_was_cut(lab: Lab) -> None:
    async def breaks(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=[]), length=100)
        await exchange.write(b"some")
        exchange.abort()

    async def all_of(response: Response) -> None:
        while await response.gather(1_000_000, DEADLINE_S):
            pass

    response = await lab.client((await lab.server(breaks)).addresses[0][1]).request(GET)
    with pytest.raises(Cut):
        await all_of(response)
    await response.release()


# -- admission --

WHO = RequestHead(method=b"GET", target=b"/who", headers=[])


async def _asked(ask: SendRequest) -> None:
    await (await ask(WHO)).body(10)
    await asyncio.sleep(0)


async def test_a_new_connection_is_admitted_before_it_carries_a_request_and_no_other_one_takes_it(lab: Lab) -> None:
    seen: dict[object, list[bytes]] = {}

    async def record(exchange: Exchange) -> None:
        seen.setdefault(exchange.peer, []).append(exchange.head.target)
        await exchange.respond(200, [], b"")

    client = lab.client((await lab.server(record)).addresses[0][1], _asked)
    await (await client.request(GET)).body(10)
    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(client.request(GET))
    assert len(seen) >= 2
    assert all(targets[0] == WHO.target and targets.count(WHO.target) == 1 for targets in seen.values())
    assert sum(len(targets) - 1 for targets in seen.values()) == 9


async def test_a_connection_that_is_not_admitted_carries_nothing(lab: Lab) -> None:
    class NotYou(Exception):
        pass

    async def admit(ask: SendRequest) -> None:
        await _asked(ask)
        raise NotYou

    server = await lab.server(_echo)
    client = lab.client(server.addresses[0][1], admit)
    with pytest.raises(NotYou):
        await client.request(POST, b"secret")
    async with asyncio.timeout(DEADLINE_S):
        while client.connections or server.connections:
            await asyncio.sleep(0.01)


async def test_a_server_that_ends_each_connection_after_an_answer_is_asked_and_used(lab: Lab) -> None:
    seen: list[bytes] = []

    async def talk(peer: Peer) -> None:
        seen.append(await peer.line(b"\r\n\r\n"))
        await peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")

    client = lab.client((await lab.upstream(talk)).port, _asked)
    for _ in range(2):
        await (await client.request(POST, b"")).body(10)
    assert [head.split(b" ")[0] for head in seen] == [b"GET", b"POST"] * 2


async def test_a_cut_ends_what_is_open_and_the_next_request_works(lab: Lab) -> None:
    async def slow(exchange: Exchange) -> None:
        if exchange.head.target == GET.target:
            await exchange.respond(200, [], b"")
            return
        await exchange.start(ResponseHead(status=200, headers=[]), length=None)
        await exchange.write(b"begun")
        await asyncio.Event().wait()

    client = lab.client((await lab.server(slow)).addresses[0][1])
    response = await client.request(WHO)
    assert await response.read() == b"begun"
    client.cut()
    with pytest.raises(Cut):
        await response.read()
    await (await client.request(GET)).body(10)
