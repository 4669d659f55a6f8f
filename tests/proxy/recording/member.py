"""A member's exec, as kubelet speaks it over WebSocket: for tests of what stands between a client and it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from skerry.http import Client, Exchange, Raw
from skerry.httpwire.head import Headers
from skerry.httpwire.websocket import (
    NORMAL,
    Close,
    Opcode,
    Receiver,
    WebSocketMessage,
    accepted,
    asking,
    check_accepted,
    close,
    frame,
)
from tests.proxy.auditing.audited import use
from tests.proxy.conftest import World

EXEC = b"/clusters/m1/api/v1/namespaces/shop/pods/web-1/exec"
PATH = EXEC.removeprefix(b"/clusters/m1")
PROTOCOL = b"v5.channel.k8s.io"
LIMIT = 1 << 20


class Shell:
    """The other end of a session: what comes is kept, what is to be shown is given with `show`."""

    def __init__(self) -> None:
        self.offered: list[bytes] = []
        self.typed = b""
        self.sizes: list[bytes] = []
        self.raw: Raw | None = None
        self.begun = asyncio.Event()
        self.agrees = PROTOCOL
        self.over = asyncio.Event()

    async def handle(self, exchange: Exchange) -> None:
        """One session, until the client closes or `end`."""
        self.offered = [value for name, value in exchange.head.headers if name == b"sec-websocket-protocol"]
        if exchange.head.upgrade is None or not exchange.head.websocket:
            await exchange.respond(400, [], b"upgrade required")
            return
        self.raw = await exchange.upgrade(accepted(exchange.head, self.agrees))
        self.begun.set()
        receiver = Receiver(from_client=True, limit=LIMIT)
        while data := await self.raw.read():
            for event in receiver.feed(data):
                if isinstance(event, WebSocketMessage):
                    await self._heard(event.data)
                elif isinstance(event, Close):
                    await self.raw.write_eof()
                    return

    async def _heard(self, message: bytes) -> None:
        if message[:1] == b"\x04":
            self.sizes.append(message[1:])
        elif message[:1] == b"\x00":
            self.typed += message[1:]
            await self.show(message[1:].upper())

    async def show(self, data: bytes, channel: int = 1) -> None:
        """On the terminal."""
        assert self.raw is not None
        await self.raw.write(frame(Opcode.BINARY, bytes((channel,)) + data))

    async def end(self, status: bytes = b'{"status":"Success"}') -> None:
        """The command ends."""
        await self.show(status, 3)
        assert self.raw is not None
        await self.raw.write(close(NORMAL))
        await self.raw.write_eof()


class Terminal:
    """The client's end."""

    def __init__(self, raw: Raw, headers: Headers) -> None:
        self.raw, self.headers = raw, headers
        self.seen = b""
        self.messages: list[bytes] = []
        self._receiver = Receiver(from_client=False, limit=LIMIT)

    async def send(self, data: bytes, channel: int = 0) -> None:
        """A message on a channel."""
        await self.raw.write(frame(Opcode.BINARY, bytes((channel,)) + data, os.urandom(4)))

    async def until(self, text: bytes) -> None:
        """Read until the terminal showed this."""
        while text not in self.seen:
            data = await self.raw.read()
            assert data, f"it ended without {text!r}"
            self._take(data)

    async def rest(self) -> None:
        """Read to the end."""
        while data := await self.raw.read():
            self._take(data)

    def _take(self, data: bytes) -> None:
        for event in self._receiver.feed(data):
            if isinstance(event, WebSocketMessage):
                self.messages.append(event.data)
                if event.data[:1] == b"\x01":
                    self.seen += event.data[1:]


@asynccontextmanager
async def terminal(
    host: World,
    query: bytes = b"?command=sh&tty=true&stdin=true",
    token: bytes = b"",
    offers: tuple[bytes, ...] = (PROTOCOL,),
    client: Client | None = None,
) -> AsyncIterator[Terminal]:
    """A session with a terminal through the front door, or through the one that `client` leads to."""
    nonce = os.urandom(16)
    head = host.head(b"GET", EXEC + query, token, asking(nonce, list(offers)), upgrade=b"websocket")
    response = await (client or host.client).request(head)
    assert response.status == 101, await response.body(10_000)
    raw = response.raw
    assert raw is not None
    assert check_accepted(response.head, nonce, list(offers)) in offers
    try:
        yield Terminal(raw, list(response.headers))
    finally:
        raw.abort()


async def demand(host: World, *, required: bool = False) -> None:
    """The policy: sessions with a terminal are recorded."""
    resources = [{"resources": ["pods/exec", "pods/attach"]}]
    await use(host, {"level": "Request", "resources": resources, "record": "tty", "required": required})
