"""Pieces of an answer, packed with LZ4 between the agent and the proxy.

Each byte of an answer is encrypted and decrypted four times on its way over the bus and copied by the server; to pack it
first costs less than that (bench), and lists of a member behind a slow line arrive several times as fast. LZ4 and not
zstd: on lists of Pods zstd saves twice as much of the line for twice the time, on what is hard to pack the time decides.

A packed piece is the size of the plain one, 4 bytes little-endian, and one LZ4 block. Pieces stand for themselves: no state
is kept for a stream, and a receiver knows what it will get before it unpacks, so nothing is unpacked beyond the credit.
"""

from __future__ import annotations

import lz4.block

from skerry.tunnel.codes import ProtocolError

LEAST = 4 << 10
"""Bytes below which a piece is not worth the call."""
_WORTH = 3 / 4
_SIZE = 4


def pack(piece: bytes | memoryview) -> bytes | None:
    """`piece`, packed; None where that would save less than a quarter."""
    packed: bytes = lz4.block.compress(piece, store_size=True)
    return packed if len(packed) <= len(piece) * _WORTH else None


def plain_size(packed: bytes) -> int:
    """Bytes that `packed` says it will be. Raises ProtocolError where it does not say."""
    if len(packed) <= _SIZE:
        raise ProtocolError("a packed piece that does not say its size")
    return int.from_bytes(packed[:_SIZE], "little")


def unpack(packed: bytes, size: int) -> bytes:
    """The piece in `packed`, exactly `size` bytes (what `plain_size` said and the credit allows). Raises ProtocolError."""
    try:
        piece: bytes = lz4.block.decompress(memoryview(packed)[_SIZE:], uncompressed_size=size)
    except (lz4.block.LZ4BlockError, OverflowError) as e:
        raise ProtocolError("a packed piece that cannot be read") from e
    if len(piece) != size:
        raise ProtocolError(f"a packed piece of {len(piece)} bytes that promised {size}")
    return piece
