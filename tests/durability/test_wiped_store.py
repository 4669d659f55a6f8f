"""A bus that lost everything: agents wait for the restore, whoever starts the host before it, and serve again by themselves."""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from skerry.bus import Bus
from skerry.storage import archive
from skerry.storage.archive import Archive
from tests.agent.conftest import Agent
from tests.fixtures.nats import NatsHost
from tests.member.apiserver import ApiServer
from tests.registry.conftest import Running, client_of

pytestmark = pytest.mark.integration

MEMBERS = ("one", "two")


async def backup(host: NatsHost) -> Archive:
    """As the command takes it."""
    async with Bus(host.settings("backup"), lambda: host.authority.archivist_credentials(restoring=False)) as bus:
        await bus.ready()
        return await archive.take(bus, "uid", host.authority.public.host, datetime.now(UTC))


async def restore(host: NatsHost, found: Archive) -> None:
    """As the command does it, on a bus that nobody else uses."""
    async with Bus(host.settings("restore"), lambda: host.authority.archivist_credentials(restoring=True)) as bus:
        await bus.ready()
        await archive.restore(bus, found, datetime.now(UTC), lambda done, of: None)


def wipe(host: NatsHost) -> None:
    """Another volume: no JetStream, no accounts."""
    host.kill()
    shutil.rmtree(host.directory / "store")


async def test_agents_outlive_an_empty_store_and_return_after_its_restore(
    fresh_nats_host: NatsHost, tmp_path: Path
) -> None:
    host = fresh_nats_host
    async with ApiServer(tmp_path / "a", uid="uid-one") as one, ApiServer(tmp_path / "b", uid="uid-two") as two:
        agents = {}
        for name, api in zip(MEMBERS, (one, two), strict=True):
            (tmp_path / name).mkdir()
            agents[name] = Agent(tmp_path / name, api)
        try:
            async with Running(host).running(), client_of(host) as client:
                for name, agent in agents.items():
                    agent.token(await client.token(name))
                    await agent.start()
                    await client.ready(name, "True")
                found = await backup(host)
            wipe(host)
            host.start()
            async with Running(host).running(), client_of(host) as client:
                for agent in agents.values():
                    await agent.logged("refused the credentials")
                assert [await client.cluster(name) for name in MEMBERS] == [None, None]
            host.kill()
            host.start()
            await restore(host, found)
            async with Running(host).running(), client_of(host) as client:
                for name in MEMBERS:
                    condition = await client.ready(name, "True")
                    assert condition["reason"] not in ("Restarted", "Joined"), condition
                    await agents[name].logged(f"cluster {name} of host isle")
            for agent in agents.values():
                assert agent.process is not None
                assert agent.process.returncode is None
                assert await agent.stop() == 0
        finally:
            await asyncio.gather(*(ended(agent) for agent in agents.values()))


async def ended(agent: Agent) -> None:
    """No process is left."""
    if agent.process is not None and agent.process.returncode is None:
        agent.process.kill()
        await agent.process.wait()
