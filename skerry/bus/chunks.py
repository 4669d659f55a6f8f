"""Content on its way into an object store: cut into chunks, a few of which are in flight, and none when it is over."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import aclosing
from typing import NamedTuple

from skerry.errors import RequestEntityTooLarge

CHUNK_BYTES = 128 * 1024
IN_FLIGHT = 4
"""Chunks that are not acknowledged yet, at once."""
SETTLE_S = 2.0
"""How long is waited, after a failure, for what is in flight."""


class StoredContent(NamedTuple):
    """What was stored."""

    size: int
    """Bytes."""
    chunks: int
    digest: bytes
    """SHA-256."""


async def store_chunks(
    content: AsyncIterable[bytes], put: Callable[[bytes], Awaitable[None]], max_bytes: int
) -> StoredContent:
    """Give `content` to `put`, chunk by chunk, in order. RequestEntityTooLarge beyond `max_bytes`, and what both raise.

    Whatever happens, nothing is in flight when this returns: a chunk that came after its object was given up would stay.
    """
    sha256, size, chunks = hashlib.sha256(), 0, 0
    in_flight: deque[asyncio.Future[None]] = deque()
    try:
        async with aclosing(_cut(content, max_bytes)) as pieces:
            async for chunk in pieces:
                if len(in_flight) >= IN_FLIGHT:
                    await in_flight.popleft()
                in_flight.append(asyncio.ensure_future(put(chunk)))
                sha256.update(chunk)
                size, chunks = size + len(chunk), chunks + 1
        while in_flight:
            await in_flight.popleft()
    finally:
        await _settled(in_flight)
    return StoredContent(size, chunks, sha256.digest())


async def _settled(in_flight: deque[asyncio.Future[None]]) -> None:
    if in_flight:
        await asyncio.wait(in_flight, timeout=SETTLE_S)
        for each in in_flight:
            each.cancel()
        await asyncio.gather(*in_flight, return_exceptions=True)


async def _cut(content: AsyncIterable[bytes], max_bytes: int) -> AsyncGenerator[bytes]:
    waiting, size = bytearray(), 0
    async for piece in content:
        size += len(piece)
        if size > max_bytes:
            raise RequestEntityTooLarge(f"it is larger than {max_bytes} bytes, the limit: nothing of it was stored")
        waiting += piece
        while len(waiting) >= CHUNK_BYTES:
            yield bytes(waiting[:CHUNK_BYTES])
            del waiting[:CHUNK_BYTES]
    if waiting:
        yield bytes(waiting)
