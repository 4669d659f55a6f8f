"""The checks of the way to a bus: each step fails alone, by its name, with the next step."""

from __future__ import annotations

import socket
import ssl
import time

import pytest

from skerry.bus import Settings
from skerry.checks.bus import HAS_EXPIRED, NOT_YET_VALID, BusChecks, clock_of
from skerry.checks.report import JOIN, Check
from skerry.checks.run import Checks
from skerry.errors import ServiceUnavailable
from skerry.identity import jointoken
from skerry.identity.creds import Credentials
from tests.agent.standin import Host
from tests.member.apiserver import ApiServer

pytestmark = pytest.mark.integration


async def made(servers: list[str], ca: str, jwt: str) -> dict[str, Check]:
    settings = Settings(servers=tuple(servers), ca_pem=ca, name="check", connect_timeout_s=3.0)
    way = BusChecks(settings, Credentials(jwt), "make a new one")
    run = Checks("m", JOIN)
    try:
        await way.run(run)
    finally:
        if way.connection is not None:
            way.connection.abort()
    return {each.name: each for each in run.checks}


async def bearer(host: Host) -> str:
    return jointoken.decode(await host.token()).jwt


def first_failed(results: dict[str, Check]) -> Check:
    """The first that failed; those before passed, those after are skipped."""
    states = [each.result for each in results.values()]
    at = states.index("fail")
    assert set(states[:at]) <= {"pass"}
    assert set(states[at + 1 :]) <= {"skip"}
    assert list(results.values())[at].next
    return list(results.values())[at]


async def test_a_good_way_passes_all(host: Host) -> None:
    results = await made(list(host.nats.servers), host.nats.ca_pem, await bearer(host))
    assert [(each.name, each.result) for each in results.values()] == [
        (name, "pass") for name in ("bus.dns", "bus.tcp", "bus.tls", "bus.auth")
    ]


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a" * 64 + ".invalid", "a..b"])
async def test_a_name_that_nobody_knows_is_dns(host: Host, name: str) -> None:
    check = first_failed(await made([f"tls://{name}:4222"], host.nats.ca_pem, await bearer(host)))
    assert (check.name, name in check.found) == ("bus.dns", True)
    assert "--address" in check.next


async def test_a_token_without_an_address_is_dns(host: Host) -> None:
    assert first_failed(await made([], host.nats.ca_pem, await bearer(host))).name == "bus.dns"


async def test_a_port_that_nobody_has_is_tcp(host: Host) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
        check = first_failed(await made([f"tls://{address}"], host.nats.ca_pem, await bearer(host)))
    assert (check.name, address in check.found, "refused" in check.found.lower()) == ("bus.tcp", True, True)


async def test_one_of_several_addresses_is_enough_and_the_others_are_warned_of(host: Host) -> None:
    servers = ["tls://no-such-host.invalid:4222", *host.nats.servers]
    results = await made(servers, host.nats.ca_pem, await bearer(host))
    assert [each.result for each in results.values()] == ["warn", "warn", "pass", "pass"]
    assert "no-such-host.invalid is not known here" in results["bus.dns"].found
    assert results["bus.tcp"].next


async def test_a_certificate_of_somebody_else_is_tls(host: Host, api: ApiServer) -> None:
    results = await made(list(host.nats.servers), api.ca.certificate.decode(), await bearer(host))
    check = first_failed(results)
    assert (check.name, "make a new token" in check.next) == ("bus.tls", True)


async def test_it_is_tls_of_an_address_that_answers_whichever_of_several_comes_first(
    host: Host, api: ApiServer
) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        closed = [f"tls://127.0.0.{number}:{held.getsockname()[1]}" for number in range(2, 8)]
        results = await made([*closed, *host.nats.servers], api.ca.certificate.decode(), await bearer(host))
    assert (results["bus.tcp"].result, results["bus.tls"].result) == ("warn", "fail")
    assert "not the host's" in results["bus.tls"].found


async def test_something_that_is_no_bus_is_tls(host: Host, api: ApiServer) -> None:
    check = first_failed(await made([f"tls://127.0.0.1:{api.port}"], host.nats.ca_pem, await bearer(host)))
    assert (check.name, "skerry status" in check.next) == ("bus.tls", True)


async def test_credentials_that_the_host_does_not_take_are_auth(host: Host) -> None:
    jwt = (await host.nats.bearer("old", -5)).jwt
    check = first_failed(await made(list(host.nats.servers), host.nats.ca_pem, jwt))
    assert (check.name, check.next, "expired" in check.found) == ("bus.auth", "make a new one", True)


@pytest.mark.parametrize(("code", "says"), [(NOT_YET_VALID, "not valid yet"), (HAS_EXPIRED, "is over")])
def test_a_certificate_that_the_clock_refuses_is_tls_and_clock(code: int, says: str) -> None:
    cause = ssl.SSLCertVerificationError("certificate has expired")
    cause.verify_code, cause.verify_message = code, "certificate is not good"
    error = ServiceUnavailable("the bus has a certificate that is not the host's")
    error.__cause__ = cause
    way = BusChecks(Settings(servers=("tls://h:1",)), Credentials(""), "", lambda: 86400.0)
    assert way._not_secure(error).result == "fail"
    assert way._wrong_clock is not None
    outcome = way._wrong(way._wrong_clock)
    assert (outcome.result, says in outcome.found, "1970-01-02 00:00:00 UTC" in outcome.found) == ("fail", True, True)
    assert "time server" in outcome.next


def test_a_foreign_certificate_is_not_the_clocks_fault_whatever_it_says() -> None:
    cause = ssl.SSLCertVerificationError("expired.example: not yet valid")
    cause.verify_code = 20
    error = ServiceUnavailable("x")
    error.__cause__ = cause
    way = BusChecks(Settings(servers=("tls://h:1",)), Credentials(""), "", time.time)
    assert way._not_secure(error).result == "fail"
    assert way._wrong_clock is None


@pytest.mark.parametrize(
    ("ahead_s", "result", "word"), [(30, "pass", "within"), (31, "warn", "ahead of"), (-90, "warn", "90 s behind")]
)
def test_a_clock_warns_beyond_thirty_seconds_and_never_fails(ahead_s: float, result: str, word: str) -> None:
    outcome = clock_of(ahead_s)
    assert (outcome.result, word in outcome.found) == (result, True)
