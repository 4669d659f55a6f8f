"""The checks of the way to the host: each failure has its name, one line, and the next step."""

from __future__ import annotations

import socket
import ssl

import msgspec
import pytest

from services.agent import checks
from skerry.api.messages import Token
from skerry.bus import Settings
from skerry.identity import jointoken
from skerry.identity.creds import Credentials
from skerry.member.checks import CheckFailed
from tests.agent.standin import Host
from tests.member.apiserver import ApiServer

pytestmark = pytest.mark.integration

TOKEN = Token(host="h", name="m1", jti="j", jwt="", servers=[], ca="", expires=0, host_uid="host-uid")


async def unreachable(servers: list[str], ca: str = "", jwt: str = "") -> CheckFailed:
    token = msgspec.structs.replace(TOKEN, servers=servers, ca=ca, jwt=jwt)
    settings = Settings(servers=tuple(servers), ca_pem=ca, name="check", connect_timeout_s=3.0)
    with pytest.raises(CheckFailed) as caught:
        await checks.reach_bus(settings, token, Credentials(jwt))
    assert "\n" not in str(caught.value)
    return caught.value


async def test_a_bus_that_does_not_listen_is_named(host: Host) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
        error = await unreachable([f"tls://{address}"], host.nats.ca_pem, jointoken.decode(await host.token()).jwt)
    assert error.check == "bus TCP"
    assert address in str(error)


async def test_a_bus_with_a_certificate_of_somebody_else_is_named(host: Host, api: ApiServer) -> None:
    jwt = jointoken.decode(await host.token()).jwt
    error = await unreachable(list(host.nats.servers), api.ca.certificate.decode(), jwt)
    assert error.check == "bus TLS"
    assert "make a new token" in str(error)


def test_the_clock_is_suspected_for_the_certificates_code_and_not_for_a_word() -> None:
    old, foreign = ssl.SSLCertVerificationError("old"), ssl.SSLCertVerificationError("expired.example: not yet valid")
    old.verify_code, foreign.verify_code = checks.HAS_EXPIRED, 20
    assert checks.clock_is_wrong(old)
    assert not checks.clock_is_wrong(foreign)
    assert not checks.clock_is_wrong(None)


async def test_a_token_that_the_host_does_not_take_is_named(host: Host) -> None:
    jwt = host.nats.authority.join_bearer("old", -5)
    error = await unreachable(list(host.nats.servers), host.nats.ca_pem, jwt)
    assert error.check == "token"
    assert "skerry token create m1" in str(error)
