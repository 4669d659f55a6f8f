"""A watch over WebSocket, as an API server serves it: each event is a message, and what the client says is ignored.

The frames are text because the events are JSON; the sub-protocol that the client offered first is agreed on, and changes
nothing. A watch that ended in order, also with an ERROR event, ends with a close frame of 1000; one that was cut, with none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from skerry.http import ClientGone, Raw
from skerry.httpwire.websocket import (
    NORMAL,
    Close,
    Opcode,
    Ping,
    Receiver,
    WebSocketError,
    close,
    frame,
)

MESSAGE_LIMIT = 64 * 1024
"""Bytes of a message of the client's: nobody reads it."""
GOODBYE_S = 3.0
"""How long the client's close frame is waited for, after ours."""


class Messages:
    """Where the events of a watch go: see `watch.Sink`."""

    def __init__(self, raw: Raw) -> None:
        self._raw = raw

    async def tell(self, lines: Sequence[bytes]) -> None:
        """One message for each line. Raises ClientGone."""
        await self._raw.write(b"".join([frame(Opcode.TEXT, line) for line in lines]))


async def serve(raw: Raw, watch: Callable[[Messages], Awaitable[None]]) -> None:
    """Run `watch` until it is over or the client closes, and say goodbye. Raises what `watch` raises, and ClientGone."""
    watching = asyncio.ensure_future(watch(Messages(raw)))
    reading = asyncio.ensure_future(_until_closed(raw))
    try:
        await asyncio.wait((watching, reading), return_when=asyncio.FIRST_COMPLETED)
        if reading.done():
            await raw.write(close(reading.result()))
        else:
            await watching
            await raw.write(close(NORMAL))
            await asyncio.wait((reading,), timeout=GOODBYE_S)
        await raw.write_eof()
    finally:
        for task in (watching, reading):
            task.cancel()
        await asyncio.gather(watching, reading, return_exceptions=True)


async def _until_closed(raw: Raw) -> int:
    """Answer what must be answered; the code that our close frame has to carry when the client has closed, or must be
    sent away.
    """
    receiver = Receiver(from_client=True, limit=MESSAGE_LIMIT)
    while data := await raw.read():
        try:
            events = receiver.feed(data)
        except WebSocketError as error:
            return error.code
        for event in events:
            if isinstance(event, Ping):
                await raw.write(frame(Opcode.PONG, event.data))
            elif isinstance(event, Close):
                return NORMAL if event.code == 1005 else event.code
    raise ClientGone("the client ended its connection without a close frame")
