"""Bytes through the proxy: whole, streamed, raw; and what a client sees when something breaks."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from skerry.http import Cut, Exchange, HttpError, Response
from skerry.httpwire.head import ResponseHead
from tests.fixtures.nats import eventually
from tests.proxy.conftest import World
from tests.proxy.member import pattern

pytestmark = pytest.mark.integration
BIG = 20_000_000


@pytest.mark.parametrize("size", [0, 1, 60_000, 300_000, BIG])
async def test_answers_are_byte_exact(host: World, size: int) -> None:
    answer = await host.ask(b"/clusters/m1/big?size=%d" % size)
    assert answer.header(b"content-length") == b"%d" % size
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(pattern(size)).digest()


@pytest.mark.parametrize("size", [1, 250_000, BIG])
async def test_request_bodies_with_a_length_are_byte_exact(host: World, size: int) -> None:
    answer = await host.ask(b"/clusters/m1/hash", b"PUT", body=pattern(size))
    assert answer.body == hashlib.sha256(pattern(size)).hexdigest().encode()


async def test_chunked_request_bodies_are_byte_exact(host: World) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, 3_000_000, 70_001):
            yield pattern(3_000_000)[start : start + 70_001]

    response = await host.client.request(host.head(b"POST", b"/clusters/m1/hash"), pieces())
    assert await response.body(100) == hashlib.sha256(pattern(3_000_000)).hexdigest().encode()


async def test_a_watch_event_arrives_when_it_is_sent(host: World) -> None:
    response = await host.client.request(host.head(b"GET", b"/clusters/m1/api/v1/watch/pods"))
    for event in (b'{"type":"ADDED"}\n', b'{"type":"BOOKMARK"}\n'):
        host.recorder.events.put_nowait(event)
        assert await response.read() == event
    host.recorder.events.put_nowait(None)
    assert await response.read() == b""


async def test_a_client_that_leaves_ends_the_request_at_the_member(host: World) -> None:
    response = await host.client.request(host.head(b"GET", b"/clusters/m1/api/v1/watch/pods"))
    response.abort()
    async with asyncio.timeout(5):
        await host.recorder.left.wait()
    await eventually(lambda: len(host.proxy.sessions) == 0)


async def test_a_client_that_leaves_before_the_answer_ends_the_request_too(host: World) -> None:
    task = asyncio.ensure_future(host.ask(b"/clusters/m1/hold"))
    await eventually(lambda: bool(host.recorder.heads))
    task.cancel()
    async with asyncio.timeout(5):
        await host.recorder.left.wait()


async def test_an_agent_killed_within_an_answer_is_a_cut_never_an_end(host: World) -> None:
    response = await host.client.request(host.head(b"GET", b"/clusters/m1/api/v1/watch/pods"))
    host.recorder.events.put_nowait(b"{}\n")
    assert await response.read() == b"{}\n"
    host.agent.kill()
    with pytest.raises(Cut):
        async with asyncio.timeout(15):
            await response.read()


async def test_a_member_that_sends_less_than_it_promised_is_a_cut(host: World) -> None:
    response = await host.client.request(host.head(b"GET", b"/clusters/m1/half"))
    assert response.length == 1_000_000
    host.recorder.release.set()
    with pytest.raises(HttpError):
        await response.body(2_000_000)


async def test_the_next_request_works_after_a_cut(host: World) -> None:
    await test_a_member_that_sends_less_than_it_promised_is_a_cut(host)
    assert (await host.ask(b"/clusters/m1/api")).status == 200


async def test_a_refusal_before_the_body_is_passed_on(host: World) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(2000):
            yield bytes(10_000)

    response = await host.client.request(host.head(b"POST", b"/clusters/m1/early"), endless())
    assert response.status == 413
    response.abort()


@pytest.mark.parametrize(("path", "status"), [(b"empty", 204), (b"unmodified", 304)])
async def test_answers_without_a_body_have_none(host: World, path: bytes, status: int) -> None:
    answer = await host.ask(b"/clusters/m1/" + path)
    assert (answer.status, answer.body) == (status, b"")
    assert answer.header(b"transfer-encoding") is None


async def test_head_announces_and_sends_nothing(host: World) -> None:
    answer = await host.ask(b"/clusters/m1/big?size=1000000", b"HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.header(b"content-length") == b"1000000"


async def test_a_redirect_stays_below_the_cluster(host: World) -> None:
    answer = await host.ask(b"/clusters/m1/redirect")
    assert answer.header(b"location") == b"/clusters/m1/openapi/v3/api?hash=1"


async def test_a_members_cookie_stays_there_and_its_warnings_pass(host: World) -> None:
    answer = await host.ask(b"/clusters/m1/cookie")
    assert answer.header(b"set-cookie") is None
    assert [value for name, value in answer.headers if name == b"warning"] == [b'299 - "one"', b'299 - "two"']


EXEC = b"/clusters/m1/api/v1/namespaces/d/pods/p/exec?command="


@pytest.mark.parametrize("protocol", [b"websocket", b"SPDY/3.1"])
async def test_an_upgraded_session_is_byte_exact_both_ways_and_half_closes(host: World, protocol: bytes) -> None:
    response = await host.client.request(host.head(b"GET", EXEC + b"cat", upgrade=protocol))
    assert response.status == 101
    raw = response.raw
    assert raw is not None
    data = pattern(2_000_000)

    async def send() -> None:
        for start in range(0, len(data), 50_000):
            await raw.write(data[start : start + 50_000])
        await raw.write_eof()

    sending = asyncio.ensure_future(send())
    got = b""
    while piece := await raw.read():
        got += piece
    await sending
    assert got == data + b"total 2000000"


async def test_an_upgrade_that_is_refused_is_a_real_answer(host: World) -> None:
    response = await host.client.request(host.head(b"GET", EXEC + b"refuse", upgrade=b"websocket"))
    assert response.status == 403
    assert await response.body(1000) == b'{"message":"no exec today"}'


async def test_an_upgrade_of_what_does_not_upgrade_is_answered_as_if_it_were_none(host: World) -> None:
    """fabric8 probes so whether a path can be watched over WebSocket."""
    response = await host.client.request(host.head(b"GET", b"/clusters/m1/api", upgrade=b"websocket"))
    assert (response.status, response.raw) == (200, None)
    assert b'"target":"/api"' in await response.body(1000)
    await eventually(lambda: host.client.connections == 0)


async def test_a_session_whose_agent_is_killed_is_cut(host: World) -> None:
    response = await host.client.request(host.head(b"GET", EXEC + b"cat", upgrade=b"websocket"))
    assert response.raw is not None
    await response.raw.write(b"x")
    assert await response.raw.read() == b"x"
    host.agent.kill()
    with pytest.raises(HttpError):
        async with asyncio.timeout(15):
            await response.raw.read()


SPDY_EXEC = b"/clusters/m1/api/v1/namespaces/d/pods/p/exec?command=spdy"
FRAME = b"\0\0\0\5\0\0\0\5hello"


async def _spdy(host: World, sent: bytes, token: bytes = b"", version: bytes = b"v4.channel.k8s.io") -> Response:
    """A SPDY session of exec in which the member has said `sent`."""

    async def answer(exchange: Exchange) -> None:
        raw = await exchange.upgrade(ResponseHead(status=101, headers=[(b"x-stream-protocol-version", version)]))
        await raw.write(sent)
        while await raw.read():
            pass

    host.recorder.routes[b"/api/v1/namespaces/d/pods/p/exec"] = answer
    response = await host.client.request(host.head(b"POST", SPDY_EXEC, token, upgrade=b"SPDY/3.1"))
    assert response.raw is not None
    async with asyncio.timeout(5):
        got = b""
        while len(got) < len(sent):
            got += await response.raw.read()
    assert got == sent
    return response


async def _last_words(response: Response) -> str:
    """The message of the Status that ends the error stream, after which the connection ends."""
    assert response.raw is not None
    said = b""
    async with asyncio.timeout(15):
        while data := await response.raw.read():
            said += data
    stream, flags_and_length, status = said[:4], int.from_bytes(said[4:8], "big"), said[8:]
    assert (stream, flags_and_length >> 24, flags_and_length & 0xFFFFFF) == (b"\0\0\0\1", 1, len(status))
    return str(msgspec.json.decode(status)["message"])


async def test_a_spdy_session_whose_agent_is_killed_ends_with_an_error_on_its_error_stream(host: World) -> None:
    response = await _spdy(host, FRAME * 3)
    host.agent.kill()
    assert "outcome unknown" in await _last_words(response)


async def test_a_spdy_session_of_a_revoked_token_ends_with_an_error_on_its_error_stream(host: World) -> None:
    token = await host.token("gone", "skerry:cluster-admin")
    response = await _spdy(host, b"", token)
    await host.revoke(token)
    assert "revoked" in await _last_words(response)


@pytest.mark.parametrize(("sent", "version"), [(FRAME[:-1], b"v4.channel.k8s.io"), (FRAME, b"v3.channel.k8s.io")])
async def test_a_spdy_session_that_cannot_be_told_is_cut(host: World, sent: bytes, version: bytes) -> None:
    response = await _spdy(host, sent, version=version)
    host.agent.kill()
    assert response.raw is not None
    with pytest.raises(Cut):
        await asyncio.wait_for(response.raw.read(), 15)


async def test_a_revoked_token_cuts_its_streams(host: World) -> None:
    token = await host.token("gone", "skerry:view")
    response = await host.client.request(host.head(b"GET", b"/clusters/m1/api/v1/watch/pods", token))
    host.recorder.events.put_nowait(b"{}\n")
    assert await response.read() == b"{}\n"
    await host.revoke(token)
    with pytest.raises(Cut):
        async with asyncio.timeout(3):
            await response.read()
    async with asyncio.timeout(3):
        await host.recorder.left.wait()


async def test_a_removed_member_cuts_its_streams(host: World) -> None:
    response = await host.client.request(host.head(b"GET", b"/clusters/m1/api/v1/watch/pods"))
    host.recorder.events.put_nowait(b"{}\n")
    assert await response.read() == b"{}\n"
    await host.clusters.delete("m1")
    with pytest.raises(Cut):
        async with asyncio.timeout(3):
            await response.read()
    assert (await host.ask(b"/clusters/m1/api")).status == 404


async def test_sixteen_clients_at_once(host: World) -> None:
    answers = await asyncio.gather(*(host.ask(b"/clusters/m1/api/v1/pods?n=%d" % n) for n in range(160)))
    assert [answer.json()["target"] for answer in answers] == [f"/api/v1/pods?n={n}" for n in range(160)]


async def test_the_bus_restarts_and_requests_work_again(host: World) -> None:
    host.nats.restart()

    async def works() -> bool:
        return (await host.ask(b"/clusters/m1/api")).status == 503

    async with asyncio.timeout(20):
        while not await works():
            await asyncio.sleep(0.05)
    agent = await host.connect_agent()
    async with asyncio.timeout(20):
        while (await host.ask(b"/clusters/m1/api")).status != 200:
            await asyncio.sleep(0.05)
    await agent.close()


@pytest.mark.parametrize("protocol", [b"websocket", b"SPDY/3.1"])
async def test_a_command_of_70_kb_is_executed(host: World, protocol: bytes) -> None:
    script = b"s" * 70_000
    response = await host.client.request(host.head(b"GET", EXEC + b"cat&command=" + script, upgrade=protocol))
    assert response.raw is not None
    await response.raw.write(b"x")
    assert await response.raw.read() == b"x"
    await response.raw.write_eof()
    assert host.recorder.heads[-1].target.endswith(script)
    response.raw.abort()


async def test_a_selector_of_100_kb_and_an_answer_with_a_large_head_pass(host: World) -> None:
    many = [(b"x-%d" % number, b"v" * 200) for number in range(1000)]
    host.recorder.routes[b"/many"] = lambda exchange: exchange.respond(200, many, b"ok")
    answer = await host.ask(b"/clusters/m1/many?labelSelector=" + b"a" * 100_000)
    assert (answer.status, answer.body) == (200, b"ok")
    assert [pair for pair in answer.headers if pair[0].startswith(b"x-")] == many
    assert host.recorder.heads[-1].target == b"/many?labelSelector=" + b"a" * 100_000
