"""The lease of a leader: one entry of the bucket `leaders`, kept by compare-and-set.

    lease = Lease(bucket, "registry", holder="7f3a…")
    group.create_task(lease.run())
    controller = Controller(…, leader=lease)

The holder writes the entry anew every RENEW_S. Who finds that its revision stood still for TAKE_S, by their own clock,
takes it over. The holder believes in it for HELD_S from the moment when it *sent* the last write that was confirmed,
which ends before anybody else may begin: so there are never two, as long as clocks run at about the same speed.

A process that was stopped and wakes up finds its time over before it does anything: `held` compares clocks, it is no
flag that a task would have to clear first, and `check` belongs right in front of a write. What a virtual machine does
whose clock is stopped with it, no clock inside can tell; compare-and-set of the objects themselves is what holds then.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from skerry.controller.timers import Cancellable, Timers, sleep
from skerry.errors import Conflict, ServiceUnavailable, StatusError

log = logging.getLogger("skerry.controller")

RENEW_S = 2.0
"""Between two writes of the holder."""
LOOK_S = 0.4
"""Between two looks of the others while a write of the holder is due: how late they may learn of one. With TAKE_S it is how
long nobody leads after a holder's death: less than 5 s."""
TAKE_S = 4.5
"""An entry whose revision stands still for so long is anybody's."""
HELD_S = 4.0
"""A holder believes in a confirmed write for so long, from before it was sent."""


class LeaseEntry(Protocol):
    """An entry of the bucket."""

    @property
    def value(self) -> bytes | None:
        """The value that was written; None for a deleted entry."""
        ...

    @property
    def revision(self) -> int:
        """Its place in the order of all writes of the bucket."""
        ...


class LeaseBucket(Protocol):
    """The part of a bucket that a lease needs; `skerry.bus.Bucket` has it. Every method raises StatusError."""

    async def get(self, key: str) -> Any:
        """The Entry, or None."""
        ...

    async def create(self, key: str, value: bytes) -> int:
        """The revision; AlreadyExists."""
        ...

    async def update(self, key: str, value: bytes, revision: int) -> int:
        """The new revision; Conflict if `revision` is not the last."""
        ...

    async def delete(self, key: str, revision: int) -> int:
        """The revision of the marker; Conflict as for update."""
        ...


class LeaderElectionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The entry: for people with `nats kv get`, and for a holder who has to know its own write again."""

    holder: str


def awake() -> float:
    """Seconds of a clock that goes on while the process is stopped and, on Linux, while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Lease:
    """Ours while `held`. A task must run `run`."""

    def __init__(
        self,
        bucket: LeaseBucket,
        key: str,
        holder: str,
        *,
        clock: Callable[[], float] = awake,
        timers: Timers | None = None,
    ) -> None:
        """`holder` names this lease of this process: no other one, and none of an earlier process, has the same."""
        self.key = key
        self.leader = ""
        """Who had it when we looked last, for people."""
        self._bucket = bucket
        self._holder = holder
        self._value = msgspec.json.encode(LeaderElectionRecord(holder=holder))
        self._clock = clock
        self._timers = timers or asyncio.get_running_loop()
        self._until = float("-inf")
        self._revision = 0
        """Of our own last confirmed write; 0 if there is none that could still be the last."""
        self._seen = (0, 0.0)
        """Somebody else's revision, and since when we know it."""
        self._moved = asyncio.Event()
        self._end: Cancellable | None = None

    @property
    def held(self) -> bool:
        """True if it is ours, at this moment and by our own clock."""
        return self._clock() < self._until

    def check(self) -> None:
        """ServiceUnavailable unless it is ours: for the line in front of a write."""
        if not self.held:
            raise ServiceUnavailable(
                f"{self._holder} does not lead {self.key} any more{f', {self.leader} does' if self.leader else ''}: "
                "nothing was written"
            )

    async def changed(self) -> None:
        """Wait until `held` may be another than it was."""
        await self._moved.wait()

    async def run(self) -> None:
        """Take it when it is free, and keep it, until cancelled; then give it up, so that another need not wait."""
        try:
            while True:
                try:
                    await (self._renew() if self._revision else self._look())
                except StatusError as error:
                    log.debug("the lease could not be looked at", extra={"lease": self.key, "error": error.message})
                except Exception:
                    log.exception("a look at the lease failed by a bug", extra={"lease": self.key})
                await sleep(self._timers, self._pause())
        finally:
            self._lose("")

    def _pause(self) -> float:
        """Until the next look. After a write of somebody else's the next one is due RENEW_S later, and is to be seen at once:
        from then on it is counted for how long it stands still."""
        if self._revision:
            return RENEW_S
        now = self._clock()
        stood_s = now - self._seen[1]
        return RENEW_S - LOOK_S if self.leader and stood_s == 0 else LOOK_S

    async def release(self) -> None:
        """Give it up if it is ours. After `run` has ended; errors are of no interest: it runs out by itself."""
        revision, self._revision = self._revision, 0
        self._lose("")
        if revision:
            try:
                await self._bucket.delete(self.key, revision)
            except StatusError as error:
                log.debug("the lease could not be given up", extra={"lease": self.key, "error": error.message})

    async def _renew(self) -> None:
        """Write our entry anew. If the outcome is unknown, the next look finds what became of it."""
        try:
            await self._update(self._revision)
        except Conflict:
            self._revision = 0
            await self._look()

    async def _look(self) -> None:
        """Take it if it is free: never made, given up, ours from a write whose confirmation was lost, or stood still."""
        entry = await self._bucket.get(self.key)
        if entry is None or entry.value is None:
            sent = self._clock()
            self._hold(await self._bucket.create(self.key, self._value), sent + HELD_S)
            return
        holder = _holder(entry.value)
        if holder == self._holder:
            await self._update(entry.revision)
            return
        now = self._clock()
        if entry.revision != self._seen[0]:
            self._seen = entry.revision, now
        self._lose(holder)
        if now - self._seen[1] >= TAKE_S:
            log.warning("the lease stood still: taking it", extra={"lease": self.key, "holder": holder})
            await self._update(entry.revision)

    async def _update(self, revision: int) -> None:
        sent = self._clock()
        self._hold(await self._bucket.update(self.key, self._value, revision), sent + HELD_S)

    def _hold(self, revision: int, until: float) -> None:
        if not self.held:
            log.info("leads", extra={"lease": self.key})
        self._revision, self._until, self.leader = revision, until, self._holder
        self._arm()
        self._tell()

    def _arm(self) -> None:
        self._disarm()
        self._end = self._timers.call_at(self._timers.time() + max(0.001, self._until - self._clock()), self._lapse)

    def _disarm(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None

    def _lapse(self) -> None:
        """Our time is over, or the loop's clock was ahead of ours and called too early."""
        if self.held:
            self._arm()
            return
        log.warning("the lease was not confirmed in time", extra={"lease": self.key})
        self._tell()

    def _lose(self, leader: str) -> None:
        was_held = self.held
        self._until, self.leader = float("-inf"), leader
        self._disarm()
        if was_held:
            log.info("does not lead any more", extra={"lease": self.key, "leader": leader})
            self._tell()

    def _tell(self) -> None:
        """Wake who waits for a change, and let the next one wait anew."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


def _holder(value: bytes) -> str:
    try:
        return msgspec.json.decode(value, type=LeaderElectionRecord).holder
    except msgspec.DecodeError:
        return "somebody who writes no record"
