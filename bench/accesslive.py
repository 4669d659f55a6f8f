"""What grants cost where they are asked for: a front door in a process of its own, real agents' ends of the tunnel, over loopback.

One door knows the grants and clusters of a large company, another one grant; the same request goes to one and to the other in turn,
so that a busy machine is busy for both. Thousands of watches end when the grant goes on which they rest. Tokens of a provider are
shown for the first time, with tenancy in a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import Iterator
from typing import Any

import uvloop

from bench.doors import SMALL, WATCH, Door, door
from bench.federation import say
from bench.grantset import MANY, MEMBERS, grant_document
from bench.processes import cpu_s, rss_mib
from skerry import subjects
from skerry.api.kinds import ACCESS_GRANT, CLUSTER, IDENTITY_PROVIDER
from skerry.api.meta import Document
from skerry.api.times import seconds
from skerry.storage import Store
from tests.tenancy.provider import pages
from tests.tenancy.tokens import token

PAIRS = 2_000
"""Requests to each door in a round, one after the other."""
LIVE, DOORS = 5_000, 5
"""Of so many processes: each has 96 MiB for streams that are granted 64 KiB, and so for 1,500."""
REACHED = tuple(f"m{number}" for number in range(12))
"""Members with an agent, each of which has room for 512 streams."""
OPENING = 16
"""Watches that are being begun at once."""
FIRST_USES = 60
"""Tokens of a round; a door takes twenty that it does not know in a second from one address."""
PACE_S = 0.06
OWN = "/apis/skerry.dev/v1alpha1/accessgrants"


def measure(rounds: int) -> dict[str, Any]:
    """Milliseconds and MiB."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(rounds))


async def _measure(rounds: int) -> dict[str, Any]:
    async with door("m0") as few:
        tokens = await _first_uses(few, rounds)
        async with door("m0") as many:
            small = await _small(few, many, rounds)
    async with door(*REACHED, processes=DOORS) as several:
        cut = await _cut(several)
    return {**tokens, **small, **cut}


# Small requests


async def _small(few: Door, many: Door, rounds: int) -> dict[str, Any]:
    say(f"  {MANY} grants on {MEMBERS} members beside one grant: {rounds} times {PAIRS} small requests to each door")
    shown = {each: await each.person("reader") for each in (few, many)}
    await few.store(ACCESS_GRANT, [await _on(few, "own")])
    spec = {"role": "member", "connection": {"mode": "agent"}}
    clusters = ({"metadata": {"name": f"m{number}"}, "spec": spec} for number in range(1, MEMBERS))
    await many.store(CLUSTER, clusters)
    await many.store(ACCESS_GRANT, _grants(await _on(many, "own")))
    for each in (few, many):
        await each.reached(shown[each], SMALL)
    await asyncio.sleep(5.0)  # what was stored is taken in
    taken: dict[Door, list[float]] = {few: [], many: []}
    clients = {each: each.client() for each in taken}
    before = {each: cpu_s(each.tower.pid) for each in taken}
    for turn in range(rounds * PAIRS):
        for each in (few, many) if turn % 2 else (many, few):
            started = time.perf_counter()
            status = await each.get(clients[each], shown[each], SMALL)
            taken[each].append((time.perf_counter() - started) * 1e3)
            if status != 200:
                raise AssertionError(f"a small request was answered {status}")
    for client in clients.values():
        await client.close()
    a, b = (statistics.median(taken[each]) for each in (few, many))
    spent_few, spent_many = (cpu_s(each.tower.pid) - before[each] for each in (few, many))
    return {
        "small_few_ms": a,
        "small_many_ms": b,
        "small_over": (b / a - 1) * 100,
        "small_cpu_us": spent_few / (rounds * PAIRS) * 1e6,
        "small_cpu_over": (spent_many / spent_few - 1) * 100,
        "door_mib": rss_mib(many.tower.pid) - rss_mib(few.tower.pid),
    }


def _grants(own: Document) -> Iterator[Document]:
    yield own
    yield from (grant_document(number) for number in range(MANY))


async def _on(made: Door, name: str, user: str = "reader") -> Document:
    """A grant for somebody on the members that are reached."""
    store = Store(await made.bus.bucket(subjects.RESOURCES), CLUSTER)
    uids = [{"name": each.name, "uid": each.uid} for each in [await store.find(name) for name in REACHED] if each]
    names = [each["name"] for each in uids]
    spec = {"subjects": [{"kind": "User", "name": user}], "clusters": {"names": names}, "role": "view"}
    return {"metadata": {"name": name}, "spec": spec, "status": {"clusters": uids}}


# Live ones


async def _cut(made: Door) -> dict[str, float]:
    """From before a grant is deleted until the last of so many watches has ended."""
    say(f"  {LIVE} watches that rest on one grant, at {DOORS} processes, of {len(REACHED)} members")
    liver = await made.person("liver")
    await made.store(ACCESS_GRANT, [await _on(made, "live", "liver")])
    await made.reached(liver, SMALL)
    room, watches = asyncio.Semaphore(OPENING), list[asyncio.Task[float]]()

    async def one(port: int, member: str, begun: asyncio.Event) -> float:
        async with room:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=made.tls)
            head = f"GET {WATCH.format(member)} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {liver}\r\n\r\n"
            while True:
                writer.write(head.encode())
                answer = await reader.readuntil(b"\r\n\r\n")
                if answer.startswith(b"HTTP/1.1 200"):
                    break
                await reader.readexactly(int(answer.partition(b"content-length: ")[2].partition(b"\r")[0]))
                await asyncio.sleep(0.2)  # a machine that is too busy for all these processes
            await reader.readuntil(b"BOOKMARK")
            begun.set()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        ended = time.perf_counter()
        writer.close()
        return ended

    async with asyncio.TaskGroup() as group:
        begins = []
        for number in range(LIVE):
            begins.append(asyncio.Event())
            port, member = made.towers[number % DOORS].port, REACHED[number % len(REACHED)]
            watches.append(group.create_task(one(port, member, begins[-1])))
        for each in begins:
            await each.wait()
        await asyncio.sleep(1.0)
        if any(each.done() for each in watches):
            raise AssertionError("a watch ended by itself")
        store = Store(await made.bus.bucket(subjects.RESOURCES), ACCESS_GRANT)
        spent = [cpu_s(each.pid) for each in made.towers]
        wall, started = time.time(), time.perf_counter()
        await store.delete("live")
        stored = time.perf_counter()
    seen = max(each.result() for each in watches)
    spent = [cpu_s(each.pid) - before for each, before in zip(made.towers, spent, strict=True)]
    await asyncio.sleep(1.0)  # lines of the log are written together
    cuts = sorted(
        seconds(line["time"]) - wall for tower in made.towers for line in tower.lines() if line.get("code") == "cut"
    )
    if len(cuts) != LIVE:
        raise AssertionError(f"{len(cuts)} of {LIVE} watches were cut")
    return {
        "cut_stored_ms": (stored - started) * 1e3,
        "cut_half_ms": statistics.median(cuts) * 1e3,
        "cut_last_ms": cuts[-1] * 1e3,
        "cut_seen_ms": (seen - started) * 1e3,
        "cut_cpu_ms": max(spent) * 1e3,
    }


# Tokens


async def _first_uses(made: Door, rounds: int) -> dict[str, Any]:
    say(f"  {rounds} times {FIRST_USES} tokens of a provider, each shown for the first time and once more")
    first: list[float] = []
    again: list[float] = []
    async with pages() as provider, made.bench.running("tenancy", "services.tenancy"):
        await made.store(IDENTITY_PROVIDER, [provider.document()])
        client = made.client()
        for number in range(rounds * FIRST_USES + 3):
            now = int(time.time())
            claims = {"iss": provider.issuer, "sub": f"user{number}", "iat": now - 1, "exp": now + 600}
            shown = token(**claims)
            for times in (first, again):
                started = time.perf_counter()
                status = await made.get(client, shown, OWN)
                times.append((time.perf_counter() - started) * 1e3)
                if status != 200 and number > 3:
                    raise AssertionError(f"a token was answered {status}")
            await asyncio.sleep(PACE_S)
        await client.close()
    first, again = first[3:], again[3:]  # before them its keys were fetched
    return {
        "token_first_ms": statistics.median(first),
        "token_first_p99_ms": sorted(first)[int(len(first) * 0.99)],
        "token_again_ms": statistics.median(again),
    }


ROWS = (
    ("a small request, one grant (ms, p50)", "small_few_ms", None),
    (f"a small request, {MANY} grants on {MEMBERS} members (ms, p50)", "small_many_ms", None),
    ("  more than with one grant (percent)", "small_over", 3.0),
    ("  CPU of the front door for each, one grant (us)", "small_cpu_us", None),
    ("  more with all of them (percent)", "small_cpu_over", 3.0),
    ("  memory of the front door over the other's (MiB)", "door_mib", 64.0),
    (f"{LIVE} watches: their grant is deleted (ms)", "cut_stored_ms", None),
    ("  half of them are cut, by the logs of the front doors (ms)", "cut_half_ms", None),
    ("  the last one is cut (ms)", "cut_last_ms", 1000.0),
    ("  this process, which holds all of them, has seen it (ms)", "cut_seen_ms", None),
    ("  CPU of that front door which needed most (ms)", "cut_cpu_ms", None),
    ("a token of a provider, first use (ms, p50)", "token_first_ms", 10.0),
    ("  the same (ms, p99)", "token_first_p99_ms", None),
    ("  used again (ms, p50)", "token_again_ms", None),
)
