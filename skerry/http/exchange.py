"""One request and its answer, as a handler sees them.

The handler owns the answer: a whole one (`respond`), a streamed one (`start`, `write`, `finish`), or an upgrade. What
it leaves unfinished is cut, never ended (rule 4). A failure before the answer's head is always a real status (rule 5).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Protocol

from skerry.errors import RequestEntityTooLarge, StatusError
from skerry.http.errors import ClientGone
from skerry.http.raw import Raw
from skerry.http.wire import Inbox
from skerry.httpwire.answer import error_answer
from skerry.httpwire.chunks import encode_chunk, last_chunk
from skerry.httpwire.head import BODILESS, Headers, RequestHead, ResponseHead
from skerry.httpwire.headreader import RequestHeads
from skerry.httpwire.headwriter import encode_response

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_JOIN_LIMIT = 64 * 1024
"""A body up to this size is copied behind its head: one buffer, one TLS record train, one system call."""


class ExchangeConnection(Protocol):
    """The part of a connection that its exchanges need."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    tls: bool
    server_name: str
    heads: RequestHeads
    refused: StatusError | None
    """What is wrong with the bytes that came, head or body."""
    client_left: bool
    stalled: bool
    """The client sent nothing of its body for too long."""
    closed: bool

    @property
    def writable(self) -> bool: ...
    async def drained(self) -> None: ...
    def abort(self) -> None: ...
    def become_raw(self, protocol: bytes) -> Raw: ...
    def closes_after(self, exchange: Exchange) -> bool: ...


class BodyTap(Protocol):
    """Sees the bodies of an exchange go past."""

    def received_part(self, data: bytes) -> None: ...
    def answered(self, headers: Headers) -> None: ...
    def sent_part(self, data: bytes) -> None: ...


class Exchange:
    """One request of one server connection. Not for use by two tasks at once, except `gone` and `abort`."""

    __slots__ = (
        "_chunked", "_connection", "_expects", "_gone", "_inbox", "_left", "_silent", "_when_gone", "beside", "closes",
        "finished", "head", "lasting", "raw", "received", "sent", "started", "status", "tap", "when_started",
    )  # fmt: skip

    def __init__(self, connection: ExchangeConnection, head: RequestHead, inbox: Inbox) -> None:
        self._connection = connection
        self._inbox = inbox
        self._expects = head.expect_continue
        self._gone: asyncio.Event | None = None
        self._when_gone: Callable[[], None] | None = None
        self._chunked = False
        self._silent = False  # HEAD, 204, 304: what is written has no body
        self._left: int | None = None  # bytes that Content-Length still promises
        self.head = head
        self.beside: Headers = []
        """Header lines that go with the answer, whatever it becomes."""
        self.closes = False
        """The answer's head said that the connection ends behind it."""
        self.lasting = False
        """Whether the request may last: no silence in its body is too long."""
        self.started = False
        """The answer's head was sent; errors can only be shown by a cut from here on."""
        self.finished = False
        """The answer is complete, or the connection was upgraded or cut."""
        self.raw: Raw | None = None
        self.received = self.sent = 0
        """Bytes of the bodies, so far; of an upgraded connection whoever relays it counts on."""
        self.status = 0
        """Of the answer's head, once it was sent."""
        self.tap: BodyTap | None = None
        """Who sees the bodies go past."""
        self.when_started: Callable[[], None] | None = None
        """Called once the answer's head is sent."""

    # -- the request --

    @property
    def peer(self) -> tuple[str, int]:
        """Address and port of the client."""
        name = self._connection.transport.get_extra_info("peername")
        return (str(name[0]), int(name[1])) if isinstance(name, tuple) else ("", 0)

    @property
    def tls(self) -> bool:
        """True if the connection is encrypted."""
        return self._connection.tls

    @property
    def server_name(self) -> str:
        """The name that the client asked for in TLS (SNI), lower case; "" for none. The same for the whole connection."""
        return self._connection.server_name

    @property
    def tls_connection(self) -> ssl.SSLObject | None:
        """The TLS of the connection: its context, and the client certificate that this verified, if it asks for one."""
        connection: ssl.SSLObject | None = self._connection.transport.get_extra_info("ssl_object")
        return connection

    @property
    def complete(self) -> bool:
        """The whole request was received from the network, its body maybe not read yet."""
        return self._inbox.ended

    @property
    def gone(self) -> asyncio.Event:
        """Set when the client has left."""
        if self._gone is None:
            self._gone = asyncio.Event()
            if self._connection.client_left:
                self._gone.set()
        return self._gone

    def when_gone(self, act: Callable[[], None] | None) -> None:
        """Calls `act` from the loop, once, when the client has left; None: nobody is interested any more."""
        self._when_gone = act
        if act is not None and self._connection.client_left:
            self.notice_gone()

    @property
    def kept(self) -> object:
        """What a handler learned from the head without its method and target. It stays while the connection's requests
        repeat that part byte by byte, and is None otherwise.
        """
        return self._connection.heads.kept

    @kept.setter
    def kept(self, learned: object) -> None:
        self._connection.heads.kept = learned

    def notice_gone(self) -> None:
        """For the connection: the client has left."""
        act, self._when_gone = self._when_gone, None
        if act is not None:
            self._connection.loop.call_soon(act)
        if self._gone is not None:
            self._gone.set()

    async def read(self) -> bytes:
        """The next bytes of the body, decoded; b"" at its end. Raises ClientGone if it cannot be completed, BadRequest
        if what came is malformed.

        The first read answers `Expect: 100-continue` (rule 8).
        """
        if self._expects and not self.started:
            self._expects = False
            self._connection.transport.write(_CONTINUE)
        try:
            data = await self._inbox.read()
        except ClientGone:
            if self._connection.refused is not None:
                raise self._connection.refused from None
            raise
        self.received += len(data)
        if self.tap is not None:
            self.tap.received_part(data)
        return data

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises StatusError 413 beyond `limit` bytes, and ClientGone."""
        if self.head.content_length is not None and self.head.content_length > limit:
            raise too_large(limit)
        parts: list[bytes] = []
        size = 0
        while data := await self.read():
            size += len(data)
            if size > limit:
                raise too_large(limit)
            parts.append(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    # -- the answer --

    async def respond(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """A whole answer. To HEAD the body is announced and not sent. Raises ClientGone."""
        raw = self._open(status, headers, b"", len(body))
        self.finished = True
        self._count(body)
        if self._silent or not body:
            await self._send(raw)
        elif len(body) <= _JOIN_LIMIT:
            await self._send(raw + body)
        else:
            self._connection.transport.write(raw)
            await self._send(body)

    async def respond_error(self, error: StatusError) -> None:
        """The Status of `error`, with its message in a Warning header too. Raises ClientGone."""
        await self.respond(*error_answer(error))

    async def start(self, head: ResponseHead, *, length: int | None) -> None:
        """The head of a streamed answer. `length` None: chunked (or until the end, for HTTP/1.0). Raises ClientGone."""
        await self._send(self._open(head.status, head.headers, head.reason, length))

    async def write(self, data: bytes) -> None:
        """Bytes of a streamed answer; returns when the socket took them. Raises ClientGone.

        Raises ValueError for more bytes than `start` announced.
        """
        if not self.put(data):
            await self.taken()

    def put(self, data: bytes) -> bool:
        """As `write`, without waiting: False if `taken` must be awaited before there may be more."""
        if not data or self._silent:
            return True
        self._check()
        self._count(data)
        if self._chunked:
            buffers = encode_chunk(data)
            if len(buffers) > 1:
                self._connection.transport.writelines(buffers)
                return self._connection.writable
            data = buffers[0]
        elif self._left is not None:
            if len(data) > self._left:
                raise ValueError("more bytes than the answer's announced length")
            self._left -= len(data)
        self._connection.transport.write(data)
        return self._connection.writable

    async def finish(self, trailers: Headers | None = None) -> None:
        """The clean end of a streamed answer; `trailers` are sent if it is chunked. Raises ValueError if bytes are missing,
        MalformedHead for trailers that are none, and ClientGone.
        """
        if self.finished:
            return
        if self._left and not self._silent:
            raise ValueError("fewer bytes than the answer's announced length")
        self.finished = True
        if self._chunked and not self._silent:
            await self._send(last_chunk(trailers or []))

    def abort(self) -> None:
        """Cuts the connection with a reset: the client can never take it for a complete answer."""
        self.finished = True
        self._connection.abort()

    async def upgrade(self, head: ResponseHead) -> Raw:
        """Answers 101 and gives the raw connection; bytes that the client sent early are its first (rule 2).

        `head.headers` must name the protocol in `upgrade`, or the one asked for is confirmed. Raises ClientGone.
        """
        protocol = head.get(b"upgrade") or self.head.upgrade
        if protocol is None or not self.complete:
            raise ValueError("the request did not ask for an upgrade")
        raw_head = encode_response(101, [*head.headers, *self.beside], reason=head.reason, upgrade=protocol)
        self._check()
        self._begin(101)
        self.finished = True
        self.raw = self._connection.become_raw(protocol)
        await self._send(raw_head)
        return self.raw

    def _open(self, status: int, headers: Headers, reason: bytes, length: int | None) -> bytes:
        if self.started:
            raise ValueError("the answer was started already")
        request = self.head
        bodiless = status in BODILESS
        self._silent = bodiless or request.method == b"HEAD"
        self._chunked = length is None and not bodiless and not request.http10
        self._left = length
        self.closes = self._connection.closes_after(self)
        raw = encode_response(
            status,
            [*headers, *self.beside] if self.beside else headers,
            reason=reason,
            length=None if bodiless else length,
            chunked=self._chunked,
            close=self.closes,
        )
        self._begin(status)
        if self.tap is not None:
            self.tap.answered(headers)
        return raw

    def _begin(self, status: int) -> None:
        self.started, self.status = True, status
        act, self.when_started = self.when_started, None
        if act is not None:
            act()

    def _count(self, data: bytes) -> None:
        if not self._silent:
            self.sent += len(data)
            if self.tap is not None:
                self.tap.sent_part(data)

    def _check(self) -> None:
        if self._connection.closed or self._connection.transport.is_closing():
            raise ClientGone("the client has left")

    async def _send(self, data: bytes) -> None:
        connection = self._connection
        if connection.closed or connection.transport.is_closing():
            raise ClientGone("the client has left")
        connection.transport.write(data)
        if not connection.writable:
            await self.taken()

    async def taken(self) -> None:
        """Waits until the socket took what was written. Raises ClientGone."""
        await self._connection.drained()
        if self._connection.closed:
            raise ClientGone("the client has left")


RequestHandler = Callable[[Exchange], Awaitable[None]]
"""Answers a request, or raises the StatusError that does."""


def too_large(limit: int) -> StatusError:
    """The 413 of a body beyond `limit` bytes."""
    return RequestEntityTooLarge(f"the request body is larger than {limit} bytes")
