"""The agent's checks of its way to the host, before anything is written: DNS, TCP, TLS and the token.

Each has a name, and a failure says in one line what is wrong and what to do next. Those of the cluster itself are in
skerry/member/checks.py.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from urllib.parse import urlsplit

from skerry import bus
from skerry.api.messages import Token
from skerry.errors import ServiceUnavailable, StatusError, Unauthorized
from skerry.member.checks import CheckFailed

DIAL_S = 5.0
FULL = "maximum account active connections exceeded"
"""What nats-server says of an account that has as many connections as it may."""
FULL_ATTEMPTS, FULL_PAUSE_S = 30, 1.0
NOT_YET_VALID, HAS_EXPIRED = 9, 10
"""OpenSSL's X509_V_ERR_CERT_*."""


async def reach_bus(settings: bus.Settings, token: Token, credentials: bus.Credentials) -> bus.Connection:
    """The check "bus": DNS, TCP, TLS and the token, in that order, each with its own message. Raises CheckFailed."""
    try:
        return await _connected(settings, credentials)
    except Unauthorized as e:
        raise CheckFailed(
            "token",
            f"host {token.host!r} does not take it ({e.message}): it was used, revoked, or has expired; "
            f"make a new one there with: skerry token create {token.purpose}",
        ) from e
    except StatusError as e:
        raise CheckFailed(*await _why_unreachable(settings.servers, e)) from e


async def _connected(settings: bus.Settings, credentials: bus.Credentials) -> bus.Connection:
    """Wait while others who join with the same token use all connections that it has."""
    attempts = FULL_ATTEMPTS
    while True:
        try:
            return await bus.connect(settings, credentials)
        except ServiceUnavailable as e:
            attempts -= 1
            if FULL not in e.message or not attempts:
                raise
            await asyncio.sleep(FULL_PAUSE_S * (0.5 + random.random()))  # noqa: S311 - jitter


async def _why_unreachable(servers: tuple[str, ...], error: StatusError) -> tuple[str, str]:
    verdict = ("bus", error.message)
    for server in servers:
        parts = urlsplit(server)
        host, port = parts.hostname or "", parts.port or 4222
        verdict = await _why(host, port, error)
        if verdict[0] == "bus TLS":
            break
    return verdict


async def _why(host: str, port: int, error: StatusError) -> tuple[str, str]:
    loop = asyncio.get_running_loop()
    try:
        await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as e:
        return "bus DNS", f"{host} is not known here ({e.strerror}): check DNS, or make a token with another --address"
    try:
        async with asyncio.timeout(DIAL_S):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
    except (OSError, TimeoutError) as e:
        why = "timed out" if isinstance(e, TimeoutError) else (e.strerror or str(e))
        return (
            "bus TCP",
            f"{host}:{port} cannot be reached ({why}): open the way out, or check the host with: skerry status",
        )
    hint = (
        "check this machine's clock"
        if clock_is_wrong(error.__cause__)
        else (
            f"something between here and {host}:{port}, or another host, answers with its own certificate; make a new token"
        )
    )
    return "bus TLS", f"{error.message}: {hint}"


def clock_is_wrong(error: BaseException | None) -> bool:
    """True if a certificate is not valid yet, or no more."""
    return isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in (NOT_YET_VALID, HAS_EXPIRED)
