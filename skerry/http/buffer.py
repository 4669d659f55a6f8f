"""The buffers that all connections of one Server or Client share."""

from __future__ import annotations

import ssl

from skerry.http.limits import READ_SIZE


class ReadBuffer:
    """The buffers that all connections of one loop share: used within one callback, and empty after it."""

    __slots__ = ("incoming", "outgoing", "view")

    def __init__(self) -> None:
        self.view = memoryview(bytearray(READ_SIZE))
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
