"""A queue of keys, as client-go's workqueue: what is to be looked at, each once, never by two workers at a time.

Pure: time comes in as an argument, in seconds of one monotonic clock. A key is in at most one of three states:

    ready      waits for a worker, in the order of arrival
    running    a worker has it; if it is added meanwhile it becomes ready again when that worker is done
    later      waits for its time; being added makes it ready at once, and a worker that takes it forgets its time

The last rule is ours: a look at a key says anew when to look again, so an older appointment has no meaning any more.

Keys may be somebody's each (`owner`): then owners take turns, and `most` keys of one run at a time, so that who has thousands of
them, or some that take long, holds up nobody else.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
_NOBODY = object()


class Queue(Generic[K]):
    """Keys that wait. Its size is bounded by the number of different keys, whatever the number of additions."""

    def __init__(self, owner: Callable[[K], Hashable] = lambda key: None, most: int | None = None) -> None:
        """`most`: of one owner's keys at a time; None: as many as there are workers."""
        self._owner, self._most = owner, most
        self._ready: dict[Hashable, dict[K, float]] = {}
        """Of each owner, whose turn is next first: in order of arrival; with the time of it."""
        self._busy: Counter[Hashable] = Counter()
        """How many of each owner's keys run."""
        self._running: dict[K, float] = {}
        """With the time when a worker took it."""
        self._again: dict[K, float] = {}
        """Added while running; with the time of it."""
        self._later: dict[K, float] = {}
        self._appointments: list[tuple[float, int, K]] = []
        """A heap that may hold appointments which `_later` has not any more."""
        self._made = 0

    def add(self, key: K, now: float) -> None:
        """Have `key` looked at as soon as a worker is free."""
        self._later.pop(key, None)
        if key in self._running:
            self._again.setdefault(key, now)
        else:
            self._make_ready(key, now)

    def add_at(self, key: K, when: float) -> None:
        """Have `key` looked at not before `when`; the earlier of two appointments counts. No-op for a ready key."""
        if key in self._ready.get(self._owner(key), ()) or key in self._again or self._later.get(key, when + 1) <= when:
            return
        self._later[key] = when
        self._made += 1
        heapq.heappush(self._appointments, (when, self._made, key))

    def next_due(self) -> float | None:
        """When the next appointment is; None if there is none."""
        while self._appointments:
            when, _, key = self._appointments[0]
            if self._later.get(key) == when:
                return when
            heapq.heappop(self._appointments)
        return None

    def wake(self, now: float) -> bool:
        """Make ready whose time has come; whether there was any."""
        woken = False
        while (due := self.next_due()) is not None and due <= now:
            self.add(self._appointments[0][2], now)
            woken = True
        return woken

    def take(self, now: float) -> K | None:
        """The key that is ready for longest of whose turn it is, now running; None if there is none."""
        owner = next(self._in_turn(), _NOBODY)
        if owner is _NOBODY:
            return None
        keys = self._ready.pop(owner)
        key = next(iter(keys))
        del keys[key]
        if keys:
            self._ready[owner] = keys  # at the end: others come first
        self._later.pop(key, None)
        self._running[key] = now
        self._busy[owner] += 1
        return key

    def done(self, key: K) -> None:
        """The worker has finished with `key`. KeyError if it was not running."""
        del self._running[key]
        owner = self._owner(key)
        self._busy[owner] -= 1
        if not self._busy[owner]:
            del self._busy[owner]
        if key in self._again:
            self._later.pop(key, None)
            self._make_ready(key, self._again.pop(key))

    def forget(self, key: K) -> None:
        """Drop whatever waits for `key`; a worker that has it goes on."""
        for waiting in (self._again, self._later):
            waiting.pop(key, None)
        owner = self._owner(key)
        keys = self._ready.get(owner, {})
        keys.pop(key, None)
        if not keys:
            self._ready.pop(owner, None)

    @property
    def ready(self) -> bool:
        """True if there is a key for a worker."""
        return next(self._in_turn(), _NOBODY) is not _NOBODY

    @property
    def depth(self) -> int:
        """Keys that are ready, and those that are added again while they run."""
        return sum(map(len, self._ready.values())) + len(self._again)

    @property
    def running(self) -> int:
        """Keys that workers have."""
        return len(self._running)

    def waits(self, now: float) -> float:
        """For how long the key that waits for longest has been ready; 0 if there is none."""
        return now - min((next(iter(keys.values())) for keys in self._ready.values()), default=now)

    def longest(self, now: float) -> tuple[K, float] | None:
        """The key that a worker has had for longest, and for how many seconds; None if nobody works."""
        key = next(iter(self._running), None)
        return None if key is None else (key, now - self._running[key])

    def _make_ready(self, key: K, now: float) -> None:
        self._ready.setdefault(self._owner(key), {}).setdefault(key, now)

    def _in_turn(self) -> Iterator[Hashable]:
        """Owners who have a key for a worker, whose turn is next first."""
        return (owner for owner in self._ready if self._most is None or self._busy[owner] < self._most)
