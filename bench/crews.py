"""Processes of `bench.agents`, and orders to them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.agents import Plan, Who
from bench.federation import say
from tests.faults.fleet import HOST_UID
from tests.fixtures.nats import NatsHost

LIMIT = 1 << 28
"""Bytes of one answer."""
DEADLINE_S = 600.0


class Crew:
    """One process and the agents in it."""

    def __init__(self, process: asyncio.subprocess.Process, names: Sequence[str], log: Path) -> None:
        self._process, self.names, self._log = process, names, log

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    async def order(self, do: str, **more: Any) -> dict[str, Any]:
        """Have something done; the answer. RuntimeError if the process ends instead."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        """The next line of it."""
        assert self._process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"agents ended:\n{self._log.read_text()[-3000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def kill(self) -> None:
        """kill -9, and wait."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


@contextlib.asynccontextmanager
async def crew(host: NatsHost, agents: tuple[Who, ...], *, port: int = 0) -> AsyncIterator[Crew]:
    """A process for these agents, which are not connected yet; killed at the end. `port`: where they dial instead of the bus."""
    plan = Plan(
        server=f"tls://127.0.0.1:{port or host.port}",
        ca_pem=host.ca_pem,
        host_uid=HOST_UID,
        trust_root=host.trust_root,
        agents=agents,
    )
    file = host.directory / f"agents-{agents[0].name}-{len(agents)}.json"
    file.touch(mode=0o600)
    file.write_bytes(msgspec.json.encode(plan))
    log = file.with_suffix(".log")
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.agents", str(file),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=errors, limit=LIMIT,
        )  # fmt: skip
    one = Crew(process, [each.name for each in agents], log)
    try:
        await one.answer()
        yield one
    finally:
        await one.kill()


async def each(crews: Sequence[Crew], do: str, **more: Any) -> list[dict[str, Any]]:
    """The same order to all, at once."""
    answers = await asyncio.gather(*(one.order(do, **more) for one in crews))
    if do in ("come", "apply"):
        say(f"  {sum(len(one.names) for one in crews)} agents, {do}: {max(each['seconds'] for each in answers):.1f} s")
    return list(answers)
