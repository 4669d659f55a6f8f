"""Raw peers for the tests: a client and a server that send whatever bytes a test wants, over asyncio's own streams."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

DEADLINE_S = 10.0


class Answer(NamedTuple):
    """One answer as a raw peer read it."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value


class Peer:
    """One connection with raw reads and writes; every read has a deadline."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, port: int, context: ssl.SSLContext | None = None, name: str = "127.0.0.1") -> Peer:
        """`name` is what it asks for in TLS; an address is not told to the server."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, limit=2**20, server_hostname=name if context else None
        )
        return cls(reader, writer)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        with suppress(ConnectionError):
            await self.writer.drain()

    async def line(self, end: bytes = b"\r\n") -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            return await self.reader.readuntil(end)

    async def exactly(self, size: int) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            return await self.reader.readexactly(size)

    async def some(self) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            return await self.reader.read(65536)

    async def rest(self) -> bytes:
        """Everything until the peer ends; raises ConnectionError for a reset."""
        async with asyncio.timeout(DEADLINE_S):
            return await self.reader.read()

    async def answer(self, *, head: bool = False) -> Answer:
        """Reads one answer, chunked or with a length."""
        raw = (await self.line(b"\r\n\r\n")).decode("latin-1")
        first, *lines = raw.split("\r\n")[:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = int(first.split(" ")[1])
        if head or status in (101, 204, 304) or status < 200:
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Answer(status, headers, await self._chunks())
        if "content-length" in headers:
            return Answer(status, headers, await self.exactly(int(headers["content-length"])))
        return Answer(status, headers, await self.rest())

    async def _chunks(self) -> bytes:
        body = b""
        while size := int((await self.line())[:-2], 16):
            body += await self.exactly(size)
            assert await self.exactly(2) == b"\r\n"
        assert await self.exactly(2) == b"\r\n"
        return body

    async def ended(self) -> bool:
        """Waits for the peer's end: True for a clean one, False for a reset. Data before it is an error."""
        try:
            assert await self.rest() == b""
        except (ConnectionError, ssl.SSLError):
            return False
        return True

    def reset(self) -> None:
        """Cuts the connection with a reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def truncate(self) -> None:
        """Ends the TCP connection without TLS's own end, as a killed process does."""
        with socket.socket(fileno=os.dup(self.writer.get_extra_info("socket").fileno())) as sock:
            sock.shutdown(socket.SHUT_WR)

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError, TimeoutError, ssl.SSLError):
            async with asyncio.timeout(1):
                await self.writer.wait_closed()


class Upstream:
    """A server that talks to each connection as the test says."""

    def __init__(self, talk: Callable[[Peer], Awaitable[None]]) -> None:
        self._talk = talk
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None
        self.connections = 0
        self.port = 0
        self.errors: list[BaseException] = []

    async def start(self, context: ssl.SSLContext | None) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=context, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        peer = Peer(reader, writer)
        try:
            await self._talk(peer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except Exception as error:
            self.errors.append(error)
            raise
        finally:
            self._tasks.discard(task)
            await peer.close()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        assert self.errors == []
