"""Other keys for a real agent: what requests that run lose of it, how long it takes, and how long a stolen directory is good.

The agent is a process, its API server a stand-in in this one. A watch counts, a copy of 100 MB follows the other, small requests come
as fast as they are answered; meanwhile the agent gets a hundred other keys. Then thieves connect with what was stolen, and the
time is measured from the request of the administrator until they are cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from bench.federation import say
from skerry.errors import StatusError
from skerry.http.exchange import Exchange
from skerry.httpwire.head import ResponseHead
from skerry.identity import creds
from skerry.link import Dialer
from skerry.relay import OpenRequest, StreamReset
from tests.agent.conftest import Agent
from tests.agent.standin import Host
from tests.agent.test_credentials import acted, rekey_of
from tests.agent.test_process import dialing
from tests.fixtures.nats import NatsHost
from tests.member.apiserver import ApiServer
from tests.registry.conftest import Client

REKEYS, THIEVES = 100, 50
APART_S = 0.5
"""Between two thieves: another key takes two of the ten requests a second that a member may make, and 50 in a row would measure that
rate."""
COPY, PIECE = 100 << 20, b"x" * (64 << 10)
EVENT_S = 0.02
DEADLINE_S = 60.0


class Losses:
    """What clients see."""

    def __init__(self) -> None:
        self.events = self.copies = self.requests = 0
        self.lost: list[str] = []


async def measure(host: NatsHost, client: Client, directory: Path) -> dict[str, Any]:
    """Milliseconds, and what was lost."""
    name = f"rekeyed-{uuid.uuid4().hex[:8]}"
    async with ApiServer(directory / "api", uid=name) as api, contextlib.AsyncExitStack() as stack:
        api.routes.update({"/watch": _watch, "/copy": _copy})
        agent = Agent(directory, api)
        agent.environment["SKERRY_HEARTBEAT_S"] = "10"
        agent.token(await client.token(name))
        await agent.start()
        stack.push_async_callback(agent.stop)
        await client.ready(name, "True")
        dialer = await stack.enter_async_context(dialing(Host(host)))
        losses = Losses()
        async with _load(Requests(Host(host), dialer, name), losses):
            took = [await _rekeyed(client, name) for _ in range(REKEYS)]
        say(f"  {losses.events} events, {losses.copies} copies, {losses.requests} requests, {len(losses.lost)} lost")
        cut = [await _robbed(host, client, name, agent) for _ in range(THIEVES)]
    return {
        "rekey_ms": took,
        "stolen_ms": cut,
        "events": losses.events,
        "copies": losses.copies,
        "requests": losses.requests,
        "lost": losses.lost,
    }


async def _rekeyed(client: Client, name: str) -> float:
    """Until the agent has another key."""
    began = time.perf_counter()
    await acted(client, name, "rekey")
    await _until(client, name, lambda rekey: not rekey.get("pending"))
    return (time.perf_counter() - began) * 1000


async def _robbed(host: NatsHost, client: Client, name: str, agent: Agent) -> float:
    """From the request until a thief who has the agent's directory is cut."""
    await _until(client, name, lambda rekey: not rekey)
    await asyncio.sleep(APART_S)
    async with host.connection(creds.load(agent.state / "user.creds"), "thief") as thief:
        began = time.perf_counter()
        await acted(client, name, "rekey", atOnce=True)
        await thief.closed()
        return (time.perf_counter() - began) * 1000


async def _until(client: Client, name: str, fits: Callable[[dict[str, Any]], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not fits(await rekey_of(client, name)):
            await asyncio.sleep(0.005)


class Requests:
    """Requests to the member."""

    def __init__(self, host: Host, dialer: Dialer, name: str) -> None:
        self._host, self._dialer, self._name = host, dialer, name

    async def read(self, target: bytes, *, bulk: bool, took: Callable[[bytes], None]) -> int:
        """The whole of an answer; its status."""
        assertion = self._host.signer().assertion(self._name, "skerry:a", ("skerry:view",), {}, self._host.now)
        request = OpenRequest(
            id=uuid.uuid4().hex[:8],
            assertion=assertion,
            method=b"GET",
            target=target,
            headers=[],
            class_="bulk" if bulk else "interactive",
            long_running=True,
        )
        with await self._dialer.open(self._name, request) as stream:
            answer = await stream.response()
            took(answer.body)
            while not answer.end and (data := await stream.receive()):
                stream.consumed(len(data))
                took(data)
            return answer.status


@contextlib.asynccontextmanager
async def _load(requests: Requests, losses: Losses) -> AsyncIterator[None]:
    """A watch, copies and small requests, as long as this is entered."""
    stop = asyncio.Event()
    events = bytearray()

    async def watch() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            try:
                await requests.read(b"/watch?watch=1", bulk=False, took=events.extend)
                losses.lost.append("the watch ended")
            except (StatusError, StreamReset) as error:
                losses.lost.append(f"the watch: {error}")

    async def copies() -> None:
        while not stop.is_set():
            sizes: list[int] = []
            try:
                await requests.read(b"/copy", bulk=True, took=lambda data, sizes=sizes: sizes.append(len(data)))  # type: ignore[misc]
            except (StatusError, StreamReset) as error:
                losses.lost.append(f"a copy: {error}")
            else:
                losses.copies += 1
                if sum(sizes) != COPY:
                    losses.lost.append(f"a copy of {sum(sizes)} bytes")

    async def small() -> None:
        while not stop.is_set():
            try:
                status = await requests.read(b"/version", bulk=False, took=lambda data: None)
            except (StatusError, StreamReset) as error:
                losses.lost.append(f"a request: {error}")
            else:
                losses.requests += 1
                if status != 200:
                    losses.lost.append(f"a request: {status}")
            await asyncio.sleep(0.005)

    watching = asyncio.ensure_future(watch())
    others = [asyncio.ensure_future(each()) for each in (copies, small)]
    yield
    stop.set()
    await asyncio.gather(*others)
    watching.cancel()
    await asyncio.wait([watching])
    numbers = [int(line) for line in bytes(events).split()]
    losses.events = len(numbers)
    if numbers != list(range(len(numbers))):
        losses.lost.append("events of the watch")


async def _watch(exchange: Exchange) -> None:
    await exchange.start(ResponseHead(status=200, headers=[]), length=None)
    number = 0
    while True:
        await exchange.write(b"%d\n" % number)
        number += 1
        await asyncio.sleep(EVENT_S)


async def _copy(exchange: Exchange) -> None:
    await exchange.start(ResponseHead(status=200, headers=[]), length=None)
    for _ in range(COPY // len(PIECE)):
        await exchange.write(PIECE)
    await exchange.finish()
