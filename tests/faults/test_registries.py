"""Three registries as processes: all hear, one writes, and whoever of them dies or sleeps, members do not notice."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.fleet import Process, until
from tests.fixtures.nats import NatsHost
from tests.registry.conftest import HOST_UID, Agent, Client, client_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


class Registries:
    """The processes, in the order of their starts."""

    def __init__(self, host: NatsHost, directory: Path) -> None:
        self._host, self._directory = host, directory
        self.processes: list[Process] = []

    async def start(self) -> Process:
        """One more, ready."""
        credentials = self._directory / "registry.creds"
        if not credentials.exists():
            self._host.service("registry").save(credentials)
        environment = {
            "SKERRY_BUS_SERVERS": ",".join(self._host.servers),
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


async def test_a_leader_that_is_killed_and_one_that_sleeps_lose_and_invent_no_transition(
    three: Registries, fresh_nats_host: NatsHost
) -> None:
    host, agent, seen = fresh_nats_host, Agent(fresh_nats_host, "kept"), []  # type: ignore[var-annotated]
    async with client_of(host) as client, asyncio.TaskGroup() as tasks:
        answer = await agent.join(await client.token("kept"))
        async with host.connection(agent.credentials(answer)) as connection:
            await agent.beat(connection)
            await client.ready("kept", "True")
            looking = tasks.create_task(statuses(client, "kept", seen))
            first = await three.leader()
            await first.kill()
            await agent.beat_until_answered(connection, healthy=False)
            await client.ready("kept", "False")

            second = await three.leader(first)
            second.signal(signal.SIGSTOP)
            await agent.beat_until_answered(connection)
            await client.ready("kept", "True")
            third = await three.leader(first, second)
            assert third is not second
            second.signal(signal.SIGCONT)
            await until(
                lambda: (
                    [line for line in second.lines() if line["message"] == "does not lead any more"]
                    or [line for line in second.lines() if line["message"] == "the lease was not confirmed in time"]
                ),
                "the one that slept knows that it does not lead",
            )
            for _ in range(5):
                await agent.beat_until_answered(connection)
                await asyncio.sleep(0.3)
            looking.cancel()
    assert seen == ["True", "False", "True"]
