"""What a recording costs the session: an echo with it and without it, and the processor's time for what is relayed.

One host in this process, with a real nats-server that syncs as in production, and a member that echoes over WebSocket. Both kinds
of sessions are open at once and take turns, so that what else the machine does falls on both. Ratios are taken within a round.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from services.proxy.recording.recorder import Backlog, SessionRecorder
from tests.fixtures.nats import NatsHost
from tests.proxy.auditing.audited import use
from tests.proxy.conftest import World, settings_for, world
from tests.proxy.recording.frames import ABOUT, output
from tests.proxy.recording.member import PATH, Shell, Terminal, terminal

KINDS = {"not recorded": ("None", False), "recorded": ("tty", False), "required": ("tty", True)}
"""What a rule of the policy says of the user of that name: `record` and `required`."""
ECHOES, PIECES = 200, 32
PIECE = os.urandom(24_000).hex().encode()
"""48 kB of what cannot be packed and needs no escape, as base64 has it."""
AIM_MS = 1.0
KEYS = 20_000


class Sides:
    """An open session of each kind."""

    def __init__(self, host: World) -> None:
        self._host = host
        self.shells: dict[str, Shell] = {}
        self.terminals: dict[str, Terminal] = {}

    async def open(self, stack: AsyncExitStack) -> None:
        """Begin them."""
        rules = [
            {"level": "Request", "users": [kind], "record": record, "required": required}
            for kind, (record, required) in KINDS.items()
        ]
        await use(self._host, *rules)
        for kind in KINDS:
            self.shells[kind] = shell = Shell()
            self._host.recorder.routes[PATH] = shell.handle
            token = await self._host.token(kind, "skerry:cluster-admin")
            self.terminals[kind] = await stack.enter_async_context(terminal(self._host, token=token))
            await shell.begun.wait()

    async def echo_ms(self, kind: str) -> float:
        """One key, until it is seen."""
        client = self.terminals[kind]
        client.seen = b""
        begun = time.perf_counter()
        await client.send(b"a")
        await client.until(b"A")
        return (time.perf_counter() - begun) * 1000

    async def flood_cpu_ms(self, kind: str) -> float:
        """Milliseconds of processor time of this whole process for a MiB that is shown: member, agent, relay and client."""
        client, shell = self.terminals[kind], self.shells[kind]
        client.seen = b""
        begun = time.process_time()
        for _ in range(PIECES):
            await shell.show(PIECE)
        await shell.show(b"END")
        await client.until(b"END")
        return (time.process_time() - begun) * 1000 / (len(PIECE) * PIECES / (1 << 20))


async def _measured(directory: Path, rounds: int) -> dict[str, Any]:
    host = NatsHost(directory)
    host.start()
    try:
        async with world(host, settings_for(host)) as made, AsyncExitStack() as stack:
            sides = Sides(made)
            await sides.open(stack)
            echo: dict[str, list[float]] = {kind: [] for kind in KINDS}
            flood: dict[str, list[float]] = {kind: [] for kind in KINDS}
            for _ in range(rounds):
                single: dict[str, list[float]] = {kind: [] for kind in KINDS}
                for _ in range(ECHOES):
                    for kind in KINDS:
                        single[kind].append(await sides.echo_ms(kind))
                for kind in KINDS:
                    echo[kind].append(statistics.median(single[kind]))
                    flood[kind].append(await sides.flood_cpu_ms(kind))
    finally:
        host.stop()
    return {"echo_ms": echo, "cpu_ms_per_mib": flood}


def _recorder_alone() -> dict[str, float]:
    """What the reading itself takes: of a MiB in frames of 32 KiB, in milliseconds; of a key's echo, in microseconds."""
    frames = [output(PIECE[: 32 * 1024])] * 32
    recorder = SessionRecorder(ABOUT, Backlog())
    begun = time.process_time()
    for frame in frames:
        recorder.from_member(frame, ABOUT.start)
        recorder.take(1 << 20)
    mib_ms = (time.process_time() - begun) * 1000
    key = output(b"a")
    begun = time.process_time()
    for _ in range(KEYS):
        recorder.from_member(key, ABOUT.start)
        recorder.take(1 << 20)
    return {"mib_ms": mib_ms, "key_us": (time.process_time() - begun) * 1e6 / KEYS}


def measure(rounds: int) -> dict[str, Any]:
    """Medians of each round, and what the reading takes alone."""
    with (
        tempfile.TemporaryDirectory(prefix="skerry-bench-") as directory,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        figures = runner.run(_measured(Path(directory), rounds))
    return {**figures, "recorder": _recorder_alone()}


def show(figures: Mapping[str, Any], console: Console) -> None:
    """The table that people read."""
    table = Table(title="A recorded session beside one that is not, interleaved; medians of the rounds")
    for column in ("session", "echo, ms", "later by, ms", "CPU per MiB shown, ms", "ratio"):
        table.add_column(column, justify="left" if column == "session" else "right")
    echo, cpu = figures["echo_ms"], figures["cpu_ms_per_mib"]
    bare = next(iter(KINDS))
    for kind in KINDS:
        later = statistics.median(one - other for one, other in zip(echo[kind], echo[bare], strict=True))
        ratio = statistics.median(one / other for one, other in zip(cpu[kind], cpu[bare], strict=True))
        table.add_row(
            kind,
            f"{statistics.median(echo[kind]):.3f}",
            f"{later:+.3f}",
            f"{statistics.median(cpu[kind]):.2f}",
            f"{ratio:.2f}",
        )
    console.print(table)
    alone = figures["recorder"]
    console.print(
        f"Aim: an echo at most {AIM_MS:g} ms later. The reading alone: {alone['mib_ms']:.2f} ms of a core for a MiB, "
        f"{alone['key_us']:.1f} us for a key."
    )
