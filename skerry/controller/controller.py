"""A controller: for each key, make what is stored like what is wanted; again when something changed, or failed.

    async def reconcile(name: str) -> After | None: ...

    controller = Controller("quota/leases", reconcile, workers=16)
    informer.add_event_handler(WORKSPACE_QUOTA, controller.by(lambda change: [change.name]))
    await controller.run()

As in controller-runtime: a reconcile gets a key and nothing else, looks at everything anew, and may be called at any
time, any number of times, for keys that do not exist any more too. Of one key there is one reconcile at a time. What
fails is tried again for ever, with a pause of its own that grows; an answer that says when to come again is obeyed.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Hashable, Iterable
from contextlib import AbstractContextManager
from typing import Generic, NamedTuple, Protocol, TypeVar

from skerry.backoff import Backoff, Chance
from skerry.controller.queue import Queue
from skerry.controller.timers import Cancellable, Timers
from skerry.errors import StatusError

log = logging.getLogger("skerry.controller")

FIRST_S, LONGEST_S = 1.0, 300.0
"""The pause after a first failure, and the longest."""
STUCK_S = 120.0
"""A reconcile that runs for longer is named in `problem`."""
CERTAIN = 3
"""Failures in a row after which a key is named in `problem`."""

K = TypeVar("K", bound=Hashable)
E = TypeVar("E")


class After(NamedTuple):
    """Look at the key again after so many seconds."""

    seconds: float


Reconcile = Callable[[K], Awaitable[After | None]]


class Leadership(Protocol):
    """Whose turn it is: a `Lease`."""

    @property
    def held(self) -> bool:
        """True if it is ours now, by our own clock."""
        ...

    async def changed(self) -> None:
        """Wait until `held` may be another than it was."""
        ...


class ReconcileTracer(Protocol):
    """Spans of reconciles: `skerry.tracing` opens them."""

    def reconciling(self, controller: str, key: str) -> AbstractContextManager[object]:
        """A span around one reconcile. What is raised inside ends it as failed, and goes on."""
        ...


class Counts:
    """Counters of a controller, for metrics: they are read when somebody scrapes."""

    __slots__ = ("errors", "reconciles", "requeues", "seconds")

    def __init__(self) -> None:
        self.reconciles = self.errors = self.requeues = 0
        self.seconds = 0.0
        """All reconciles together."""


class _Failure:
    """What is known of a key that fails."""

    __slots__ = ("backoff", "text", "times")

    def __init__(self, chance: Chance) -> None:
        self.backoff = Backoff(FIRST_S, LONGEST_S, chance)
        self.text = ""
        self.times = 0


class Controller(Generic[K]):
    """Keys, and the workers that reconcile them. With `leader` they work only while it is held."""

    def __init__(
        self,
        name: str,
        reconcile: Reconcile[K],
        *,
        workers: int = 1,
        leader: Leadership | None = None,
        finishes: bool = True,
        owner: Callable[[K], Hashable] | None = None,
        timers: Timers | None = None,
        chance: Chance = random.uniform,
        tracer: ReconcileTracer | None = None,
    ) -> None:
        """`name` is `<service>/<what>`, for people. Without `finishes` a reconcile that runs at the end is not waited for: it
        only looks, and the next process looks anew. `owner` is whose a key is: owners take turns, and one has half of the workers
        at most. `timers` defaults to the running loop."""
        self.name = name
        self.counts = Counts()
        self._reconcile = reconcile if tracer is None else _traced(tracer, name, reconcile)
        self._workers = workers
        self._leader = leader
        self._finishes = finishes
        self._timers = timers or asyncio.get_running_loop()
        self._chance = chance
        self._queue: Queue[K] = Queue() if owner is None else Queue(owner, max(1, workers // 2))
        self._failures: dict[K, _Failure] = {}
        self._idle: dict[asyncio.Future[None], None] = {}
        """Workers that wait for a key, who waits for longest first. One is woken for one key: all sixteen for each would cost
        more than what they are woken for."""
        self._alarm: tuple[float, Cancellable] | None = None
        """When the next of them is woken by time, at the latest."""
        self._finished = asyncio.Event()
        self._draining = False

    # Sources

    def add(self, key: K) -> None:
        """Have `key` looked at."""
        self._queue.add(key, self._timers.time())
        self._rouse()

    def add_after(self, key: K, seconds: float) -> None:
        """Have `key` looked at after so long, unless it is before."""
        self._queue.add_at(key, self._timers.time() + seconds)
        self._rouse()

    def retry(self) -> None:
        """Have every key that failed last looked at now: what they failed for may be over."""
        for key in self._failures:
            self.add(key)

    def by(self, keys: Callable[[E], Iterable[K]]) -> Callable[[E], None]:
        """An event handler that adds the keys which an event means."""

        def handle(event: E) -> None:
            for key in keys(event):
                self.add(key)

        return handle

    # State

    @property
    def depth(self) -> int:
        """Keys that wait for a worker."""
        return self._queue.depth

    @property
    def oldest_s(self) -> float:
        """For how long the key in front has waited, in seconds."""
        return self._queue.waits(self._timers.time())

    @property
    def longest_s(self) -> float:
        """For how long the key that a worker has had for longest is worked on, in seconds; 0 if nobody works."""
        longest = self._queue.longest(self._timers.time())
        return 0.0 if longest is None else longest[1]

    @property
    def problem(self) -> str:
        """Which keys do not get done, for people; empty if there are none. The controller works on all the same."""
        stuck = self._queue.longest(self._timers.time())
        said = []
        if stuck is not None and stuck[1] > STUCK_S:
            said.append(f"{stuck[0]} has been worked on for {stuck[1]:.0f} s")
        failing = [(key, failure) for key, failure in self._failures.items() if failure.times >= CERTAIN]
        if failing:
            key, failure = failing[0]
            more = f" (and {len(failing) - 1} more)" if len(failing) > 1 else ""
            said.append(f"{key}{more} failed {failure.times} times: {failure.text}")
        return f"{self.name}: {'; '.join(said)}" if said else ""

    # Work

    async def run(self) -> None:
        """Reconcile until cancelled. After `drain` it returns, unless it waits for the lease."""
        while not self._draining:
            if self._leader is None:
                await self._work()
            elif self._leader.held:
                await self._lead(self._leader)
            else:
                await self._leader.changed()

    async def drain(self) -> None:
        """Take no more keys; return when those that run are finished, as far as that is waited for."""
        self._draining = True
        for waiter in self._idle:
            if not waiter.done():
                waiter.set_result(None)
        while self._finishes and self._queue.running:
            self._finished.clear()
            await self._finished.wait()

    async def _lead(self, leader: Leadership) -> None:
        """Work until the lease is not ours any more; what ran then is cancelled, and due when it is ours again."""
        async with asyncio.TaskGroup() as group:
            work = group.create_task(self._work(), name=self.name)
            loss = group.create_task(_lost(leader), name=f"{self.name} loss of the lease")
            await asyncio.wait((work, loss), return_when=asyncio.FIRST_COMPLETED)
            work.cancel()
            loss.cancel()

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(self._workers):
                group.create_task(self._worker(), name=f"{self.name} {number}")

    async def _worker(self) -> None:
        while (key := await self._next()) is not None:
            try:
                await self._once(key)
            except asyncio.CancelledError:
                self.add(key)
                raise
            finally:
                self._queue.done(key)
                self._finished.set()
            await asyncio.sleep(0)  # ten thousand reconciles that wait for nothing would stop the loop for a second

    async def _next(self) -> K | None:
        """The next key; None when the controller is to end."""
        while not self._draining:
            now = self._timers.time()
            self._queue.wake(now)
            key = self._queue.take(now)
            if key is not None:
                self._rouse()
                return key
            waiter = asyncio.get_running_loop().create_future()
            self._idle[waiter] = None
            self._rouse()
            try:
                await waiter
            finally:
                self._idle.pop(waiter, None)
        return None

    def _rouse(self) -> None:
        """Wake one worker if there is a key for it, and have one woken when there is by time."""
        if not self._idle:
            return  # who finishes looks itself
        if self._queue.ready:
            waiter = next(iter(self._idle))
            del self._idle[waiter]
            if not waiter.done():
                waiter.set_result(None)
            return
        due = self._queue.next_due()
        if due is None or (self._alarm is not None and self._alarm[0] <= due):
            return
        if self._alarm is not None:
            self._alarm[1].cancel()
        self._alarm = due, self._timers.call_at(due, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._queue.wake(self._timers.time())
        self._rouse()

    async def _once(self, key: K) -> None:
        started = self._timers.time()
        self.counts.reconciles += 1
        try:
            again = await self._reconcile(key)
        except Exception as error:  # noqa: BLE001 - one key that fails stops no other; it is logged and tried again
            self._failed(key, error)
        else:
            self._failures.pop(key, None)
            if again is not None:
                self.counts.requeues += 1
                self.add_after(key, again.seconds)
        finally:
            self.counts.seconds += self._timers.time() - started

    def _failed(self, key: K, error: Exception) -> None:
        """Log once per state, and come again: when the error says, or after a pause that grows."""
        self.counts.errors += 1
        failure = self._failures.setdefault(key, _Failure(self._chance))
        expected = isinstance(error, StatusError)
        text = error.message if isinstance(error, StatusError) else f"a bug ({type(error).__name__}); the log has it"
        if text != failure.text:
            fields = {"controller": self.name, "key": str(key)}
            if expected:
                log.warning("a key could not be reconciled", extra={**fields, "error": text})
            else:
                log.error("a key could not be reconciled, by a bug", extra=fields, exc_info=error)
        failure.text = text
        failure.times += 1
        pause = failure.backoff.next()
        retry_after_s = error.details.retry_after_seconds if isinstance(error, StatusError) else 0
        self.add_after(key, float(retry_after_s) if retry_after_s else pause)


def _traced(tracer: ReconcileTracer, controller: str, reconcile: Reconcile[K]) -> Reconcile[K]:
    async def traced(key: K) -> After | None:
        with tracer.reconciling(controller, str(key)):
            return await reconcile(key)

    return traced


async def _lost(leader: Leadership) -> None:
    while leader.held:
        await leader.changed()
