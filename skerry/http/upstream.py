"""One connection to the upstream server: sends a request, cuts bytes into its answer.

The server is hostile until checked: its head must match the grammar, its framing must be one of the three that
HTTP/1.1 knows, bytes that nobody asked for cost the connection (rule 11), and only a 101 for what was asked opens a raw
stream: any other answer to an upgrade is an ordinary one, and the connection ends with it (rule 3; CVE-2018-1002105).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from skerry.http.buffer import ReadBuffer
from skerry.http.errors import Cut, HttpError, UpstreamProtocolError
from skerry.http.raw import Raw
from skerry.http.response import Response
from skerry.http.wire import Inbox, Wire, tune
from skerry.httpwire.chunks import ChunkDecoder, ChunkError
from skerry.httpwire.head import BODILESS, HEAD_LIMIT, MalformedHead, ParsedResponse
from skerry.httpwire.headreader import parse_response
from skerry.httpwire.room import FREE, FREE_LINES, Room, Share, cost

_INFORMATIONAL_LIMIT = 16
_CROWDED = "its head is a large one, and this process has too many of them at once: repeat it later"


class UpstreamConnection(Wire):
    """The protocol of one connection to the upstream server, used by one request at a time."""

    def __init__(
        self, buffer: ReadBuffer, loop: asyncio.AbstractEventLoop, released: Callable[[UpstreamConnection], None],
        lost: Callable[[UpstreamConnection], None], room: Room,
    ) -> None:  # fmt: skip
        super().__init__(buffer, loop)
        self._released = released
        self._lost = lost
        self._pending = bytearray()  # of a head that is not whole
        self._share = Share(room)
        self._waiter: asyncio.Future[Response] | None = None  # for the head of an answer
        self._response: Response | None = None
        self._inbox: Inbox | None = None
        self._left: int | None = 0  # bytes of the body to come; None: until the connection ends
        self._decoder: ChunkDecoder | None = None
        self._method = b""
        self._upgrade: bytes | None = None
        self._keep = True
        self._informational = 0
        self.sending = False
        """A streamed request body is on its way."""
        self.answered = False
        """A byte of the current answer has come."""
        self.idle_since = 0.0

    # -- the request --

    def expect(self, method: bytes, upgrade: bytes | None) -> asyncio.Future[Response]:
        """Prepares for one answer; the future gives it, or Cut or ProtocolError."""
        self._method, self._upgrade = method, upgrade
        self.answered = False
        self._informational = 0
        self._waiter = self.loop.create_future()
        if self.closed or self.transport.is_closing():
            self._fail(Cut("the upstream connection is closed"))
        return self._waiter

    async def send(self, data: bytes) -> None:
        """Sends bytes of a request; returns when the socket took them. Raises Cut."""
        if self.closed or self.transport.is_closing():
            raise Cut("the upstream connection was cut")
        self.transport.write(data)
        if not self.writable:
            await self.drained()
            if self.closed:
                raise Cut("the upstream connection was cut")

    def give_up(self, error: Exception) -> None:
        """The request's body broke off: the server must not take it for complete, nor the caller its answer."""
        cut = Cut("the request's body broke off")
        cut.__cause__ = error
        self._fail(cut)
        self.abort()

    # -- the loop's side --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Tunes the socket."""
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            tune(sock)

    def received(self, data: bytes) -> None:
        """Sorts bytes: body, raw stream, or the head of the answer that is waited for."""
        if self._waiter is not None:
            self.answered = True
            self._head(data)
        elif self._decoder is not None:
            self._decode(data)
        elif self._inbox is not None and self._left is None:
            self._inbox.push(data)
        elif self._left:
            self._counted(data)
        else:  # nobody asked for this: the next answer could not be trusted
            self.abort()

    def ended(self, clean: bool) -> None:
        """The server sends no more: the end of a raw stream or of a close-delimited body, else a cut."""
        inbox = self._inbox
        if inbox is not None and self._left is None and self._decoder is None and clean:
            response = self._response
            if response is not None and response.raw is not None:
                inbox.end()
                response.raw.settle()
                return
            self._keep = False
            self._complete()
        if not self.closed:
            self._cut("the upstream server closed the connection in the middle of its answer")
            self.transport.close()

    def lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        reason = f" ({exc.reason})" if isinstance(exc, ssl.SSLError) and exc.reason else ""
        self._cut(f"the upstream connection was cut{reason}")
        self._share.give()
        self._lost(self)

    def _cut(self, why: str) -> None:
        self._fail(Cut(why))

    def _fail(self, error: HttpError) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
            waiter.exception()  # retrieved: the waiter may have been cancelled in this very turn
        if self._inbox is not None:
            self._inbox.fail(error)

    def _break(self, why: str) -> None:
        self._fail(UpstreamProtocolError(f"the upstream server broke the protocol: {why}"))
        self.abort()

    # -- heads --

    def _head(self, data: bytes) -> None:
        while self._waiter is not None:
            end = -1 if self._pending else data.find(b"\r\n\r\n")
            if not 0 <= end <= HEAD_LIMIT:
                end = self._end_of_head(data)
                if end < 0:
                    return
                data, self._pending = bytes(self._pending), bytearray()
            raw = data[: end + 4]
            try:
                parsed = parse_response(raw)
            except MalformedHead as error:
                self._break(str(error))
                return
            lines = len(parsed.head.headers)
            if (len(raw) > FREE or lines > FREE_LINES) and not self._share.upto(cost(len(raw), lines)):
                self._break(_CROWDED)
                return
            data = data[end + 4 :]
            if not self._answer(parsed, data):
                return

    def _end_of_head(self, data: bytes) -> int:
        """Where the head ends in all that has come of it, which is pending then; -1 if there is more to come, or too much."""
        start = max(0, len(self._pending) - 3)
        self._pending += data
        end, size = self._pending.find(b"\r\n\r\n", start), len(self._pending)
        if end > HEAD_LIMIT or (end < 0 and size > HEAD_LIMIT):
            self._break(f"its head is larger than {HEAD_LIMIT >> 20} MiB")
            return -1
        if end < 0 and size > FREE and not self._share.upto(size):
            self._break(_CROWDED)
        return end

    def _answer(self, parsed: ParsedResponse, rest: bytes) -> bool:
        """Takes a head. True: it was informational, and another one follows."""
        status = parsed.head.status
        if status == 101:
            self._switch(parsed, rest)
            return False
        if status < 200:
            self._informational += 1
            if self._informational > _INFORMATIONAL_LIMIT:
                self._break("it sent too many informational answers")
                return False
            return True
        self._begin(parsed)
        if rest:
            self.received(rest)
        return False

    def _switch(self, parsed: ParsedResponse, rest: bytes) -> None:
        """101: only for what was asked."""
        offered, got = self._upgrade, parsed.upgrade
        if offered is None:
            self._break("it answered 101 without being asked")
            return
        if got is None or not _offered(offered, got):
            self._break("it switched to a protocol that was not asked for")
            return
        inbox = Inbox(self)
        raw = Raw(self, inbox, Cut, got)
        self._deliver(Response(self, parsed.head, None, inbox, raw), inbox, None)
        inbox.push(rest)

    def _begin(self, parsed: ParsedResponse) -> None:
        """An ordinary answer: how long is it?"""
        head, length = parsed.head, parsed.length
        inbox = Inbox(self)
        self._keep = parsed.keep_alive and self._upgrade is None
        response = Response(self, head, length, inbox, None)
        if self._method == b"HEAD" or head.status in BODILESS:
            if head.status in BODILESS and (parsed.chunked or length) and self._method != b"HEAD":
                self._keep = head.status == 304 and self._keep  # a 304 may name the length of what it does not send
            self._deliver(response, inbox, 0)
        elif parsed.chunked:
            self._decoder = ChunkDecoder()
            self._deliver(response, inbox, 0)
            return
        else:
            self._deliver(response, inbox, length)
        if self._left == 0:
            self._complete()

    def _deliver(self, response: Response, inbox: Inbox, left: int | None) -> None:
        waiter, self._waiter = self._waiter, None
        self._response, self._inbox, self._left = response, inbox, left
        if waiter is not None and not waiter.done():
            waiter.set_result(response)
        else:  # the caller has left: nobody will read this
            self.abort()

    # -- bodies --

    def _counted(self, data: bytes) -> None:
        inbox, left = self._inbox, self._left
        assert inbox is not None  # noqa: S101
        assert left is not None  # noqa: S101
        if len(data) > left:
            inbox.push(data[:left])
            self._keep = False
            self._left = 0
        else:
            inbox.push(data)
            self._left = left - len(data)
        if not self._left:
            self._complete()

    def _decode(self, data: bytes) -> None:
        decoder, inbox = self._decoder, self._inbox
        assert decoder is not None  # noqa: S101
        assert inbox is not None  # noqa: S101
        try:
            inbox.push(decoder.feed(data))
        except ChunkError as error:
            self._break(str(error))
            return
        if decoder.done:
            if decoder.trailers and self._response is not None:
                self._response.trailers = decoder.trailers
            self._keep = self._keep and not decoder.rest
            self._complete()

    def _complete(self) -> None:
        """The answer is whole: its reader keeps the bytes, the connection is free or closed."""
        inbox, response = self._inbox, self._response
        self._inbox = self._response = self._decoder = None
        self._left = 0
        if inbox is not None:
            inbox.end()
        if response is not None:
            response.forget_connection()
        if self._share.taken:
            self._share.give()
        self._free()

    def _free(self) -> None:
        if self.closed or self.transport.is_closing():
            return
        if self.sending or not self._keep:  # an answer before the request's end: the rest of the request is void
            self.transport.close()
        else:
            self._released(self)


def _offered(protocols: bytes, got: bytes) -> bool:
    offered = {part.strip(b" \t") for part in protocols.lower().split(b",")}
    return got.lower() in offered
