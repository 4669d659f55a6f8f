"""What the scenarios of `bench fleet` stand on: members that have joined, processes of agents, a registry that tells of its loop."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any

from bench.agents import Who
from bench.crews import Crew, crew, each
from bench.federation import say
from bench.processes import cpu_s, forget_peak, kept_waiting_s, peak_mib, rss_mib
from bench.services import turns
from bench.workloads import ADMIN_TOKEN, Members, Workloads, quiet
from services.registry.model import BEAT_S
from services.tenancy.model import administrator
from skerry import subjects
from skerry.api.kinds import CREDENTIAL
from skerry.bus import Bucket, Bus
from skerry.storage import Store, utc_now
from tests.faults.agents import Statuses
from tests.faults.fleet import Process, until

SPARES = 5
"""Members beside the others, whose agents are killed."""
DEADLINE_S = 300.0
STILL_S = BEAT_S + 2
"""By then each agent was heard again."""


def percentile(values: Collection[float], part: float) -> float:
    """A quantile; NaN of nothing."""
    ordered = sorted(values)
    return ordered[min(math.floor(len(ordered) * part), len(ordered) - 1)] if ordered else math.nan


class Registry:
    """A running registry."""

    def __init__(self, fleet: Fleet, process: Process) -> None:
        self._fleet, self.process, self.pid = fleet, process, process.pid

    async def cost(self, seconds: float) -> dict[str, Any]:
        """What it takes for so long from now, and what is written meanwhile."""
        bucket, server = self._fleet.bucket, self._fleet.host.pid
        before = await bucket.last_revision()
        forget_peak(self.pid)
        since, started = time.time(), time.monotonic()
        spent, waited, nats = cpu_s(self.pid), kept_waiting_s(self.pid), cpu_s(server)
        await asyncio.sleep(seconds)
        taken = time.monotonic() - started
        longest, changes = turns(self._fleet.turns, since), await bucket.changes(">", before)
        return {
            "cpu_percent": (cpu_s(self.pid) - spent) / taken * 100,
            "rss_mib": rss_mib(self.pid),
            "peak_mib": peak_mib(self.pid),
            "stall_ms": longest.cpu_ms,
            "late_ms": longest.late_ms,
            "waited_percent": (kept_waiting_s(self.pid) - waited) / taken * 100,
            "nats_cpu_percent": (cpu_s(server) - nats) / taken * 100,
            "nats_rss_mib": rss_mib(server),
            "written": await bucket.last_revision() - before,
            "keys": [entry.key for entry in changes.entries[:10]],
            "seconds": taken,
            "load": os.getloadavg()[0],
        }


class Fleet:
    """Members, and one bus to look with. Of `crews` the first is the one that flaps."""

    def __init__(self, bench: Workloads, members: Members) -> None:
        self.bench, self.host, self.members = bench, bench.host, members
        self.turns = bench.host.directory / "turns"
        self.crews: list[Crew] = []
        self.spares: tuple[Who, ...] = ()
        self.came = False
        self._sizes: Sequence[int] = ()
        self.bus: Bus
        self.bucket: Bucket
        self._stack = contextlib.AsyncExitStack()

    async def open(self, sizes: Sequence[int]) -> None:
        """Have the members join, and processes for their agents, of these sizes."""
        names = len(self.members.names)
        started = time.monotonic()
        await self.members.join(accounts=True)
        say(f"  {names} members joined: {time.monotonic() - started:.1f} s")
        async with self.host.bus("tenancy") as bus:
            await bus.ready()
            await Store(await bus.bucket(subjects.RESOURCES), CREDENTIAL).create(administrator(ADMIN_TOKEN, utc_now()))
        await self.reopen()
        self._sizes = sizes
        self.spares = self.members.agents(range(sum(sizes), names))
        await self.anew()

    async def anew(self) -> None:
        """Other processes for all agents, which are not connected yet."""
        for one in self.crews:
            await one.kill()
        self.crews, self.came, begin = [], False, 0
        for size in self._sizes:
            agents = self.members.agents(range(begin, begin + size))
            self.crews.append(await self._stack.enter_async_context(crew(self.host, agents)))
            begin += size

    async def reopen(self) -> None:
        """A bus to look with, also after it was restarted."""
        self.bus = await self._stack.enter_async_context(self.host.open_bus("bench"))
        await self.bus.ready()
        self.bucket = await self.bus.bucket(subjects.RESOURCES)

    async def close(self) -> None:
        """End all that was opened."""
        await self._stack.aclose()

    def spent(self, registry: Registry) -> dict[str, float]:
        """CPU seconds so far of the registry, of the bus, and of all agents together."""
        pids = {"registry": [registry.pid], "nats": [self.host.pid], "agents": [one.pid for one in self.crews]}
        return {who: sum(map(cpu_s, of)) for who, of in pids.items()}

    @property
    def names(self) -> list[str]:
        """Of members whose agents are in `crews`."""
        return [name for one in self.crews for name in one.names]

    async def come(self) -> None:
        """Have all agents connected and their members ready."""
        if not self.came:
            await each(self.crews, "come")
            self.came = True
        await self.all_ready(self.names, DEADLINE_S)

    @contextlib.asynccontextmanager
    async def registry(self) -> AsyncIterator[Registry]:
        """A registry of its own; ended at the end."""
        running = self.bench.running("registry", "bench.services", "--turns", str(self.turns), "registry")
        async with running as process:
            yield Registry(self, process)

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[Statuses]:
        """What is stored of members meanwhile."""
        statuses = Statuses()
        async with self.host.open_bus("statuses") as bus, asyncio.TaskGroup() as tasks:
            await bus.ready()
            task = tasks.create_task(statuses.follow(await bus.bucket(subjects.RESOURCES)))
            await statuses.filled.wait()
            yield statuses
            task.cancel()

    def mark(self, statuses: Statuses) -> dict[str, int]:
        """How much is stored of each member by now."""
        return {name: len(statuses.of[name]) for name in self.members.names}

    async def all_ready(self, names: Sequence[str], deadline_s: float) -> None:
        """Wait until these members are stored as ready."""
        async with self.following() as statuses:
            await until(lambda: all(map(statuses.ready, names)), "all members ready", deadline_s)

    async def settle(self, names: Sequence[str]) -> float:
        """Wait until all that there is to write of these members is written: nothing more was for STILL_S. How long it took, in
        seconds. TimeoutError."""
        started = time.monotonic()
        async with self.following() as statuses:
            await until(lambda: all(map(statuses.settled, names)), "all members settled", DEADLINE_S)
        await quiet(self.bus, STILL_S, DEADLINE_S)
        return time.monotonic() - started - STILL_S


def per_unit_us(before: Mapping[str, float], after: Mapping[str, float], units: int) -> dict[str, float]:
    """CPU microseconds of each for one of so many, between two looks at what was spent."""
    return {f"{who}_us": (after[who] - before[who]) / units * 1e6 for who in before}


def floor() -> dict[str, Any]:
    """What the machine does at best, and how busy others keep it."""
    from bench.floor import bus_request_ms, fsync_ms

    return {"fsync_ms": fsync_ms(), "bus_request_ms": bus_request_ms(), "load": os.getloadavg()[0]}
