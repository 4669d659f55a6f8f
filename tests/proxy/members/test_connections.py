"""The pair of data-plane connections: made again when it is lost, replaced before its credential ends."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

import pytest

from services.proxy.members.connections import DialerSupervisor
from skerry import bus
from skerry.errors import BadRequest, ServiceUnavailable
from skerry.identity.creds import Credentials
from tests.fixtures.nats import NatsHost, eventually

pytestmark = pytest.mark.integration


@contextlib.asynccontextmanager
async def kept(nats: NatsHost, source: list[Credentials]) -> AsyncIterator[DialerSupervisor]:
    """DialerSupervisor that use the first credential of `source`, and look often whether it is another one."""
    pair = DialerSupervisor(nats.settings("proxy"), lambda: source[0], drain_s=0.1, renew_check_s=0.01)
    task = asyncio.create_task(pair.keep())
    try:
        await eventually(lambda: pair.ready)
        yield pair
    finally:
        task.cancel()
        await asyncio.wait([task])


def test_without_a_pair_nothing_is_sent_and_the_reason_is_told() -> None:
    async def run() -> None:
        pair = DialerSupervisor(bus.Settings(servers=("tls://127.0.0.1:1",)), lambda: Credentials("", b""), drain_s=1.0)
        with pytest.raises(ServiceUnavailable, match="not connected to the bus yet; nothing was sent"):
            pair.dialer()

    asyncio.run(run())


async def test_a_lost_pair_is_made_again(fresh_nats_host: NatsHost) -> None:
    async with kept(fresh_nats_host, [fresh_nats_host.service("proxy")]) as pair:
        before = pair.dialer()
        fresh_nats_host.kill()
        await eventually(lambda: not pair.ready)
        assert "lost" in pair.reason or "bus" in pair.reason
        fresh_nats_host.start()
        await eventually(lambda: pair.ready)
        assert pair.dialer() is not before


async def test_a_newer_credential_makes_a_new_pair_and_leaves_no_gap(fresh_nats_host: NatsHost) -> None:
    authority = fresh_nats_host.authority
    old, new = authority.service_credentials("proxy", 100), authority.service_credentials("proxy", 1000)
    source = [old]
    async with kept(fresh_nats_host, source) as pair:
        before = pair.dialer()
        source[0] = new
        await eventually(lambda: pair.dialer() is not before)


@pytest.mark.parametrize("failure", [OSError(24, "Too many open files"), BadRequest("it holds no NATS credentials")])
async def test_a_credential_that_cannot_be_read_for_a_moment_ends_nothing(
    fresh_nats_host: NatsHost, failure: Exception
) -> None:
    authority = fresh_nats_host.authority
    source, failures, looks = [authority.service_credentials("proxy", 100)], list[Exception](), 0

    def read() -> Credentials:
        nonlocal looks
        looks += bool(failures)
        for each in failures:
            raise each
        return source[0]

    pair = DialerSupervisor(fresh_nats_host.settings("proxy"), read, drain_s=0.1, renew_check_s=0.01)
    task = asyncio.create_task(pair.keep())
    try:
        await eventually(lambda: pair.ready)
        before = pair.dialer()
        failures = [failure]
        await eventually(lambda: looks > 3)
        assert pair.dialer() is before
        failures, source = [], [authority.service_credentials("proxy", 1000)]
        await eventually(lambda: pair.dialer() is not before)
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_bus_that_cannot_carry_streams_is_asked_again(fresh_nats_host: NatsHost) -> None:
    host, whole = fresh_nats_host, fresh_nats_host.edit
    host.stop()
    host.edit = lambda text: re.sub(r"max_payload[:=]? *\S+", "max_payload: 65536", text)
    host.start()
    pair = DialerSupervisor(host.settings("proxy"), lambda: host.service("proxy"), drain_s=0.1, renew_check_s=0.01)
    task = asyncio.create_task(pair.keep())
    try:
        await eventually(lambda: "max_payload" in pair.reason)
        host.stop()
        host.edit = whole
        host.start()
        await eventually(lambda: pair.ready)
    finally:
        task.cancel()
        await asyncio.wait([task])
