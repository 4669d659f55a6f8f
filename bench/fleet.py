"""A fleet: many members over real connections with real credentials, their agents spread over processes, and one registry.

    python -m bench fleet                                  all scenarios
    python -m bench fleet --only quiet,dead                these
    python -m bench fleet --members 500 --only flapping    another size

What an agent is here: one connection (a real one has two), heartbeats, and where the scenario says so its real applier before
a table in place of an API server; `put` and `idle` have a real agent and a real API server. A stall of the loop is told twice: by the
clock, in which the rest of the machine has its part, and by the CPU that the loop's own thread spent in one turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import uvloop
from rich.console import Console
from rich.table import Table

from bench import fleetagent, fleetdesired, fleetpresence
from bench.federation import say
from bench.fleetsetup import SPARES, Fleet, floor
from bench.workloads import Members, workloads

SCENARIOS: dict[str, Callable[[Fleet], Awaitable[dict[str, Any]]]] = {
    **fleetpresence.SCENARIOS,
    **fleetdesired.SCENARIOS,
    **fleetagent.SCENARIOS,
}
MEMBERS = 2_000
FLAPPING = 500
"""Of them at most: as many as one process has, which come and go while the others stay."""


def measure(rounds: int, *, members: int = MEMBERS, only: tuple[str, ...] = ()) -> dict[str, Any]:
    """Each scenario once, whatever `rounds` says: what varies within one is in its figures. ValueError for one that there is not."""
    unknown = [name for name in only if name not in SCENARIOS]
    if unknown or members < 2:
        raise ValueError(
            f"no scenario {unknown[0]}: {', '.join(SCENARIOS)}" if unknown else "a fleet has 2 members or more"
        )
    figures: dict[str, Any] = {"members": members, "floor": floor()}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return figures | runner.run(_measure(members, tuple(name for name in SCENARIOS if name in only or not only)))


async def _measure(members: int, names: tuple[str, ...]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    flapping = min(FLAPPING, members // 2)
    sizes = (flapping, members // 2 - flapping, members - members // 2)
    with workloads() as bench:
        say(f"fleet: {members} members")
        fleet = Fleet(bench, Members(bench.host, members + SPARES))
        try:
            await fleet.open([size for size in sizes if size])
            for name in names:
                say(f"  {name}")
                figures[name] = await SCENARIOS[name](fleet)
                say(f"    {figures[name]}")
        finally:
            await fleet.close()
    if "quiet" in figures and "standing" in figures:
        figures["standing"]["without_percent"] = figures["quiet"]["cpu_percent"]
    return figures


class Row(NamedTuple):
    """One line of the table."""

    scenario: str
    what: str
    text: Callable[[Mapping[str, Any]], str]
    aim: str = ""


def _spread(key: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda figures: f"{min(figures[key]):.2f} to {max(figures[key]):.2f} s"


def _each(figures: Mapping[str, Any]) -> str:
    return f"{figures['registry_us']:.0f}; {figures['nats_us']:.0f}; {figures['agents_us']:.0f} us"


ROWS = (
    Row("quiet", "members that beat each 10 s", lambda f: f"{f['members']:,}"),
    Row("quiet", "until nothing more was written of those that came", lambda f: f"{f['settled_s']:.1f} s"),
    Row("quiet", "CPU of the registry, of a core", lambda f: f"{f['cpu_percent']:.1f} %"),
    Row("quiet", "with 10,000, by the slope", lambda f: f"{f['at_10000']['cpu_percent']:.1f} %", "<= 5 %"),
    Row("quiet", "memory of the registry", lambda f: f"{f['rss_mib']:.0f} MiB"),
    Row("quiet", "with 10,000, by the slope", lambda f: f"{f['at_10000']['rss_mib']:.0f} MiB", "<= 300 MiB"),
    Row("quiet", "longest turn of its loop: CPU; by the clock", lambda f: f"{f['stall_ms']:.1f}; {f['late_ms']:.1f} ms", "<= 20 ms"),
    Row("quiet", "written in the minute", lambda f: str(f["written"]), "0"),
    Row("quiet", "list of all clusters as a table, p50", lambda f: f"{f['list_ms']['p50']:.0f} ms", "<= 300 ms (10,000)"),
    Row("quiet", "nats-server: CPU; memory", lambda f: f"{f['nats_cpu_percent']:.1f} %; {f['nats_rss_mib']:.0f} MiB"),
    Row("dead", "agent killed, until Ready is False", _spread("kill_s"), "<= 3 s"),
    Row("dead", "connection fell silent, until Ready is False", _spread("silence_s"), "<= 15 s"),
    Row("dead", "others called not ready meanwhile", lambda f: str(len(f["others_called_dead"])), "0"),
    Row("flapping", "members that come and go for a minute; how often together", lambda f: f"{f['members']:,}; {f['cycles']:,}"),
    Row("flapping", "called flapping", lambda f: str(f["called_flapping"])),
    Row("flapping", "called not ready though they were there", lambda f: str(f["wrongly_dead"]), "0"),
    Row("flapping", "two writes of one member, the closest", lambda f: f"{f['closest_s']:.2f} s", ">= 1 s"),
    Row("flapping", "CPU of the registry; longest turn: CPU; by the clock",
        lambda f: f"{f['cpu_percent']:.0f} %; {f['stall_ms']:.1f}; {f['late_ms']:.1f} ms", "<= 20 ms"),
    Row("restart", "bus killed: until it listens again", lambda f: f"{f['listening_s']:.1f} s"),
    Row("restart", "until every agent is heard; all are ready", lambda f: f"{f['heard_s']:.1f}; {f['ready_s']:.1f} s", "<= 60 s"),
    Row("restart", "members called not ready for it", lambda f: str(f["called_not_ready"]), "0"),
    Row("restart", "API meanwhile, p50; p99", lambda f: f"{f['api_p50_ms']:.0f}; {f['api_p99_ms']:.0f} ms", "p99 <= 500 ms"),
    Row("restart", "API not served, at most", lambda f: f"{f['api_unserved_s']:.1f} s {f['api_others'] or ''}"),
    Row("put", "one member, real API server: put to applied, p50; p99", lambda f: f"{f['p50_ms']:.0f}; {f['p99_ms']:.0f} ms", "<= 30; 300 ms"),
    Row("put", "there, an apply alone, p50", lambda f: f"{f['apply_p50_ms']:.1f} ms"),
    Row("spread", "one change to each of 100 members, applied, p90", lambda f: f"{f['p90_ms']:.0f} ms", "<= 1 s"),
    Row("sustained", "200 changes a second: put to applied, p50; p99", lambda f: f"{f['p50_ms']:.0f}; {f['p99_ms']:.0f} ms", "p99 <= 2 s"),
    Row("sustained", "of that until the put was answered, p50; p99", lambda f: f"{f['put_p50_ms']:.0f}; {f['put_p99_ms']:.0f} ms"),
    Row("sustained", "as fast as they were put; puts without an answer", lambda f: f"{f['rate']:.0f} /s; {f['unanswered']}", "200 /s; 0"),
    Row("sustained", "CPU of a change: registry; bus; agents", _each, "5 ms together"),
    Row("sync", "members; entries of each", lambda f: f"{f['members']:,}; {f['entries']}"),
    Row("sync", "everything restarted, until all have all", lambda f: f"{f['synced_s']:.1f} s", "<= 60 s (1,000)"),
    Row("sync", "CPU of an entry: registry; bus; agents", _each, "2.4 ms together (50,000 in 60 s)"),
    Row("sync", "memory of the registry meanwhile", lambda f: f"{f['peak_mib']:.0f} MiB", "<= 200 MiB"),
    Row("standing", "until nothing more was written", lambda f: f"{f['settled_s']:.1f} s"),
    Row("standing", "entries in a quiet minute", lambda f: f"{f['entries']:,}"),
    Row("vast", "entries in a quiet minute; one for each member before", lambda f: f"{f['entries']:,}"),
    Row("vast", "CPU of the registry; more than before", lambda f: f"{f['cpu_percent']:.1f}; {f['more_cpu_percent']:+.1f} %", "+ 1 %"),
    Row("vast", "memory of the registry; more than before", lambda f: f"{f['rss_mib']:.0f}; {f['more_rss_mib']:+.0f} MiB"),
    Row("vast", "CPU of nats-server; more than before", lambda f: f"{f['nats_cpu_percent']:.1f}; {f['more_nats_cpu_percent']:+.1f} %"),
    Row("vast", "written in the minute", lambda f: str(f["written"]), "0"),
    Row("idle", "a real agent: entries and their watches; pods counted", lambda f: f"{f['entries']:,}; {f['pods']:,}"),
    Row("idle", "its CPU in a quiet five minutes", lambda f: f"{f['cpu_percent']:.2f} %", "<= 1 %"),
    Row("idle", "its memory, and the most meanwhile", lambda f: f"{f['rss_mib']:.0f}; {f['peak_mib']:.0f} MiB", "<= 64 MiB"),
    Row("standing", "CPU of the registry, with and without them", lambda f: f"{f['cpu_percent']:.1f}; {f['without_percent']:.1f} %", "+ 1 %"),
)  # fmt: skip


def show(figures: Mapping[str, Any], console: Console) -> None:
    """The table that people read."""
    least = figures["floor"]
    title = (
        f"A fleet of {figures['members']:,}; this machine: fsync {least['fsync_ms']:.2f} ms, a bare request over the bus "
        f"{least['bus_request_ms']:.2f} ms, load of others {least['load']:.1f}"
    )
    table = Table(title=title, title_justify="left")
    for column in ("scenario", "what", "measured", "aim"):
        table.add_column(column)
    before = ""
    for row in ROWS:
        if row.scenario not in figures:
            continue
        try:
            text = row.text(figures[row.scenario])
        except KeyError:
            continue
        load = figures[row.scenario].get("load")
        named = f"{row.scenario}, load {load:.1f}" if load is not None else row.scenario
        table.add_row("" if row.scenario == before else named, row.what, text, row.aim)
        before = row.scenario
    console.print(table)
