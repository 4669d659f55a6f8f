"""The machine's floor, beside which every figure stands: one acknowledged write, one bare request over the bus.

The bus is measured without TLS and credentials, requester and responder in this process: less than that it cannot be.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

from bench.federation import free_port
from skerry import bus
from skerry.errors import ServiceUnavailable


class _Nobody:
    """Credentials for a server that asks for none."""

    jwt = public = ""
    inbox = "_INBOX"
    expires = None

    def sign(self, nonce: bytes) -> bytes:
        return b""


def fsync_ms(samples: int = 50) -> float:
    """Median of fsyncs after writing 4 KiB."""
    taken = []
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(samples):
            started = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1e3


def bus_request_ms() -> float:
    """Median of requests of 200 bytes, answered with as much, one after the other."""
    with _nats_server() as address:
        return uvloop.run(_requests(address))


async def _requests(address: str, count: int = 2000) -> float:
    asker, answerer = await _connected(address), await _connected(address)

    def answer(message: bus.Message) -> None:
        answerer.publish_now(message.reply, message.data)

    await answerer.subscribe("echo", answer)
    taken = []
    for _ in range(count):
        started = time.perf_counter()
        await asker.request("echo", b"x" * 200, timeout_s=5)
        taken.append(time.perf_counter() - started)
    asker.abort()
    answerer.abort()
    return statistics.median(taken) * 1e3


async def _connected(address: str, deadline_s: float = 10.0) -> bus.Connection:
    """A connection to a server that may still be starting."""
    until = time.monotonic() + deadline_s
    while True:
        try:
            return await bus.connect(bus.Settings(servers=(address,)), _Nobody())
        except ServiceUnavailable:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.05)


@contextmanager
def _nats_server() -> Iterator[str]:
    port = free_port()
    command = [str(Path(sys.executable).with_name("nats-server")), "--addr", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"nats://127.0.0.1:{port}"
    finally:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(5)
