"""Fetching from addresses that people give: identity providers, later repositories of charts and webhooks.

A name is resolved once, every address of it is judged (`httpwire.addresses`), and one that passed is dialled as it is: a name
that means something else a moment later (DNS rebinding) reaches nothing. TLS is to the name, by the authorities that are
given or else the system's. No proxy of the environment, no cookies, no encoding; a redirect is followed where the policy says so,
each hop judged as the first, and credentials stay with the origin that they are for. One deadline holds for everything from the
name to the last byte.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, Literal, NamedTuple
from urllib.parse import urljoin, urlsplit

from skerry.http.client import Client
from skerry.http.errors import Cut, HttpError, NoAnswer, Unreachable, UpstreamProtocolError
from skerry.http.limits import ClientLimits
from skerry.http.response import Response
from skerry.http.tls import ClientCertificate, client_context
from skerry.httpwire.addresses import AddressPolicy, is_loopback, refusal
from skerry.httpwire.head import Headers, RequestHead, first

MAX_BYTES = 1 << 20
DEADLINE_S = 10.0
MAX_URL = 2048
TRIED = 4
"""Addresses of one name that are dialled, one after the other."""
_REDIRECTS = (301, 302, 303, 307, 308)
_PORTS = {"https": 443, "http": 80}

OutboundProblem = Literal[
    "URL", "Name", "Address", "TLS", "Unreachable", "Timeout", "Redirect", "Status", "TooLarge", "Protocol"
]
"""What a fetch failed for, as one word."""
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a name and a port to addresses. Raises OSError."""


class Refused(NamedTuple):
    """An address that may not be dialled."""

    host: str
    """The name that means it, or itself."""
    address: str
    why: str


class OutboundError(HttpError):
    """A fetch that came to nothing: `problem` in one word, the message for people. It names the URL."""

    def __init__(
        self,
        problem: OutboundProblem,
        message: str,
        status: int = 0,
        *,
        retry_after: str = "",
        refused: Refused | None = None,
    ) -> None:
        super().__init__(message)
        self.problem: OutboundProblem = problem
        self.status = status
        """Of the answer, where it is that what is wrong."""
        self.retry_after = retry_after
        """The answer's header Retry-After, as it is (RFC 9110, 10.2.3)."""
        self.refused = refused
        """The first of the addresses that may not be dialled, where that is what is wrong."""


class OutboundPolicy(NamedTuple):
    """What may be fetched, and how much it may cost."""

    addresses: AddressPolicy = AddressPolicy()
    plain_on_loopback: bool = False
    """Whether http will do where every address that is dialled is this machine's own."""
    plain: bool = False
    """Whether http will do everywhere; else https alone."""
    private_hosts: frozenset[str] = frozenset()
    """Names whose addresses may be private."""
    redirects: int = 0
    """Hops that are followed; never from https to http."""
    max_bytes: int = MAX_BYTES
    deadline_s: float = DEADLINE_S


class ParsedUrl(NamedTuple):
    """A URL, read."""

    scheme: str
    host: str
    port: int
    target: bytes
    authority: bytes
    """As it stands in the Host header."""

    @property
    def place(self) -> tuple[str, str, int]:
        """What a credential is for: nothing else may see it."""
        return self.scheme, self.host, self.port


class Fetched(NamedTuple):
    """A whole answer."""

    headers: Headers
    body: bytes
    """Empty where it was written into a file."""
    address: str
    """Where it came from."""
    status: int = 200


@dataclass(frozen=True)
class ServerIdentity:
    """How the server of an https URL is known, and what it is shown. Who fetches much from one keeps it: authorities are read once."""

    ca_pem: str = ""
    """The only authorities that count; empty: the system's."""
    verify: bool = True
    """False takes any certificate."""
    certificate: ClientCertificate | None = None
    """Shown to the origin of the URL that is fetched, and to no other."""
    _contexts: dict[bool, ssl.SSLContext] = field(default_factory=dict, init=False, repr=False, compare=False)

    def stranger(self) -> ServerIdentity:
        """The same, shown nothing."""
        return ServerIdentity(self.ca_pem, self.verify)

    def context(self, *, shows: bool) -> ssl.SSLContext:
        """The TLS of a connection, that `shows` the certificate if there is one. ssl.SSLError, ValueError: what is not PEM."""
        context = self._contexts.get(shows)
        if context is None:
            context = client_context(ca_data=self.ca_pem or None, verify=self.verify)
            if shows and self.certificate is not None:
                self.certificate.load(context)
            self._contexts[shows] = context
        return context


class _Elsewhere(Exception):
    """An answer that leads to another URL."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location


class _Options(NamedTuple):
    """How a URL is fetched, wherever redirects lead."""

    policy: OutboundPolicy
    server: ServerIdentity
    method: bytes
    headers: Sequence[tuple[bytes, bytes]]
    statuses: Collection[int]
    resolve: Resolve
    into: BinaryIO | None


async def resolved(host: str, port: int) -> Sequence[str]:
    """The addresses of a name as the system knows them, each once, in its order. OSError."""
    answers = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return _distinct(answers)


def resolver(threads: Executor) -> Resolve:
    """As `resolved`, on these threads: what hangs there holds up nothing that resolves elsewhere."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        return _distinct(await asyncio.get_running_loop().run_in_executor(threads, look_up))

    return resolve


def _distinct(answers: Sequence[Any]) -> Sequence[str]:
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


def origin_of(url: str) -> ParsedUrl:
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
    return ParsedUrl(parts.scheme, parts.hostname, port, target.encode(), parts.netloc.encode())


async def fetch(
    url: str,
    policy: OutboundPolicy,
    *,
    ca_pem: str = "",
    server: ServerIdentity | None = None,
    method: bytes = b"GET",
    accept: bytes = b"application/json",
    headers: Sequence[tuple[bytes, bytes]] = (),
    credentials: Sequence[tuple[bytes, bytes]] = (),
    statuses: Collection[int] = (200,),
    resolve: Resolve = resolved,
    into: BinaryIO | None = None,
) -> Fetched:
    """GET `url`, or HEAD. OutboundError for everything that is not a whole answer with one of these statuses within the policy.

    `ca_pem` is short for `server` with these authorities. `credentials` are headers for the URL's own origin, and no other sees them.
    A body that is too large to be held is written `into` a file, and then `body` is empty; after an error part of it may be there.
    """
    start = origin = origin_of(url)
    options = _Options(
        policy, server or ServerIdentity(ca_pem), method, ((b"accept", accept), *headers), statuses, resolve, into
    )
    try:
        async with asyncio.timeout(policy.deadline_s):
            for _ in range(policy.redirects + 1):
                at_home = origin.place == start.place
                context = context_of(origin, url, options.server, shows=at_home)
                try:
                    return await _fetched(origin, url, options, credentials if at_home else (), context)
                except _Elsewhere as elsewhere:
                    url, origin = _next(url, origin, elsewhere.location)
            raise OutboundError("Redirect", f"{url} leads elsewhere for more than {policy.redirects} times")
    except TimeoutError as error:
        raise OutboundError("Timeout", f"{url} was not answered as a whole within {policy.deadline_s:.0f} s") from error


def _next(url: str, origin: ParsedUrl, location: str) -> tuple[str, ParsedUrl]:
    """Where a redirect leads."""
    try:
        joined = urljoin(url, location)
    except ValueError as error:
        raise OutboundError("Redirect", f"{url} leads to {location!r}, which is no URL") from error
    after = origin_of(joined.partition("#")[0])
    if origin.scheme == "https" and after.scheme == "http":
        raise OutboundError("Redirect", f"{url} leads from https to http, which is not followed")
    return joined, after


def context_of(origin: ParsedUrl, url: str, server: ServerIdentity, *, shows: bool) -> ssl.SSLContext | None:
    """The TLS of a connection, that `shows` the certificate if there is one; None of http. OutboundError (TLS)."""
    if origin.scheme == "http":
        return None
    try:
        server.context(shows=False)
    except (ssl.SSLError, ValueError) as error:
        raise OutboundError("TLS", f"the authorities given for {url} are no certificates in PEM: {error}") from error
    try:
        return server.context(shows=shows and server.certificate is not None)
    except ValueError as error:
        raise OutboundError("TLS", f"{url} cannot be fetched: {error}") from error


async def judged(origin: ParsedUrl, url: str, policy: OutboundPolicy, resolve: Resolve) -> list[str]:
    """What of a name's addresses may be dialled, at most TRIED. OutboundError (Name, Address), which says `url`."""
    try:
        known = await resolve(origin.host, origin.port)
    except (OSError, UnicodeError) as error:
        raise OutboundError("Name", f"the name {origin.host} of {url} cannot be resolved: {error}") from error
    addresses = policy.addresses._replace(private=True) if origin.host in policy.private_hosts else policy.addresses
    refused = {address: refusal(address, addresses) for address in known}
    if origin.scheme == "http" and not policy.plain:
        plain = "http is for this machine itself alone: use https"
        refused = {
            address: why or ("" if policy.plain_on_loopback and is_loopback(address) else plain)
            for address, why in refused.items()
        }
    allowed = [address for address, why in refused.items() if not why]
    if not allowed:
        raise _not_dialled(url, [Refused(origin.host, address, why) for address, why in refused.items()])
    return allowed[:TRIED]


def _not_dialled(url: str, refused: Sequence[Refused]) -> OutboundError:
    listed = ", ".join(f"{each.address} ({each.why})" for each in refused[:TRIED]) or "none"
    host = refused[0].host if refused else "its host"
    text = f"no address of {host} may be dialled for {url}: {listed}"
    return OutboundError("Address", text, refused=refused[0] if refused else None)


async def _fetched(
    origin: ParsedUrl,
    url: str,
    options: _Options,
    credentials: Sequence[tuple[bytes, bytes]],
    context: ssl.SSLContext | None,
) -> Fetched:
    """From the first address that takes a connection."""
    policy = options.policy
    addresses = await judged(origin, url, policy, options.resolve)
    head = RequestHead(
        method=options.method,
        target=origin.target,
        headers=[
            (b"host", origin.authority),
            (b"accept-encoding", b"identity"),
            (b"user-agent", b"skerry"),
            *options.headers,
            *credentials,
        ],
    )
    limits = ClientLimits(connect_s=policy.deadline_s / len(addresses), head_s=policy.deadline_s, idle=0)
    failure: OutboundError | None = None
    for address in addresses:
        client = Client(address, origin.port, context, limits, server_hostname=origin.host)
        try:
            return await _answer(partial(client.request, head), url, options, address)
        except Unreachable as error:
            failure = failure_of(url, error)
            failure.__cause__ = error
        except (Cut, NoAnswer, UpstreamProtocolError) as error:
            raise failure_of(url, error) from error
        finally:
            await client.close()
    if failure is None:
        raise AssertionError("there was no address to try")
    raise failure


def failure_of(url: str, error: HttpError, what: str = "fetched") -> OutboundError:
    """What a request came to that was not answered, for people; it says `url`, and `what` could not be done with it."""
    if isinstance(error, UpstreamProtocolError):
        return OutboundError("Protocol", f"{url} was not answered as HTTP/1.1: {error}")
    if isinstance(error, Unreachable):
        problem: OutboundProblem = "TLS" if isinstance(error.__cause__, ssl.SSLError) else "Unreachable"
        return OutboundError(problem, f"{url} cannot be {what}: {error}")
    return OutboundError("Unreachable", f"{url} was not answered as a whole: {error}")


async def _answer(request: Callable[[], Awaitable[Response]], url: str, options: _Options, address: str) -> Fetched:
    response = await request()
    try:
        status = response.status
        if status in _REDIRECTS and status not in options.statuses:
            to = (first(response.headers, b"location") or b"").decode("latin-1")
            if options.policy.redirects and to:
                raise _Elsewhere(to)
            raise OutboundError("Redirect", f"{url} leads elsewhere ({status} to {to[:200]!r}), which is not followed")
        if status not in options.statuses:
            retry_after = (first(response.headers, b"retry-after") or b"").decode("latin-1")
            raise OutboundError("Status", f"{url} was answered with {status}", status, retry_after=retry_after)
        if first(response.headers, b"content-encoding") not in (None, b"identity"):
            raise OutboundError("Protocol", f"{url} was answered in an encoding that nobody asked for")
        try:
            if options.into is None:
                body = await response.body(options.policy.max_bytes)
            else:
                body = b""
                await response.copy(options.into.write, options.policy.max_bytes)
        except ValueError as error:
            raise OutboundError("TooLarge", f"{url} is larger than {options.policy.max_bytes} bytes") from error
        return Fetched(response.headers, body, address, status)
    finally:
        response.abort()
