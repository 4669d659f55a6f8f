"""Clients that take nothing: they cost a bounded amount of memory, and nobody else notices them.

What is asserted is structure (requests complete while hundreds of readers stall, what is granted stays within the
budget, memory within the limits of the workloads); how fast requests stay is a figure, and figures are measured in bench/.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.fleet import PODS, Fleet, Tower, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]

READERS = 200
BUDGET = 96 << 20
TOWER_MIB, AGENT_MIB = 200.0, 96.0
"""What 200 stalled readers of 100 MB may cost the proxy and the agent, interpreters included."""


class Stalled:
    """A client that asks for 100 MB and reads the head only."""

    def __init__(self, tower: Tower, ca: Path) -> None:
        self._tower, self._ca = tower, ca
        self._writer: asyncio.StreamWriter | None = None

    async def start(self) -> None:
        """Ask, and wait for the head."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._tower.port))
        context = ssl.create_default_context(cafile=str(self._ca))
        reader, self._writer = await asyncio.open_connection(
            sock=sock, ssl=context, server_hostname="127.0.0.1", limit=1024
        )
        head = b"GET /clusters/m1/big HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %b\r\n\r\n"
        self._writer.write(head % self._tower.token)
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"

    def leave(self) -> None:
        """Cut."""
        if self._writer is not None:
            self._writer.transport.abort()


@contextlib.asynccontextmanager
async def stalled(fleet: Fleet, count: int) -> AsyncIterator[None]:
    """So many readers that take nothing."""
    (tower,) = fleet.towers
    readers = [Stalled(tower, fleet.nats.directory / "ca.crt") for _ in range(count)]
    try:
        for start in range(0, count, 20):
            await asyncio.gather(*(reader.start() for reader in readers[start : start + 20]))
        yield
    finally:
        for reader in readers:
            reader.leave()


async def test_hundreds_of_stalled_readers_are_bounded_and_nobody_else_notices(single: Fleet) -> None:
    (tower,), (agent,) = single.towers, single.agents
    async with stalled(single, READERS):
        assert await tower.metric("skerry_proxy_streams_live") == READERS
        for _ in range(30):
            assert (await tower.ask(b"/version")).status == 200
            assert (await tower.ask(b"/clusters/m1/version")).status == 200
            assert (await tower.ask(PODS, b"POST", b"beside")).status == 200
        assert 0 < await tower.metric("skerry_proxy_granted_bytes") <= BUDGET
        found = f"tower {tower.memory_mib():.0f} MiB, agent {agent.memory_mib():.0f} MiB with {READERS} stalled readers"
        print(found)
        assert tower.memory_mib() <= TOWER_MIB, found
        assert agent.memory_mib() <= AGENT_MIB, found
    await _nothing_left(tower)


async def test_what_cannot_be_granted_is_a_429_that_names_the_budget(single: Fleet) -> None:
    single.towers[0].end()
    await single.towers.pop().client.close()
    tower = await single.tower(SKERRY_BUDGET_BYTES=str(4 << 20))
    async with stalled(single, 8):
        await until(lambda: single.member.api.targets.count(b"/big") >= 8, "the readers are there")
        answers = [await tower.ask(b"/clusters/m1/api/v1/namespaces/d/pods") for _ in range(40)]
        assert {answer.status for answer in answers} <= {200, 429}
        assert await tower.metric("skerry_proxy_granted_bytes") <= 4 << 20
        held = await asyncio.gather(*(_held(tower) for _ in range(60)))
        refused = [answer for answer in held if answer is not None]
        assert refused
        assert all("MiB granted to streams and not yet written" in text for text in refused)
    await _nothing_left(tower)


async def _held(tower: Tower) -> str | None:
    """A watch that stays; the text of its refusal otherwise."""
    response = await tower.open(b"/clusters/m1/api/v1/watch/pods")
    if response.status == 200:
        tower.held.append(response)
        return None
    text = (await response.body(1 << 16)).decode()
    response.abort()
    assert response.status == 429
    return text


async def test_a_reader_that_stalls_beyond_the_limit_is_cut(single: Fleet) -> None:
    single.towers[0].end()
    await single.towers.pop().client.close()
    tower = await single.tower(SKERRY_STALLED_S="1")
    async with stalled(single, 4):
        await _nothing_left(tower)


async def _nothing_left(tower: Tower) -> None:
    """No request, no credit."""
    for response in tower.held:
        response.abort()
    async with asyncio.timeout(20):
        while await tower.metric("skerry_proxy_streams_live") or await tower.metric("skerry_proxy_granted_bytes"):
            await asyncio.sleep(0.05)
