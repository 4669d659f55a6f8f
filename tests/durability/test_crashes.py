"""`kill -9` at each step of a write, on a real host under a storm: an acknowledged write is there, another is whole or not.

A write stands at a step when the next process on its way does not move: one process is stopped, so that writes wait in
front of it, then another is killed (or the stopped one itself), then it goes on. Front door, owner and bus, each against each.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator

import pytest

from skerry.cli.plan import read_status
from tests.durability.front import Front, Refused, Silence, Unsent
from tests.durability.storm import Ledger, Storm
from tests.e2e.federation import Host

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

PROCESSES = ("tower", "controller-manager", "nats-server")
STEPS = [("", "tower"), ("nats-server", "tower"), ("controller-manager", "controller-manager"),
         ("nats-server", "controller-manager"), ("", "nats-server"), ("nats-server", "nats-server")]  # fmt: skip
"""(which is stopped first, which is killed)."""
MORE = [("controller-manager", "tower"), ("tower", "tower"), ("", "controller-manager"), ("tower", "controller-manager"),
        ("controller-manager", "nats-server"), ("tower", "nats-server")]  # fmt: skip
WRITERS = 6
HELD_S = 0.3
"""So long writes gather in front of a stopped process."""
RECOVERED_S = 60.0


def pid_of(host: Host, name: str) -> int:
    """The process, which must run."""
    status = read_status(host.state / "host")
    assert status is not None
    return next(process.pid for process in status.processes if process.name == name)


async def ready(host: Host) -> None:
    """Until every process serves again."""
    async with asyncio.timeout(RECOVERED_S):
        while (status := read_status(host.state / "host")) is None or not status.ready:
            await asyncio.sleep(0.05)


async def hit(host: Host, stopped: str, killed: str) -> None:
    """Stop one process so that writes wait for it, kill one, let the stopped one go on."""
    held = pid_of(host, stopped) if stopped else 0
    victim = pid_of(host, killed)
    if held:
        os.kill(held, signal.SIGSTOP)
        await asyncio.sleep(HELD_S)
    os.kill(victim, signal.SIGKILL)
    if held and held != victim:
        os.kill(held, signal.SIGCONT)


@contextlib.asynccontextmanager
async def raging(client: Front, ledger: Ledger, prefix: str) -> AsyncIterator[Storm]:
    """A storm while the block runs; at its end every writer has an answer or has given up."""
    storm = Storm(client, ledger)
    async with asyncio.TaskGroup() as writers:
        for number in range(WRITERS):
            writers.create_task(storm.write(f"{prefix}-{number}"))
        try:
            yield storm
        finally:
            storm.stop.set()


async def check(client: Front, ledger: Ledger) -> None:
    """Compare the ledger with what the host has, once it has caught up."""
    async with asyncio.timeout(RECOVERED_S):
        while True:
            try:
                _, found = await client.listed()
                break
            except (Refused, Silence, Unsent):
                await asyncio.sleep(0.1)
    assert ledger.broken(found) == []
    unknown = {name for name in found if name not in ledger.promises}
    assert not unknown, f"nobody wrote {unknown}"


async def survives(host: Host, steps: list[tuple[str, str]]) -> None:
    """A storm through these kills; nothing that was promised is broken afterwards."""
    ledger = Ledger()
    async with Front.of(host) as client:
        async with raging(client, ledger, "w") as storm:
            await storm.acknowledged(20, 30)
            for stopped, killed in steps:
                await hit(host, stopped, killed)
                await storm.acknowledged(20, RECOVERED_S)
                await ready(host)
        await check(client, ledger)
    print(f"{ledger.acknowledged} acknowledged, {ledger.refused} refused, {ledger.unknown} of unknown outcome")
    assert ledger.unknown, "no kill hit a write: the storm is too weak to show anything"


async def test_a_kill_of_any_process_at_any_step_breaks_no_promise(host: Host) -> None:
    await survives(host, STEPS)


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_kills_at_every_step_again_and_again(host: Host) -> None:
    await survives(host, (STEPS + MORE) * 3)


async def test_what_was_acknowledged_is_there_after_everything_was_killed_at_once(host: Host) -> None:
    ledger = Ledger()
    async with Front.of(host) as client, raging(client, ledger, "all") as storm:
        await storm.acknowledged(60, 30)
        pids = [int((host.state / "host" / "lock").read_text()), *(pid_of(host, name) for name in PROCESSES)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(host.up)
    async with Front.of(host) as client:
        await check(client, ledger)
