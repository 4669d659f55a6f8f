"""Scenarios of `bench fleet` about who is there: a quiet minute, agents that die, members that flap, a bus that restarts."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from bench.crews import crew, each
from bench.federation import say
from bench.fleetsetup import Fleet, percentile
from bench.processes import cpu_s
from services.registry.model import LOST_S
from skerry.errors import StatusError
from skerry.http.errors import HttpError
from tests.faults.agents import Absence, closest_s, wrongly
from tests.faults.fleet import Strait, Tower, until

QUIET_S, HALF_S, FLAPPING_S = 60.0, 20.0, 60.0
KNOWN_S = 20.0
"""A registry that starts asks the bus which connections there are; while it does not know, it waits for longer."""
DEADLINE_S = 300.0
CLUSTERS = b"/apis/skerry.dev/v1alpha1/clusters"
TABLE = [(b"accept", b"application/json;as=Table;v=v1;g=meta.k8s.io")]
LAG_S = 5.0
"""Between what happens and the write of it, before the write counts as wrong."""


async def quiet(fleet: Fleet) -> dict[str, Any]:
    """All beat, nothing happens. Half of them are there first: what more of them cost is the difference."""
    half, whole = fleet.crews[:-1], fleet.crews[-1:]
    async with fleet.registry() as registry:
        points = []
        for crews, seconds in ((half, HALF_S), (whole, QUIET_S)):
            await each(crews, "come")
            present = fleet.names if crews is whole else _names(half)
            settled_s = await fleet.settle(present)
            point = await registry.cost(seconds)
            points.append({"members": len(present), "settled_s": settled_s, **point})
            say(f"    {points[-1]}")
        figures: dict[str, Any] = {"members": len(fleet.members.names), "points": points, **points[-1]}
        async with fleet.bench.tower() as tower:
            figures["list_ms"] = await _listed(tower, len(fleet.members.names))
        fleet.came = True
    more = points[1]["members"] - points[0]["members"]
    slopes = {key: (points[1][key] - points[0][key]) / more for key in ("cpu_percent", "rss_mib")}
    figures["at_10000"] = {key: points[1][key] + slopes[key] * (10_000 - points[1]["members"]) for key in slopes}
    return figures


def _names(crews: Sequence[Any]) -> list[str]:
    return [name for one in crews for name in one.names]


async def _listed(tower: Tower, count: int) -> dict[str, float]:
    """The table that `kubectl get clusters` asks for, whole."""
    taken = []
    async with asyncio.timeout(DEADLINE_S):
        while (answer := await tower.ask(CLUSTERS)).status != 200 or answer.body.count(b'"metadata"') < count:
            await asyncio.sleep(0.2)
    for _ in range(15):
        started = time.perf_counter()
        response = await tower.open(CLUSTERS, headers=TABLE)
        body = await response.body(1 << 28)
        response.abort()
        taken.append((time.perf_counter() - started) * 1e3)
        if response.status != 200 or body.count(b'"cells"') < count:
            raise RuntimeError(f"a list of all clusters answered {response.status} with {len(body)} bytes")
    return {"p50": statistics.median(taken), "max": max(taken), "bytes": len(body)}


async def dead(fleet: Fleet) -> dict[str, Any]:
    """Agents that are killed, and agents whose connection falls silent in both directions: how long until Ready is False."""
    figures: dict[str, Any] = {"kill_s": [], "silence_s": []}
    async with fleet.registry(), fleet.following() as statuses, Strait(fleet.host.port) as strait:
        await fleet.come()

        async def called(names: Sequence[str], since: float) -> list[float]:
            def gone() -> bool:
                return all(statuses.of[name] and statuses.of[name][-1].ready.status == "False" for name in names)

            await until(gone, "all called not ready", DEADLINE_S)
            return [statuses.of[name][-1].created - since for name in names]

        for key, port in (("kill_s", 0), ("silence_s", strait.port)):
            async with crew(fleet.host, fleet.spares, port=port) as victims:
                await victims.order("come")
                await until(lambda: all(statuses.ready(name) for name in victims.names), "victims ready", DEADLINE_S)
                await asyncio.sleep(KNOWN_S)
                since = time.time()
                if port:
                    strait.freeze()
                else:
                    await victims.kill()
                figures[key] = await called(victims.names, since)
        figures["steady"] = len(fleet.names)
        figures["others_called_dead"] = [
            name for name in fleet.names if any(one.ready.status == "False" for one in statuses.of[name])
        ]
    return figures


async def flapping(fleet: Fleet) -> dict[str, Any]:
    """The agents of one process come and go within seconds for a minute; the others stay."""
    restive, *steady = fleet.crews
    async with fleet.registry() as registry, fleet.following() as statuses:
        await fleet.come()
        await fleet.settle(fleet.names)
        began = fleet.mark(statuses)
        costing = asyncio.create_task(registry.cost(FLAPPING_S))
        answer = await restive.order("flap", seconds=FLAPPING_S, seed=1)
        figures: dict[str, Any] = {"members": len(restive.names), "cycles": answer["cycles"], **await costing}
        await fleet.all_ready(fleet.names, DEADLINE_S)
        wrong, written = [], {name: statuses.of[name][began[name] :] for name in fleet.names}
        for name, absences in answer["absences"].items():
            wrong += wrongly(written[name], [Absence(*each) for each in absences], LAG_S)
        wrong += [each for name in _names(steady) for each in written[name] if each.ready.status == "False"]
        flapped = [statuses.of[name][-1].flapping for name in restive.names]
    figures["writes"] = sum(map(len, written.values()))
    figures["closest_s"] = min(closest_s(statuses.of[name][max(began[name] - 1, 0) :]) for name in restive.names)
    figures["called_flapping"] = sum(each.status == "True" for each in flapped)
    figures["said"] = sorted({each.message for each in flapped if each.status == "True"})[-1:]
    figures["wrongly_dead"] = len(wrong)
    return figures


async def restart(fleet: Fleet) -> dict[str, Any]:
    """The bus is killed and started again: until every agent is heard again and every member ready, and what the API answers
    meanwhile."""
    async with fleet.registry() as registry, fleet.following() as statuses, fleet.bench.tower() as tower:
        await fleet.come()
        await fleet.settle(fleet.names)
        began = fleet.mark(statuses)
        name = fleet.members.names[0].encode()
        answers: list[tuple[float, int, float]] = []
        targets = (CLUSTERS + b"/" + name, CLUSTERS + b"?limit=100")
        asking = [asyncio.create_task(_asked(tower, target, answers)) for target in targets]
        await asyncio.sleep(3.0)
        since, cpu = time.time(), cpu_s(registry.pid)
        fleet.host.restart()
        listening_s = time.time() - since
        server = fleet.host.pid
        heard_s = await _heard(fleet, since)
        await fleet.all_ready(fleet.names, DEADLINE_S)
        ready_s = time.time() - since
        await asyncio.sleep(LOST_S)  # what was wrongly believed would be written by now
        written = {one: statuses.of[one][began[one] :] for one in fleet.names}
        for task in asking:
            task.cancel()
        spent, nats = cpu_s(registry.pid) - cpu, cpu_s(server)
        await fleet.reopen()
    during = [(status, seconds) for at, status, seconds in answers if since <= at <= since + max(heard_s, ready_s)]
    served = [seconds * 1e3 for status, seconds in during if status == 200]
    return {
        "members": len(fleet.names), "listening_s": listening_s, "heard_s": heard_s, "ready_s": ready_s,
        "called_not_ready": sum(any(each.ready.status == "False" for each in of) for of in written.values()),
        "api_p50_ms": percentile(served, 0.5), "api_p99_ms": percentile(served, 0.99), "api_served": len(served),
        "api_others": dict(Counter(str(status) for status, _ in during if status != 200)),
        "api_unserved_s": _longest_gap([at for at, status, _ in answers if status == 200], since, since + ready_s),
        "cpu_s": spent, "nats_cpu_s": nats,
    }  # fmt: skip


async def _heard(fleet: Fleet, since: float) -> float:
    """Seconds until the last agent was heard on a new connection."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            heard = [at for answer in await each(fleet.crews, "heard") for at in answer["since"]]
            if min(heard) > since:
                return float(max(heard)) - since
            await asyncio.sleep(0.5)


async def _asked(tower: Tower, target: bytes, answers: list[tuple[float, int, float]]) -> None:
    """Ask over and over, 20 times a second: when, with which status (0: none), and how long it took."""
    while True:
        at, started, status = time.time(), time.perf_counter(), 0
        with contextlib.suppress(StatusError, HttpError, OSError):
            status = (await tower.ask(target)).status
        answers.append((at, status, time.perf_counter() - started))
        await asyncio.sleep(0.05)


def _longest_gap(moments: Sequence[float], since: float, until_: float) -> float:
    """The longest time without one of these moments between two others."""
    inside = [since, *sorted(each for each in moments if since < each < until_), until_]
    return max(later - earlier for earlier, later in itertools.pairwise(inside))


SCENARIOS: dict[str, Callable[[Fleet], Any]] = {"quiet": quiet, "dead": dead, "flapping": flapping, "restart": restart}
