"""An upstream server's answer, as its caller reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from skerry.http.raw import Raw
from skerry.http.wire import Inbox
from skerry.httpwire.head import Headers, ResponseHead


class ResponseConnection(Protocol):
    """The part of a connection that an answer needs."""

    def abort(self) -> None: ...


class Response:
    """One answer. Read it to its end, or `release` it; the connection is used again only after a whole answer."""

    __slots__ = ("_connection", "_inbox", "head", "length", "pump", "raw", "trailers")

    def __init__(
        self, connection: ResponseConnection, head: ResponseHead, length: int | None, inbox: Inbox, raw: Raw | None
    ) -> None:
        self._connection: ResponseConnection | None = connection
        self._inbox = inbox
        self.head = head
        self.length = length
        """Bytes of the body, if announced. For HEAD: what GET would have."""
        self.raw = raw
        """The raw stream after 101, else None."""
        self.trailers: Headers = []
        """What came behind a chunked body, as received; known when the body has ended."""
        self.pump: asyncio.Task[None] | None = None
        """Sends a streamed request body meanwhile."""

    @property
    def status(self) -> int:
        """The status code."""
        return self.head.status

    @property
    def headers(self) -> Headers:
        """The header pairs as received, names in lower case, framing headers included."""
        return self.head.headers

    @property
    def complete(self) -> bool:
        """The whole body has arrived; what of it was not read yet waits here, and costs the connection nothing."""
        return self._inbox.ended

    async def read(self) -> bytes:
        """The next bytes of the body, decoded; b"" at its true end. Raises Cut or ProtocolError if it broke off."""
        return await self._inbox.read()

    async def gather(self, least: int, within_s: float) -> bytes:
        """Like `read`, but waits up to `within_s` seconds for `least` bytes: for who pays for each piece."""
        return await self._inbox.gather(least, within_s)

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises ValueError beyond `limit` bytes (and aborts), Cut and ProtocolError."""
        parts: list[bytes] = []
        await self.copy(parts.append, limit)
        return b"".join(parts)

    async def copy(self, write: Callable[[bytes], object], limit: int) -> None:
        """Give the whole body to `write`, piece by piece; as `body` otherwise."""
        size = 0
        while data := await self.read():
            size += len(data)
            if size > limit:
                self.abort()
                raise ValueError(f"the answer is larger than {limit} bytes")
            write(data)
        await self.release()

    async def release(self) -> None:
        """The caller is done. An answer that has not arrived as a whole costs its connection."""
        if self.raw is not None:
            if not self.raw.eof_written:
                self.raw.abort()
            elif not self._inbox.ended:
                await self.raw.close()
        elif not self._inbox.ended:
            self.abort()
        if self.pump is not None:
            self.pump.cancel()
            await asyncio.gather(self.pump, return_exceptions=True)
            self.pump = None

    def abort(self) -> None:
        """Cuts the connection, if it is still ours."""
        if self._connection is not None:
            self._connection.abort()
        if self.pump is not None:
            self.pump.cancel()

    def forget_connection(self) -> None:
        """For the connection: the answer is whole, the connection goes its own way."""
        self._connection = None
        self._inbox.detach()
