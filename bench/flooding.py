"""What somebody who asks as fast as a connection goes takes from others: their heartbeats, their small requests, and a join.

A flood comes from a process of its own, with one credential: the renewals, syncs (of pages as large as they are) and heartbeats of
one member, the joins of one token. One goes on for longer than a hold, tries to come back all the time and, when its minute is over,
does: what others get meanwhile is the figure. Others are ended soon, each with another credential, and tell what others get until
the bus has cut a flood, which is short. Both are held against the same without a flood, and beside a process that is as busy with
nothing: here the one who floods has his CPU from the same cores as the host, which he has not elsewhere. So he has what nobody
else wants of them (`nice`), which is most of one on an idle machine; how much he sent with it stands beside the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from bench.federation import say
from bench.fleetdesired import binding
from bench.rekeying import Requests
from skerry import subjects
from skerry.api.messages import RenewRequest
from skerry.bus import Connection, Settings, connect
from skerry.desired.client import DesiredClient
from skerry.errors import GatewayTimeout, StatusError
from skerry.identity import jointoken
from skerry.identity.creds import Credentials
from skerry.relay import StreamReset
from tests.agent import conftest
from tests.agent.standin import Host
from tests.agent.test_process import dialing
from tests.fixtures.nats import NatsHost
from tests.member.apiserver import ApiServer
from tests.registry.conftest import Agent, Client

BYSTANDERS, BEAT_S = 16, 0.11
"""Members that beat, and between two beats of one: nobody's are looked at more often than ten times a second."""
READERS, READ_S = 3, 0.02
FLOODS = 5
"""Short ones, of each kind."""
ENTRIES = 500
"""Of desired state that a member has who floods with syncs: a page."""
NICE = 19
CALM_S, SHORT_S, LONG_S = 6.0, 1.0, 70.0
"""How long is looked without a flood, and beside a busy process, around each short flood; and how long floods last."""
WHEN = ("alone", "busy", "before", "flood")


class Order(NamedTuple):
    """What to flood with; without a subject, be busy."""

    jwt: str = ""
    seed: bytes = b""
    subject: str = ""
    payload: bytes = b""


class Flood(NamedTuple):
    """When the first message left, and when the bus had cut the connection: 0 if it never did. By the clock that all processes
    share. And how often it was connected, or tried, and what it sent."""

    began: float
    cut: float
    attempts: int = 0
    sent: int = 0


class Sample(NamedTuple):
    """When something was asked, how many milliseconds its answer took, and whether there was one."""

    at: float
    ms: float
    is_answered: bool


async def measure(host: NatsHost, client: Client, directory: Path) -> dict[str, Any]:
    """Spreads in milliseconds, by the kind of flood."""
    orders: dict[str, Callable[[int], Awaitable[Order]]] = {
        "renewals": lambda number: _of_member(host, client, f"flood-renew-{number}", "renew"),
        "syncs": lambda number: _of_member_with_entries(host, client, f"flood-sync-{number}"),
        "heartbeats": lambda number: _of_member(host, client, f"flood-beat-{number}", "hb"),
        "joins": lambda number: _of_token(client, f"flood-join-{number}"),
    }
    async with _others(host, client, directory) as others:
        with _flooder(host) as pipe:
            return {name: await _case(client, host, pipe, others, name, make) for name, make in orders.items()}


class Others:
    """What others ask, all the time."""

    def __init__(self) -> None:
        self.beats: list[Sample] = []
        self.gets: list[Sample] = []

    async def beat(self, agent: Agent, connection: Connection, first_s: float) -> None:
        """The heartbeats of one, until cancelled."""
        await asyncio.sleep(first_s)
        while True:
            self.beats.append(await _timed(agent.beat(connection)))
            await asyncio.sleep(BEAT_S)

    async def read(self, requests: Requests, name: str) -> None:
        """Small requests to a member, until cancelled."""
        while True:
            self.gets.append(await _timed(requests.read(b"/version", bulk=False, took=lambda data: None)))
            await asyncio.sleep(READ_S)


@contextlib.asynccontextmanager
async def _others(host: NatsHost, client: Client, directory: Path) -> AsyncIterator[Others]:
    """They ask inside."""
    name, others = f"read-{uuid.uuid4().hex[:8]}", Others()
    async with contextlib.AsyncExitStack() as stack:
        api = await stack.enter_async_context(ApiServer(directory / "api", uid=name))
        agent = conftest.Agent(directory, api)
        agent.token(await client.token(name))
        await agent.start()
        stack.push_async_callback(agent.stop)
        await client.ready(name, "True")
        requests = Requests(Host(host), await stack.enter_async_context(dialing(Host(host))), name)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        working = [tasks.create_task(others.read(requests, name)) for _ in range(READERS)]
        for number in range(BYSTANDERS):
            bystander = Agent(host, f"bystander-{number}")
            credentials = bystander.credentials(await bystander.join(await client.token(bystander.name)))
            connection = await stack.enter_async_context(host.connection(credentials))
            working.append(tasks.create_task(others.beat(bystander, connection, BEAT_S * number / BYSTANDERS)))
        yield others
        for task in working:
            task.cancel()
        await asyncio.wait(working)


async def _case(
    client: Client, host: NatsHost, pipe: Pipe, others: Others, name: str, make: Callable[[int], Awaitable[Order]]
) -> dict[str, Any]:
    """One kind of flood, again and again."""
    beats: dict[str, list[Sample]] = {when: [] for when in WHEN}
    gets: dict[str, list[Sample]] = {when: [] for when in WHEN}
    joins: dict[str, list[Sample]] = {"alone": [], "under": []}
    cuts: list[float] = []
    uncut: list[int] = []
    flood = Flood(0.0, 0.0)
    for number in range(FLOODS + 1):
        order, is_long = await make(number), number == FLOODS
        others.beats, others.gets = [], []
        joins["alone"].append(await _timed(_newcomer(host, client)))
        await asyncio.sleep(BEAT_S)
        calm = time.monotonic()
        await asyncio.sleep(CALM_S)
        busy = await _while(pipe, Order(), asyncio.sleep(CALM_S))
        flood = await _while(
            pipe, order, _under(joins["under"], _newcomer(host, client), LONG_S if is_long else SHORT_S)
        )
        ends = time.monotonic()
        if flood.cut:
            cuts.append(flood.cut - flood.began)
        else:
            uncut.append(flood.sent)
        spans = {"alone": (calm, busy.began), "busy": (busy.began, flood.began)}
        spans |= {"flood": (flood.began, ends)} if is_long else {"before": (flood.began, flood.cut or ends)}
        await asyncio.sleep(BEAT_S)  # what was asked is answered
        for when, (start, end) in spans.items():
            beats[when] += [each for each in others.beats if start <= each.at < end]
            gets[when] += [each for each in others.gets if start <= each.at < end]
    sent = f"; those that were not had sent {', '.join(map(str, uncut))} messages by their end" * bool(uncut)
    say(f"  {name}: {len(cuts)} of {FLOODS + 1} floods cut{sent}")
    return {
        "floods": FLOODS + 1,
        "cut_s": _spread(cuts),
        "uncut_sent": uncut,
        "attempts": flood.attempts,
        "sent": flood.sent,
        "beats": {when: _figures(samples) for when, samples in beats.items()},
        "gets": {when: _figures(samples) for when, samples in gets.items()},
        "joins": {when: _figures(samples) for when, samples in joins.items()},
    }


async def _while(pipe: Pipe, order: Order, looking: Awaitable[object]) -> Flood:
    """The process does as it is told until `looking` is over."""
    pipe.send(order)
    await looking
    pipe.send(None)
    while not pipe.poll():
        await asyncio.sleep(0.005)
    flood: Flood = pipe.recv()
    return flood


async def _under(samples: list[Sample], joining: Awaitable[object], seconds: float) -> None:
    """A join that begins with the flood, and what there is of the time that is looked at."""
    sleeping = asyncio.ensure_future(asyncio.sleep(seconds))
    samples.append(await _timed(joining))
    await sleeping


async def _newcomer(host: NatsHost, client: Client) -> None:
    agent = Agent(host, f"n-{uuid.uuid4().hex[:12]}")
    await agent.join(await client.token(agent.name))


async def _timed(asking: Awaitable[object]) -> Sample:
    """What is not answered took as long as it was waited for."""
    began = time.monotonic()
    try:
        await asking
    except (GatewayTimeout, StreamReset):
        return Sample(began, (time.monotonic() - began) * 1000, is_answered=False)
    return Sample(began, (time.monotonic() - began) * 1000, is_answered=True)


async def _of_member(host: NatsHost, client: Client, name: str, what: str) -> Order:
    """The flood of one member that has just joined."""
    agent = Agent(host, name)
    answer = await agent.join(await client.token(name))
    if what == "renew":
        request = RenewRequest(nkey=agent.key.public, challenge=f"{name} {agent.key.public} 0 x", signature="AA")
        return Order(answer.renewal_jwt, agent.key.seed, subjects.renewal(name), msgspec.json.encode(request))
    own = agent.credentials(answer)
    if what == "desired":
        return Order(own.jwt, own.seed, subjects.desired_sync(name), b'{"epoch":"e"}')
    return Order(own.jwt, own.seed, subjects.heartbeat(name), b'{"agent":"U","epoch":"1","version":"0"}')


async def _of_member_with_entries(host: NatsHost, client: Client, name: str) -> Order:
    """As before, of one whose desired state fills a page."""
    order = await _of_member(host, client, name, "desired")
    async with host.bus("tenancy") as bus:
        await bus.ready()
        desired = DesiredClient(bus, await bus.bucket(subjects.DESIRED_STATUS), "tenancy")
        await desired.settle(name, [binding(number) for number in range(ENTRIES)])
    return order


async def _of_token(client: Client, name: str) -> Order:
    token = jointoken.decode(await client.token(name), 0)
    return Order(token.jwt, b"", subjects.join(token.jti), b'{"nkey":"U"}')


@contextlib.contextmanager
def _flooder(host: NatsHost) -> Iterator[Pipe]:
    """The process that floods: it is told with what, and answers when it had begun and was cut."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(theirs, host.servers, host.ca_pem), daemon=True
    )
    process.start()
    try:
        yield ours
    finally:
        process.kill()
        process.join()


def _serve(pipe: Pipe, servers: tuple[str, ...], ca: str) -> None:
    os.nice(NICE)
    settings = Settings(servers=servers, ca_pem=ca, name="flood")
    while True:
        order: Order = pipe.recv()
        flood = uvloop.run(_flood(settings, order, pipe)) if order.subject else _busy(pipe)
        pipe.recv()
        pipe.send(flood)


def _busy(pipe: Pipe) -> Flood:
    """With nothing, until told otherwise."""
    began = time.monotonic()
    while not pipe.poll():
        sum(range(1_000))
    return Flood(began, 0.0)


async def _flood(settings: Settings, order: Order, pipe: Pipe) -> Flood:
    """Requests as fast as one connection takes them, and another connection when it is cut, until told otherwise."""
    began = cut = 0.0
    attempts = sent = 0
    while not pipe.poll():
        attempts += 1
        try:
            connection = await connect(settings, Credentials(order.jwt, order.seed))
            began = began or time.monotonic()
            while not pipe.poll():
                for _ in range(100):
                    await connection.publish(order.subject, order.payload, reply=connection.inbox())
                    sent += 1
                await asyncio.sleep(0)
        except StatusError:
            cut = cut or time.monotonic() * bool(began)
    return Flood(began, cut, attempts, sent)


def _spread(values: Sequence[float]) -> dict[str, float]:
    if len(values) < 2:
        return {}
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {"p50": cuts[49], "p99": cuts[98], "max": max(values)}


def _figures(samples: Sequence[Sample]) -> dict[str, float]:
    return {
        **_spread([each.ms for each in samples]),
        "samples": len(samples),
        "unanswered": sum(not each.is_answered for each in samples),
    }


def show(figures: dict[str, Any], console: Console) -> None:
    """Tables: heartbeats and small requests of others, then joins."""
    for what, title in (("beats", "heartbeat of another"), ("gets", "small GET of another")):
        table = Table(
            "a flood of",
            f"{title}, ms",
            "alone",
            "beside a busy process",
            "until it is cut",
            f"a flood of {LONG_S:.0f} s",
        )
        for name, case in figures.items():
            for each in ("p50", "p99", "max", "samples", "unanswered"):
                cells = [
                    f"{case[what][when].get(each, 0.0):.{2 if each in ('p50', 'p99', 'max') else 0}f}" for when in WHEN
                ]
                table.add_row(name if each == "p50" else "", each, *cells)
            for label, against in (("p99, aim 2 x alone", "alone"), ("p99 against busy", "busy")):
                ratios = [case[what][when].get("p99", 0.0) / case[what][against]["p99"] for when in WHEN]
                table.add_row("", label, *(f"{each:.1f} x" for each in ratios))
        console.print(table)
    table = Table(
        "a flood of",
        "floods",
        f"in {LONG_S:.0f} s: connections",
        "messages",
        "until it was cut, s: p50",
        "max",
        "join alone, ms: p50",
        "under: p50",
        "max",
        "unanswered",
    )
    for name, case in figures.items():
        joins, cut = case["joins"], case["cut_s"]
        table.add_row(
            name, *(str(case[each]) for each in ("floods", "attempts", "sent")), f"{cut.get('p50', 0.0):.2f}", f"{cut.get('max', 0.0):.2f}",
            *(f"{value:.0f}" for value in (joins["alone"].get("p50", 0.0), joins["under"].get("p50", 0.0))),
            f"{joins['under'].get('max', 0.0):.0f} (aim 3000)", str(joins["under"]["unanswered"]),
        )  # fmt: skip
    console.print(table)
