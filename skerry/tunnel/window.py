"""Receive windows: how much the other side may send, and who pays for it.

Credit cannot be taken back, so every byte that is granted and not yet written is paid from the process's Budget. First
windows may use all of it, growth only its upper half: a few fast streams never leave the others without a start.
A connection of the other process is granted no more than it can deliver in two seconds (PeerRate): more would only
wait inside the bus, whose write deadline then cuts a slow but healthy link.
Interactive streams never have more than 64 KiB; bulk streams start at 256 KiB and may grow to 1 MiB.
"""

from __future__ import annotations

MIN_WINDOW = 64 << 10
BULK_WINDOW = 256 << 10
MAX_WINDOW = 1 << 20
LEAST_CREDIT = MIN_WINDOW // 4
"""Credit that rises by less, no correct peer announces: `Window.take` does so for half of the smallest window or more."""

_RATE_FLOOR = 512 << 10
_RATE_CEILING = 16 << 20
_RATE_SECONDS = 2.0
_MEASURE_S = 0.5


class Budget:
    """Bytes that all streams of this process may have granted and not yet written."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.used = 0
        self.grown = 0

    def take(self, size: int) -> bool:
        """Pay for a first window."""
        if self.used + size > self.total:
            return False
        self.used += size
        return True

    def grow(self, size: int) -> bool:
        """Pay for growth: growth altogether may use one half of the budget, the other is kept for first windows."""
        if self.grown + size > self.total // 2 or not self.take(size):
            return False
        self.grown += size
        return True

    def release(self, size: int, grown: int) -> None:
        """Give back what one stream had, of which `grown` was growth."""
        self.used -= size
        self.grown -= grown


class PeerRate:
    """The rate of one connection of the other process, and how much may be on its way from it.

    `inflight` is granted minus received, over its streams, in plain bytes. The rate counts bytes as they travel, packed or
    not: what the link does with the next stream is not known. It is the better of the last two half-seconds that
    had traffic; a pause does not lower it, since silence says nothing about the link.
    """

    def __init__(self) -> None:
        self.inflight = 0
        self.rate = 0.0
        self._bytes = 0
        self._since = 0.0

    def arrived(self, n: int, now: float, wire: int | None = None) -> None:
        """`n` granted bytes came; as `wire` bytes, if they were packed."""
        self.inflight -= n
        elapsed = now - self._since
        if elapsed >= _MEASURE_S:
            if elapsed < 2 * _MEASURE_S:
                self.rate = max(self._bytes / elapsed, self.rate / 2)
            self._bytes, self._since = 0, now
        self._bytes += n if wire is None else wire

    def allows(self, extra: int) -> bool:
        """True if `extra` more bytes may be on their way."""
        cap = min(max(self.rate * _RATE_SECONDS, _RATE_FLOOR), _RATE_CEILING)
        return self.inflight + extra <= cap


class Window:
    """The receiving side of one direction of one stream: what was granted, received and taken by the local socket."""

    __slots__ = (
        "_budget",
        "_cost",
        "_fed",
        "_grown",
        "_hungry",
        "_rate",
        "bulk",
        "granted",
        "received",
        "size",
        "taken",
    )

    def __init__(self, budget: Budget, *, bulk: bool) -> None:
        self._budget = budget
        self._rate: PeerRate | None = None
        self._cost = self._grown = 0
        self._hungry = False
        self._fed: float | None = None
        self.bulk = bulk
        self.size = 0
        self.granted = self.received = self.taken = 0

    def open(self, inline: int = 0, *, more: bool = True, rate: PeerRate | None = None) -> bool:
        """Start with `inline` bytes that came already, and a first window if `more` may follow.

        False when the budget is exhausted: the stream must be refused.
        """
        if more:
            self.size = BULK_WINDOW if self.bulk and (rate is None or rate.allows(BULK_WINDOW)) else MIN_WINDOW
        if not self._budget.take(inline + self.size):
            return False
        self._cost = inline + self.size
        self.received = inline
        self.granted = inline + self.size
        return True

    def attach(self, rate: PeerRate, now: float) -> None:
        """The connection that sends is known now."""
        self._rate = rate
        rate.inflight += self.granted - self.received
        self._fed = now if self.received > self.taken else None

    def arrived(self, n: int, now: float, wire: int | None = None) -> bool:
        """`n` bytes came; as `wire` bytes, if they were packed. False: they are beyond the credit."""
        if self.received + n > self.granted:
            return False
        if self.received == self.taken:
            self._fed = now
            self._hungry = self._hungry or self.granted - self.received - n < self.size // 2
        self.received += n
        if self._rate is not None:
            self._rate.arrived(n, now, wire)
        return True

    def take(self, n: int, now: float) -> int | None:
        """The local socket took `n` bytes; returns the new absolute credit when it is time to announce one."""
        if n < 0 or self.taken + n > self.received:
            raise ValueError(f"{n} bytes taken of {self.received - self.taken} received")
        self.taken += n
        self._fed = now if self.received > self.taken else None
        if not self.size:
            return None
        self._grow()
        size = self.size if self._allows(self.taken + self.size - self.granted) else MIN_WINDOW
        extra = self.taken + size - self.granted
        if extra < size // 2:
            return None
        self._grant(extra)
        return self.granted

    def stalled(self, now: float, limit: float) -> bool:
        """True if bytes wait here of which the local socket took nothing for `limit` seconds."""
        return self._fed is not None and now - self._fed > limit

    def close(self) -> None:
        """Give everything back. Idempotent."""
        self._budget.release(self._cost, self._grown)
        if self._rate is not None:
            self._rate.inflight -= self.granted - self.received
        self._rate, self._fed = None, None
        self._cost = self._grown = self.size = 0

    def _grow(self) -> None:
        extra = min(self.size, MAX_WINDOW - self.size)
        if not (self._hungry and self.bulk and extra and self._allows(extra) and self._budget.grow(extra)):
            return
        self._hungry = False
        self.size += extra
        self._cost += extra
        self._grown += extra

    def _allows(self, extra: int) -> bool:
        return self._rate is None or self._rate.allows(extra)

    def _grant(self, extra: int) -> None:
        self.granted += extra
        if self._rate is not None:
            self._rate.inflight += extra
