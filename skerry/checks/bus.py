"""The checks of the way to a host's bus, each step with its own message: name, port, certificate, credential.

NATS speaks first and then upgrades to TLS, so the last two steps are one attempt of the client itself.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import msgspec

from skerry import bus
from skerry.checks.report import Outcome
from skerry.checks.run import Checks
from skerry.errors import StatusError, Unauthorized

DIAL_S = 5.0
CONNECT_S = 60.0
Connect = Callable[[bus.Settings, bus.Credentials], Awaitable[bus.Connection]]
NOT_YET_VALID, HAS_EXPIRED = 9, 10
"""OpenSSL's X509_V_ERR_CERT_*."""
OFF_S = 30.0
"""Beyond this a clock is told to be off."""


class BusChecks:
    """Of one way. `connection` is there once all passed; who made the checks closes it."""

    def __init__(
        self,
        settings: bus.Settings,
        credentials: bus.Credentials,
        refused: str,
        clock: Callable[[], float] = time.time,
        connect: Connect = bus.connect,
    ) -> None:
        """`refused` is what to do if the host does not take the credentials; `connect` may take CONNECT_S."""
        self._connect = connect
        self._settings, self._credentials, self._refused, self._clock = settings, credentials, refused, clock
        self.connection: bus.Connection | None = None
        self.was_refused = False
        """Whether the host was reached, and does not take the credentials."""
        self._refusal = ""
        self._wrong_clock: ssl.SSLCertVerificationError | None = None
        self._addresses = [
            (parts.hostname or "", parts.port or 4222) for parts in (urlsplit(each) for each in settings.servers)
        ]

    async def run(self, run: Checks) -> None:
        """All of them."""
        await self.reach(run)
        await self.connect(run)

    @property
    def _where(self) -> str:
        return ", ".join(f"{host}:{port}" for host, port in self._addresses)

    async def reach(self, run: Checks) -> None:
        """Those that need no connection of the few that a token has."""
        await run.run("bus.dns", self._dns, waits_for=self._where)
        await run.run("bus.tcp", self._tcp, needs=("bus.dns",), waits_for=self._where)

    async def connect(self, run: Checks) -> None:
        """The others, and `clock` if it is what keeps TLS from working."""
        where = self._where
        await run.run("bus.tls", self._tls, needs=("bus.tcp",), waits_for=where, limit_s=CONNECT_S)
        await run.run("bus.auth", self._auth, needs=("bus.tls",), waits_for=where)
        if self._wrong_clock is not None:
            run.keep("clock", self._wrong(self._wrong_clock))

    async def _dns(self) -> Outcome:
        known, unknown = [], []
        for host, _ in self._addresses:
            try:
                info = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:
                unknown.append(f"{host} is not known here ({getattr(error, 'strerror', None) or 'no name of a host'})")
            else:
                known.append(f"{host} is {info[0][4][0]}")
        remedy = "check DNS here, or on the host: skerry up --address NAME, and make a new token"
        if not known:
            return Outcome(", ".join(unknown) or "the token has no address of the bus", "fail", remedy)
        return Outcome(", ".join([*unknown, *known]), "warn" if unknown else "pass", remedy if unknown else "")

    async def _tcp(self) -> Outcome:
        outcomes = await asyncio.gather(*(_dialled(host, port) for host, port in self._addresses))
        answering = [server for server, (_, why) in zip(self._settings.servers, outcomes, strict=True) if not why]
        if answering:  # what the others are is told here, and is no news of TLS
            self._settings = msgspec.structs.replace(self._settings, servers=tuple(answering))
        open_ = [address for address, why in outcomes if not why]
        closed = [f"{address} cannot be reached ({why})" for address, why in outcomes if why]
        remedy = "let this machine connect to it, outwards; on the host, see that it runs: skerry status"
        if not open_:
            return Outcome(", ".join(closed), "fail", remedy)
        answers = f"{', '.join(open_)} answer{'s' if len(open_) == 1 else ''}"
        return Outcome(", ".join([*closed, answers]), "warn" if closed else "pass", remedy if closed else "")

    async def _tls(self) -> Outcome:
        try:
            self.connection = await self._connect(self._settings, self._credentials)
        except Unauthorized as error:
            self.was_refused, self._refusal = True, error.message
        except StatusError as error:
            return self._not_secure(error)
        return Outcome("its certificate is the host's")

    def _not_secure(self, error: StatusError) -> Outcome:
        cause = error.__cause__
        if isinstance(cause, ssl.SSLCertVerificationError) and cause.verify_code in {NOT_YET_VALID, HAS_EXPIRED}:
            self._wrong_clock = cause
            return Outcome(
                f"its certificate is not good by this machine's clock ({cause.verify_message})", "fail", "see clock"
            )
        if isinstance(cause, ssl.SSLError):
            why = getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or "TLS failed"
            return Outcome(
                f"what answers has a certificate that is not the host's ({why})",
                "fail",
                "see that nothing between here and the host ends TLS; if the host was set up anew, make a new token",
            )
        return Outcome(error.message.replace(": ", ", "), "fail", "see that a host's bus listens there: skerry status")

    async def _auth(self) -> Outcome:
        if self.connection is None:
            return Outcome(f"the host does not take it ({self._refusal})", "fail", self._refused)
        server = self.connection.server
        return Outcome(f"the host lets it in{f', server {server}' if server else ''}")

    def _wrong(self, cause: ssl.SSLCertVerificationError) -> Outcome:
        now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(self._clock()))
        how = "not valid yet" if cause.verify_code == NOT_YET_VALID else "over"
        also = "" if how == "not valid yet" else "; if it is right, look at the host's certificates: skerry doctor"
        return Outcome(
            f"this machine's clock is at {now} UTC, and by it the certificate of the host's bus is {how}",
            "fail",
            f"set the clock, or let it follow a time server{also}",
        )


def clock_of(ahead_s: float) -> Outcome:
    """Of a clock that is so far ahead of the host's. It warns: who works on a member does so in host time."""
    if abs(ahead_s) <= OFF_S:
        return Outcome(f"within {OFF_S:.0f} s of the host's")
    return Outcome(
        f"this machine's clock is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} the host's",
        "warn",
        "let it follow a time server; meanwhile the agent works in host time",
    )


async def _dialled(host: str, port: int) -> tuple[str, str]:
    """The address, and why it cannot be reached."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        async with asyncio.timeout(DIAL_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError, UnicodeError) as error:
        return address, "no answer in time" if isinstance(error, TimeoutError) else _reason(error)
    writer.close()
    return address, ""


def _reason(error: Exception) -> str:
    """In the system's words: asyncio has its own, and of several addresses one error with the numbers of all."""
    number = getattr(error, "errno", None)
    if number is None and (match := re.search(r"\[Errno (\d+)\]", str(error))):
        number = int(match[1])
    return os.strerror(number) if number else str(error)
