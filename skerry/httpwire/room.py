"""What large heads may take of a process, over all its connections.

An API server takes heads of 1 MiB (net/http's default), and so do we; but ten thousand connections with one each would be
10 GiB, and a client needs no credential to begin one. So what is beyond an ordinary head is paid for before it is kept,
from one Room of the process, until the exchange that it belongs to is over.
"""

from __future__ import annotations

FREE = 8 * 1024
"""Bytes of a head that cost nothing: an ordinary one, with a token, has less."""
FREE_LINES = 256
"""Header lines that cost nothing."""
LINE = 160
"""Bytes that a header line costs besides its own: a pair and its two values are objects."""
TOTAL = 16 << 20
"""The default of a Room: 16 heads of the largest size, or 150 commands of 100 KB."""


class Room:
    """Bytes for all large heads of one process."""

    __slots__ = ("total", "used")

    def __init__(self, total: int = TOTAL) -> None:
        self.total = total
        self.used = 0

    def has(self, size: int) -> bool:
        """True if `size` more bytes fit."""
        return self.used + size <= self.total


class Share:
    """The part of a Room that one connection or stream has."""

    __slots__ = ("_room", "taken")

    def __init__(self, room: Room) -> None:
        self._room = room
        self.taken = 0

    def upto(self, size: int) -> bool:
        """Have `size` bytes. False, and nothing is changed, if the room is full."""
        more = size - self.taken
        if more > 0:
            if not self._room.has(more):
                return False
            self._room.used += more
            self.taken = size
        return True

    def give(self) -> None:
        """Give all of it back. Idempotent."""
        self._room.used -= self.taken
        self.taken = 0


def cost(size: int, lines: int) -> int:
    """The bytes that a head of `size` bytes with `lines` header lines takes, if it is no ordinary one."""
    return size + LINE * lines
