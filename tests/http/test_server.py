"""The server: answers, bodies, keep-alive, deadlines, back-pressure, and what happens when somebody leaves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket

import pytest

from skerry.errors import Forbidden, InternalError
from skerry.http.errors import ClientGone
from skerry.http.exchange import Exchange
from skerry.http.server import Server
from skerry.httpwire.head import ResponseHead
from tests.http.conftest import Lab
from tests.http.peers import DEADLINE_S, Peer

_GET = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
_HEAD = b"HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n"


def _post(length: int, *lines: bytes) -> bytes:
    return b"\r\n".join((b"POST /x HTTP/1.1", b"Host: h", b"Content-Length: %d" % length, *lines, b"", b""))


async def _echo(exchange: Exchange) -> None:
    await exchange.respond(200, [(b"x-method", exchange.head.method)], await exchange.body(2**20))


async def test_a_connection_carries_many_requests(lab: Lab) -> None:
    server = await lab.server(_echo)
    peer = await lab.peer(server)
    for index in range(5):
        await peer.send(_post(3) + b"%03d" % index)
        answer = await peer.answer()
        assert (answer.status, answer.body) == (200, b"%03d" % index)
        assert "connection" not in answer.headers
    assert server.connections == 1


async def test_a_request_may_come_byte_by_byte(plain: Lab) -> None:
    peer = await plain.peer(await plain.server(_echo))
    for byte in _post(2) + b"ab" + _GET:
        await peer.send(bytes((byte,)))
        await asyncio.sleep(0)
    assert (await peer.answer()).body == b"ab"
    assert (await peer.answer()).body == b""


async def test_pipelined_requests_are_answered_one_at_a_time_and_in_order(plain: Lab) -> None:
    running = 0

    async def handler(exchange: Exchange) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0)
        running -= 1
        await exchange.respond(200, [], exchange.head.target)

    peer = await plain.peer(await plain.server(handler))
    await peer.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % index for index in range(50)))
    assert [(await peer.answer()).body for _ in range(50)] == [b"/%d" % index for index in range(50)]


@pytest.mark.parametrize("status", [204, 304])
async def test_204_and_304_have_no_body_and_no_framing(plain: Lab, status: int) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=status, headers=[(b"etag", b'"x"')]), length=None)
        await exchange.write(b"never sent")
        await exchange.finish()

    peer = await plain.peer(await plain.server(handler))
    for _ in range(2):
        await peer.send(_GET)
        answer = await peer.answer()
        assert answer.status == status
        assert not {"content-length", "transfer-encoding"} & set(answer.headers)


@pytest.mark.parametrize("length", [None, 5])
async def test_head_has_the_framing_of_get_and_no_body(plain: Lab, length: int | None) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=[]), length=length)
        await exchange.write(b"12345")
        await exchange.finish()

    peer = await plain.peer(await plain.server(handler))
    for _ in range(2):
        await peer.send(_HEAD)
        answer = await peer.answer(head=True)
        assert answer.headers.get("content-length") == (None if length is None else "5")
    await peer.send(_GET)
    assert (await peer.answer()).body == b"12345"


async def test_a_streamed_answer_is_chunked_and_each_write_goes_out_at_once(lab: Lab) -> None:
    proceed = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=[]), length=None)
        await exchange.write(b"first")
        await proceed.wait()
        await exchange.write(b"y" * 100_000)
        await exchange.finish()

    peer = await lab.peer(await lab.server(handler))
    await peer.send(_GET)
    assert b"transfer-encoding: chunked" in await peer.line(b"\r\n\r\n")
    assert await peer.exactly(10) == b"5\r\nfirst\r\n"
    proceed.set()
    assert await peer.exactly(100_000 + 9 + 5) == b"186a0\r\n" + b"y" * 100_000 + b"\r\n0\r\n\r\n"


async def test_http_1_0_gets_a_body_until_the_end(plain: Lab) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=[]), length=None)
        await exchange.write(b"abc")
        await exchange.finish()

    peer = await plain.peer(await plain.server(handler))
    await peer.send(b"GET / HTTP/1.0\r\n\r\n")
    answer = await peer.answer()
    assert (answer.body, answer.headers["connection"]) == (b"abc", "close")


async def test_expect_continue_is_answered_here_when_the_body_is_wanted(plain: Lab) -> None:
    peer = await plain.peer(await plain.server(_echo))
    await peer.send(_post(3, b"Expect: 100-continue"))
    assert await peer.line(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await peer.send(b"abc")
    assert (await peer.answer()).body == b"abc"


async def test_expect_continue_of_a_refused_request_gets_the_refusal_only(plain: Lab) -> None:
    async def handler(exchange: Exchange) -> None:
        raise Forbidden("no")

    peer = await plain.peer(await plain.server(handler))
    await peer.send(_post(3, b"Expect: 100-continue"))
    answer = await peer.answer()
    assert (answer.status, answer.headers["connection"]) == (403, "close")
    assert await peer.ended()


async def test_an_early_answer_reaches_a_client_that_is_still_sending(lab: Lab) -> None:
    async def handler(exchange: Exchange) -> None:
        raise Forbidden("no")

    peer = await lab.peer(await lab.server(handler))
    await peer.send(_post(50_000_000))
    sending = asyncio.ensure_future(peer.send(bytes(4_000_000)))
    answer = await peer.answer()
    assert (answer.status, answer.headers["connection"]) == (403, "close")
    await peer.close()
    await asyncio.gather(sending, return_exceptions=True)


async def test_errors_are_a_status_with_a_warning(lab: Lab) -> None:
    async def handler(exchange: Exchange) -> None:
        raise Forbidden("you lack skerry:view")

    peer = await lab.peer(await lab.server(handler))
    await peer.send(_GET)
    answer = await peer.answer()
    assert answer.status == 403
    assert (answer.json()["reason"], answer.json()["message"]) == ("Forbidden", "you lack skerry:view")
    assert answer.headers["warning"] == '299 skerry "you lack skerry:view"'
    assert "retry-after" not in answer.headers


async def test_a_bug_is_a_500_without_its_text_and_the_next_request_works(
    plain: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(exchange: Exchange) -> None:
        if exchange.head.method == b"HEAD":
            await exchange.respond(200, [])
            return
        raise RuntimeError("a secret")

    peer = await plain.peer(await plain.server(handler))
    with caplog.at_level(logging.CRITICAL, "skerry.http"):
        await peer.send(_GET)
        answer = await peer.answer()
    assert answer.status == InternalError.code
    assert b"secret" not in answer.body
    await peer.send(_HEAD)
    assert (await peer.answer(head=True)).status == 200


async def test_a_handler_that_does_not_answer_is_a_500(plain: Lab, caplog: pytest.LogCaptureFixture) -> None:
    async def handler(exchange: Exchange) -> None:
        return

    peer = await plain.peer(await plain.server(handler))
    with caplog.at_level(logging.CRITICAL, "skerry.http"):
        await peer.send(_GET)
        assert (await peer.answer()).status == 500


@pytest.mark.parametrize("how", ["return", "raise", "abort", "status"])
async def test_a_broken_answer_is_a_reset_and_never_a_clean_end(
    lab: Lab, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=[]), length=None)
        await exchange.write(b"partial")
        if how == "raise":
            raise RuntimeError("broken")
        if how == "status":
            raise Forbidden("too late")
        if how == "abort":
            exchange.abort()

    peer = await lab.peer(await lab.server(handler))
    with caplog.at_level(logging.CRITICAL, "skerry.http"):
        await peer.send(_GET)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)) as caught:
            await peer.answer()
    if not lab.encrypted:
        assert caught.type is ConnectionResetError


async def test_more_or_less_than_the_announced_length_is_refused(plain: Lab) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=[]), length=3)
        with pytest.raises(ValueError, match="more bytes"):
            await exchange.write(b"1234")
        with pytest.raises(ValueError, match="fewer bytes"):
            await exchange.finish()
        await exchange.write(b"123")
        await exchange.finish()

    peer = await plain.peer(await plain.server(handler))
    await peer.send(_GET)
    assert (await peer.answer()).body == b"123"


async def test_a_client_that_leaves_is_noticed_while_the_handler_waits(lab: Lab) -> None:
    noticed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def handler(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=[]), length=None)
        await exchange.write(b"event")
        await exchange.gone.wait()
        noticed.set_result(True)
        exchange.abort()

    server = await lab.server(handler)
    peer = await lab.peer(server)
    await peer.send(_GET)
    await peer.line(b"event\r\n")
    await peer.close()
    async with asyncio.timeout(DEADLINE_S):
        assert await noticed
        while server.connections:
            await asyncio.sleep(0.01)


async def test_a_cut_request_body_is_never_a_complete_one(lab: Lab) -> None:
    seen: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def handler(exchange: Exchange) -> None:
        try:
            seen.set_result(await exchange.body(100))
        except ClientGone:
            seen.set_result(b"cut")
            raise

    peer = await lab.peer(await lab.server(handler))
    await peer.send(_post(10) + b"12345")
    await peer.close()
    async with asyncio.timeout(DEADLINE_S):
        assert await seen == b"cut"


async def test_a_body_beyond_the_limit_is_413(plain: Lab) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.respond(200, [], await exchange.body(10))

    peer = await plain.peer(await plain.server(handler))
    await peer.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n" + b"x" * 20)
    answer = await peer.answer()
    assert (answer.status, answer.json()["reason"]) == (413, "RequestEntityTooLarge")


async def test_a_handler_that_does_not_read_stops_the_client(lab: Lab) -> None:
    proceed = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await proceed.wait()
        total = 0
        while data := await exchange.read():
            total += len(data)
        await exchange.respond(200, [], b"%d" % total)

    server = await lab.server(handler)
    peer = await lab.peer(server)
    steps = 500

    async def upload() -> None:
        await peer.send(_post(steps * 65536))
        for _ in range(steps):
            await peer.send(bytes(65536))

    sending = asyncio.ensure_future(upload())
    done, _ = await asyncio.wait((sending,), timeout=0.2)
    assert not done
    proceed.set()
    assert (await peer.answer()).body == b"%d" % (steps * 65536)
    await sending


async def test_a_client_that_does_not_read_stops_the_handler(lab: Lab) -> None:
    written = 0

    async def handler(exchange: Exchange) -> None:
        nonlocal written
        await exchange.start(ResponseHead(status=200, headers=[]), length=None)
        while True:
            await exchange.write(bytes(65536))
            written += 65536

    server = await lab.server(handler)
    peer = await lab.peer(server)
    await peer.send(_GET)
    await peer.line(b"\r\n\r\n")
    last, same = -1, 0
    async with asyncio.timeout(DEADLINE_S):
        while same < 20:
            await asyncio.sleep(0.01)
            same = same + 1 if written == last else 0
            last = written
    assert written < 16 * 1024 * 1024
    peer.reset()
    async with asyncio.timeout(DEADLINE_S):
        while server.connections:
            await asyncio.sleep(0.01)


# -- deadlines and closing --


async def test_a_head_that_never_ends_is_refused_at_its_deadline(plain: Lab) -> None:
    server = await plain.server(_echo, head_s=0.1)
    peer = await plain.peer(server)
    await peer.send(b"GET /x HTTP/1.1\r\nA: ")
    answer = await peer.answer()
    assert (answer.status, answer.headers["connection"]) == (400, "close")


async def test_an_idle_connection_ends_cleanly_at_its_deadline(lab: Lab) -> None:
    server = await lab.server(_echo, idle_s=0.1)
    peer = await lab.peer(server)
    await peer.send(_GET)
    await peer.answer()
    assert await peer.ended()


async def test_a_connection_that_never_asks_ends(plain: Lab) -> None:
    peer = await plain.peer(await plain.server(_echo, head_s=0.1))
    assert await peer.ended()


async def test_a_body_that_stops_coming_ends_its_request(plain: Lab) -> None:
    server = await plain.server(_echo, body_s=0.1)
    peer = await plain.peer(server)
    await peer.send(_post(10) + b"123")
    assert not await peer.ended()


async def test_a_body_of_a_lasting_request_may_pause_for_as_long_as_it_likes(plain: Lab) -> None:
    async def lasting(exchange: Exchange) -> None:
        exchange.lasting = True
        await _echo(exchange)

    server = await plain.server(lasting, body_s=60.0)
    peer = await plain.peer(server)
    await peer.send(_post(10) + b"123")
    await _swept(server, 3600.0)
    await peer.send(b"4567890")
    assert (await peer.answer()).status == 200


async def _swept(server: Server, later_s: float) -> None:
    """The server's sweep sees its one request, and then as if `later_s` had passed."""
    async with asyncio.timeout(DEADLINE_S):
        while not any(each._inbox and each._inbox.waiting for each in server._connections):
            await asyncio.sleep(0)
    for later in (0.0, later_s):
        for each in server._connections:
            each.sweep(asyncio.get_running_loop().time() + later)


async def test_who_takes_nothing_of_its_last_answer_is_cut_at_the_limit_for_that(lab: Lab) -> None:
    size = 32 << 20

    async def big(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=[]), length=size)
        exchange.put(b"x" * size)
        await exchange.finish()

    server = await lab.server(big, idle_s=0.1, stall_s=0.5)
    peer = await lab.peer(server)
    peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await peer.send(_GET)
    async with asyncio.timeout(DEADLINE_S):
        while not server.connections:
            await asyncio.sleep(0.01)
        while server.connections:
            await asyncio.sleep(0.01)


async def test_connections_beyond_the_limit_are_cut(plain: Lab) -> None:
    server = await plain.server(_echo, connections=1)
    first = await plain.peer(server)
    await first.send(_GET)
    assert (await first.answer()).status == 200
    second = await plain.peer(server)
    assert not await second.ended()
    await first.send(_GET)
    assert (await first.answer()).status == 200


async def test_closing_lets_requests_finish_and_ends_idle_connections_at_once(lab: Lab) -> None:
    entered, proceed = asyncio.Event(), asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        entered.set()
        await proceed.wait()
        await exchange.respond(200, [], b"done")

    server = await lab.server(handler)
    idle, busy = await lab.peer(server), await lab.peer(server)
    await busy.send(_GET)
    await entered.wait()
    closing = asyncio.ensure_future(server.close(grace_s=DEADLINE_S))
    assert await idle.ended()
    proceed.set()
    answer = await busy.answer()
    assert (answer.body, answer.headers["connection"]) == (b"done", "close")
    await busy.close()
    await closing
    assert server.connections == 0


async def test_a_lingering_server_takes_connections_and_sends_each_elsewhere_with_its_answer(lab: Lab) -> None:
    server = await lab.server(_echo)
    before = await lab.peer(server)
    await before.send(_GET)
    assert "connection" not in (await before.answer()).headers
    server.linger()
    for peer in (before, await lab.peer(server)):
        await peer.send(_GET)
        answer = await peer.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await peer.ended()


async def test_an_answer_that_began_before_a_server_lingers_keeps_its_word(lab: Lab) -> None:
    began, proceed = asyncio.Event(), asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=[]), length=2)
        began.set()
        await proceed.wait()
        await exchange.write(b"ok")
        await exchange.finish()

    server = await lab.server(handler)
    peer = await lab.peer(server)
    await peer.send(_GET)
    await began.wait()
    server.linger()
    proceed.set()
    assert "connection" not in (await peer.answer()).headers
    await peer.send(_GET)
    assert (await peer.answer()).headers["connection"] == "close"


async def test_what_runs_beyond_the_grace_is_cut_and_not_ended(lab: Lab) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=[]), length=None)
        await exchange.write(b"event")
        await asyncio.Event().wait()

    server = await lab.server(handler)
    peer = await lab.peer(server)
    await peer.send(_GET)
    await peer.line(b"event\r\n")
    await server.close(grace_s=0.05)
    if lab.encrypted:
        assert b"0\r\n\r\n" not in await _rest(peer)
    else:
        assert not await peer.ended()


async def _rest(peer: Peer) -> bytes:
    try:
        return await peer.rest()
    except ConnectionError:
        return b""


@pytest.mark.parametrize("turns", range(6))
async def test_what_was_accepted_while_it_closed_is_cut(lab: Lab, plain: Lab, turns: int) -> None:
    loop = asyncio.get_running_loop()
    for server in (await lab.server(_echo), await plain.server(_echo)):
        with socket.create_connection(server.addresses[0]) as client:
            client.setblocking(False)
            for _ in range(turns):
                await asyncio.sleep(0)
            await server.close()
            async with asyncio.timeout(DEADLINE_S):
                with contextlib.suppress(ConnectionResetError):
                    assert await loop.sock_recv(client, 1) == b""


async def test_a_port_in_use_is_an_error(plain: Lab) -> None:
    server = await plain.server(_echo)
    with pytest.raises(OSError, match="in use"):
        await server.start("127.0.0.1", server.addresses[0][1])


async def test_a_connection_whose_deadlines_fail_ends_no_deadline_of_others(
    plain: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    server = await plain.server(_echo, idle_s=0.1)
    broken, sound = await plain.peer(server), await plain.peer(server)
    for peer in (broken, sound):
        await peer.send(_GET)
        await peer.answer()

    def fails(now: float) -> None:
        raise RuntimeError("a bug")

    next(iter(server._connections)).sweep = fails  # type: ignore[method-assign]
    with caplog.at_level(logging.CRITICAL):
        await broken.ended()
        assert await sound.ended()
