"""Fetching from addresses that people give: identity providers, later repositories of charts and webhooks.

A name is resolved once, every address of it is judged (`httpwire.addresses`), and one that passed is dialled as it is: a name
that means something else a moment later (DNS rebinding) reaches nothing. TLS is to the name, by the authorities that are
given or else the system's. No proxy of the environment, no cookies, no credentials, no encoding, no redirects; one deadline
holds for everything from the name to the last byte.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from skerry.http.client import Client
from skerry.http.errors import Cut, HttpError, NoAnswer, Unreachable, UpstreamProtocolError
from skerry.http.limits import ClientLimits
from skerry.http.response import Response
from skerry.http.tls import client_context
from skerry.httpwire.addresses import AddressPolicy, is_loopback, refusal
from skerry.httpwire.head import Headers, RequestHead, first

MAX_BYTES = 1 << 20
DEADLINE_S = 10.0
MAX_URL = 2048
TRIED = 4
"""Addresses of one name that are dialled, one after the other."""
_PORTS = {"https": 443, "http": 80}

Problem = Literal[
    "URL", "Name", "Address", "TLS", "Unreachable", "Timeout", "Redirect", "Status", "TooLarge", "Protocol"
]
"""What a fetch failed for, as one word."""
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a name and a port to addresses. Raises OSError."""


class OutboundError(HttpError):
    """A fetch that came to nothing: `problem` in one word, the message for people. It names the URL."""

    def __init__(self, problem: Problem, message: str) -> None:
        super().__init__(message)
        self.problem: Problem = problem


class OutboundPolicy(NamedTuple):
    """What may be fetched, and how much it may cost."""

    addresses: AddressPolicy = AddressPolicy()
    plain_on_loopback: bool = False
    """Whether http will do where every address that is dialled is this machine's own; else https alone."""
    max_bytes: int = MAX_BYTES
    deadline_s: float = DEADLINE_S


class Origin(NamedTuple):
    """A URL, read."""

    scheme: str
    host: str
    port: int
    target: bytes
    authority: bytes
    """As it stands in the Host header."""


class Fetched(NamedTuple):
    """A whole answer with status 200."""

    headers: Headers
    body: bytes
    address: str
    """Where it came from."""


async def resolved(host: str, port: int) -> Sequence[str]:
    """The addresses of a name as the system knows them, each once, in its order. OSError."""
    answers = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


def origin_of(url: str) -> Origin:
    """A URL that can be fetched. OutboundError (URL) says what is wrong with it."""
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or any(each in url for each in ' "<>\\^`{|}'):
        raise OutboundError("URL", f"{url[:80]!r} is no URL: printable ASCII, at most {MAX_URL} characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise OutboundError("URL", f"{url!r} is no URL: {error}") from error
    if parts.scheme not in _PORTS:
        raise OutboundError("URL", f"{url!r} must begin with https://")
    if not parts.hostname or "@" in parts.netloc or parts.fragment or "%" in parts.netloc:
        raise OutboundError(
            "URL", f"{url!r} must name a host, without a user, a fragment or an encoded character in it"
        )
    port = _PORTS[parts.scheme] if port is None else port
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Origin(parts.scheme, parts.hostname, port, target.encode(), parts.netloc.encode())


async def fetch(
    url: str,
    policy: OutboundPolicy,
    *,
    ca_pem: str = "",
    accept: bytes = b"application/json",
    resolve: Resolve = resolved,
) -> Fetched:
    """GET `url`. OutboundError for everything that is not a whole answer with status 200 within the policy.

    `ca_pem` are the only authorities that count; empty: the system's.
    """
    origin = origin_of(url)
    context = _context(origin, url, ca_pem)
    try:
        async with asyncio.timeout(policy.deadline_s):
            allowed = await _addresses(origin, url, policy, resolve)
            return await _fetched(origin, url, policy, allowed, context, accept)
    except TimeoutError as error:
        raise OutboundError("Timeout", f"{url} was not answered as a whole within {policy.deadline_s:.0f} s") from error


def _context(origin: Origin, url: str, ca_pem: str) -> ssl.SSLContext | None:
    if origin.scheme == "http":
        return None
    try:
        return client_context(ca_data=ca_pem or None)
    except (ssl.SSLError, ValueError) as error:
        raise OutboundError("TLS", f"the authorities given for {url} are no certificates in PEM: {error}") from error


async def _addresses(origin: Origin, url: str, policy: OutboundPolicy, resolve: Resolve) -> list[str]:
    """What of a name's addresses may be dialled."""
    try:
        known = await resolve(origin.host, origin.port)
    except (OSError, UnicodeError) as error:
        raise OutboundError("Name", f"the name {origin.host} of {url} cannot be resolved: {error}") from error
    refused = {address: refusal(address, policy.addresses) for address in known}
    if origin.scheme == "http":
        plain = "http is for this machine itself alone: use https"
        refused = {
            address: why or ("" if policy.plain_on_loopback and is_loopback(address) else plain)
            for address, why in refused.items()
        }
    allowed = [address for address, why in refused.items() if not why]
    if not allowed:
        told = ", ".join(f"{address} ({why})" for address, why in list(refused.items())[:TRIED]) or "none"
        raise OutboundError("Address", f"no address of {origin.host} may be dialled for {url}: {told}")
    return allowed[:TRIED]


async def _fetched(
    origin: Origin,
    url: str,
    policy: OutboundPolicy,
    addresses: Sequence[str],
    context: ssl.SSLContext | None,
    accept: bytes,
) -> Fetched:
    """From the first address that takes a connection."""
    head = RequestHead(
        method=b"GET",
        target=origin.target,
        headers=[
            (b"host", origin.authority),
            (b"accept", accept),
            (b"accept-encoding", b"identity"),
            (b"user-agent", b"skerry"),
        ],
    )
    limits = ClientLimits(connect_s=policy.deadline_s / len(addresses), head_s=policy.deadline_s, idle=0)
    failure: OutboundError | None = None
    for address in addresses:
        client = Client(address, origin.port, context, limits, server_hostname=origin.host)
        try:
            return await _answer(partial(client.request, head), url, policy, address)
        except Unreachable as error:
            problem: Problem = "TLS" if isinstance(error.__cause__, ssl.SSLError) else "Unreachable"
            failure = OutboundError(problem, f"{url} cannot be fetched: {error}")
            failure.__cause__ = error
        except (Cut, NoAnswer, UpstreamProtocolError) as error:
            raise OutboundError("Protocol", f"{url} was not answered as HTTP/1.1: {error}") from error
        finally:
            await client.close()
    if failure is None:
        raise AssertionError("there was no address to try")
    raise failure


async def _answer(
    request: Callable[[], Awaitable[Response]], url: str, policy: OutboundPolicy, address: str
) -> Fetched:
    response = await request()
    try:
        if 300 <= response.status < 400:
            to = (first(response.headers, b"location") or b"")[:200].decode("latin-1")
            raise OutboundError(
                "Redirect", f"{url} leads elsewhere ({response.status} to {to!r}), which is not followed"
            )
        if response.status != 200:
            raise OutboundError("Status", f"{url} was answered with {response.status}")
        if first(response.headers, b"content-encoding") not in (None, b"identity"):
            raise OutboundError("Protocol", f"{url} was answered in an encoding that nobody asked for")
        try:
            body = await response.body(policy.max_bytes)
        except ValueError as error:
            raise OutboundError("TooLarge", f"{url} is larger than {policy.max_bytes} bytes") from error
        return Fetched(response.headers, body, address)
    finally:
        response.abort()
