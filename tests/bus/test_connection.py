"""One connection, against a real server that is killed, stopped, and that revokes credentials."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import logging
import os
import signal
import time
import tomllib
from collections import Counter
from collections.abc import AsyncIterator
from importlib import metadata
from pathlib import Path
from typing import cast

import nats.aio.client
import pytest
from nats.aio.transport import TcpTransport
from packaging.requirements import Requirement

from skerry import subjects
from skerry.bus import Connection, ConnectionLost, Message, NoResponders, Settings, connect
from skerry.bus import client as client_module
from skerry.bus.client import NatsClient
from skerry.bus.delivery import SHARE
from skerry.errors import (
    BadRequest,
    Forbidden,
    GatewayTimeout,
    RequestEntityTooLarge,
    ServiceUnavailable,
    TooManyRequests,
    Unauthorized,
)
from skerry.identity import nkey, x509
from skerry.identity.creds import Credentials
from skerry.identity.federation import Authority
from skerry.identity.nkey import KeyType
from tests.fixtures.nats import NatsHost, eventually

pytestmark = pytest.mark.integration


@pytest.fixture
async def proxy(nats_host: NatsHost) -> AsyncIterator[Connection]:
    async with nats_host.connection(nats_host.anybody()) as connection:
        yield connection


@pytest.fixture
async def registry(nats_host: NatsHost) -> AsyncIterator[Connection]:
    async with nats_host.connection(nats_host.anybody()) as connection:
        yield connection


async def echo(message: Message) -> None:
    await message.respond(message.data)


# Traps.


async def test_trap_1_a_subscription_is_known_when_subscribe_returns(proxy: Connection, registry: Connection) -> None:
    """Trap 1: flush() is not a barrier, PING overtakes pending SUB and PUB. Here all commands share one queue."""
    for i in range(50):
        await registry.subscribe(f"registry.barrier{i}", echo)
        assert (await proxy.request(f"registry.barrier{i}", b"x", timeout_s=2)).data == b"x"


async def test_trap_1_flush_follows_everything_published(proxy: Connection, registry: Connection) -> None:
    """Trap 1: the same for PUB: after flush the server has it, so it is delivered before a later PONG."""
    seen: list[bytes] = []
    await registry.subscribe("registry.flush", lambda m: seen.append(m.data))
    for i in range(1000):
        proxy.publish_now("registry.flush", b"%d" % i)
    await proxy.flush()
    await registry.flush()
    assert seen == [b"%d" % i for i in range(1000)]


async def test_trap_2_a_message_too_large_is_refused_and_the_connection_lives(proxy: Connection) -> None:
    """Trap 2: headers + payload over max_payload close the client for good."""
    headers = {"X": "y" * 100}
    with pytest.raises(RequestEntityTooLarge, match="beyond the bus's limit of 2097152"):
        proxy.publish_now("registry.x", bytes(proxy.max_payload - 50), headers=headers)
    await proxy.flush()
    assert not proxy.lost.done()


async def test_trap_2_expired_credentials_end_the_connection_and_say_so(nats_host: NatsHost) -> None:
    """Trap 2: expired credentials."""
    expiring = nats_host.authority.service_credentials("proxy", ttl_s=1)
    async with nats_host.connection(expiring) as connection:
        async with asyncio.timeout(5):
            assert "Expired" in await asyncio.shield(connection.lost)
    with pytest.raises(Unauthorized, match="they have expired"):
        await connect(nats_host.settings(), nats_host.authority.service_credentials("proxy", ttl_s=-5))


async def test_trap_2_revoked_credentials_end_the_connection_at_once(nats_host: NatsHost) -> None:
    """Trap 2: revoked credentials."""
    account, agent = await nats_host.member("revoked")
    async with nats_host.connection(agent) as connection:
        revoked = {agent.public: int(time.time())}
        await nats_host.push(nats_host.authority.member_account("revoked", known=account, revoked=revoked).jwt)
        async with asyncio.timeout(2):
            assert "Revoked" in await asyncio.shield(connection.lost)
    with pytest.raises(Unauthorized, match="revoked"):
        await connect(nats_host.settings(), agent)


async def test_trap_3_a_dead_server_is_noticed_in_time(fresh_nats_host: NatsHost) -> None:
    """Trap 3: ping 120 s x 2 by default. A server that is stopped (half-open TCP) is lost after ping_s x (max + 1)."""
    settings = Settings(servers=fresh_nats_host.servers, ca_pem=fresh_nats_host.ca_pem, ping_s=0.1, ping_max=2)
    async with fresh_nats_host.connection(fresh_nats_host.anybody(), settings=settings) as connection:
        os.kill(fresh_nats_host.pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            async with asyncio.timeout(5):
                assert "silent for 0.3 s" in await asyncio.shield(connection.lost)
            assert time.monotonic() - started < 1
        finally:
            os.kill(fresh_nats_host.pid, signal.SIGCONT)


async def test_trap_3_pings_keep_an_idle_connection(nats_host: NatsHost) -> None:
    """Trap 3: and a healthy one stays, although nothing is said for many ping intervals."""
    settings = Settings(servers=nats_host.servers, ca_pem=nats_host.ca_pem, ping_s=0.02, ping_max=2)
    async with nats_host.connection(nats_host.anybody(), settings=settings) as connection:
        done, _ = await asyncio.wait((connection.lost,), timeout=0.5)
        assert not done


async def test_trap_4_no_error_leaves_a_deaf_connection(nats_host: NatsHost, registry: Connection) -> None:
    """Trap 4: an exception in error_cb leaves a zombie. Denied subjects, the usual errors, change nothing here."""
    await registry.subscribe(subjects.CERTIFY, echo)
    async with nats_host.connection(nats_host.service("proxy")) as proxy:
        proxy.publish_now("forbidden.subject", b"")
        proxy.subscribe_now("forbidden.subject", lambda _: None)
        await proxy.flush()
        assert proxy.denied == 2
        assert (await proxy.request(subjects.CERTIFY, b"x", timeout_s=2)).data == b"x"


async def test_trap_4_a_failure_while_reading_is_a_lost_connection(nats_host: NatsHost) -> None:
    """Trap 4: nats-py's read loop logs an unexpected exception and stops reading, still "connected"."""
    async with nats_host.connection(nats_host.anybody()) as connection:

        def broken(*_: object) -> None:
            raise RuntimeError("a bug")

        connection._wire._parser._on_message = broken
        connection.publish_now("registry.nobody", b"", reply=connection.inbox())
        await connection.subscribe("proxy.x", lambda _: None)
        connection.publish_now("proxy.x", b"")
        async with asyncio.timeout(2):
            assert "internal error" in await asyncio.shield(connection.lost)


async def test_trap_5_a_cancelled_handler_does_not_end_its_subscription(
    proxy: Connection, registry: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """Trap 5: a CancelledError or exception that leaves a handler silently ends that subscription."""

    async def moody(message: Message) -> None:
        if message.data == b"cancel":
            raise asyncio.CancelledError
        if message.data == b"fail":
            raise ValueError("a bug")
        await message.respond(b"well")

    await registry.subscribe("registry.moody", moody)
    with caplog.at_level(logging.CRITICAL):
        proxy.publish_now("registry.moody", b"cancel")
        proxy.publish_now("registry.moody", b"fail")
        assert (await proxy.request("registry.moody", b"", timeout_s=2)).data == b"well"


async def test_trap_5_an_inline_handler_that_fails_is_logged_and_goes_on(
    proxy: Connection, registry: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """Trap 5: the same for plain handlers."""
    seen: list[bytes] = []

    def handler(message: Message) -> None:
        seen.append(message.data)
        raise ValueError("a bug")

    await registry.subscribe("registry.inline", handler)
    with caplog.at_level(logging.ERROR, logger="skerry"):
        proxy.publish_now("registry.inline", b"1")
        proxy.publish_now("registry.inline", b"2")
        await eventually(lambda: len(seen) == 2)
    assert [r.message for r in caplog.records] == ["a handler failed"] * 2


async def test_trap_5_handlers_of_one_subscription_run_beside_each_other(
    proxy: Connection, registry: Connection
) -> None:
    """Trap 5: handlers of one subscription run one at a time in nats-py; here up to `concurrency`."""
    release, running = asyncio.Event(), 0

    async def slow(message: Message) -> None:
        nonlocal running
        running += 1
        await release.wait()
        await message.respond(message.data)

    await registry.subscribe("registry.slow", slow, concurrency=3)
    answers = [asyncio.ensure_future(proxy.request("registry.slow", b"x", timeout_s=5)) for _ in range(5)]
    await eventually(lambda: running == 3)
    release.set()
    assert [m.data for m in await asyncio.gather(*answers)] == [b"x"] * 5


async def test_trap_6_a_backlog_is_bounded_and_counted(proxy: Connection, registry: Connection) -> None:
    """Trap 6: a slow client drops messages past half a million, with only a callback."""
    release, handled = asyncio.Event(), 0

    async def slow(_: Message) -> None:
        nonlocal handled
        await release.wait()
        handled += 1

    subscription = await registry.subscribe("registry.backlog", slow, concurrency=1, backlog=4)
    for _ in range(10):
        proxy.publish_now("registry.backlog", b"")
    await proxy.flush()
    await registry.flush()
    assert subscription.dropped == 5
    release.set()
    await eventually(lambda: handled == 5)


async def test_who_floods_one_subject_of_many_fills_his_own_share_and_not_the_queue_of_all(
    proxy: Connection, registry: Connection
) -> None:
    """The queue of all was full of one token's joins, and those with other tokens were dropped unanswered."""
    release, handled = asyncio.Event(), Counter[str]()

    async def slow(message: Message) -> None:
        handled[message.subject] += 1
        await release.wait()

    subscription = await registry.subscribe("direct.*.connect", slow, concurrency=SHARE + 1, backlog=4)
    for _ in range(10):
        for _ in range(SHARE):
            proxy.publish_now("direct.floods.connect", b"")
        await proxy.flush()
    proxy.publish_now("direct.quiet.connect", b"")
    await proxy.flush()
    await eventually(lambda: handled["direct.quiet.connect"])
    assert (handled["direct.floods.connect"], subscription.dropped) == (SHARE, 9 * SHARE)
    release.set()
    await subscription.drain()
    assert subscription._shares == {}, "what is done takes no memory"


async def test_trap_7_publishing_on_a_lost_connection_raises_and_nothing_is_kept(fresh_nats_host: NatsHost) -> None:
    """Trap 7: while disconnected, publish buffers 2 MiB and sends it later: a DELETE was executed 4 s afterwards."""
    async with fresh_nats_host.connection(fresh_nats_host.anybody()) as connection:
        fresh_nats_host.kill()
        async with asyncio.timeout(1):
            await asyncio.shield(connection.lost)
        for call in (connection.publish("registry.x", b""), connection.request("registry.x", timeout_s=1)):
            with pytest.raises(ConnectionLost):
                await call
        with pytest.raises(ConnectionLost):
            connection.publish_now("registry.x", b"")
        with pytest.raises(ConnectionLost):
            await connection.subscribe("proxy.x", echo)
        with pytest.raises(ConnectionLost):
            await connection.flush()
        assert connection.pending_bytes == 0


async def test_trap_7_what_was_queued_when_the_connection_was_lost_is_gone(nats_host: NatsHost) -> None:
    """Trap 7: also what was published in the same loop turn."""
    async with nats_host.connection(nats_host.anybody()) as connection:
        connection.publish_now("registry.x", b"x" * 1000)
        assert connection.pending_bytes > 1000
        connection.abort()
        assert connection.pending_bytes == 0


async def test_trap_8_a_denied_request_fails_at_once(nats_host: NatsHost) -> None:
    """Trap 8: permission errors reach only error_cb, in lower case; a denied request just times out."""
    async with nats_host.connection(nats_host.service("proxy")) as proxy:
        started = time.monotonic()
        with pytest.raises(Forbidden, match=r"may not publish \$KV\.Resources\.X"):
            await proxy.request("$KV.Resources.X", timeout_s=5)
        assert time.monotonic() - started < 1


async def test_trap_10_headers_cannot_inject_protocol(proxy: Connection) -> None:
    """Trap 10: CR/LF in header values; here it never reaches the wire."""
    with pytest.raises(BadRequest):
        await proxy.publish("registry.x", b"", headers={"X": "a\r\n\r\nPUB down.m1.open.i 0\r\n"})


@pytest.mark.parametrize("subject", ["", "a b", "a\r\nPUB b 0", "a\tb", "a\0"])
async def test_trap_10_subjects_cannot_inject_protocol(proxy: Connection, subject: str) -> None:
    """Trap 10: the same through subjects and reply subjects."""
    with pytest.raises(BadRequest):
        proxy.publish_now(subject, b"")
    if subject:
        with pytest.raises(BadRequest):
            proxy.publish_now("registry.x", b"", subject)
    with pytest.raises(BadRequest):
        proxy.subscribe_now(subject, echo)


async def test_trap_12_a_cancelled_publisher_stops(fresh_nats_host: NatsHost) -> None:
    """Trap 12: publish swallows CancelledError while it flushes, so a cancelled task goes on publishing."""
    async with fresh_nats_host.connection(fresh_nats_host.anybody()) as connection:
        os.kill(fresh_nats_host.pid, signal.SIGSTOP)
        try:
            published = 0

            async def forever() -> None:
                nonlocal published
                while True:
                    await connection.publish("registry.x", bytes(256 * 1024))
                    published += 1

            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await forever()
            stopped = published
            assert stopped < 200, "back-pressure must hold a publisher whose server takes nothing"
            await asyncio.sleep(0)
            assert published == stopped
        finally:
            os.kill(fresh_nats_host.pid, signal.SIGCONT)
            connection.abort()


async def test_trap_12_aborting_does_not_wait_for_a_server_that_takes_nothing(fresh_nats_host: NatsHost) -> None:
    """Trap 12: shutdown aborts the transport. nats-py's close() drains first, which hangs on a half-open connection."""
    async with fresh_nats_host.connection(fresh_nats_host.anybody()) as connection:
        os.kill(fresh_nats_host.pid, signal.SIGSTOP)
        try:
            for _ in range(32):
                connection.publish_now("registry.x", bytes(1024 * 1024))
            assert connection.pending_bytes > 0
            connection.abort()
            assert connection.lost.done()
            with pytest.raises(ConnectionLost):
                await connection.writable()
        finally:
            os.kill(fresh_nats_host.pid, signal.SIGCONT)


async def test_a_writer_that_ignores_back_pressure_is_refused(fresh_nats_host: NatsHost) -> None:
    async with fresh_nats_host.connection(fresh_nats_host.anybody()) as connection:
        for _ in range(64):
            connection.publish_now("registry.x", bytes(1024 * 1024))
        with pytest.raises(TooManyRequests, match="as fast as they are written"):
            connection.publish_now("registry.x", b"")


# What it promises besides.


async def test_a_killed_server_is_noticed_at_once(fresh_nats_host: NatsHost) -> None:
    async with fresh_nats_host.connection(fresh_nats_host.anybody()) as connection:
        fresh_nats_host.kill()
        async with asyncio.timeout(1):
            await asyncio.shield(connection.lost)


async def test_a_request_in_flight_when_the_server_dies_has_an_unknown_outcome(fresh_nats_host: NatsHost) -> None:
    async with (
        fresh_nats_host.connection(fresh_nats_host.anybody()) as registry,
        fresh_nats_host.connection(fresh_nats_host.anybody()) as proxy,
    ):
        arrived = asyncio.Event()
        await registry.subscribe("registry.never", lambda _: arrived.set())
        request = asyncio.ensure_future(proxy.request("registry.never", timeout_s=30))
        await arrived.wait()
        fresh_nats_host.kill()
        with pytest.raises(GatewayTimeout, match="outcome is unknown"):
            async with asyncio.timeout(2):
                await request


async def test_a_request_without_an_answer_times_out_as_unknown(proxy: Connection, registry: Connection) -> None:
    await registry.subscribe("registry.silent", lambda _: None)
    with pytest.raises(GatewayTimeout, match=r"within 0\.05 s: the outcome is unknown"):
        await proxy.request("registry.silent", timeout_s=0.05)
    assert proxy._asked == {}


async def test_a_late_answer_is_ignored(proxy: Connection, registry: Connection) -> None:
    asked: list[Message] = []
    await registry.subscribe("registry.late", asked.append)
    with pytest.raises(GatewayTimeout):
        await proxy.request("registry.late", timeout_s=0.05)
    await asked[0].respond(b"late")
    await registry.subscribe("registry.next", echo)
    assert (await proxy.request("registry.next", b"now", timeout_s=2)).data == b"now"


async def test_nobody_listening_is_told_from_no_answer(proxy: Connection) -> None:
    with pytest.raises(NoResponders, match=r"nobody answers registry\.nobody"):
        await proxy.request("registry.nobody", timeout_s=2)


async def test_ask_gives_the_answer_as_it_came(proxy: Connection) -> None:
    assert (await proxy.ask("registry.nobody", timeout_s=2)).no_responders


async def test_an_answer_to_an_inbox_of_ones_own_comes_inline(proxy: Connection, registry: Connection) -> None:
    """The data plane publishes OPEN with a reply subject and learns of no responders on it."""
    seen: list[Message] = []
    inbox = proxy.inbox()
    await proxy.subscribe(inbox, seen.append)
    proxy.publish_now("down.m1.open.i", b"OPEN", inbox)
    await eventually(lambda: seen)
    assert seen[0].no_responders


async def test_headers_arrive(proxy: Connection, registry: Connection) -> None:
    seen: list[Message] = []
    await registry.subscribe("registry.headers", seen.append)
    await proxy.publish("registry.headers", b"data", headers={"traceparent": "00-x", "Ce-Id": "ü"})
    await eventually(lambda: seen)
    assert seen[0].headers == {"traceparent": "00-x", "Ce-Id": "ü"}
    assert seen[0].data == b"data"
    assert not seen[0].no_responders


async def test_messages_of_all_sizes_arrive_whole_and_in_order(proxy: Connection, registry: Connection) -> None:
    sizes = [0, 1, 100, 4096, 65_536, 131_072, 262_143, proxy.max_payload]
    seen: list[bytes] = []
    await registry.subscribe("registry.sizes", lambda m: seen.append(m.data))
    sent = [os.urandom(size) for size in sizes * 3]
    for data in sent:
        await proxy.publish("registry.sizes", data)
    await eventually(lambda: len(seen) == len(sent))
    assert seen == sent


async def test_a_muted_subject_is_not_heard_for_a_while_and_others_are(proxy: Connection, registry: Connection) -> None:
    heard: list[str] = []

    def hear(message: Message) -> None:
        heard.append(message.subject)
        if message.data == b"flood":
            message.mute(0.3)

    await registry.subscribe("up.*.hb", hear)
    for subject, data in (("up.m1.hb", b"flood"), ("up.m1.hb", b""), ("up.m2.hb", b"")):
        await proxy.publish(subject, data)
    await eventually(lambda: "up.m2.hb" in heard)
    assert heard == ["up.m1.hb", "up.m2.hb"]
    async with asyncio.timeout(10):
        while heard.count("up.m1.hb") < 2:
            await proxy.publish("up.m1.hb", b"")
            await asyncio.sleep(0.05)


async def test_unsubscribing_stops_delivery(proxy: Connection, registry: Connection) -> None:
    seen: list[bytes] = []
    subscription = await registry.subscribe("registry.unsub", lambda m: seen.append(m.data))
    subscription.unsubscribe()
    subscription.unsubscribe()
    await registry.flush()
    with pytest.raises(NoResponders):
        await proxy.request("registry.unsub", timeout_s=2)
    assert seen == []


async def test_draining_a_subscription_loses_no_request_that_was_taken(proxy: Connection, registry: Connection) -> None:
    """`unsubscribe()` alone lost 3 % of requests under load."""
    release = asyncio.Event()

    async def slow(message: Message) -> None:
        await release.wait()
        await message.respond(message.data)

    subscription = await registry.subscribe("registry.drain", slow, concurrency=2)
    answers = [asyncio.ensure_future(proxy.request("registry.drain", b"x", timeout_s=5)) for _ in range(10)]
    await asyncio.sleep(0)  # the tasks send when they first run: a flush before it would be a barrier behind nothing
    await proxy.flush()
    draining = asyncio.ensure_future(subscription.drain())
    await registry.flush()
    with pytest.raises(NoResponders):
        await proxy.request("registry.drain", timeout_s=2)
    assert not draining.done()
    release.set()
    await draining
    assert [m.data for m in await asyncio.gather(*answers)] == [b"x"] * 10


async def test_draining_a_connection_finishes_its_handlers_and_ends_it(nats_host: NatsHost, proxy: Connection) -> None:
    async with nats_host.connection(nats_host.anybody()) as connection:
        started, release = asyncio.Event(), asyncio.Event()

        async def slow(message: Message) -> None:
            started.set()
            await release.wait()
            await message.respond(b"done")

        await connection.subscribe("registry.leaving", slow)
        answer = asyncio.ensure_future(proxy.request("registry.leaving", timeout_s=5))
        await started.wait()
        draining = asyncio.ensure_future(connection.drain())
        release.set()
        await draining
        assert (await answer).data == b"done"
        assert await connection.lost == "drained"


async def test_a_cancelled_waiter_of_lost_ends_the_connection_and_leaves_no_zombie(
    nats_host: NatsHost, proxy: Connection
) -> None:
    async with nats_host.connection(nats_host.anybody()) as connection:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await connection.closed()
        assert not connection.lost.done()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await connection.lost
        assert await connection.closed() == "cut"
        with pytest.raises(ConnectionLost, match="is lost: cut"):
            connection.publish_now("registry.x", b"")


async def test_an_attempt_that_is_cancelled_while_it_is_refused_ends_as_cancelled(nats_host: NatsHost) -> None:
    """wait_for of Python 3.11 forgets that it was cancelled when its answer came in the same turn of the loop: a supervisor
    took that for one more refusal, and never ended. One attempt is timed, the others are cancelled about then."""
    stranger = Credentials(nats_host.anybody().jwt, nkey.create(KeyType.USER).seed)
    ends: list[bool] = []
    for number in range(300):
        started = time.perf_counter()
        attempt = asyncio.create_task(connect(nats_host.settings(), stranger))
        if number % 10 == 0:
            await asyncio.wait((attempt,))
            lasts_s = time.perf_counter() - started
            assert isinstance(attempt.exception(), Unauthorized)
            continue
        while not attempt.done() and time.perf_counter() - started < lasts_s * (0.7 + 0.06 * (number % 10)):
            await asyncio.sleep(0)
        if attempt.cancel():
            await asyncio.wait((attempt,))
            ends.append(attempt.cancelled())
    assert ends
    assert all(ends)


async def test_draining_gives_up_in_time(fresh_nats_host: NatsHost) -> None:
    async with fresh_nats_host.connection(fresh_nats_host.anybody()) as connection:
        await connection.subscribe("registry.x", echo)
        os.kill(fresh_nats_host.pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(2):
                await connection.drain(timeout_s=0.2)
            assert connection.lost.done()
        finally:
            os.kill(fresh_nats_host.pid, signal.SIGCONT)


async def test_one_burst_is_one_write(proxy: Connection, registry: Connection) -> None:
    writes: list[int] = []
    transport = cast(asyncio.WriteTransport, proxy._wire._io)

    class Counting:
        """The transport, counting writes."""

        def write(self, data: bytes) -> None:
            writes.append(len(data))
            transport.write(data)

        def get_write_buffer_size(self) -> int:
            return transport.get_write_buffer_size()

    proxy._wire._io = Counting()  # type: ignore[assignment]
    for _ in range(100):
        proxy.publish_now("registry.x", b"x")
    await proxy.flush()
    assert len(writes) == 1


# Connecting.


async def test_a_server_of_another_ca_is_refused(nats_host: NatsHost) -> None:
    other = x509.create_ca("test-host").certificate.decode()
    settings = Settings(servers=nats_host.servers, ca_pem=other)
    with pytest.raises(ServiceUnavailable, match="certificate that is not the host's"):
        await connect(settings, nats_host.anybody())


async def test_a_server_under_another_name_is_refused(nats_host: NatsHost) -> None:
    settings = Settings(servers=(f"tls://127.0.0.2:{nats_host.port}",), ca_pem=nats_host.ca_pem)
    with pytest.raises(ServiceUnavailable):
        await connect(settings, nats_host.anybody())


async def test_an_unreachable_server_is_named(nats_host: NatsHost) -> None:
    settings = Settings(servers=("tls://127.0.0.1:1",), ca_pem=nats_host.ca_pem)
    with pytest.raises(ServiceUnavailable, match=r"tls://127\.0\.0\.1:1 cannot be reached"):
        await connect(settings, nats_host.anybody())


async def test_the_next_server_is_tried(nats_host: NatsHost) -> None:
    settings = Settings(servers=("tls://127.0.0.1:1", *nats_host.servers), ca_pem=nats_host.ca_pem)
    for _ in range(3):
        connection = await connect(settings, nats_host.anybody())
        connection.abort()


async def test_a_server_that_says_nothing_times_out() -> None:
    async def mute(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            await asyncio.Event().wait()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = Settings(servers=(f"tls://127.0.0.1:{port}",), connect_timeout_s=0.1)
    try:
        with pytest.raises(ServiceUnavailable, match="no answer in time"):
            await connect(settings, Credentials("a.e30.c"))
    finally:
        server.close()


async def test_a_server_of_another_protocol_is_refused() -> None:
    async def http(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await writer.drain()

    async with await asyncio.start_server(http, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        settings = Settings(servers=(f"tls://127.0.0.1:{port}",), connect_timeout_s=1)
        with pytest.raises(ServiceUnavailable, match="did not take the connection"):
            await connect(settings, Credentials("a.e30.c"))


async def test_the_credentials_of_another_host_are_refused(nats_host: NatsHost) -> None:
    with pytest.raises(Unauthorized, match="belong to another host"):
        await connect(nats_host.settings(), Authority.create("other").service_credentials("proxy"))


async def test_the_error_shows_no_secret(nats_host: NatsHost) -> None:
    credentials = nats_host.authority.service_credentials("proxy", ttl_s=-1)
    with pytest.raises(Unauthorized) as caught:
        await connect(nats_host.settings(), credentials)
    assert credentials.jwt not in str(caught.value)
    assert credentials.seed.decode() not in str(caught.value)


OVERRIDDEN = ("_select_next_server", "_process_connect_init", "_close", "_read_loop", "_ping_interval", "_flusher")
CLIENT = (
    "_auth_configured", "_current_server", "_flusher_task", "_max_payload", "_ping_interval_task", "_reading_task",
    "_server_info", "_server_pool", "_status", "_transport", "_user_jwt_cb",
)  # fmt: skip
TRANSPORT = ("_io_reader", "_io_writer")
READER, PROTOCOL = ("_buffer",), ("_over_ssl",)
"""Of asyncio's StreamReader and StreamReaderProtocol."""


def test_what_is_overridden_exists_in_nats_py() -> None:
    """The overrides are of private methods: a release that renames one must fail here, not in production."""
    for name in OVERRIDDEN:
        assert name in vars(NatsClient)
        assert inspect.iscoroutinefunction(getattr(nats.aio.client.Client, name)), f"nats-py has no {name} any more"


async def test_what_is_touched_inside_nats_py_and_asyncio_exists() -> None:
    """Attributes as well: of the client, of its transport, of asyncio's streams below it."""
    reader = asyncio.StreamReader()
    owners: list[tuple[object, tuple[str, ...]]] = [
        (nats.aio.client.Client(), CLIENT),
        (TcpTransport(), TRANSPORT),  # type: ignore[no-untyped-call]
        (reader, READER),
        (asyncio.StreamReaderProtocol(reader), PROTOCOL),
    ]
    for owner, names in owners:
        assert [name for name in names if not hasattr(owner, name)] == [], type(owner)
    assert isinstance(reader._buffer, bytearray)  # type: ignore[attr-defined]


def test_no_other_private_name_is_touched() -> None:
    """The two tests above know all: whatever the bus's modules name with an underscore is theirs, or listed there."""
    foreign: set[str] = set()
    ours: set[str] = set()
    for path in Path(client_module.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
                (ours if isinstance(node.ctx, ast.Store) else foreign).add(node.attr)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                ours.add(node.name)
    known = {*OVERRIDDEN, *CLIENT, *TRANSPORT, *READER, *PROTOCOL}
    assert foreign - ours <= known
    assert {name for name in known if name not in foreign | ours} == set()


def test_only_releases_that_were_looked_into_are_allowed() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    (allowed,) = (Requirement(each).specifier for each in project["dependencies"] if each.startswith("nats-py"))
    assert metadata.version("nats-py") in allowed
    assert not any(release in allowed for release in ("2.17.0", "2.99.0", "3.0.0"))


async def test_a_subject_that_is_no_text_harms_nobody(proxy: Connection, registry: Connection) -> None:
    heard: asyncio.Queue[Message] = asyncio.Queue()
    await registry.subscribe("registry.text.*", heard.put_nowait)
    for line in (b"registry.text.a \xff.b", b"registry.text.\xff", b"registry.text.\xc3 \xed\xa0\x80"):
        proxy._wire.write(b"PUB " + line + b" 2\r\n{}\r\n")
    await proxy.publish("registry.text.last", b"last")
    async with asyncio.timeout(10):
        assert (await heard.get()).data == b"last"
    assert registry.strays == 3
    assert not registry.lost.done()
