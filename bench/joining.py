"""Ways in and out: how fast clusters join, how long a token or a member that is ended is still connected, what other keys lose, and
what somebody who floods takes from others.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from bench import flooding, rekeying
from bench.federation import say
from bench.workloads import workloads
from skerry.api.kinds import CLUSTER, JOIN_TOKEN
from skerry.bus import Connection
from skerry.identity import jointoken
from skerry.identity.creds import Credentials
from tests.fixtures.nats import NatsHost
from tests.registry.conftest import Agent, Client, client_of

JOINS, JOINS_AT_ONCE = 200, 16
ENDS = 50


SCENARIOS = ("joins", "ends", "rekeys", "floods")


def measure(rounds: int, *, only: tuple[str, ...] = ()) -> dict[str, Any]:
    """Milliseconds, and joins a second. ValueError for a scenario that is not there."""
    if unknown := [name for name in only if name not in SCENARIOS]:
        raise ValueError(f"no scenario {unknown[0]}: use {', '.join(SCENARIOS)}")
    with workloads() as bench, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:

        async def run() -> dict[str, Any]:
            async with bench.running("registry", "services.registry"), client_of(bench.host) as client:
                return await _measure(bench.host, client, rounds, only or SCENARIOS)

        return runner.run(run())


async def _measure(host: NatsHost, client: Client, rounds: int, scenarios: tuple[str, ...]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    if "joins" in scenarios:
        say(f"joining: {JOINS} clusters, {JOINS_AT_ONCE} at once")
        figures["joins_s"] = [await _joins(host, client, turn) for turn in range(rounds)]
    if "ends" in scenarios:
        say("  tokens that are revoked, members that are removed")
        figures["revoked_ms"] = _spread([await _revoked(host, client) for _ in range(ENDS * rounds)])
        figures["removed_ms"] = _spread([await _removed(host, client, each) for each in range(ENDS * rounds)])
    with tempfile.TemporaryDirectory() as directory:
        if "rekeys" in scenarios:
            say("  other keys under a watch and a copy, and thieves who are cut by them")
            figures["rekeys"] = await rekeying.measure(host, client, Path(directory))
        if "floods" in scenarios:
            say("  floods")
            figures["floods"] = await flooding.measure(host, client, Path(directory) / "floods")
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


def _spread(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {"p50": cuts[49], "p99": cuts[98], "max": max(values)}


def _cells(values: list[float]) -> list[str]:
    return [f"{value:.1f}" for value in _spread(values).values()]


def show(figures: dict[str, Any], console: Console) -> None:
    """Tables."""
    if "joins_s" in figures:
        rates = ", ".join(f"{rate:.0f}" for rate in figures["joins_s"])
        console.print(f"joins a second, {JOINS} clusters with a token each, {JOINS_AT_ONCE} at once: {rates} (aim: 40)")
    ends = Table("until cut, ms", "p50", "p99", "max", "aim, p99")
    for what in ("revoked", "removed"):
        if spread := figures.get(f"{what}_ms"):
            ends.add_row(what, *(f"{spread[each]:.1f}" for each in ("p50", "p99", "max")), "50")
    if rekeys := figures.get("rekeys"):
        ends.add_row("stolen, then rekey --now", *_cells(rekeys["stolen_ms"]), "1000")
        lost = f"{len(rekeys['lost'])} lost" + (f": {rekeys['lost'][:3]}" if rekeys["lost"] else "")
        console.print(
            f"{len(rekeys['rekey_ms'])} other keys, ms each p50, p99, max: {', '.join(_cells(rekeys['rekey_ms']))}; meanwhile "
            f"{rekeys['events']} events of a watch, {rekeys['copies']} copies of 100 MB, {rekeys['requests']} requests, {lost}"
        )
    if ends.row_count:
        console.print(ends)
    if "floods" in figures:
        flooding.show(figures["floods"], console)
