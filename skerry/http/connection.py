"""One client connection of the server: cuts bytes into requests, and serves them one at a time, in order.

One task per connection awaits requests and runs the handler; nothing is created per request but the Exchange. Parsing
happens where the bytes arrive. Reading stays on while a handler works, so that a client that leaves is noticed; what
it pipelines meanwhile waits, and beyond a limit reading pauses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from skerry.errors import BadRequest, ServiceUnavailable, StatusError
from skerry.http.body import BodyReader
from skerry.http.buffer import ReadBuffer
from skerry.http.errors import ClientGone
from skerry.http.exchange import Exchange, RequestHandler
from skerry.http.guard import guarded
from skerry.http.limits import STALL_S, ServerLimits
from skerry.http.raw import Raw
from skerry.http.wire import Inbox, Wire
from skerry.httpwire.answer import error_answer
from skerry.httpwire.chunks import ChunkError
from skerry.httpwire.head import HEAD_LIMIT
from skerry.httpwire.headreader import RequestHeads, broken_early, too_large
from skerry.httpwire.headwriter import encode_response
from skerry.httpwire.room import FREE, FREE_LINES, Room, Share, cost


class ConnectionOwner(Protocol):
    """The part of a server that its connections need."""

    handler: RequestHandler
    limits: ServerLimits
    room: Room
    buffer: ReadBuffer
    closing: bool
    lingering: bool

    def adopt(self, connection: ServerConnection, serve: Coroutine[Any, Any, None]) -> None: ...
    def pays(self, connection: ServerConnection, share: Share, size: int, *, coming: bool = False) -> bool: ...
    def paid(self, connection: ServerConnection) -> None: ...
    def is_ours(self, authority: bytes, connection: ServerConnection) -> bool: ...
    def forget(self, connection: ServerConnection) -> None: ...


class ServerConnection(Wire):
    """The protocol of one accepted connection."""

    def __init__(self, server: ConnectionOwner, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(server.buffer, loop)
        self._server = server
        self._limits = server.limits
        self._pending = bytearray()  # bytes of the next head, or behind an upgrade request
        self._scanned = 0
        self._share = Share(server.room)  # of what large heads may take
        self.heads = RequestHeads()
        self._current: Exchange | None = None
        self._inbox: Inbox | None = None  # takes what arrives: a body, or a raw stream
        self._body: BodyReader | None = None  # while it is on its way
        self.refused: StatusError | None = None
        self._next: asyncio.Future[None] | None = None
        self._discard = False
        self._dropped = 0
        self._seen = 0  # body bytes at the last sweep
        self.stalled = False
        self._expired = False  # idle for too long
        self._ending = False
        self.client_left = False
        self.busy_until = 0.0
        """When the sweep ends this connection unless something moves it; 0 while a handler works."""
        self.task: asyncio.Task[None] | None = None

    # -- the loop's side --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Starts the connection's task."""
        super().connection_made(transport)
        self.busy_until = self.loop.time() + self._limits.head_s
        self._server.adopt(self, self._serve())

    def received(self, data: bytes) -> None:
        """Sorts bytes: raw stream, body, or the next head."""
        if self._discard:
            self._dropped += len(data)
            if self._dropped > self._limits.drain:
                self.hold()
        elif self._body is not None:
            self._fill(self._body, data)
        elif self._inbox is not None and self._current is not None and self._current.raw is not None:
            self._inbox.push(data)
        else:
            self._hoard(data)

    def ended(self, clean: bool) -> None:
        """The client sends no more: the end of a raw stream, or of the client's interest."""
        current = self._current
        if current is not None and current.raw is not None and self._inbox is not None:
            if clean:
                self._inbox.end()
                current.raw.settle()
            else:
                self._inbox.fail(ClientGone("the client's connection was cut"))
            return
        self._client_left("the client has left")
        if self._ending or (current is None and self.refused is None):
            self.transport.close()

    def lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._client_left("the client's connection was cut")
        self._let_go()
        self._server.forget(self)

    def _client_left(self, why: str) -> None:
        self.client_left = True
        if self._inbox is not None:
            self._inbox.fail(ClientGone(why))
        if self._current is not None:
            self._current.notice_gone()
        self._ring()

    def _fill(self, body: BodyReader, data: bytes) -> None:
        """Bytes while a body is on its way; what follows it is hoarded."""
        try:
            rest = body.feed(data)
        except ChunkError as error:
            self._body = None
            self._discard = True
            self.refused = BadRequest(f"the request's chunked body is malformed: {error}")
            body.inbox.fail(ClientGone(self.refused.message))
            return
        if body.whole:
            self._body = None
            if rest:
                self._hoard(rest)

    # -- heads --

    def _hoard(self, data: bytes) -> None:
        """Bytes outside of any body: the next head, or what was sent early."""
        if self._current is None and not self._pending:
            end = data.find(b"\r\n\r\n")
            if end >= 0:
                self._accept(data[: end + 4], data[end + 4 :])
                return
            self.busy_until = self.loop.time() + self._limits.head_s
        self._pending += data
        if self._current is None:
            self._scan()
        elif len(self._pending) >= self._limits.early:
            self.hold()

    def _scan(self) -> None:
        """Looks for the end of a head in what is pending."""
        pending = self._pending
        end = pending.find(b"\r\n\r\n", max(0, self._scanned - 3))
        if end >= 0:
            raw, rest = bytes(pending[: end + 4]), bytes(pending[end + 4 :])
            self._pending = bytearray()
            self._scanned = 0
            del pending
            self._accept(raw, rest)
        elif len(pending) > HEAD_LIMIT:
            self._refuse(too_large())
        elif len(pending) > FREE and not self._server.pays(self, self._share, len(pending), coming=True):
            self._refuse(crowded())
        elif broken_early(pending, self._scanned):
            self._refuse(BadRequest("the request head contains a NUL byte, or a bare CR or LF"))
        else:
            self._scanned = len(pending)

    def _refuse(self, error: StatusError) -> None:
        self.refused = error
        self._discard = True
        self._pending = bytearray()
        self._let_go()
        self._ring()

    def give_way(self) -> None:
        """For the server: the head that has been coming for longest makes room for another."""
        self._refuse(crowded())

    def _let_go(self) -> None:
        if self._share.taken:
            self._share.give()
            self.heads.kept = None  # what the handler learned holds the head's bytes
            self._server.paid(self)

    def _accept(self, raw: bytes, rest: bytes) -> None:
        """A whole head: the exchange starts, and what follows the head is its body's."""
        if len(raw) > HEAD_LIMIT:
            self._refuse(too_large())
            return
        if len(raw) > FREE and not self._server.pays(self, self._share, len(raw)):
            self._refuse(crowded())
            return
        try:
            head = self.heads.parse(raw)
        except StatusError as error:
            self._refuse(error)
            return
        if head.authority is not None and not self._server.is_ours(head.authority, self):
            self._refuse(BadRequest("the absolute request target names another host than this one"))
            return
        lines = len(head.headers)
        large = len(raw) > FREE or lines > FREE_LINES
        if large and not self._server.pays(self, self._share, cost(len(raw), lines)):
            self._refuse(crowded())
            return
        self._inbox = inbox = Inbox(self)
        self._current = Exchange(self, head, inbox)
        self.busy_until = 0.0
        if head.chunked or head.content_length:
            self._body = BodyReader(inbox, head.content_length)
        else:
            inbox.end()
        self._ring()
        if rest:
            self.received(rest)

    def _ring(self) -> None:
        if self._next is not None and not self._next.done():
            self._next.set_result(None)

    # -- the task's side --

    async def _serve(self) -> None:
        try:
            while await self._one():
                pass
        finally:
            self._leave()

    async def _one(self) -> bool:
        """Waits for one request and answers it. False: the connection is not used again."""
        if not await self._arrival():
            if self._expired:
                await self._end()
            return False
        exchange = self._current
        if exchange is None:
            await self._answer_refused()
            return False
        await guarded(self._server.handler, exchange, self)
        if exchange.raw is not None:
            await self._leave_raw(exchange.raw)
            return False
        return await self._after(exchange)

    async def _arrival(self) -> bool:
        """True when a request, or a refusal, is there; False if the client left or the server closes."""
        while self._current is None and self.refused is None:
            if self.client_left or self._expired or self._server.closing:
                return False
            self._next = self.loop.create_future()
            await self._next
        return not self.closed

    def closes_after(self, exchange: Exchange) -> bool:
        """True if the connection ends after this answer, and the answer has to say so."""
        head = exchange.head
        return (
            not head.keep_alive
            or head.upgrade is not None
            or self._server.closing
            or self._server.lingering
            or self.refused is not None
            or not exchange.complete
        )

    async def _after(self, exchange: Exchange) -> bool:
        """Cleans up behind an answered request. True: the connection takes the next one."""
        if self.closed or self.client_left or self.transport.is_closing():
            return False
        head = exchange.head
        if not exchange.complete or self.refused is not None:
            await self._drain()
            return False
        if not head.keep_alive or head.upgrade is not None or exchange.closes or self._server.closing:
            await self._end()
            return False
        self._current = self._inbox = None
        if self._share.taken:
            self._let_go()
        self.unhold()
        self.busy_until = self.loop.time() + self._limits.idle_s
        if self._pending:
            self._scan()
        return True

    async def _drain(self) -> None:
        """After an early answer: drops what the client still sends, for a while, so that it sees the answer."""
        if self._inbox is not None:
            self._inbox.detach()
        self._inbox = self._body = None
        await self._end()

    async def _end(self) -> None:
        self._discard = self._ending = True
        if self.client_left:  # it has closed its half already: there is nothing to wait for
            self.transport.close()
        else:
            await self.linger(self._limits.linger_s, STALL_S if self.refused else self._limits.stall_s)

    async def _answer_refused(self) -> None:
        """A head that broke a rule gets a real answer, and then the connection ends: the rest means nothing."""
        assert self.refused is not None  # noqa: S101
        status, headers, body = error_answer(self.refused)
        self.transport.write(encode_response(status, headers, length=len(body), close=True) + body)
        await self._end()

    # -- raw --

    def become_raw(self, protocol: bytes) -> Raw:
        """Turns the connection into a raw stream; bytes that wait behind the head are its first."""
        self._inbox = inbox = Inbox(self)
        raw = Raw(self, inbox, ClientGone, protocol)
        early = bytes(self._pending)
        self._pending.clear()
        self.unhold()
        inbox.push(early)
        if self.client_left:
            inbox.fail(ClientGone("the client has left"))
        return raw

    async def _leave_raw(self, raw: Raw) -> None:
        """The handler is done with a raw stream: one that was not ended is cut."""
        if raw.eof_written:
            self._discard = True
            await self.linger(self._limits.linger_s, self._limits.stall_s)
        else:
            self.abort()

    # -- lifetime --

    @property
    def idle(self) -> bool:
        """No request is being received or answered."""
        return self._current is None and not self._pending and self.refused is None

    def sweep(self, now: float) -> None:
        """Ends what takes too long: idle connections quietly, heads with 400, bodies by telling the handler."""
        if self._current is not None:
            self._sweep_body(now)
        elif self.busy_until and now > self.busy_until and self.refused is None:
            if self._pending:
                self._refuse(BadRequest(f"the request head took longer than {self._limits.head_s:.0f} s"))
            else:
                self._expired = True  # what the client has not taken of its last answer, it still gets
                self._ring()

    def _sweep_body(self, now: float) -> None:
        inbox = self._inbox
        current = self._current
        if inbox is None or inbox.ended or not inbox.waiting or (current and (current.raw or current.lasting)):
            self.busy_until = 0.0
        elif not self.busy_until or inbox.total != self._seen:
            self._seen = inbox.total
            self.busy_until = now + self._limits.body_s
        elif now > self.busy_until:
            self.stalled = True
            inbox.fail(ClientGone(f"the client sent nothing of its body for {self._limits.body_s:.0f} s"))

    def close_idle(self) -> None:
        """For a server that closes: an idle connection ends now, a busy one after its answer."""
        self._ring()

    def _leave(self) -> None:
        if not self.closed and not self.transport.is_closing():
            self.transport.close()
        self._current = None
        self._let_go()


def crowded() -> StatusError:
    """The 503 of a large head that there is no room for."""
    return ServiceUnavailable(
        "too many large request heads are on their way to this host or being served; nothing was executed: repeat it",
        retry_after_s=1,
    )
