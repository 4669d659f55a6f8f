"""An acknowledgement comes after the disk: nats-server syncs the stream's file before it answers, shown by its system calls.

What a power cut may take is what no fsync covered (sync_interval: always; by default JetStream acknowledges first and
syncs every two minutes). strace sees the order of calls: the entry is written to the stream's file, that file is synced,
then the connection that asked gets its answer.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

import pytest

from skerry import subjects
from skerry.api.kinds import CLUSTER
from skerry.bus import BucketConfig
from skerry.storage import Store
from tests.fixtures.nats import NatsHost

pytestmark = pytest.mark.integration

CALLS = "write,writev,pwrite64,pwritev,fsync,fdatasync,openat"
ATTACH_S = 20.0
_BLOCK = re.compile(r"KV_resources/msgs/\d+\.blk")


class Tracer:
    """strace on one process, into a file."""

    def __init__(self, pid: int, output: Path) -> None:
        self.output = output
        self._pid = pid

    async def __aenter__(self) -> Tracer:
        strace = shutil.which("strace")
        if strace is None:
            pytest.skip("strace is not installed: apt-get install strace")
        arguments = ["-f", "-yy", "-s", "0", "-e", f"trace={CALLS}", "-o", str(self.output), "-p", str(self._pid)]
        self._process = await asyncio.create_subprocess_exec(strace, *arguments, stderr=asyncio.subprocess.PIPE)
        assert self._process.stderr is not None
        async with asyncio.timeout(ATTACH_S):
            said = (await self._process.stderr.readline()).decode()
        if "attached" not in said:
            await self._process.wait()
            pytest.skip(f"strace may not look at processes here: {said.strip()}")
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._process.terminate()
        await self._process.communicate()

    def calls(self) -> list[str]:
        """Names and file descriptors in the order in which the calls *ended*, one text each."""
        begun: dict[str, str] = {}
        found = []
        for line in self.output.read_text().splitlines():
            thread, _, call = line.partition(" ")
            call = call.strip()
            if call.endswith("<unfinished ...>"):
                begun[thread] = call
            elif call.startswith("<... "):
                found.append(begun.pop(thread, call))
            else:
                found.append(call)
        return found


async def traced(nats_host: NatsHost, output: Path) -> list[str]:
    """The steps of the server during five creates."""
    async with nats_host.bus("registry") as bus:
        store = Store(await bus.bucket(subjects.RESOURCES, create=BucketConfig()), CLUSTER)
        await store.create({"metadata": {"name": "before"}})
        async with Tracer(nats_host.pid, output) as tracer:
            for number in range(5):
                await store.create({"metadata": {"name": f"traced-{number}"}})
    steps = [step for call in tracer.calls() if (step := _step(call))]
    assert steps.count("stored") >= 5, f"the stream's file was not seen being written:\n{output.read_text()}"
    return steps


def answered_unsynced(steps: list[str]) -> bool:
    """Whether anything was sent to a client between a write to the file and its sync."""
    unsynced = False
    for step in steps:
        if step == "answered" and unsynced:
            return True
        unsynced = step == "stored" or (unsynced and step != "synced")
    return unsynced


async def test_the_streams_file_is_synced_before_the_write_is_acknowledged(nats_host: NatsHost, tmp_path: Path) -> None:
    steps = await traced(nats_host, tmp_path / "calls")
    assert not answered_unsynced(steps), steps


async def test_a_server_that_syncs_later_would_be_found_out(fresh_nats_host: NatsHost, tmp_path: Path) -> None:
    fresh_nats_host.stop()
    fresh_nats_host.edit = lambda text: text.replace("sync_interval: always", 'sync_interval: "2m"')
    fresh_nats_host.start()
    assert answered_unsynced(await traced(fresh_nats_host, tmp_path / "calls"))


def _step(call: str) -> str:
    """What a call means here: an entry stored, the file synced, something sent to a client; empty for anything else."""
    name = call.partition("(")[0]
    if _BLOCK.search(call):
        return {"fsync": "synced", "fdatasync": "synced"}.get(name, "stored" if name != "openat" else "")
    return "answered" if name in ("write", "writev") and "TCP:[" in call else ""
