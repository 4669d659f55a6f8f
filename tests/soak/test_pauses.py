"""People pause for more than a minute: an upload by hand, a reader in a pager. In real time, so not in every run."""

from __future__ import annotations

import asyncio

import pytest

from tests.fixtures.nats import NatsHost, eventually
from tests.proxy.conftest import settings_for, world
from tests.proxy.member import pattern

pytestmark = [pytest.mark.soak, pytest.mark.integration, pytest.mark.timeout(0)]

PAUSE_S = 75.0
SIZE = 30_000_000
HEAD = b"%b HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %b\r\nContent-Length: %d\r\n\r\n"


async def test_an_upload_and_a_reader_that_pause_for_more_than_a_minute_go_on(fresh_nats_host: NatsHost) -> None:
    async with world(fresh_nats_host, settings_for(fresh_nats_host)) as host:
        upload, sending = await asyncio.open_connection(*host.address)
        proxied = b"POST /clusters/m1/api/v1/namespaces/d/services/s/proxy/x"
        sending.write(HEAD % (proxied, host.admin, 600_000) + b"x" * 300_000)
        reader, asking = await asyncio.open_connection(*host.address, limit=1024)
        asking.write(HEAD % (b"GET /clusters/m1/big?size=%d" % SIZE, host.admin, 0))
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(PAUSE_S)
        sending.write(b"x" * 300_000)
        assert (await upload.readline()).startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(SIZE) == pattern(SIZE)
        await eventually(lambda: len(host.proxy.sessions) == 0)
        for writer in (sending, asking):
            writer.close()
