"""The tower as its supervisor sees it: a process that says when it is ready, serves TLS, and ends when it is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from skerry import bus, subjects
from skerry.http import Client, HttpError
from skerry.httpwire.head import RequestHead
from skerry.identity import x509
from tests.fixtures.nats import NatsHost
from tests.proxy.conftest import certify

pytestmark = pytest.mark.integration
DEADLINE_S = 15.0


class Tower:
    """A running tower process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, object]] = []
        self.plain: list[str] = []

    async def until(self, message: str) -> dict[str, object]:
        """The next log line with that message."""
        assert self.process.stderr is not None
        async with asyncio.timeout(DEADLINE_S):
            while line := await self.process.stderr.readline():
                with contextlib.suppress(json.JSONDecodeError):
                    self.lines.append(json.loads(line))
                    if self.lines[-1]["message"] == message:
                        return self.lines[-1]
                    continue
                self.plain.append(line.decode())
        pytest.fail(f"the tower ended: {self.lines} {self.plain}")

    async def end(self) -> int:
        """SIGTERM, and the exit code."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE_S):
            await self.process.communicate()
        return self.process.returncode or 0


def environment(nats: NatsHost) -> dict[str, str]:
    """The environment that a supervisor gives, with a credential and a certificate of the test's own."""
    credentials = nats.directory / "tower.creds"
    nats.service("proxy").save(credentials)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("SKERRY_")},
        "SKERRY_BUS_SERVERS": ",".join(nats.servers),
        "SKERRY_BUS_CA_FILE": str(nats.directory / "ca.crt"),
        "SKERRY_BUS_CREDENTIALS_FILE": str(credentials),
        "SKERRY_LISTEN": "127.0.0.1:0",
        "SKERRY_TLS_CERT_FILE": str(nats.directory / "tls.crt"),
        "SKERRY_TLS_KEY_FILE": str(nats.directory / "tls.key"),
        "SKERRY_LOG_FORMAT": "json",
        "SKERRY_GRACE_S": "1",
    }


@contextlib.asynccontextmanager
async def tower(environ: dict[str, str]) -> AsyncIterator[Tower]:
    """A tower process that is gone at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.tower", env=environ, stderr=asyncio.subprocess.PIPE, cwd=Path.cwd()
    )
    running = Tower(process)
    try:
        yield running
    finally:
        await running.end()


async def registry(nats: NatsHost, stack: contextlib.AsyncExitStack) -> None:
    """The bucket and the signature that a tower needs of the registry."""
    connected = await stack.enter_async_context(nats.bus("registry"))
    await connected.ready()
    await connected.bucket(subjects.RESOURCES, create=bus.BucketConfig())
    connected.serve("registry", "0.1.0", {subjects.CERTIFY: lambda message: certify(nats, message)})
    await connected.ready()


async def status(port: object, ca: Path, path: bytes) -> int:
    """The status of a GET over TLS that trusts `ca` only."""
    client = Client("127.0.0.1", int(str(port)), ssl.create_default_context(cafile=str(ca)))
    try:
        response = await client.request(RequestHead(method=b"GET", target=path, headers=[]))
        await response.body(100_000)
        return response.status
    finally:
        await client.close()


def port_of(line: dict[str, object]) -> int:
    """The port in the line `listening`."""
    addresses = line["addresses"]
    assert isinstance(addresses, list)
    return int(addresses[0][1])


async def test_ready_serves_tls_and_ends_on_sigterm(fresh_nats_host: NatsHost) -> None:
    async with contextlib.AsyncExitStack() as stack:
        await registry(fresh_nats_host, stack)
        running = await stack.enter_async_context(tower(environment(fresh_nats_host)))
        port = port_of(await running.until("listening"))
        await running.until("ready")
        assert await status(port, fresh_nats_host.directory / "ca.crt", b"/readyz") == 200
        assert await status(port, fresh_nats_host.directory / "ca.crt", b"/apis") == 401
        assert await running.end() == 0


async def test_without_a_registry_it_is_alive_and_not_ready_with_a_reason(fresh_nats_host: NatsHost) -> None:
    async with tower(environment(fresh_nats_host)) as running:
        port = port_of(await running.until("listening"))
        assert "reason" in await running.until("not ready")
        assert await status(port, fresh_nats_host.directory / "ca.crt", b"/livez") == 200
        assert await status(port, fresh_nats_host.directory / "ca.crt", b"/readyz") == 503


async def test_a_replaced_certificate_is_served_without_a_restart(fresh_nats_host: NatsHost) -> None:
    nats = fresh_nats_host
    async with contextlib.AsyncExitStack() as stack:
        await registry(nats, stack)
        running = await stack.enter_async_context(tower(environment(nats)))
        port = port_of(await running.until("listening"))
        await running.until("ready")
        other = x509.create_ca("another")
        pair = x509.issue_server(other, ("127.0.0.1",))
        (nats.directory / "other.crt").write_bytes(other.certificate)
        (nats.directory / "tls.key").write_bytes(pair.key)
        (nats.directory / "tls.crt").write_bytes(pair.certificate)
        await running.until("the certificate was replaced")
        assert await status(port, nats.directory / "other.crt", b"/livez") == 200


async def test_at_sigterm_it_takes_connections_for_a_while_and_is_not_ready(fresh_nats_host: NatsHost) -> None:
    """A load balancer goes on sending new connections for as long as it has not heard."""
    ca = fresh_nats_host.directory / "ca.crt"
    async with contextlib.AsyncExitStack() as stack:
        await registry(fresh_nats_host, stack)
        environ = environment(fresh_nats_host) | {"SKERRY_LINGER_S": "2"}
        running = await stack.enter_async_context(tower(environ))
        port = port_of(await running.until("listening"))
        await running.until("ready")
        running.process.send_signal(signal.SIGTERM)
        await running.until("lingering")
        assert await status(port, ca, b"/readyz") == 503
        served = 0
        with contextlib.suppress(HttpError):
            while True:
                assert await status(port, ca, b"/apis") == 401
                served += 1
        assert served > 10
        async with asyncio.timeout(DEADLINE_S):
            await running.process.communicate()
        assert running.process.returncode == 0


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"SKERRY_LISTEN": "nowhere"}, "SKERRY_LISTEN"),
        ({"SKERRY_TLS_KEY_FILE": ""}, "belong together"),
        ({"SKERRY_MEMBERS_CERT_FILE": "/nonexistent"}, "SKERRY_MEMBERS_KEY_FILE belong together"),
        ({"SKERRY_TLS_CERT_FILE": "/nonexistent"}, "cannot use the certificate"),
        ({"SKERRY_BUS_CA_FILE": "/nonexistent"}, "cannot read the bus's authority"),
        ({"SKERRY_TRACING": "1", "OTEL_PYTHON_TRACER_PROVIDER": "nonsense"}, "OTEL_PYTHON_TRACER_PROVIDER names"),
    ],
)
async def test_settings_that_cannot_work_are_one_line(
    fresh_nats_host: NatsHost, change: dict[str, str], text: str
) -> None:
    environ = environment(fresh_nats_host) | change
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.tower", env=environ, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(DEADLINE_S):
        _, stderr = await process.communicate()
    assert process.returncode == 2
    assert text in stderr.decode()
    assert "Traceback" not in stderr.decode()
