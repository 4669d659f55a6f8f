"""The agent's rules about time, without a clock: the host's time, when to renew, when a silent bus is given up. Pure."""

from __future__ import annotations

from collections import deque

RENEW_AT = 2 / 3
"""Of a JWT's life (bus.md)."""
MISSES = 3
"""Heartbeats without an echo after which connections are rebuilt though TCP seems fine (a half-open path, a wedged route)."""
SAMPLES = 8


class HostClock:
    """Host time = monotonic local time + offset, learned from heartbeat answers: the shortest round trip wins.

    Expiry of assertions and of credentials is judged in host time, so a member whose clock is wrong, or is set while
    the agent runs, works. Until the first answer the offset given (this machine's clock) has to do.
    """

    def __init__(self, offset_s: float) -> None:
        self._samples: deque[tuple[float, float]] = deque(maxlen=SAMPLES)
        self.offset_s = offset_s

    def learn(self, sent: float, received: float, host_time: float) -> None:
        """An answer that left the host at `host_time`, asked at `sent` and read at `received` (monotonic seconds)."""
        self._samples.append((received - sent, host_time - (sent + received) / 2))
        self.offset_s = min(self._samples)[1]

    def forget(self) -> None:
        """A new connection: the machine may have slept, and what was learned before is worth less than one answer."""
        self._samples.clear()

    def ahead(self, monotonic: float, wall: float) -> float | None:
        """How far this machine's clock, which is at `wall`, is ahead of the host's; None before the first answer."""
        return round(wall - self.host(monotonic), 1) if self._samples else None

    def host(self, monotonic: float) -> float:
        """Host time, in seconds since the epoch, at a monotonic local time."""
        return monotonic + self.offset_s


def renewal_due(issued: float, expires: float) -> float:
    """When a JWT is renewed: after two thirds of its life (host time)."""
    return issued + (expires - issued) * RENEW_AT


class Watchdog:
    """Counts heartbeats that no answer came back to. An answer of any kind is an echo, also "no responders":
    then the bus works end to end and only the registry is away, which is no reason to cut anybody's streams."""

    def __init__(self) -> None:
        self.missed = 0

    def echoed(self) -> None:
        """Something came back."""
        self.missed = 0

    def silent(self) -> bool:
        """Nothing came back in time. True: give the connections up."""
        self.missed += 1
        if self.missed < MISSES:
            return False
        self.missed = 0
        return True


def backoff_s(attempt: int, spread: float) -> float:
    """Seconds before attempt number `attempt` (from 0): 1, 2, 4 … 60, spread over 50-100 % by `spread` in [0, 1)."""
    return min(60.0, float(2 ** min(attempt, 6))) * (0.5 + spread / 2)
