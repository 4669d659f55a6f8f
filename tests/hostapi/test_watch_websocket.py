"""Watches of the host's own kinds over WebSocket: what an API server does with such a request."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

import msgspec
import pytest

from skerry.http import Client, Cut, Response
from skerry.httpwire.head import Headers, RequestHead
from skerry.httpwire.websocket import (
    Close,
    Opcode,
    Pong,
    Receiver,
    WebSocketEvent,
    WebSocketMessage,
    asking,
    check_accepted,
    close,
    frame,
)
from tests.hostapi.conftest import DEADLINE_S, World

pytestmark = pytest.mark.integration

CLUSTERS = "/apis/skerry.dev/v1alpha1/clusters"
MASK = b"\x0f\xf0\x55\xaa"


class Socket:
    """A client's end."""

    def __init__(self, response: Response, protocol: bytes | None) -> None:
        assert response.raw is not None
        self.raw, self.protocol = response.raw, protocol
        self._receiver = Receiver(from_client=False, limit=1 << 20)
        self._events: list[WebSocketEvent] = []

    async def next(self) -> WebSocketEvent | None:
        """The next event; None at a clean end of the connection. Raises Cut."""
        async with asyncio.timeout(DEADLINE_S):
            while not self._events:
                data = await self.raw.read()
                if not data:
                    return None
                self._events += self._receiver.feed(data)
        return self._events.pop(0)

    async def told(self) -> tuple[str, str]:
        """(type, name) of the next message."""
        event = await self.next()
        assert isinstance(event, WebSocketMessage)
        assert event.text
        shown = msgspec.json.decode(event.data)
        return shown["type"], shown["object"].get("metadata", {}).get("name", "")

    async def send(self, opcode: Opcode, data: bytes) -> None:
        await self.raw.write(frame(opcode, data, MASK))


@contextlib.asynccontextmanager
async def connected(world: World, target: str, *protocols: bytes) -> AsyncIterator[Socket]:
    client = Client("127.0.0.1", world.port)
    nonce = os.urandom(16)
    headers = [(b"host", b"test"), *asking(nonce, list(protocols))]
    response = await client.request(
        RequestHead(method=b"GET", target=target.encode(), headers=headers, upgrade=b"websocket")
    )
    try:
        assert response.status == 101
        yield Socket(response, check_accepted(response.head, nonce, list(protocols)))
    finally:
        response.abort()
        await client.close()


async def test_each_event_is_a_text_message(world: World) -> None:
    await world.made("a")
    async with connected(world, f"{CLUSTERS}?watch=1") as socket:
        assert await socket.told() == ("ADDED", "a")
        await world.made("b")
        await world.made("c")
        await world.clusters.delete("b")
        assert [await socket.told() for _ in range(3)] == [("ADDED", "b"), ("ADDED", "c"), ("DELETED", "b")]
        assert socket.protocol is None


async def test_the_first_protocol_that_is_no_token_is_agreed_on(world: World) -> None:
    bearer = b"base64url.bearer.authorization.k8s.io.c2Vj"
    async with connected(world, f"{CLUSTERS}?watch=1", bearer, b"base64.binary.k8s.io", b"x") as socket:
        assert socket.protocol == b"base64.binary.k8s.io"


async def test_a_watch_whose_time_is_over_ends_with_a_normal_close(world: World) -> None:
    await world.made("a")
    async with connected(world, f"{CLUSTERS}?watch=1&timeoutSeconds=1") as socket:
        assert await socket.told() == ("ADDED", "a")
        assert await socket.next() == Close(1000, "")
        await socket.raw.write(close(1000, mask=MASK))
        assert await socket.next() is None


async def test_what_is_forgotten_is_an_error_message_and_a_normal_close(world: World) -> None:
    await world.made("a")
    await world.made("b")
    async with connected(world, f"{CLUSTERS}?watch=1&resourceVersion=1") as socket:
        event = await socket.next()
        assert isinstance(event, WebSocketMessage)
        shown = msgspec.json.decode(event.data)
        assert (shown["type"], shown["object"]["code"], shown["object"]["reason"]) == ("ERROR", 410, "Expired")
        assert await socket.next() == Close(1000, "")


async def test_what_may_not_be_seen_any_more_ends_it_with_an_error_message(world: World) -> None:
    await world.made("a")
    async with connected(world, f"{CLUSTERS}?watch=1") as socket:
        assert await socket.told() == ("ADDED", "a")
        world.denied.add("clusters")
        await world.made("b")
        assert (await socket.told())[0] == "ERROR"
        assert await socket.next() == Close(1000, "")


async def test_what_the_client_says_is_ignored_and_its_pings_are_answered(world: World) -> None:
    async with connected(world, f"{CLUSTERS}?watch=1") as socket:
        await socket.send(Opcode.TEXT, b"hello")
        await socket.send(Opcode.PONG, b"")
        await socket.send(Opcode.PING, b"there?")
        assert await socket.next() == Pong(b"there?")
        await world.made("a")
        assert await socket.told() == ("ADDED", "a")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (close(1000, mask=MASK), 1000),
        (close(1001, "a page was left", MASK), 1001),
        (frame(Opcode.CLOSE, b"", MASK), 1000),
        (frame(Opcode.TEXT, b"not masked"), 1002),
        (frame(Opcode.TEXT, b"\xff", MASK), 1007),
        (frame(Opcode.BINARY, b"x" * 100_000, MASK), 1009),
    ],
)
async def test_a_client_that_closes_or_breaks_a_rule_is_let_go_with_its_code(
    world: World, sent: bytes, code: int
) -> None:
    async with connected(world, f"{CLUSTERS}?watch=1") as socket:
        await socket.raw.write(sent)
        assert await socket.next() == Close(code, "")
        assert await socket.next() is None


async def test_a_client_that_leaves_without_a_word_ends_the_watch(world: World) -> None:
    async with connected(world, f"{CLUSTERS}?watch=1") as socket:
        await socket.raw.write_eof()
        with pytest.raises(Cut):
            await socket.next()


async def test_an_error_before_the_watch_is_an_ordinary_answer(world: World) -> None:
    assert await _refused(world, f"{CLUSTERS}?watch=1&resourceVersion=x", asking(os.urandom(16), [])) == 400
    world.denied.add("clusters")
    assert await _refused(world, f"{CLUSTERS}?watch=1", asking(os.urandom(16), [])) == 403


async def test_a_handshake_that_is_none_is_400(world: World) -> None:
    assert await _refused(world, f"{CLUSTERS}?watch=1", []) == 400


async def _refused(world: World, target: str, headers: Headers) -> int:
    """The status of an answer that is whole and a Status."""
    client = Client("127.0.0.1", world.port)
    head = RequestHead(
        method=b"GET", target=target.encode(), headers=[(b"host", b"test"), *headers], upgrade=b"websocket"
    )
    response = await client.request(head)
    assert msgspec.json.decode(await response.body(10_000))["code"] == response.status
    await client.close()
    return response.status
