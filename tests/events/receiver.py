"""A receiver of webhooks: a real HTTPS server with an authority of its own, that answers as a test wants."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from skerry.identity.x509 import create_ca, issue_server

DEADLINE_S = 60.0


class Got(NamedTuple):
    """A request."""

    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """Of the event."""
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, object]:
        """In structured mode."""
        event: dict[str, object] = msgspec.json.decode(self.body)
        return event


class Reply(NamedTuple):
    """What is sent back."""

    status: int = 204
    body: bytes = b""
    headers: Mapping[str, str] = {}


Replying = Callable[[Got], Awaitable[Reply | None]]
"""None: the connection ends without an answer."""


class Receiver:
    """Takes everything, unless `replying` says otherwise."""

    def __init__(self) -> None:
        self.ca = create_ca("receiver")
        self.got: list[Got] = []
        self.replying: Replying | None = None
        self.port = 0
        self.connections = 0
        self._changed = asyncio.Event()

    @property
    def ca_pem(self) -> str:
        """The authority that its certificate is from."""
        return self.ca.certificate.decode()

    @property
    def url(self) -> str:
        """Where it takes webhooks."""
        return f"https://localhost:{self.port}/hook?key=private"

    @property
    def ids(self) -> list[str]:
        """Of the events that came, in order."""
        return [each.id for each in self.got]

    async def until(self, count: int) -> list[Got]:
        """The requests, as soon as there are so many."""
        async with asyncio.timeout(DEADLINE_S):
            while len(self.got) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.got

    def context(self, directory: Path) -> ssl.SSLContext:
        """TLS."""
        pair = issue_server(self.ca, ("127.0.0.1", "localhost"))
        (directory / "receiver.crt").write_bytes(pair.certificate)
        (directory / "receiver.key").write_bytes(pair.key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "receiver.crt", directory / "receiver.key")
        return context

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            while (reply := await self._reply(reader)) is not None:
                headers = {"content-length": str(len(reply.body)), **reply.headers}
                lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                writer.write(f"HTTP/1.1 {reply.status} Whatever\r\n{lines}\r\n".encode("latin-1") + reply.body)
                await writer.drain()
        writer.close()

    async def _reply(self, reader: asyncio.StreamReader) -> Reply | None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        got = Got(first.split(" ")[1], headers, body)
        self.got.append(got)
        self._changed.set()
        return Reply() if self.replying is None else await self.replying(got)


@asynccontextmanager
async def receiver(directory: Path, *, tls: bool = True) -> AsyncIterator[Receiver]:
    """One that listens on this machine."""
    directory.mkdir(exist_ok=True)
    one = Receiver()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(asyncio.CancelledError):
                await one.serve(reader, writer)
            writer.transport.abort()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()
        finally:
            tasks.discard(task)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=one.context(directory) if tls else None)
    one.port = listening.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        listening.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
