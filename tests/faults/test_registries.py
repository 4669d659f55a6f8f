"""Three registries as processes: all hear, one writes, and whoever of them dies or sleeps, members do not notice."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from skerry.bus import Connection
from tests.faults.fleet import Process, Strait, until
from tests.fixtures.nats import NatsHost
from tests.registry.conftest import HOST_UID, Agent, Client, client_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


class Registries:
    """The processes, in the order of their starts."""

    def __init__(self, host: NatsHost, directory: Path) -> None:
        self._host, self._directory = host, directory
        self.processes: list[Process] = []

    async def start(self, port: int = 0) -> Process:
        """One more, ready; `port`: where it dials instead of the bus itself."""
        credentials = self._directory / "registry.creds"
        if not credentials.exists():
            self._host.service("registry").save(credentials)
        environment = {
            "SKERRY_BUS_SERVERS": f"tls://127.0.0.1:{port}" if port else ",".join(self._host.servers),
            "SKERRY_BUS_CA_FILE": str(self._host.directory / "ca.crt"),
            "SKERRY_BUS_CREDENTIALS_FILE": str(credentials),
            "SKERRY_TRUST_ROOT": self._host.trust_root,
            "SKERRY_KEYS_DIR": str(self._host.keys_dir),
            "SKERRY_HOST_UID": HOST_UID,
            "SKERRY_BUS_PUBLIC": ",".join(self._host.servers),
        }
        process = Process("services.registry", self._directory / f"registry-{len(self.processes)}.log", environment)
        self.processes.append(process)
        await process.logged("ready")
        return process

    async def leader(self, *without: Process) -> Process:
        """The one that leads, of those that are not left out: the last word of a lease in its log is that it does."""

        def look() -> Process | None:
            for each in self.processes:
                words = [line["message"] for line in each.lines() if line.get("lease") == "registry"]
                if each not in without and words[-1:] == ["leads"]:
                    return each
            return None

        found: Process = await until(look, "a registry leads")
        return found


@pytest.fixture
async def three(fresh_nats_host: NatsHost, tmp_path: Path) -> AsyncIterator[Registries]:
    """Three of them, ready."""
    registries = Registries(fresh_nats_host, tmp_path)
    try:
        for _ in range(3):
            await registries.start()
        yield registries
    finally:
        for each in registries.processes:
            with contextlib.suppress(ProcessLookupError):
                each.signal(signal.SIGCONT)
            each.end()
            print(each.log.read_text(errors="replace")[-3000:])


async def statuses(client: Client, name: str, seen: list[str]) -> None:
    """Append each status of Ready that is stored, until cancelled."""
    while True:
        found = await client.cluster(name)
        for each in (found or {}).get("status", {}).get("conditions", []):
            if each["type"] == "Ready" and seen[-1:] != [each["status"]]:
                seen.append(each["status"])
        await asyncio.sleep(0.02)


class Beating(NamedTuple):
    """A member that is Ready, and its agent."""

    agent: Agent
    connection: Connection
    client: Client
    seen: list[str]
    """Each status of Ready that was stored."""

    async def beat(self, status: str) -> None:
        """Say whether it is healthy until that is heard and stored."""
        await self.agent.beat_until_answered(self.connection, healthy=status == "True")
        await self.client.ready("kept", status)


@contextlib.asynccontextmanager
async def beating(host: NatsHost) -> AsyncIterator[Beating]:
    """A member, watched until the end."""
    agent, seen = Agent(host, "kept"), list[str]()
    async with client_of(host) as client, asyncio.TaskGroup() as tasks:
        answer = await agent.join(await client.token("kept"))
        async with host.connection(agent.credentials(answer)) as connection:
            await agent.beat(connection)
            await client.ready("kept", "True")
            watching = tasks.create_task(statuses(client, "kept", seen))
            yield Beating(agent, connection, client, seen)
            watching.cancel()


async def test_a_leader_that_is_killed_and_one_that_sleeps_lose_and_invent_no_transition(
    three: Registries, fresh_nats_host: NatsHost
) -> None:
    async with beating(fresh_nats_host) as member:
        first = await three.leader()
        await first.kill()
        await member.beat("False")
        second = await three.leader(first)
        second.signal(signal.SIGSTOP)
        await member.beat("True")
        third = await three.leader(first, second)
        assert third is not second
        second.signal(signal.SIGCONT)
        await until(
            lambda: [line for line in second.lines() if line["message"] in _ENDED],
            "the one that slept knows that it does not lead",
        )
        await quiet(member, 5)
    assert member.seen == ["True", "False", "True"]


@pytest.fixture
async def apart(fresh_nats_host: NatsHost, tmp_path: Path) -> AsyncIterator[tuple[Registries, dict[Process, Strait]]]:
    """Three of them, each with a network of its own to the bus."""
    registries = Registries(fresh_nats_host, tmp_path)
    straits: dict[Process, Strait] = {}
    async with contextlib.AsyncExitStack() as stack:
        try:
            for _ in range(3):
                strait = await stack.enter_async_context(Strait(fresh_nats_host.port))
                straits[await registries.start(strait.port)] = strait
            yield registries, straits
        finally:
            for each in registries.processes:
                each.end()
                print(each.log.read_text(errors="replace")[-3000:])


async def quiet(member: Beating, beats: int = 8) -> None:
    """Time in which nothing happens that a registry should write."""
    for _ in range(beats):
        await member.agent.beat_until_answered(member.connection)
        await asyncio.sleep(0.3)


async def test_a_leader_that_is_cut_off_and_comes_back_loses_and_invents_no_transition(
    apart: tuple[Registries, dict[Process, Strait]], fresh_nats_host: NatsHost
) -> None:
    """What it had sent may arrive when it is back: it is of a revision that is over."""
    registries, straits = apart
    async with beating(fresh_nats_host) as member:
        first = await registries.leader()
        straits[first].freeze()
        await member.agent.beat_until_answered(member.connection, healthy=False)
        second = await registries.leader(first)
        assert second is not first
        await member.client.ready("kept", "False")
        await member.beat("True")
        straits[first].thaw()
        await until(
            lambda: [line for line in first.lines() if line["message"] in _ENDED],
            "the one that was cut off knows it",
        )
        await quiet(member)
    assert member.seen == ["True", "False", "True"]


async def test_who_heard_nothing_for_a_while_and_then_leads_invents_no_transition(
    apart: tuple[Registries, dict[Process, Strait]], fresh_nats_host: NatsHost
) -> None:
    """Two are cut off while the member fails and comes back; then the third, which knows all of it, dies."""
    registries, straits = apart
    async with beating(fresh_nats_host) as member:
        first = await registries.leader()
        others = [each for each in registries.processes if each is not first]
        for each in others:
            straits[each].freeze()
        await member.beat("False")
        await member.beat("True")
        for each in others:
            straits[each].thaw()
        await first.kill()
        assert await registries.leader(first) in others
        await quiet(member)
        assert member.seen == ["True", "False", "True"]
        await member.agent.beat_until_answered(member.connection, healthy=False)
        await until(lambda: member.seen[3:], "one more transition")
    assert member.seen == ["True", "False", "True", "False"]


_ENDED = ("does not lead any more", "the lease was not confirmed in time")
"""What a holder logs that finds its time over."""
