"""What the front door promises in figures and ids: times, limits as they are set, TLS as clients speak it, one id."""

from __future__ import annotations

import asyncio
import logging
import ssl
import uuid
from pathlib import Path

import pytest

from services.proxy.members.connections import BULK_PING_S
from services.proxy.members.requests import deadline_s
from services.proxy.settings import ProxyLimits
from skerry.bus import Settings
from skerry.http import ClientLimits, Exchange, Server
from skerry.http.limits import NOTSENT_LOWAT, WRITE_HIGH
from skerry.http.tls import client_context, server_context
from skerry.httpwire.names import server_name
from skerry.httpwire.requestinfo import classify, resolve
from skerry.identity import x509
from skerry.link import LinkSettings
from tests.fixtures.nats import NatsHost, eventually
from tests.proxy.conftest import World
from tests.proxy.test_lifetimes import limited, watching


@pytest.mark.parametrize(
    ("query", "seconds"),
    [(b"", 70), (b"timeout=5s", 15), (b"timeout=1h", 70), (b"timeout=0s", 70), (b"timeout=rubbish", 70), (b"a=b", 70)],
)
def test_a_head_is_awaited_the_requests_own_timeout_or_a_minute_and_ten_seconds(query: bytes, seconds: float) -> None:
    assert deadline_s(query) == seconds


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/v1/pods", b"watch=true"),
        ("/api/v1/watch/pods", b""),
        ("/api/v1/namespaces/d/pods/p/log", b"follow=true"),
        ("/api/v1/namespaces/d/pods/p/exec", b""),
        ("/api/v1/namespaces/d/pods/p/attach", b""),
        ("/api/v1/namespaces/d/pods/p/portforward", b""),
        ("/api/v1/namespaces/d/services/s/proxy/x", b""),
    ],
)
def test_what_may_last_has_no_deadline(path: str, query: bytes) -> None:
    assert classify(resolve(b"GET", path, query), query).long_running


def test_the_numbers_are_those_that_the_documentation_explains() -> None:
    limits = ProxyLimits()
    assert limits.idle_s >= 120
    assert ClientLimits().idle_s <= 60
    assert limits.session_s == 8 * 3600
    assert limits.stalled_s == LinkSettings().stall_s == limits.body_s == 600
    assert LinkSettings().pressed_stall_s == 60
    assert (Settings(servers=("tls://h:1",), ca_pem="").ping_s, BULK_PING_S) == (5.0, 30.0)
    assert (WRITE_HIGH, NOTSENT_LOWAT) == (64 * 1024, 128 * 1024)
    assert limits.budget_bytes == LinkSettings().budget


async def test_tls_offers_http_1_1_alone_and_serves_clients_without_alpn_or_name(tmp_path: Path) -> None:
    authority = x509.create_ca("test")
    pair = x509.issue_server(authority, ("127.0.0.1",))
    (tmp_path / "crt").write_bytes(pair.certificate)
    (tmp_path / "key").write_bytes(pair.key)

    async def ok(exchange: Exchange) -> None:
        await exchange.respond(200, [], b"ok")

    server = Server(ok, server_context(tmp_path / "crt", tmp_path / "key"))
    await server.start()
    for offered, chosen in ((["h2", "http/1.1"], "http/1.1"), (None, None), (["h2"], None)):
        context = ssl.create_default_context(cadata=authority.certificate.decode())
        context.check_hostname = False
        if offered:
            context.set_alpn_protocols(offered)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", server.addresses[0][1], ssl=context, server_hostname=""
        )
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == chosen
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        async with asyncio.timeout(5):
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        writer.transport.abort()
    await server.close(0.0)


@pytest.mark.integration
async def test_one_id_joins_the_hosts_log_and_the_members_audit(
    fresh_nats_host: NatsHost, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "skerry.proxy.access")
    async with limited(fresh_nats_host) as host:
        assert (await host.ask(b"/clusters/m1/api/v1/pods")).status == 200
        await eventually(lambda: bool(_logged(caplog)))
        assert host.recorder.heads[-1].get(b"audit-id") == str(uuid.UUID(_logged(caplog)[0])).encode()


@pytest.mark.integration
async def test_a_line_names_the_member_whichever_way_the_request_came(
    fresh_nats_host: NatsHost, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "skerry.proxy.access")
    uid = str(uuid.uuid4())
    pki = fresh_nats_host.directory
    settings = {"host_uid": uid, "tls_cert_file": pki / "tls.crt", "tls_key_file": pki / "tls.key"}
    async with limited(fresh_nats_host, **settings) as host:
        context = client_context(verify=False)
        for name, path in (
            ("localhost", b"/clusters/m1/api/v1/pods?watch=1"),
            (server_name("m1", uid), b"/api/v1/pods?watch=1"),
        ):
            reader, writer = await asyncio.open_connection(*host.address, ssl=context, server_hostname=name)
            writer.write(
                b"GET %b HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %b\r\nConnection: close\r\n\r\n"
                % (path, host.admin)
            )
            async with asyncio.timeout(5):
                assert b" 200 " in await reader.readline()
                await reader.read()
            writer.transport.abort()
        await eventually(lambda: len(_logged(caplog)) == 2)
        assert [getattr(record, "path", "") for record in caplog.records] == ["/clusters/m1/api/v1/pods?watch"] * 2


def _logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [found for record in caplog.records if (found := getattr(record, "stream", ""))]


@pytest.mark.integration
async def test_opens_per_second_are_limited_and_the_429_says_when_to_come_back(fresh_nats_host: NatsHost) -> None:
    async with limited(fresh_nats_host, opens_per_second=3) as host:
        answers = [await host.ask(b"/clusters/m1/api") for _ in range(8)]
        refused = [answer for answer in answers if answer.status == 429]
        assert refused
        assert "in one second" in refused[0].json()["message"]
        assert refused[0].header(b"retry-after") == b"1"


@pytest.mark.integration
async def test_an_idle_connection_is_kept_as_long_as_is_set_and_not_longer(fresh_nats_host: NatsHost) -> None:
    async with limited(fresh_nats_host, idle_s=0.3) as host:
        reader, writer = await asyncio.open_connection(*host.address)
        writer.write(b"GET /version HTTP/1.1\r\nHost: h\r\n\r\n")
        async with asyncio.timeout(5):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            rest = await reader.read()
        assert b"gitVersion" in rest
        writer.close()


@pytest.mark.integration
async def test_credit_is_given_back_by_a_client_that_leaves(host: World) -> None:
    response = await watching(host)
    assert await _granted(host) > 0
    response.abort()
    async with asyncio.timeout(5):
        while await _granted(host):
            await asyncio.sleep(0.02)


async def _granted(host: World) -> float:
    text = (await host.ask(b"/metrics")).body.decode()
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith("skerry_proxy_granted_bytes ")))


@pytest.mark.integration
async def test_a_member_that_waits_for_approval_is_a_503_that_says_what_to_do(host: World) -> None:
    found = {
        "type": "Ready",
        "status": "False",
        "reason": "ApprovalPending",
        "message": "somebody has to approve it: skerry cluster approve m4",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    await host.cluster("m4", conditions=[found])
    answer = await host.ask(b"/clusters/m4/api")
    assert (answer.status, answer.json()["message"]) == (
        503,
        "cluster m4 is no member yet: somebody has to approve it: skerry cluster approve m4; nothing was executed",
    )


@pytest.mark.integration
async def test_a_quarantined_member_is_a_503_that_says_why(host: World) -> None:
    found = {
        "type": "Quarantined",
        "status": "True",
        "reason": "TunnelFlood",
        "message": "it floods",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    await host.cluster("m3", conditions=[found])
    answer = await host.ask(b"/clusters/m3/api")
    assert (answer.status, answer.json()["message"]) == (
        503,
        "cluster m3 is quarantined: it floods; nothing was executed",
    )
    assert answer.header(b"retry-after") is None
