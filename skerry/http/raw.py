"""A connection after 101: bytes both ways, never parsed (rule 2).

Ends. Each direction ends by itself: over plain TCP with a FIN, over TLS with a close_notify (RFC 8446, 6.1). Peers that
know no half-closed TLS connection, as API servers and kubectl, end their direction then too. Everything received before
an end is delivered first, also if the reader is slow (rule 12); an end of TCP without a close_notify is a cut.
"""

from __future__ import annotations

from skerry.http.errors import HttpError
from skerry.http.wire import Inbox, Wire


class Raw:
    """The raw stream of an upgraded connection. Bytes that came with the head are its first."""

    __slots__ = ("_broken", "_inbox", "_wire", "eof_written", "upgrade")

    def __init__(self, wire: Wire, inbox: Inbox, broken: type[HttpError], upgrade: bytes) -> None:
        self._wire = wire
        self._inbox = inbox
        self._broken = broken
        self.upgrade = upgrade
        """The protocol that was agreed on, as the server wrote it."""
        self.eof_written = False

    @property
    def closed(self) -> bool:
        """True if the connection is gone."""
        return self._wire.closed

    async def read(self) -> bytes:
        """The next bytes; b"" when the peer ended its direction. Raises ClientGone or Cut if it was cut."""
        return await self._inbox.read()

    async def write(self, data: bytes) -> None:
        """Sends bytes; returns when the socket took them. Raises ClientGone or Cut."""
        wire = self._wire
        if wire.closed or self.eof_written or wire.transport.is_closing():
            raise self._broken("the raw connection is closed")
        wire.transport.write(data)
        if not wire.writable:
            await wire.drained()
            if wire.closed:
                raise self._broken("the raw connection was cut")

    async def write_eof(self) -> None:
        """Ends our direction after all that was written; reading goes on. `close` waits until it was taken."""
        if self.eof_written:
            return
        self.eof_written = True
        if not self._wire.closed and not self._wire.transport.is_closing():
            self._wire.transport.write_eof()
            self.settle()

    def settle(self) -> None:
        """Closes a connection whose two directions have both ended."""
        if self.eof_written and self._inbox.ended:
            self._wire.transport.close()

    def abort(self) -> None:
        """Cuts the connection with a reset."""
        self._wire.abort()

    async def close(self, limit_s: float = 5.0) -> None:
        """Ends both directions cleanly; what the peer still sends is dropped (see Wire.linger)."""
        self.eof_written = True
        self._inbox.end()
        await self._wire.linger(limit_s)
