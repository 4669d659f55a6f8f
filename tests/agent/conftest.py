"""Fixtures of the agent's suite: a member's API server and a host, both real on the wire."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from skerry.member import kubeconfig
from skerry.member.credentials import source
from skerry.member.upstream import Upstream
from tests.agent.standin import Host
from tests.fixtures.nats import NatsHost
from tests.member.apiserver import ApiServer

DEADLINE_S = 20.0


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiServer]:
    """A member's API server."""
    async with ApiServer(tmp_path / "api") as server:
        yield server


@pytest.fixture
async def upstream(api: ApiServer) -> AsyncIterator[Upstream]:
    """The agent's way to it."""
    target = kubeconfig.load(str(api.kubeconfig()))
    made = Upstream(target, source(target))
    yield made
    await made.close()


@pytest.fixture
async def host(nats_host: NatsHost) -> AsyncIterator[Host]:
    """A host with a registry of its own for each test."""
    async with Host(nats_host) as started:
        yield started


class Agent:
    """One agent process; `run` starts it with these settings, again and again."""

    def __init__(self, directory: Path, api: ApiServer) -> None:
        self.directory, self.state = directory, directory / "agents" / "m"
        self.environment = {
            "SKERRY_AGENT_STATE": str(self.state),
            "SKERRY_KUBECONFIG": str(api.kubeconfig()),
            "SKERRY_HEARTBEAT_S": "0.2",
            "SKERRY_ECHO_S": "0.5",
            "SKERRY_GRACE_S": "1",
        }
        self.log = directory / "log"
        self.process: asyncio.subprocess.Process | None = None

    def token(self, text: str) -> None:
        """Give it a token."""
        path = self.directory / "token"
        path.write_text(text)
        self.environment["SKERRY_TOKEN_FILE"] = str(path)

    async def start(self, **more: str) -> None:
        """Start the process."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SKERRY_")}
        with self.log.open("wb") as out:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.agent", env=kept | self.environment | more, stdout=out, stderr=out
            )

    async def ended(self) -> tuple[int, str]:
        """Exit code and the last line that it wrote."""
        assert self.process is not None
        async with asyncio.timeout(DEADLINE_S):
            code = await self.process.wait()
        self.process = None
        return code, self.log.read_text().strip().splitlines()[-1]

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.terminate()
        return (await self.ended())[0]

    async def logged(self, text: str) -> None:
        """Wait for a log line."""
        async with asyncio.timeout(DEADLINE_S):
            while text not in self.log.read_text():
                await asyncio.sleep(0.02)

    def memory_kib(self, field: str) -> int:
        """VmRSS or VmHWM of the process."""
        assert self.process is not None
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(field + ":"))


@pytest.fixture
async def agent(tmp_path: Path, api: ApiServer) -> AsyncIterator[Agent]:
    """An agent process, ended at the end; its log is shown when the test fails."""
    made = Agent(tmp_path, api)
    yield made
    if made.log.exists():
        sys.stdout.write(made.log.read_text())
    if made.process is not None and made.process.returncode is None:
        made.process.kill()
        await made.process.wait()
