"""Ways in and out: how fast clusters join, how long a token or a member that is ended is still connected, and what somebody who
asks as fast as a connection goes takes from others.

Each flood comes from a process of its own, with one credential: the renewals, syncs and heartbeats of one member, the joins of one
token. Meanwhile another member beats, and a cluster joins from outside; both are compared with the same without a flood, before
and after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from bench import rekeying
from bench.federation import say
from bench.workloads import workloads
from skerry import subjects
from skerry.api.kinds import CLUSTER, JOIN_TOKEN
from skerry.api.messages import JoinAnswer, RenewRequest
from skerry.bus import Connection, Settings, connect
from skerry.errors import GatewayTimeout, StatusError
from skerry.identity import jointoken
from skerry.identity.creds import Credentials
from tests.fixtures.nats import NatsHost
from tests.registry.conftest import Agent, Client, client_of

JOINS, JOINS_AT_ONCE = 200, 16
ENDS = 50
BEATS, LOST = 50, 2
"""Heartbeats of the other member that are measured, and after how many without an answer it is enough."""
FLOOD_S = 1.0
"""How long a flood goes on before anything is measured."""


def measure(rounds: int) -> dict[str, Any]:
    """Milliseconds, and joins a second."""
    with workloads() as bench, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:

        async def run() -> dict[str, Any]:
            async with bench.running("registry", "services.registry"), client_of(bench.host) as client:
                return await _measure(bench.host, client, rounds)

        return runner.run(run())


async def _measure(host: NatsHost, client: Client, rounds: int) -> dict[str, Any]:
    say(f"joining: {JOINS} clusters, {JOINS_AT_ONCE} at once")
    figures: dict[str, Any] = {"joins_s": [await _joins(host, client, turn) for turn in range(rounds)]}
    say("  tokens that are revoked, members that are removed")
    figures["revoked_ms"] = _spread([await _revoked(host, client) for _ in range(ENDS * rounds)])
    figures["removed_ms"] = _spread([await _removed(host, client, each) for each in range(ENDS * rounds)])
    say("  other keys under a watch and a copy, and thieves who are cut by them")
    with tempfile.TemporaryDirectory() as directory:
        figures["rekeys"] = await rekeying.measure(host, client, Path(directory))
    figures["floods"] = {}
    other = Agent(host, "bystander")
    credentials = other.credentials(await other.join(await client.token("bystander")))
    floods: dict[str, Callable[[], Awaitable[tuple[Credentials, str, bytes]]]] = {
        "renewals": lambda: _member_flood(host, client, "renew"),
        "syncs": lambda: _member_flood(host, client, "desired"),
        "heartbeats": lambda: _member_flood(host, client, "hb"),
        "joins": lambda: _token_flood(client),
    }
    for name, made in floods.items():
        say(f"  a flood of {name}")
        async with host.connection(credentials) as connection:
            before = await _others(host, client, other, connection)
            async with _flooding(host, *await made()):
                under = await _others(host, client, other, connection)
            after = await _others(host, client, other, connection)
        figures["floods"][name] = {"before": before, "under": under, "after": after}
    return figures


async def _joins(host: NatsHost, client: Client, turn: int) -> float:
    agents = [Agent(host, f"j{turn}-{number}") for number in range(JOINS)]
    left = iter([(agent, await client.token(agent.name)) for agent in agents])

    async def some() -> None:
        for agent, text in left:
            await agent.join(text)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(JOINS_AT_ONCE):
            group.create_task(some())
    return JOINS / (time.perf_counter() - began)


async def _revoked(host: NatsHost, client: Client) -> float:
    document = {"metadata": {"name": f"r-{uuid.uuid4().hex}"}, "spec": {"clusterName": "never"}}
    made = await client.write(JOIN_TOKEN, "create", document=document)
    bearer = Credentials(jointoken.decode(made["status"]["token"], 0).jwt)
    async with host.connection(bearer) as connection:
        return await _cut(connection, client.write(JOIN_TOKEN, "delete", made["metadata"]["name"]))


async def _removed(host: NatsHost, client: Client, number: int) -> float:
    agent = Agent(host, f"x{number}")
    answer = await agent.join(await client.token(agent.name))
    async with host.connection(agent.credentials(answer)) as connection:
        return await _cut(connection, client.write(CLUSTER, "delete", agent.name))


async def _cut(connection: Connection, ending: Awaitable[object]) -> float:
    """Milliseconds from the request that ends it until the connection is lost."""
    began = time.perf_counter()
    task = asyncio.ensure_future(ending)
    await connection.closed()
    took = time.perf_counter() - began
    await task
    return took * 1000


async def _others(host: NatsHost, client: Client, agent: Agent, connection: Connection) -> dict[str, float]:
    """What somebody else gets."""
    beats, lost = [], 0
    while len(beats) < BEATS and lost < LOST:
        took, is_answered = await _timed(agent.beat(connection))
        beats.append(took)
        lost += not is_answered
        await asyncio.sleep(0.11)  # nobody's heartbeats are looked at more often than ten times a second
    newcomer = Agent(host, f"n-{uuid.uuid4().hex[:12]}")
    took, is_answered = await _timed(_join(client, newcomer))
    return {**_spread(beats), "join": took, "unanswered": lost + (not is_answered)}


async def _join(client: Client, agent: Agent) -> None:
    await agent.join(await client.token(agent.name))


async def _timed(asking: Awaitable[object]) -> tuple[float, bool]:
    """Milliseconds, and whether it was answered at all: what is not, took as long as it was waited for."""
    began = time.perf_counter()
    try:
        await asking
    except GatewayTimeout:
        return (time.perf_counter() - began) * 1000, False
    return (time.perf_counter() - began) * 1000, True


def _spread(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {"p50": cuts[49], "p99": cuts[98], "max": max(values)}


async def _member_flood(host: NatsHost, client: Client, what: str) -> tuple[Credentials, str, bytes]:
    agent = Agent(host, f"flood-{what}")
    answer: JoinAnswer = await agent.join(await client.token(agent.name))
    if what == "renew":
        request = RenewRequest(nkey=agent.key.public, challenge=f"{agent.name} {agent.key.public} 0 x", signature="AA")
        renewal = Credentials(answer.renewal_jwt, agent.key.seed)
        return renewal, subjects.renewal(agent.name), msgspec.json.encode(request)
    if what == "desired":
        return agent.credentials(answer), subjects.desired_sync(agent.name), b'{"epoch":"e"}'
    return agent.credentials(answer), subjects.heartbeat(agent.name), b'{"agent":"U","epoch":"1","version":"0"}'


async def _token_flood(client: Client) -> tuple[Credentials, str, bytes]:
    token = jointoken.decode(await client.token("flood-join"), 0)
    return Credentials(token.jwt), subjects.join(token.jti), b'{"nkey":"U"}'


@contextlib.asynccontextmanager
async def _flooding(host: NatsHost, credentials: Credentials, subject: str, payload: bytes) -> AsyncIterator[None]:
    process: BaseProcess = multiprocessing.get_context("spawn").Process(
        target=_flood,
        args=(host.servers, host.ca_pem, credentials.jwt, credentials.seed, subject, payload),
        daemon=True,
    )
    process.start()
    try:
        await asyncio.sleep(FLOOD_S)
        yield
        assert process.is_alive(), "the flood ended by itself"
    finally:
        process.kill()
        process.join()


def _flood(servers: tuple[str, ...], ca: str, jwt: str, seed: bytes, subject: str, payload: bytes) -> None:
    """Requests as fast as one connection takes them, until killed."""

    async def run() -> None:
        settings = Settings(servers=servers, ca_pem=ca, name="flood")
        while True:
            with contextlib.suppress(StatusError):
                connection = await connect(settings, Credentials(jwt, seed))
                while True:
                    for _ in range(100):
                        await connection.publish(subject, payload, reply=connection.inbox())
                    await asyncio.sleep(0)

    uvloop.run(run())


def _cells(values: list[float]) -> list[str]:
    return [f"{value:.1f}" for value in _spread(values).values()]


def show(figures: dict[str, Any], console: Console) -> None:
    """Tables."""
    rates = ", ".join(f"{rate:.0f}" for rate in figures["joins_s"])
    console.print(f"joins a second, {JOINS} clusters with a token each, {JOINS_AT_ONCE} at once: {rates} (aim: 40)")
    ends = Table("until cut, ms", "p50", "p99", "max", "aim, p99")
    for what in ("revoked", "removed"):
        spread = figures[f"{what}_ms"]
        ends.add_row(what, *(f"{spread[each]:.1f}" for each in ("p50", "p99", "max")), "50")
    ends.add_row("stolen, then rekey --now", *_cells(figures["rekeys"]["stolen_ms"]), "1000")
    console.print(ends)
    rekeys = figures["rekeys"]
    lost = f"{len(rekeys['lost'])} lost" + (f": {rekeys['lost'][:3]}" if rekeys["lost"] else "")
    console.print(
        f"{len(rekeys['rekey_ms'])} other keys, ms each p50, p99, max: {', '.join(_cells(rekeys['rekey_ms']))}; meanwhile "
        f"{rekeys['events']} events of a watch, {rekeys['copies']} copies of 100 MB, {rekeys['requests']} requests, {lost}"
    )
    table = Table(
        "a flood of", "heartbeat of another, p50 ms", "p99 ms", "aim: 2 x alone", "join from outside, ms", "unanswered"
    )
    for name, runs in figures["floods"].items():
        alone = max(runs["before"]["p99"], runs["after"]["p99"])
        cells = [
            " / ".join(f"{runs[when][each]:.1f}" for when in ("before", "under", "after"))
            for each in ("p50", "p99", "join")
        ]
        ratio, unanswered = f"{runs['under']['p99'] / alone:.1f} x", str(runs["under"]["unanswered"])
        table.add_row(name, cells[0], cells[1], ratio, cells[2], unanswered)
    console.print(table, "before / under / after the flood")
