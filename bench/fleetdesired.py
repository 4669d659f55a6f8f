"""Scenarios of `bench fleet` about what members should have: how fast a change is in place, and what a fleet of entries costs."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from bench.crews import each
from bench.federation import member, say
from bench.fleetsetup import Fleet, per_unit_us, percentile
from bench.processes import forget_peak, peak_mib
from bench.standin import MARK
from skerry import subjects
from skerry.api.kinds import CLUSTER
from skerry.desired.client import DesiredClient, Want, key_of
from skerry.desired.entry import Entry, signed
from skerry.desired.owners import RBAC
from skerry.errors import Conflict, GatewayTimeout
from skerry.member import kubeconfig
from skerry.member.credentials import source
from skerry.member.upstream import Upstream
from skerry.storage import Store
from tests.faults.fleet import Process
from tests.registry.conftest import client_of

PUTS, SPREAD, ROUNDS = 200, 100, 5
SUSTAINED, SECONDS = 200, 20
SYNCED, ENTRIES = 1_000, 50
QUIET_S = 60.0
WRITERS = 8
"""Batches under way at once while entries are made."""
VAST = 250
"""Entries of each member: half a million with 2,000."""
FILLERS = 64
"""Writes under way at once where no registry is asked."""
DEADLINE_S = 600.0
BINDINGS = f"/apis/{RBAC}/v1/clusterrolebindings"


def binding(number: int, mark: str = "") -> Want:
    """One of the entries of a member; `mark` makes it another version."""
    document: dict[str, Any] = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"skerry:bench-{number:03}"},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": f"skerry:bench-{number:03}"}],
    }
    if mark:
        document["metadata"]["annotations"] = {MARK: mark}
    return Want(document)


@contextlib.asynccontextmanager
async def owner(fleet: Fleet) -> AsyncIterator[DesiredClient]:
    """The owner tenancy."""
    async with fleet.host.bus("tenancy") as bus:
        await bus.ready()
        yield DesiredClient(bus, await bus.bucket(subjects.DESIRED_STATUS), "tenancy")


async def _put(desired: DesiredClient, name: str, want: Want) -> float:
    """When it was answered, seconds since the epoch."""
    result = await desired.put(name, want)
    if result.code:
        raise RuntimeError(f"{result.key} was refused: {result.message}")
    return time.time()


async def put(fleet: Fleet) -> dict[str, Any]:
    """One member with a real agent and a real API server: from before the put until a watch there has the object."""
    directory = fleet.host.directory / "put"
    directory.mkdir()
    with member(directory / "member") as (one, _):
        async with (
            fleet.registry(),
            agent(fleet, directory, one.kubeconfig, "real"),
            owner(fleet) as desired,
            _upstream(one.kubeconfig) as upstream,
        ):
            seen: dict[str, float] = {}
            watching = asyncio.create_task(_watch(upstream, seen))
            latencies, applies = [], []
            for number in range(PUTS + 5):
                mark, started = f"m{number}", time.time()
                await _put(desired, "real", binding(number % 10, mark))
                async with asyncio.timeout(DEADLINE_S):
                    while mark not in seen:
                        await asyncio.sleep(0.001)
                latencies.append((seen[mark] - started) * 1e3)
                applies.append(await _apply_ms(upstream, number))
                await asyncio.sleep(0.05)
            watching.cancel()
    latencies = latencies[5:]
    return {
        "puts": len(latencies),
        "p50_ms": statistics.median(latencies),
        "p99_ms": percentile(latencies, 0.99),
        "max_ms": max(latencies),
        "apply_p50_ms": statistics.median(applies),
    }


@contextlib.asynccontextmanager
async def agent(fleet: Fleet, directory: Path, kubeconfig_file: Path, name: str) -> AsyncIterator[Process]:
    """A real agent of the member `name`, ready; ended at the end."""
    async with client_of(fleet.host) as client:
        token = directory / "token"
        token.touch(mode=0o600)
        token.write_text(await client.token(name))
        environment = {
            "SKERRY_AGENT_STATE": str(directory / "agent"),
            "SKERRY_TOKEN_FILE": str(token),
            "SKERRY_KUBECONFIG": str(kubeconfig_file),
        }
        process = Process("services.agent", directory / "agent.log", environment)
        try:
            await process.logged("ready")
            await client.ready(name, "True")
            yield process
        finally:
            process.end()


@contextlib.asynccontextmanager
async def _upstream(file: Path) -> AsyncIterator[Upstream]:
    target = kubeconfig.load(str(file))
    upstream = Upstream(target, source(target), connections=4)
    try:
        yield upstream
    finally:
        await upstream.close()


async def _watch(upstream: Upstream, seen: dict[str, float]) -> None:
    """Put down when each mark was seen."""
    async for line in upstream.lines(f"{BINDINGS}?watch=true", [], limit=1 << 20, head_s=10.0):
        annotations = msgspec.json.decode(line)["object"]["metadata"].get("annotations", {})
        if MARK in annotations:
            seen.setdefault(annotations[MARK], time.time())


async def _apply_ms(upstream: Upstream, number: int) -> float:
    """A server-side apply of the same size, alone."""
    document = {**binding(number % 10, f"direct-{number}").document}
    document["metadata"] = {**document["metadata"], "name": f"direct-{number % 10}"}
    started = time.perf_counter()
    answer = await upstream.call(
        "PATCH",
        f"{BINDINGS}/direct-{number % 10}?fieldManager=bench",
        body=msgspec.json.encode(document),
        content_type=b"application/apply-patch+yaml",
    )
    if answer.status not in (200, 201):
        raise RuntimeError(f"an apply was answered {answer.status}: {answer.message()}")
    return (time.perf_counter() - started) * 1e3


async def spread(fleet: Fleet) -> dict[str, Any]:
    """One change to each of 100 members, in one go, several times."""
    names = fleet.names[:SPREAD]
    async with fleet.registry(), owner(fleet) as desired:
        await _attached(fleet)
        latencies = []
        for turn in range(ROUNDS):
            started = {f"s{turn}-{name}": time.time() for name in names}
            await _together([_put(desired, name, binding(0, f"s{turn}-{name}")) for name in names])
            applied = await _applied(fleet, started)
            latencies += [(applied[mark] - at) * 1e3 for mark, at in started.items()]
    return {
        "members": len(names),
        "p50_ms": percentile(latencies, 0.5),
        "p90_ms": percentile(latencies, 0.9),
        "max_ms": max(latencies),
    }


async def sustained(fleet: Fleet) -> dict[str, Any]:
    """So many changes a second over 100 members, each of an entry of its own."""
    names = fleet.names[:SPREAD]
    async with fleet.registry() as registry, owner(fleet) as desired:
        await _attached(fleet)
        started: dict[str, float] = {}
        before = fleet.spent(registry)
        costing = asyncio.create_task(registry.cost(float(SECONDS)))
        begin, running = time.monotonic(), []
        for number in range(SUSTAINED * SECONDS):
            await asyncio.sleep(max(0.0, begin + number / SUSTAINED - time.monotonic()))
            name, mark = names[number % len(names)], f"r{number}"
            started[mark] = time.time()
            running.append(asyncio.create_task(_put(desired, name, binding(number // len(names), mark))))
        answers = await asyncio.gather(*running, return_exceptions=True)
        rate = len(started) / (time.monotonic() - begin)
        puts = {
            mark: (answer - started[mark]) * 1e3
            for mark, answer in zip(started, answers, strict=True)
            if isinstance(answer, float)
        }
        applied = await _applied(fleet, {mark: started[mark] for mark in puts})
        latencies = [(applied[mark] - started[mark]) * 1e3 for mark in puts]
        each_us = per_unit_us(before, fleet.spent(registry), len(started))
        cost = await costing
    return {
        "members": len(names),
        "rate": rate,
        "p50_ms": percentile(latencies, 0.5),
        "p99_ms": percentile(latencies, 0.99),
        "put_p50_ms": percentile(puts.values(), 0.5),
        "put_p99_ms": percentile(puts.values(), 0.99),
        "unanswered": len(answers) - len(puts),
        **each_us,
        **cost,
    }


async def sync(fleet: Fleet) -> dict[str, Any]:
    """Registry and agents start anew with entries that are there already: until every member has everything."""
    names = fleet.names[:SYNCED]
    async with fleet.registry(), owner(fleet) as desired:
        started = time.monotonic()
        await _filled(desired, names)
        filled_s = time.monotonic() - started
    say(f"    {len(names) * ENTRIES} entries made: {filled_s:.0f} s")
    await fleet.anew()
    async with fleet.registry() as registry:
        forget_peak(registry.pid)
        started, before = time.monotonic(), fleet.spent(registry)
        await each(fleet.crews, "apply")
        await each(fleet.crews, "come")
        connected_s = time.monotonic() - started
        fleet.came = True
        await _hold(fleet, names)
        synced_s = time.monotonic() - started
        peak = peak_mib(registry.pid)
        each_us = per_unit_us(before, fleet.spent(registry), len(names) * ENTRIES)
    return {
        **each_us,
        "members": len(names),
        "entries": ENTRIES,
        "filled_s": filled_s,
        "connected_s": connected_s,
        "synced_s": synced_s,
        "peak_mib": peak,
    }


async def standing(fleet: Fleet) -> dict[str, Any]:
    """A quiet minute of a fleet whose members have all their entries, to be held against the scenario `quiet`."""
    async with fleet.registry() as registry:
        await _attached(fleet)
        await fleet.come()
        settled_s = await fleet.settle(fleet.names)
        cost = await registry.cost(QUIET_S)
        bucket = await fleet.bus.bucket(subjects.DESIRED)
        entries = int((await bucket.info())["state"]["messages"])
    return {**cost, "settled_s": settled_s, "entries": entries}


async def vast(fleet: Fleet) -> dict[str, Any]:
    """Two quiet minutes of one fleet: with an entry for each member, and with VAST for each."""
    await fleet.anew()
    async with fleet.registry() as registry:
        await fleet.come()
        points = []
        for entries in (1, VAST):
            started = time.monotonic()
            await _filled_beside(fleet, entries)
            filled_s = time.monotonic() - started
            await each(fleet.crews, "rest", count=entries)
            settled_s = await fleet.settle(fleet.names)
            points.append({"filled_s": filled_s, "settled_s": settled_s, **await registry.cost(QUIET_S)})
            say(f"    {points[-1]}")
        bucket = await fleet.bus.bucket(subjects.DESIRED)
        entries = int((await bucket.info())["state"]["messages"])
    few, many = points
    more = {f"more_{key}": many[key] - few[key] for key in ("cpu_percent", "rss_mib", "nats_cpu_percent")}
    return {**many, **more, "entries": entries, "points": points}


# What they share


async def _filled_beside(fleet: Fleet, count: int) -> None:
    """Have each member so many signed entries, put where the registry puts them: half a million of them by way of its gate would
    take a quarter of an hour."""
    async with fleet.host.bus("registry") as bus:
        await bus.ready()
        bucket, stored = await bus.bucket(subjects.DESIRED), await bus.bucket(subjects.RESOURCES)
        epoch = str((await bucket.info())["created"])
        uids = {name: (await Store(stored, CLUSTER).get(name)).uid for name in fleet.names}
        left = iter([(name, number) for name in fleet.names for number in range(count)])

        async def some() -> None:
            for name, number in left:
                document = msgspec.json.encode(binding(number).document, order="sorted")
                key = key_of("tenancy", name, binding(number).document)
                entry = Entry(
                    cluster=uids[name], owner="tenancy", epoch=epoch, previous=0, object=msgspec.Raw(document)
                )
                with contextlib.suppress(Conflict):  # it is there
                    await bucket.update(key, signed(key, entry, fleet.host.authority.assertion_root.sign), 0)

        await _together([some() for _ in range(FILLERS)])


async def _attached(fleet: Fleet) -> None:
    """Agents keep desired state."""
    await fleet.come()
    await each(fleet.crews, "apply")


async def _hold(fleet: Fleet, names: list[str]) -> None:
    """Until these members have all their entries."""
    wanted = set(names)
    await asyncio.gather(
        *(one.order("hold", count=ENTRIES, names=[each for each in one.names if each in wanted]) for one in fleet.crews)
    )


async def _applied(fleet: Fleet, marks: Mapping[str, float]) -> dict[str, float]:
    """When each of these was applied, once all were."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            at: dict[str, float] = {}
            for answer in await each(fleet.crews, "applied"):
                at |= answer["at"]
            if marks.keys() <= at.keys():
                return at
            await asyncio.sleep(0.5)


async def _filled(desired: DesiredClient, names: list[str]) -> None:
    left = iter(names)

    async def some() -> None:
        for name in left:
            while True:  # as owners do: what is unknown is settled again
                with contextlib.suppress(GatewayTimeout):
                    await desired.settle(name, [binding(number) for number in range(ENTRIES)])
                    break

    await _together([some() for _ in range(WRITERS)])


async def _together(works: list[Any]) -> None:
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(work)


SCENARIOS: dict[str, Callable[[Fleet], Any]] = {
    "put": put,
    "spread": spread,
    "sustained": sustained,
    "sync": sync,
    "standing": standing,
    "vast": vast,
}
