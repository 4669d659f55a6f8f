"""The body of a request on its way from a connection to its reader: counted, or in chunks."""

from __future__ import annotations

from skerry.http.wire import Inbox
from skerry.httpwire.chunks import ChunkDecoder


class BodyReader:
    """Takes what arrives behind a head until the body is whole."""

    __slots__ = ("_decoder", "_left", "inbox")

    def __init__(self, inbox: Inbox, length: int | None) -> None:
        """`length`: bytes that Content-Length promises, more than none; None for chunks."""
        self.inbox = inbox
        self._left = length or 0
        self._decoder = ChunkDecoder() if length is None else None

    @property
    def whole(self) -> bool:
        """True if the last byte has come; the inbox has its end then."""
        return self.inbox.ended

    def feed(self, data: bytes) -> bytes:
        """Bytes as they come; the answer is what lies behind the body. Raises ChunkError."""
        inbox, decoder = self.inbox, self._decoder
        if decoder is not None:
            inbox.push(decoder.feed(data))
            if decoder.done:
                inbox.end()
            return decoder.rest if decoder.done else b""
        size = len(data)
        if size < self._left:
            self._left -= size
            inbox.push(data)
            return b""
        rest = data[self._left :]
        inbox.push(data[: self._left] if rest else data)
        self._left = 0
        inbox.end()
        return rest
