"""The same under the loop that ships: transports, TLS and buffered protocols are uvloop's own there."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from skerry.bus import BucketConfig, Connection, ConnectionLost, Entry, Filled, Settings, connect
from tests.fixtures.nats import NatsHost, eventually

pytestmark = pytest.mark.integration


def run(story: Callable[[NatsHost], Awaitable[None]], host: NatsHost) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_awaited(story, host))


async def _awaited(story: Callable[[NatsHost], Awaitable[None]], host: NatsHost) -> None:
    async with asyncio.timeout(30):
        await story(host)


async def forever(connection: Connection) -> None:
    while True:
        await connection.publish("registry.x", bytes(256 * 1024))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_messages_of_all_sizes_arrive_whole_and_in_order(nats_host: NatsHost) -> None:
    async def story(host: NatsHost) -> None:
        async with host.connection(host.anybody()) as a, host.connection(host.anybody()) as b:
            seen: list[bytes] = []
            await b.subscribe("registry.sizes", lambda m: seen.append(m.data))
            sent = [os.urandom(size) for size in (0, 1, 4096, 65_536, 131_072, 300_000, a.max_payload)] * 5
            for data in sent:
                await a.publish("registry.sizes", data)
            await eventually(lambda: len(seen) == len(sent))
            assert seen == sent

    run(story, nats_host)


def test_back_pressure_holds_a_publisher_and_lets_it_go(fresh_nats_host: NatsHost) -> None:
    async def story(host: NatsHost) -> None:
        async with host.connection(host.anybody()) as connection:
            os.kill(host.pid, signal.SIGSTOP)
            try:
                publisher = asyncio.ensure_future(forever(connection))
                await eventually(lambda: connection.pending_bytes > 128 * 1024)
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(publisher, 0.3)
            finally:
                os.kill(host.pid, signal.SIGCONT)
            await connection.writable()
            await connection.flush()

    run(story, fresh_nats_host)


def test_a_killed_server_is_noticed_at_once(fresh_nats_host: NatsHost) -> None:
    async def story(host: NatsHost) -> None:
        async with host.connection(host.anybody()) as connection:
            host.kill()
            async with asyncio.timeout(1):
                await connection.closed()
            with pytest.raises(ConnectionLost):
                connection.publish_now("registry.x", b"")

    run(story, fresh_nats_host)


def test_a_half_open_connection_is_lost_in_time(fresh_nats_host: NatsHost) -> None:
    async def story(host: NatsHost) -> None:
        settings = Settings(servers=host.servers, ca_pem=host.ca_pem, ping_s=0.1)
        connection = await connect(settings, host.anybody())
        os.kill(host.pid, signal.SIGSTOP)
        try:
            connection.publish_now("registry.x", bytes(1024 * 1024))
            started = time.monotonic()
            await connection.closed()
            assert time.monotonic() - started < 1
        finally:
            os.kill(host.pid, signal.SIGCONT)

    run(story, fresh_nats_host)


def test_a_watch_resumes_after_a_restart(fresh_nats_host: NatsHost) -> None:
    async def story(host: NatsHost) -> None:
        async with host.open_bus("registry") as bus:
            bucket = await bus.bucket("registry", create=BucketConfig())
            await bucket.create("a", b"1")
            async with bucket.watch() as watch:
                assert isinstance(await anext(watch), Entry)
                assert isinstance(await anext(watch), Filled)
                host.restart()
                assert isinstance(await anext(watch), Filled)
                revision = await bucket.create("b", b"2")
                entry = await anext(watch)
                assert isinstance(entry, Entry)
                assert (entry.key, entry.value, entry.revision) == ("b", b"2", revision)

    run(story, fresh_nats_host)


def test_failed_attempts_leave_no_socket(nats_host: NatsHost) -> None:
    async def story(host: NatsHost) -> None:
        refused = host.authority.service_credentials("proxy", ttl_s=-5)
        (await connect(host.settings(), host.anybody())).abort()
        before = open_files()
        for _ in range(20):
            with pytest.raises(Exception, match="expired"):
                await connect(host.settings(), refused)
        for _ in range(20):
            (await connect(host.settings(), host.anybody())).abort()
        await eventually(lambda: open_files() <= before)

    run(story, nats_host)
