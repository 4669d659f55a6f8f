"""Repositories from the command line, on a real host: one that wants a password, and the key that seals it is rotated."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.appstore.repositories.server import ChartServer, chart_server, index
from tests.e2e.federation import Host, eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
PASSWORD = "correct horse"


@contextmanager
def beside(directory: Path) -> Iterator[ChartServer]:
    """A repository that serves while a test runs commands."""
    loop, ready, over = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    servers: list[ChartServer] = []

    async def serve() -> None:
        async with chart_server(directory) as server:
            servers.append(server)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield servers[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


def test_a_repository_with_a_password_outlives_the_key_that_sealed_it(
    new_host: Callable[..., Host], tmp_path: Path
) -> None:
    host = new_host()
    host.ok("app", "store", "enable")
    allow = json.dumps({"spec": {"network": {"allow": ["127.0.0.0/8"]}}})
    host.kubectl(None, "patch", "appstore", "host", "--type=merge", "-p", allow)
    with beside(tmp_path / "charts") as charts:
        charts.index = index({"nginx": ["1.0.0", "1.1.0"]})
        charts.authorization = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()
        (tmp_path / "ca.pem").write_text(charts.ca_pem)
        (tmp_path / "pw").write_text(PASSWORD)
        (tmp_path / "pw").chmod(0o600)
        ca = ("--ca-file", str(tmp_path / "ca.pem"), "--global")
        refused = host.skerry("app", "repo", "add", "closed", charts.url, *ca)
        assert (refused.returncode, "Unauthorized" in refused.stderr) == (1, True), refused
        credential = ("--username", "me", "--password-file", str(tmp_path / "pw"))
        assert host.ok("app", "repo", "add", "corp", charts.url, *ca, *credential) == "corp\n"
        eventually(lambda: "1.1.0" in host.skerry("app", "show", "corp/nginx", "--versions").stdout, "its app is there")
        host.ok("keys", "rotate", "secrets")
        host.ok("keys", "finish", "secrets")
        charts.index = index({"nginx": ["1.0.0", "1.1.0", "2.0.0"]})
        host.ok("app", "repo", "sync", "corp", "--global")
        eventually(lambda: "2.0.0" in host.skerry("app", "show", "corp/nginx", "--versions").stdout, "2.0.0 is there")
        host.ok("app", "repo", "remove", "corp", "--global")
