"""What ends, and what must not end in silence: a supervisor of connections, a watch, and who waits for them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec
import pytest

from skerry.bus import BucketConfig, Bus, Message, Settings
from skerry.errors import InternalError
from skerry.identity.creds import Credentials
from tests.fixtures.nats import NatsHost, eventually

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.CRITICAL + 1):
        yield


class _Bearer:
    """Credentials that the stand-in below takes."""

    jwt, inbox, expires, public = "e30.e30.x", "_INBOX.U", None, "U"

    def sign(self, nonce: bytes) -> bytes:
        return b""


class Leaving:
    """A server whose first PONG comes with the error that ends the connection, in one segment."""

    def __init__(self, error: bytes) -> None:
        self.error = error
        self.taken = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.taken += 1
        first = self.taken == 1
        info = {"server_id": "x", "server_name": "x", "version": "2.15.1", "max_payload": 1 << 21, "headers": True,
                "proto": 1, "nonce": "abc", "auth_required": True}  # fmt: skip
        writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n" + (b"-ERR '" + self.error + b"'\r\n" if first else b""))
        writer.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Settings]:
        """Settings that reach it."""
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            yield Settings(servers=(f"nats://127.0.0.1:{port}",), longest_pause_s=0.1)


async def ignore(message: Message) -> None:
    return


@pytest.mark.parametrize("error", [b"Authentication Revoked", b"Server Shutdown", b"maximum connections exceeded"])
async def test_a_connection_that_is_lost_in_the_handshakes_last_read_is_a_failed_attempt(error: bytes) -> None:
    server = Leaving(error)
    async with server.listening() as settings, Bus(settings, lambda: cast(Any, _Bearer())) as bus:
        bus.subscribe("a.b", ignore)
        await eventually(lambda: bus.connected)
        assert server.taken == 2
        assert bus.reason == ""


@pytest.mark.parametrize(
    "error", [ValueError("a damaged file"), KeyError("jwt"), UnicodeDecodeError("u", b"", 0, 1, "")]
)
async def test_whatever_reading_the_credentials_raises_is_a_failed_attempt(
    nats_host: NatsHost, error: Exception
) -> None:
    attempts = iter([error])

    def source() -> Credentials:
        for failure in attempts:
            raise failure
        return nats_host.service("registry")

    async with Bus(nats_host.settings(), source) as bus:
        await bus.ready()


async def test_a_supervisor_that_ends_by_a_bug_ends_the_block_that_entered_it(nats_host: NatsHost) -> None:
    broken = msgspec.structs.replace(nats_host.settings(), longest_pause_s=cast(float, None))

    def unreadable() -> Credentials:
        raise OSError("not there")

    async def enter() -> None:
        async with asyncio.timeout(5), Bus(broken, unreadable) as bus:
            await bus.ready()

    with pytest.raises(InternalError, match="supervisor of the connection to the bus ended"):
        await enter()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_watch_that_ends_by_itself_does_not_leave_its_reader_waiting(nats_host: NatsHost) -> None:
    async with nats_host.open_bus("registry") as bus:
        bucket = await bus.bucket("registry", create=BucketConfig())
        async with bucket.watch() as watch:
            assert await anext(watch)
            reading = asyncio.ensure_future(anext(watch))
            await asyncio.sleep(0)
            assert watch._task is not None
            watch._task.cancel()
            with pytest.raises(InternalError, match="ended by itself"):
                async with asyncio.timeout(5):
                    await reading
