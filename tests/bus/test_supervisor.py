"""Connections for ever, and everything declared alive on the latest."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import cast

import pytest

from skerry.backoff import Backoff
from skerry.bus import Bus, Connection, ConnectionLost, Message, connections
from skerry.bus.supervisor import TURN_BYTES
from skerry.errors import ServiceUnavailable, StatusError, Unauthorized
from skerry.identity.creds import Credentials
from tests.fixtures.nats import NatsHost, eventually

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.ERROR):
        yield


async def echo(message: Message) -> None:
    await message.respond(message.data)


async def answers(bus: Bus, subject: str, deadline_s: float = 10.0) -> float:
    """Seconds until a request on `subject` is answered again."""
    started = time.monotonic()
    async with asyncio.timeout(deadline_s):
        while True:
            with contextlib.suppress(StatusError):
                await bus.request(subject, b"", timeout_s=0.5)
                return time.monotonic() - started
            await asyncio.sleep(0.01)


async def test_a_declared_subscription_is_there_when_ready_returns(nats_host: NatsHost) -> None:
    async with nats_host.open_bus("registry") as registry, nats_host.open_bus("proxy") as proxy:
        registry.subscribe("registry.early", echo)
        await registry.ready()
        registry.subscribe("registry.late", echo)
        await registry.ready()
        for subject in ("registry.early", "registry.late"):
            assert (await proxy.request(subject, b"x")).data == b"x"


async def test_of_a_connection_that_others_fill_little_is_read_in_one_turn_of_the_loop(nats_host: NatsHost) -> None:
    """And nothing is lost: libuv would read on for as long as there is something, 8 MB in one turn."""
    turn, heard = 0, Counter[int]()

    def count(message: Message) -> None:
        heard[turn] += 1

    payload, many = bytes(200), 20_000
    async with nats_host.open_bus("registry") as registry, registry.another("asked") as asked:
        asked.subscribe("registry.filled", count)
        await asked.ready()
        reading = cast(asyncio.Transport, (await asked.connection(5.0))._wire._io)
        reading.pause_reading()
        for _ in range(many):
            await registry.publish("registry.filled", payload)
        await registry.ready()
        reading.resume_reading()
        async with asyncio.timeout(20):
            while heard.total() < many:
                turn += 1
                await asyncio.sleep(0)
    assert max(heard.values()) <= TURN_BYTES // len(payload)


async def test_trap_3_everything_declared_returns_after_a_restart(fresh_nats_host: NatsHost) -> None:
    """Traps 2, 3, 9: a client stays closed for good, and there is no jitter; the supervisor builds a new one."""
    async with fresh_nats_host.open_bus("registry") as registry, fresh_nats_host.open_bus("proxy") as proxy:
        registry.subscribe("registry.echo", echo)
        await registry.ready()
        for _ in range(3):
            fresh_nats_host.restart()
            assert await answers(proxy, "registry.echo") < 5
        assert registry.generation == 4


async def test_a_long_outage_is_survived(fresh_nats_host: NatsHost) -> None:
    async with fresh_nats_host.open_bus("registry") as registry:
        registry.subscribe("registry.echo", echo)
        await registry.ready()
        fresh_nats_host.kill()
        await eventually(lambda: "cannot be reached" in registry.reason)
        assert not registry.connected
        fresh_nats_host.start()
        await eventually(lambda: registry.connected)
        assert registry.reason == ""
        assert await answers(registry, "registry.echo") < 5


async def test_a_bus_can_start_before_the_server(fresh_nats_host: NatsHost) -> None:
    fresh_nats_host.stop()
    async with fresh_nats_host.open_bus("registry") as registry:
        registry.subscribe("registry.echo", echo)
        with pytest.raises(ConnectionLost, match="not connected"):
            await registry.publish("registry.echo", b"")
        fresh_nats_host.start()
        await registry.ready()
        assert (await registry.request("registry.echo", b"x")).data == b"x"


async def test_trap_7_a_request_while_disconnected_waits_and_then_says_that_nothing_was_sent(
    fresh_nats_host: NatsHost,
) -> None:
    """Trap 7: nothing is buffered and sent later."""
    async with fresh_nats_host.open_bus("registry") as registry:
        await registry.ready()
        fresh_nats_host.kill()
        await eventually(lambda: not registry.connected)
        with pytest.raises(ConnectionLost, match="not connected"):
            await registry.request("registry.x", timeout_s=0.1)


async def test_trap_2_new_credentials_are_read_for_each_connection(nats_host: NatsHost) -> None:
    """Trap 2: expired credentials close the client; the supervisor reads the file again."""
    lives = iter([1, 3600])

    def source() -> Credentials:
        return nats_host.anybody(next(lives))

    async with Bus(nats_host.settings(), source) as bus:
        bus.subscribe("registry.renewed", echo)
        await bus.ready()
        await eventually(lambda: bus.generation == 2)
        assert (await bus.request("registry.renewed", b"x")).data == b"x"


async def test_trap_2_revoked_credentials_are_told_and_new_ones_are_taken(nats_host: NatsHost) -> None:
    """Trap 2: a revoked user is refused each time, with the reason, until it has new credentials."""
    account, agent = await nats_host.member("rotated")
    current = [agent]
    async with Bus(nats_host.settings(), lambda: current[0]) as bus:
        await bus.ready()
        revoked = {agent.public: int(time.time())}
        await nats_host.push(nats_host.authority.member_account("rotated", known=account, revoked=revoked).jwt)
        await eventually(lambda: "refused the credentials" in bus.reason)
        current[0] = nats_host.agent(account)
        await eventually(lambda: bus.connected)


async def test_a_source_that_fails_is_a_failed_attempt_and_no_end(nats_host: NatsHost) -> None:
    attempts = iter([OSError("no such file"), Unauthorized("renew first"), None])

    async def source() -> Credentials:
        failure = next(attempts)
        if failure is not None:
            raise failure
        return nats_host.anybody()

    async with Bus(nats_host.settings(), source) as bus:
        await bus.ready()


async def test_trap_3_a_stopped_server_is_left_and_found_again(fresh_nats_host: NatsHost) -> None:
    """Trap 3, half-open TCP: the server is there and says nothing."""
    from skerry.bus import Settings

    settings = Settings(
        servers=fresh_nats_host.servers, ca_pem=fresh_nats_host.ca_pem, ping_s=0.1, connect_timeout_s=0.3
    )
    async with Bus(settings, lambda: fresh_nats_host.anybody()) as bus:
        await bus.ready()
        os.kill(fresh_nats_host.pid, signal.SIGSTOP)
        try:
            await eventually(lambda: not bus.connected)
        finally:
            os.kill(fresh_nats_host.pid, signal.SIGCONT)
        await eventually(lambda: bus.connected)


async def test_a_stopped_registration_does_not_return(fresh_nats_host: NatsHost) -> None:
    async with fresh_nats_host.open_bus("registry") as bus:
        registration = bus.subscribe("registry.once", echo)
        bus.subscribe("registry.always", echo)
        await bus.ready()
        registration.stop()
        fresh_nats_host.restart()
        await answers(bus, "registry.always")
        with pytest.raises(StatusError, match="nobody answers"):
            await bus.request("registry.once", timeout_s=1)


async def test_leaving_finishes_what_was_taken(nats_host: NatsHost) -> None:
    started = asyncio.Event()
    release = asyncio.Event()

    async def slow(message: Message) -> None:
        started.set()
        await release.wait()
        await message.respond(b"done")

    async with nats_host.open_bus("proxy") as proxy:
        await proxy.ready()
        async with nats_host.open_bus("registry") as registry:
            registry.subscribe("registry.slow", slow)
            await registry.ready()
            answer = asyncio.ensure_future(proxy.request("registry.slow", timeout_s=5))
            await started.wait()
            release.set()
        assert (await answer).data == b"done"


async def test_leaving_while_disconnected_does_not_hang(fresh_nats_host: NatsHost) -> None:
    async with asyncio.timeout(3):
        async with fresh_nats_host.open_bus("registry") as bus:
            await bus.ready()
            fresh_nats_host.kill()
            await eventually(lambda: not bus.connected)


async def test_a_handler_outlives_the_connection_and_what_waited_behind_it_does_not(
    fresh_nats_host: NatsHost,
) -> None:
    """A request whose caller was told "outcome unknown" must not start seconds later."""
    started, finished, release = list[bytes](), list[bytes](), asyncio.Event()

    async def slow(message: Message) -> None:
        started.append(message.data)
        await release.wait()
        finished.append(message.data)

    async with fresh_nats_host.open_bus("registry") as registry, fresh_nats_host.open_bus("proxy") as proxy:
        registry.subscribe("registry.slow", slow, concurrency=1)
        await registry.ready()
        await proxy.ready()
        for data in (b"runs", b"waits"):
            await proxy.publish("registry.slow", data)
        await proxy.ready()
        await eventually(lambda: started)
        await registry.ready()
        fresh_nats_host.restart()
        await eventually(lambda: registry.generation == 2)
        release.set()
        await eventually(lambda: finished)
        await registry.ready()
        assert (started, finished) == ([b"runs"], [b"runs"])


async def test_leaving_stops_handlers_of_earlier_connections_too(fresh_nats_host: NatsHost) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def stuck(_: Message) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with fresh_nats_host.open_bus("registry") as registry:
        registry.subscribe("registry.stuck", stuck)
        await registry.ready()
        await registry.publish("registry.stuck", b"")
        await started.wait()
        fresh_nats_host.restart()
        await eventually(lambda: registry.generation == 2)
        assert not cancelled.is_set()
    async with asyncio.timeout(1):
        await cancelled.wait()


# connections().


async def used(host: NatsHost, stop: asyncio.Event, failures: list[StatusError]) -> AsyncIterator[Connection]:
    attempts = connections(host.settings(), lambda: host.anybody(), stop=stop, failed=failures.append)
    async with contextlib.aclosing(attempts):
        async for connection in attempts:
            yield connection


async def test_connections_come_one_after_another_with_new_ids(fresh_nats_host: NatsHost) -> None:
    stop, failures, ids = asyncio.Event(), list[StatusError](), list[str]()
    async for connection in used(fresh_nats_host, stop, failures):
        ids.append(connection.id)
        if len(ids) == 3:
            stop.set()
        else:
            fresh_nats_host.restart()
            await asyncio.shield(connection.lost)
    assert len(set(ids)) == 3


async def test_a_connection_is_cut_when_the_next_is_asked_for(nats_host: NatsHost) -> None:
    stop, taken = asyncio.Event(), list[Connection]()
    async for connection in used(nats_host, stop, []):
        taken.append(connection)
        if len(taken) == 2:
            stop.set()
    assert [c.lost.done() for c in taken] == [True, True]


async def test_failures_are_told(fresh_nats_host: NatsHost) -> None:
    fresh_nats_host.stop()
    stop, failures = asyncio.Event(), list[StatusError]()

    def failed(error: StatusError) -> None:
        failures.append(error)
        if len(failures) == 3:
            stop.set()

    attempts = connections(fresh_nats_host.settings(), lambda: fresh_nats_host.anybody(), stop=stop, failed=failed)
    assert [c async for c in attempts] == []
    assert {type(f) for f in failures} == {ServiceUnavailable}


def test_pauses_grow_are_jittered_and_bounded() -> None:
    backoff = Backoff(0.1, 1.0)
    pauses = [backoff.next() for _ in range(50)]
    assert 0.03 <= pauses[0] <= 0.1
    assert max(pauses) <= 1.0
    assert min(pauses[10:]) >= 1.0 / 3.01
    assert len(set(pauses[10:])) > 30
    backoff.reset()
    assert backoff.next() <= 0.1


async def test_a_stop_is_heard_at_every_step_of_connecting(nats_host: NatsHost) -> None:
    """Trap 12: nats-py and wait_for swallow a cancellation that comes while they connect."""
    for turns in range(0, 200, 3):
        bus = nats_host.open_bus("registry")
        async with asyncio.timeout(10):
            async with bus:
                for _ in range(turns):
                    await asyncio.sleep(0)
            assert not bus.connected
